//! The project's chores behind one command: `cargo xtask <chore>`.
//!
//! Owns how tests are run, which checks CI makes, and the ratchets of the house rules (`tidy`). It is compiled in
//! every CI run, so it depends on next to nothing and never on a crate of Muster's: what it checks cannot break it.

#![expect(
    clippy::print_stdout,
    reason = "findings are what `tidy` and `generate --check` print for a pipe to read"
)]

mod bench;
mod ci;
mod generate;
mod proof;
mod prove;
mod run;
mod screenshots;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <chore>

  test [-- ARGS]       every test of the workspace, with nextest where it is installed; ARGS go to the runner
  ci                   everything CI checks besides the tests: fmt, tidy, clippy, generated files, docs, deny, lock
  tidy                 the house rules that no compiler lint holds
  generate [--check]   write docs/reference from the program itself, or compare with what is there
  bench NAME [ARGS]    a benchmark in the release profile
  differential [ARGS]  compares the stores by generated sequences of operations: --cases N, --seed S, --store A,B
  races [ARGS]         many clients at the same moment, at three replicas of each store: --rounds N, --store A,B
  screenshots          draws every page of the console anew into docs/img
  prove [ARGS]         what is promised, as figures, a line for each kind: [--full] [--count N] [--seed S] [KIND...]

environment
  MUSTER_TEST_REQUIRE  comma-separated list of `postgres`, `browser`, `strace`: fail where one is missing, instead
                       of skipping
";

fn main() -> ExitCode {
    match chore() {
        Ok(()) => ExitCode::SUCCESS,
        // Without a backtrace: it says where this program is, and what failed is another one or a file.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match args.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    match chore {
        "test" => test::run(rest),
        "ci" => no_arguments(rest).and_then(|()| ci::run()),
        "tidy" => no_arguments(rest).and_then(|()| tidy::run()),
        "generate" => generate::run(rest),
        "bench" => bench::run(rest),
        "differential" | "races" => proof::run(chore, rest),
        "prove" => prove::run(rest),
        "screenshots" => no_arguments(rest).and_then(|()| screenshots::run()),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no chore `{other}`\n\n{USAGE}"),
    }
}

fn no_arguments(rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(extra) => bail!("unexpected argument `{extra}`\n\n{USAGE}"),
        None => Ok(()),
    }
}

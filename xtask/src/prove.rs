//! `cargo xtask prove`: every promise that is shown by numbers, one kind after the other.
//!
//! A kind is a test or a subcommand of `muster-proof`. Each tells what it did in one line of JSON,
//! `{kind, goal, done, violations, seed}`; these lines are all that is written to standard output. A kind that tells
//! nothing has failed, and so has one with a violation.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{run, test};

/// What is proved, and how.
struct Kind {
    word: &'static str,
    /// What is counted.
    what: &'static str,
    /// The variable of a program that this kind cannot do without.
    needs: Option<&'static str>,
    by: By,
}

/// What runs a kind.
enum By {
    /// Tests of the real programs, by the path of their module in `shell/muster/tests/scenarios`.
    Scenario(&'static str),
    /// A subcommand of `muster-proof` with what it is told in either size.
    Proof { words: &'static [&'static str], small: &'static [&'static str], full: &'static [&'static str] },
    /// The targets of `muster-fuzz`: changed inputs of the corpus, or libFuzzer's search for seconds a target.
    Fuzz { seconds: &'static str },
}

/// All of them, the quick ones first. Another kind is another entry here, and a line of JSON where it is done.
const KINDS: &[Kind] = &[
    Kind {
        word: "herd",
        what: "agents that lose their server for half an hour, on a clock of their own",
        needs: None,
        by: By::Proof { words: &["herd"], small: &["--count", "2000"], full: &["--count", "10000"] },
    },
    Kind {
        word: "model",
        what: "states of two agents, two replicas, a thief and an operator, and mistakes that must be found in them",
        needs: None,
        by: By::Proof { words: &["model"], small: &[], full: &["--full"] },
    },
    Kind {
        word: "fuzz",
        what: "inputs that no parser of bytes of strangers may stumble over",
        needs: None,
        by: By::Fuzz { seconds: "7200" },
    },
    Kind {
        word: "restore",
        what: "yesterday's database under a fleet that runs, on SQLite and on PostgreSQL",
        needs: None,
        by: By::Scenario("proofs::restore_drill"),
    },
    Kind {
        word: "network",
        what: "a faulty line or a stranger at every exchange of an agent",
        needs: None,
        by: By::Scenario("proofs::network"),
    },
    Kind {
        word: "kill-agent",
        what: "an agent killed, or its disk failing, at each system call of enrolling, renewing, rotating and recovering",
        needs: Some("MUSTER_TEST_STRACE"),
        by: By::Scenario("proofs::killed_agent"),
    },
    Kind {
        word: "simulation",
        what: "seeds of the whole system in one process, with faults at every step",
        needs: None,
        by: By::Proof { words: &["simulate"], small: &["--count", "500"], full: &["--count", "100000"] },
    },
    Kind {
        word: "kill-server",
        what: "kills (-9) of the server under load, on SQLite and on PostgreSQL",
        needs: None,
        by: By::Scenario("proofs::killed_server"),
    },
];

/// How much, and from which seed.
#[derive(Default)]
struct Wish {
    full: bool,
    count: Option<String>,
    seed: Option<String>,
    kinds: Vec<&'static Kind>,
}

/// How a kind ended.
struct Outcome {
    word: &'static str,
    lines: Vec<Value>,
    is_good: bool,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    if args.first().is_some_and(|word| word == "list") {
        KINDS.iter().for_each(|kind| eprintln!("{:14} {}", kind.word, kind.what));
        return Ok(());
    }
    let wish = understood(args)?;
    let tools = test::tools()?;
    let root = run::root()?;
    let outcomes: Vec<Outcome> =
        wish.kinds.iter().map(|kind| prove(kind, &wish, &tools, &root)).collect::<Result<_>>()?;
    told(&outcomes);
    let bad: Vec<&str> = outcomes.iter().filter(|one| !one.is_good).map(|one| one.word).collect();
    if !bad.is_empty() {
        bail!("not as promised, or not run: {}", bad.join(", "));
    }
    Ok(())
}

fn understood(args: &[String]) -> Result<Wish> {
    let mut wish = Wish::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--full" => wish.full = true,
            "--count" => wish.count = Some(args.next().context("--count N")?.clone()),
            "--seed" => wish.seed = Some(args.next().context("--seed S")?.clone()),
            word => match KINDS.iter().find(|kind| kind.word == word) {
                Some(kind) => wish.kinds.push(kind),
                None => {
                    let known: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
                    bail!("there is no kind `{word}` (known: {})", known.join(", "));
                }
            },
        }
    }
    if wish.kinds.is_empty() {
        wish.kinds = KINDS.iter().collect();
    }
    Ok(wish)
}

fn prove(
    kind: &'static Kind,
    wish: &Wish,
    tools: &[(&'static str, PathBuf)],
    root: &Path,
) -> Result<Outcome> {
    eprintln!("\n== {}: {}", kind.word, kind.what);
    if let Some(needed) = kind.needs.filter(|needed| !tools.iter().any(|(variable, _)| variable == needed)) {
        eprintln!("SKIPPED  {}: {needed} names nothing here", kind.word);
        return Ok(Outcome { word: kind.word, lines: Vec::new(), is_good: true });
    }
    let mut command = command(kind, wish, root);
    command.envs(tools.iter().map(|(variable, place)| (variable, place)));
    let (succeeded, lines) = heard(&mut command)?;
    let violated = |line: &Value| line["violations"] != 0;
    let is_good = succeeded && !lines.is_empty() && !lines.iter().any(violated);
    Ok(Outcome { word: kind.word, lines, is_good })
}

fn command(kind: &Kind, wish: &Wish, root: &Path) -> Command {
    let mut cargo = run::cargo(root);
    // What the small size needs was built for the tests already.
    let profile = wish.full.then_some("--release");
    match &kind.by {
        By::Scenario(module) => {
            cargo.arg("test").args(profile);
            cargo.envs(profile.map(|_| ("MUSTER_PROVE", "full")));
            let variables = [("MUSTER_PROVE_COUNT", &wish.count), ("MUSTER_PROVE_SEED", &wish.seed)];
            cargo.envs(variables.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
            cargo.args(["--quiet", "-p", "muster-cli", "--test", "scenarios", "--", module]);
            cargo.args(["--nocapture", "--test-threads=1"]);
        }
        By::Proof { words, small, full } => {
            cargo.arg("run").args(profile).args(["--quiet", "-p", "muster-proof", "--"]).args(*words);
            cargo.args(if wish.full { *full } else { *small });
            wished(&mut cargo, wish);
        }
        By::Fuzz { seconds } => {
            cargo.args(["run", "--quiet", "-p", "muster-fuzz", "--bin", "fuzz", "--"]);
            match wish.full {
                true => cargo.args(["guided", "--count", wish.count.as_deref().unwrap_or(seconds)]),
                false => wished(cargo.arg("mutate"), wish),
            };
        }
    }
    cargo
}

/// Hands over what was wished for.
fn wished<'a>(cargo: &'a mut Command, wish: &Wish) -> &'a mut Command {
    for (name, value) in [("--count", &wish.count), ("--seed", &wish.seed)] {
        cargo.args(value.iter().flat_map(|value| [name, value]));
    }
    cargo
}

/// Runs it, passes on what it says, and keeps the lines that count.
fn heard(command: &mut Command) -> Result<(bool, Vec<Value>)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo cannot be started")?;
    let pipe = child.stdout.take().context("its output is piped")?;
    let mut lines = Vec::new();
    for line in BufReader::new(pipe).lines() {
        let line = line.context("its output cannot be read")?;
        match counted(&line) {
            Some(found) => {
                println!("{found}");
                lines.push(found);
            }
            None => eprintln!("{line}"),
        }
    }
    Ok((child.wait()?.success(), lines))
}

/// The line of JSON in a line of output. A test runner may have begun the line.
fn counted(line: &str) -> Option<Value> {
    let (_, found) = line.split_once("{\"kind\":").map(|(before, _)| line.split_at(before.len()))?;
    let found: Value = serde_json::from_str(found).ok()?;
    let has = |name: &str| found[name].is_u64();
    (found["kind"].is_string() && ["goal", "done", "violations"].into_iter().all(has)).then_some(found)
}

fn told(outcomes: &[Outcome]) {
    eprintln!("\n{:24} {:>10} {:>10} {:>10}  seed", "kind", "goal", "done", "violations");
    for outcome in outcomes {
        for line in &outcome.lines {
            let (kind, seed) = (line["kind"].as_str().unwrap_or("?"), &line["seed"]);
            let number = |name: &str| line[name].to_string();
            let (goal, done, violations) = (number("goal"), number("done"), number("violations"));
            eprintln!("{kind:24} {goal:>10} {done:>10} {violations:>10}  {seed}");
        }
        match (outcome.lines.is_empty(), outcome.is_good) {
            (true, true) => eprintln!("{:24} skipped", outcome.word),
            (_, false) => eprintln!("{:24} FAILED", outcome.word),
            (false, true) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_line_that_counts_is_found_wherever_it_begins() {
        let line = r#"{"kind":"a","goal":3,"done":3,"violations":0,"seed":7}"#;
        assert_eq!(
            counted(&format!("test a::b ... {line}")).map(|found| found["seed"].clone()),
            Some(7.into())
        );
        for not in [r#"{"kind":"a","goal":3}"#, r#"{"kind":"#, "test a ... ok"] {
            assert_eq!(counted(not), None, "{not}");
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_and_no_kind_means_all() {
        assert!(understood(&words("--full nothing")).is_err());
        assert!(understood(&words("--count")).is_err());
        let wish = understood(&words("--full --seed 7")).expect("understood");
        assert!(wish.full && wish.seed.as_deref() == Some("7") && wish.kinds.len() == KINDS.len());
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<&str> = KINDS.iter().map(|kind| kind.word).collect();
        assert_eq!(words.len(), KINDS.len());
    }
}

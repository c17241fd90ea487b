//! The proofs by hand, for as long as somebody likes: `proof differential --cases N`, `proof races --rounds N`.

use std::process::ExitCode;

use muster_proof::{Cases, Heat, Kind, Line, Pairs, Which, compare_all, race};

const USAGE: &str = "\
proof differential [--cases N] [--seed S] [--store sqlite,postgres] [--workers N]
proof races [--rounds N] [--store sqlite,postgres]
proof herd [--count AGENTS] [--seed S]
proof model [--full]
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(prove(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn prove(args: &[String]) -> Result<(), String> {
    match args.split_first() {
        Some((proof, rest)) if proof == "differential" => differential(rest).await,
        Some((proof, rest)) if proof == "races" => races(rest).await,
        Some((proof, rest)) if proof == "herd" => herd(rest),
        Some((proof, rest)) if proof == "model" => model(rest),
        _ => Err(USAGE.to_owned()),
    }
}

async fn races(args: &[String]) -> Result<(), String> {
    let (mut rounds, mut which) = (200, here());
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(USAGE.to_owned()) };
        match name.as_str() {
            "--rounds" => rounds = number(value)?,
            "--store" => which = stores(value)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    for which in which {
        eprintln!("{}", which.as_str());
        Box::pin(race(which, Heat::Rounds(rounds), tell)).await?;
    }
    Ok(())
}

/// Tells one line, and fails where it speaks of a violation.
#[expect(clippy::print_stdout, reason = "`cargo xtask prove` reads it from there")]
fn told(line: &Line) -> Result<(), String> {
    println!("{}", line.to_json());
    match line.violations {
        0 => Ok(()),
        some => Err(format!("{}: {some} violations", line.kind)),
    }
}

fn herd(args: &[String]) -> Result<(), String> {
    let (mut agents, mut seed) = (10_000, 1);
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(USAGE.to_owned()) };
        match name.as_str() {
            "--count" => agents = number(value)?,
            "--seed" => seed = number(value)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    told(&muster_proof::herd::prove(agents, seed))
}

fn model(args: &[String]) -> Result<(), String> {
    let full = args.iter().any(|arg| arg == "--full");
    told(&muster_proof::fleet::prove(full, |line| eprintln!("{line}")))
}

async fn differential(args: &[String]) -> Result<(), String> {
    let mut cases = Cases { seed: 0, count: 2000, which: here(), workers: 4 };
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(USAGE.to_owned()) };
        match name.as_str() {
            "--cases" => cases.count = number(value)?,
            "--seed" => cases.seed = number(value)?,
            "--workers" => cases.workers = number(value)?,
            "--store" => cases.which = stores(value)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    let pairs = Box::pin(compare_all(cases, tell)).await.map_err(|finding| finding.to_string())?;
    report(&pairs);
    Ok(())
}

/// What there is to compare and to race on; what is missing is said.
fn here() -> Vec<Which> {
    Which::ALL.into_iter().filter(|which| which.is_here()).collect()
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("`{text}` is no number: {error}\n{USAGE}"))
}

fn stores(text: &str) -> Result<Vec<Which>, String> {
    let store = |name: &str| Which::ALL.into_iter().find(|which| which.as_str() == name);
    text.split(',').map(|name| store(name).ok_or_else(|| format!("there is no store `{name}`"))).collect()
}

fn tell(done: u64, of: u64) {
    if done.is_multiple_of(100) || done == of {
        eprintln!("{done} of {of}");
    }
}

fn report(pairs: &Pairs) {
    eprintln!("{:16} {:>10} {:>10} {:>10}", "operation", "done", "refused", "nothing");
    for kind in Kind::ALL {
        let outcomes = pairs.outcomes(*kind);
        let name = format!("{kind:?}");
        eprintln!("{name:16} {:>10} {:>10} {:>10}", outcomes.done, outcomes.refused, outcomes.nothing);
    }
    let missing = pairs.missing();
    let some = &missing[..missing.len().min(10)];
    eprintln!("{} operations; {} pairs of them never came: {some:?}", pairs.operations(), missing.len());
}

//! The proofs by hand, for as long as somebody likes: `proof differential --cases N`, `proof races --rounds N`.

use std::process::ExitCode;

use muster_proof::fleet::{ALONE, Bug, Explored, explore};
use muster_proof::sim::{self, Campaign, Plant, Setup, simulate_all};
use muster_proof::{Cases, Heat, Kind, Line, Pairs, Which, compare_all, race};

const USAGE: &str = "\
proof differential [--cases N] [--seed S] [--store sqlite,postgres] [--workers N]
proof races [--rounds N] [--store sqlite,postgres]
proof herd [--count AGENTS] [--seed S]
proof model [--full]
proof model --keys A,B [--replicas N] [--thief] [--slot-lost] [--revokes] [--restore] [--renews] [--split] [--bug NAME]
proof simulate [--seeds N] [--from S] [--jobs N]     (MUSTER_SIM_SEED=S: that one, with its events)
proof quiet [--agents N]     (a day on which nothing fails)
proof plants [--most N] [--only NAME]
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        // The simulation has threads and runtimes of its own making.
        Some((proof, rest)) if proof == "simulate" => simulate(rest),
        Some((proof, rest)) if proof == "plants" => plants(rest),
        Some((proof, rest)) if proof == "quiet" => quiet(rest),
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.expect("a runtime").block_on(prove(&args))
        }
    };
    match done {
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

/// The whole system under faults. The last line is for programs.
#[expect(clippy::print_stdout, reason = "the one line that programs read")]
fn simulate(args: &[String]) -> Result<(), String> {
    let mut campaign = Campaign { from: 0, count: 500, jobs: 2 };
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(USAGE.to_owned()) };
        match name.as_str() {
            "--seeds" | "--count" => campaign.count = number(value)?,
            "--from" | "--seed" => campaign.from = number(value)?,
            "--jobs" => campaign.jobs = usize::try_from(number(value)?).unwrap_or(1),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if let Ok(seed) = std::env::var("MUSTER_SIM_SEED") {
        return replay(number(&seed)?);
    }
    let outcome = simulate_all(campaign, |done| tell(done, campaign.count));
    eprintln!("{}", outcome.coverage);
    eprintln!("{} events; never struck: {:?}", outcome.events, outcome.coverage.missing());
    for (seed, violations) in outcome.failed.iter().take(10) {
        eprintln!("MUSTER_SIM_SEED={seed}: {}", violations.join("; "));
    }
    println!("{}", outcome.line(campaign.count));
    if outcome.failed.is_empty() { Ok(()) } else { Err("what must hold does not".to_owned()) }
}

/// One seed again, with its events.
fn replay(seed: u64) -> Result<(), String> {
    let told = sim::simulate(seed, Setup { tells: true, ..Setup::of(seed) });
    told.trace.iter().for_each(|event| eprintln!("{event}"));
    if told.violations.is_empty() { Ok(()) } else { Err(told.violations.join("\n")) }
}

/// A day on which nothing fails, for whoever measures what one costs.
fn quiet(args: &[String]) -> Result<(), String> {
    let agents = match args {
        [] => 20,
        [name, value] if name == "--agents" => number(value)?,
        _ => return Err(USAGE.to_owned()),
    };
    let told = sim::simulate(1, Setup::quiet(u32::try_from(agents).unwrap_or(u32::MAX)));
    eprintln!("{agents} machines, one day: {} events", told.events);
    if told.violations.is_empty() { Ok(()) } else { Err(told.violations.join("\n")) }
}

/// Whether the simulation finds what is wrong.
fn plants(args: &[String]) -> Result<(), String> {
    let (mut most, mut only) = (400, None);
    for pair in args.chunks(2) {
        match pair {
            [name, value] if name == "--most" => most = number(value)?,
            [name, value] if name == "--only" => only = Some(value),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let is_meant = |plant: &&Plant| only.is_none_or(|only| format!("{plant:?}") == *only);
    let plants: Vec<&Plant> = Plant::ALL.iter().filter(is_meant).collect();
    let (all, mut found) = (plants.len(), 0);
    for plant in plants {
        match sim::find(*plant, most) {
            Some((seeds, what)) => {
                found += 1;
                eprintln!("{:28} {:>4} seeds  {what}", format!("{plant:?}"), seeds);
            }
            None => eprintln!("{:28} NOT FOUND  {}", format!("{plant:?}"), plant.says()),
        }
    }
    eprintln!("{found} of {all} found");
    if found == all { Ok(()) } else { Err("some are not found".to_owned()) }
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
    if args.iter().any(|arg| arg == "--keys") {
        return explored(args);
    }
    let full = args.iter().any(|arg| arg == "--full");
    told(&muster_proof::fleet::prove(full, |line| eprintln!("{line}")))
}

/// One exploration, within bounds of one's own.
fn explored(args: &[String]) -> Result<(), String> {
    let mut bounds = ALONE;
    let mut bug = None;
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| USAGE.to_owned());
        match word.as_str() {
            "--keys" => {
                let (first, second) = value()?.split_once(',').ok_or_else(|| USAGE.to_owned())?;
                bounds.keys = [number(first)? as u8, number(second)? as u8];
            }
            "--replicas" => bounds.replicas = number(value()?)? as usize,
            "--bug" => {
                let name = value()?;
                let named = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == *name);
                bug = Some(named.ok_or_else(|| format!("there is no mistake `{name}`"))?);
            }
            "--thief" => bounds.thief = true,
            "--slot-lost" => bounds.slot_lost = true,
            "--revokes" => bounds.revokes = true,
            "--restore" => bounds.restore = true,
            "--renews" => bounds.renews = true,
            "--split" => bounds.split = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    let Explored { states, whole, depth, violations } = explore(bounds, bug);
    eprintln!("{states} states, {depth} deep{}", if whole { "" } else { ", NOT ALL" });
    for (property, way) in &violations {
        eprintln!("VIOLATED {property}, in {} steps:\n  {}", way.len(), way.join("\n  "));
    }
    let line = Line {
        kind: "model",
        goal: 0,
        done: states as u64,
        violations: violations.len() as u64,
        seed: 0,
        figures: Default::default(),
    };
    told(&line)
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

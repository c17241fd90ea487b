//! Fuzzing by hand: `fuzz list`, `fuzz replay TARGET FILE…`, `fuzz mutate [--count N] [--seed S] [TARGET…]`,
//! `fuzz guided [--count SECONDS] [TARGET…]`, `fuzz keep TARGET FILE…`.
//!
//! `mutate` and `guided` tell what they did in one line of JSON on standard output.

use std::process::ExitCode;

use muster_fuzz::guided::{Guided, named};
use muster_fuzz::{TARGETS, corpus, mutate};
use serde_json::json;

const USAGE: &str = "\
fuzz list
fuzz replay TARGET FILE...
fuzz keep TARGET FILE...
fuzz mutate [--count INPUTS] [--seed S] [TARGET...]
fuzz guided [--count SECONDS] [TARGET...]
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((word, [])) if word == "list" => {
            TARGETS.iter().for_each(|target| eprintln!("{:18} {}", target.name, target.reads));
            Ok(())
        }
        Some((word, rest)) if word == "replay" => replay(rest),
        Some((word, rest)) if word == "keep" => keep(rest),
        Some((word, rest)) if word == "mutate" => Wish::of(rest).and_then(|wish| mutated(&wish)),
        Some((word, rest)) if word == "guided" => Wish::of(rest).and_then(|wish| guided(&wish)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How much, from which seed, of which targets.
#[derive(Default)]
struct Wish {
    count: Option<u64>,
    seed: u64,
    names: Vec<String>,
}

impl Wish {
    fn of(args: &[String]) -> Result<Self, String> {
        let mut wish = Self { seed: 1, ..Self::default() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || {
                let text = args.next().ok_or(USAGE)?;
                text.parse::<u64>().map_err(|error| format!("`{text}` is no number: {error}"))
            };
            match arg.as_str() {
                "--count" => wish.count = Some(number()?),
                "--seed" => wish.seed = number()?,
                name => wish.names.push(name.to_owned()),
            }
        }
        Ok(wish)
    }
}

fn files(args: &[String]) -> Result<(&'static muster_fuzz::Target, Vec<Vec<u8>>), String> {
    let [name, paths @ ..] = args else { return Err(USAGE.to_owned()) };
    let target = named(std::slice::from_ref(name))?[0];
    let read = |path: &String| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    Ok((target, paths.iter().map(read).collect::<Result<_, _>>()?))
}

fn replay(args: &[String]) -> Result<(), String> {
    let (target, inputs) = files(args)?;
    inputs.iter().for_each(|input| (target.check)(input));
    eprintln!("{}: {} inputs hold", target.name, inputs.len());
    Ok(())
}

fn keep(args: &[String]) -> Result<(), String> {
    let (target, inputs) = files(args)?;
    let dir = corpus::home().join(target.name);
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    for input in inputs {
        let path = dir.join(corpus::name(&input));
        std::fs::write(&path, input).map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

fn mutated(wish: &Wish) -> Result<(), String> {
    let (mut goal, mut done, mut broken) = (0, 0, Vec::new());
    for target in named(&wish.names)? {
        let kept = corpus::inputs(target).map_err(|error| format!("{}: {error}", target.name))?;
        let kept: Vec<Vec<u8>> = kept.into_iter().map(|(_, bytes)| bytes).collect();
        kept.iter().for_each(|input| (target.check)(input));
        let count = wish.count.unwrap_or(target.small);
        goal += count;
        match mutate::tries(target, &kept, wish.seed, count) {
            Ok(()) => done += count,
            Err(found) => {
                done += found.number + 1;
                let path =
                    std::env::temp_dir().join(format!("{}-{}", target.name, corpus::name(&found.input)));
                std::fs::write(&path, &found.input)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                broken.push(format!("{}: {}", target.name, path.display()));
            }
        }
        eprintln!("{:18} {count}", target.name);
    }
    told("fuzz", (goal, done, broken.len() as u64), wish.seed, json!({}));
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

fn guided(wish: &Wish) -> Result<(), String> {
    let targets = named(&wish.names)?;
    let seconds = wish.count.unwrap_or(60);
    let mut guided = Guided::prepared().map_err(|error| error.to_string())?;
    let tell = |target: &muster_fuzz::Target, spent: f64| eprintln!("{:18} {spent:.0} s", target.name);
    let broken = guided.run(&targets, seconds, tell).map_err(|error| error.to_string())?;
    let spent = targets.iter().map(|target| (target.name.to_owned(), json!(guided.spent(target).round())));
    let whole: f64 = targets.iter().map(|target| guided.spent(target).min(seconds as f64)).sum();
    let spent = json!({ "seconds": serde_json::Map::from_iter(spent) });
    told("fuzz", (seconds * targets.len() as u64, whole.round() as u64, broken.len() as u64), 0, spent);
    let broken: Vec<String> = broken.iter().map(|path| path.display().to_string()).collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

#[expect(clippy::print_stdout, reason = "`cargo xtask prove` reads it from there")]
fn told(kind: &str, (goal, done, violations): (u64, u64, u64), seed: u64, figures: serde_json::Value) {
    let line = json!({
        "kind": kind, "goal": goal, "done": done, "violations": violations, "seed": seed, "figures": figures,
    });
    println!("{line}");
}

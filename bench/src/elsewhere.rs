//! A process beside this one, so that what clients take is not counted as the server's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Starts this program again by another word, tells it what to do, and waits until it says that it does.
pub(crate) async fn start(word: &'static str, orders: &impl Serialize, ready: &'static str) -> Result<Child> {
    let orders = serde_json::to_string(orders)?;
    let started = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(std::env::current_exe()?);
        let piped = command.arg(word).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().with_context(|| format!("the process to {word} cannot be started"))?;
        writeln!(child.stdin.as_mut().context("it has no standard input")?, "{orders}")?;
        ensure!(line(&mut child)?.trim_end() == ready, "the process to {word} failed");
        anyhow::Ok(child)
    });
    started.await?
}

/// The next line that it says.
pub(crate) fn line(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    // Not more than this line is taken: the next one is read later.
    let stdout = child.stdout.as_mut().context("it has no standard output")?;
    BufReader::with_capacity(1, stdout).read_line(&mut line)?;
    Ok(line)
}

/// What this process was told to do.
pub(crate) fn orders<T: DeserializeOwned>() -> Result<T> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

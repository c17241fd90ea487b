//! `muster ca`: from one certificate authority to the next, while every machine stays.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_wire::ca::{CaStatus, ChangeCa};

use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, escape, relative};

/// Changing the certificate authority. Each step can be taken back until the next.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Where the change stands, and which machines are not ready for the next step.
    Status,
    /// Make the next authority. Nobody sees it yet.
    Prepare,
    /// Give the roots of the next authority to everybody.
    Publish,
    /// Sign by the next authority from now on.
    Activate(EvenSo),
    /// Declare that the key of the authority before may be in other hands: nothing that it signed proves anything.
    Taint(Sure),
    /// Take the roots of the authority before out of everybody's bundle. It is not taken back.
    Remove(EvenSo),
    /// Take the last step back.
    Undo,
}

/// How sure.
#[derive(Debug, Args)]
pub(crate) struct Sure {
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// How sure, and whether without some machines.
#[derive(Debug, Args)]
pub(crate) struct EvenSo {
    #[command(flatten)]
    sure: Sure,
    /// Go on although machines are not ready.
    #[arg(long, requires = "expect")]
    even_so: bool,
    /// How many machines may be left behind; where more are not ready nothing happens.
    #[arg(long, value_name = "COUNT", requires = "even_so")]
    expect: Option<u64>,
}

/// Runs `muster ca`.
pub(crate) async fn run(context: &Context, verb: Ca) -> Result {
    let client = context.client().await?;
    let (step, args) = match verb {
        Ca::Status => return context.out.show(&client.ca().await?),
        Ca::Prepare => ("prepare", None),
        Ca::Publish => ("publish", None),
        Ca::Undo => ("undo", None),
        Ca::Activate(args) => ("activate", Some(args)),
        Ca::Remove(args) => ("remove", Some(args)),
        Ca::Taint(sure) => ("taint", Some(EvenSo { sure, even_so: false, expect: None })),
    };
    let mut request = ChangeCa::default();
    if let Some(args) = args {
        request.even_so = args.expect;
        if !args.sure.yes {
            sure(step, &client.ca().await?)?;
        }
    }
    context.out.show(&client.change_ca(step, &request).await?)
}

/// Says what will be, and asks.
fn sure(step: &str, status: &CaStatus) -> Result {
    let what = match step {
        "activate" => "Certificates are signed by the next authority from now on.".to_owned(),
        "taint" => format!(
            "Every certificate of the authority before stops counting, and {} machines change their keys.",
            status.machines
        ),
        _ => "Machines and invites that know only the authority before are shut out, for good.".to_owned(),
    };
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is here to be asked")
            .cause(what)
            .hint(format!("add --yes: muster ca {step} --yes")));
    }
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, "nobody can be asked").because(&error);
    let mut err = std::io::stderr().lock();
    // A taint waits for nobody: who is not ready is no concern of it.
    let behind = match step {
        "taint" => String::new(),
        _ => format!(" {} machines are not ready.", status.behind),
    };
    write!(err, "{what}{behind} Go on? [y/N] ").and_then(|()| err.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was changed")),
    }
}

impl Human for CaStatus {
    fn human(&self, now: Timestamp) -> String {
        let since = self.since.map(|since| format!(", since {}", relative(now, since))).unwrap_or_default();
        let holders: Vec<String> = self.holders.iter().map(holder).collect();
        // Readiness is for a step: where none can follow that asks for it, machines only catch up.
        let behind = match (self.phase.as_str(), self.behind) {
            (_, 0) => String::new(),
            ("settled" | "prepared", count) => {
                format!("{count} machines did not say yet that they hold these roots")
            }
            (_, count) => count.to_string(),
        };
        let is_settled = matches!(self.phase.as_str(), "settled" | "prepared");
        let facts = details([
            ("phase", format!("{}{since}", self.phase)),
            ("pin", self.pin.clone()),
            ("issuing until", format!("{} ({})", self.expires, relative(now, self.expires))),
            ("bundle", format!("version {} with {} roots", self.bundle, self.pins.len())),
            ("machines", holders.join(", ")),
            (if is_settled { "catching up" } else { "not ready" }, behind),
            (
                "old keys",
                self.not_rotated
                    .map(|count| format!("{count} machines are to change theirs"))
                    .unwrap_or_default(),
            ),
        ]);
        let mut text = facts;
        for machine in &self.machines_behind {
            let holds =
                if machine.bundle == 0 { "said nothing".into() } else { format!("holds {}", machine.bundle) };
            text.push_str(&format!("\n  {} {} ({holds})", machine.id, escape(&machine.name)));
        }
        if self.behind > self.machines_behind.len() as u64 && !self.machines_behind.is_empty() {
            text.push_str("\n  …");
        }
        format!("{text}\n\n{}", self.what_next())
    }
}

fn holder(holders: &muster_wire::ca::BundleHolders) -> String {
    match holders.bundle {
        0 => format!("{} with none told", holders.machines),
        bundle => format!("{} with version {bundle}", holders.machines),
    }
}

/// What a person types next.
trait WhatNext {
    fn what_next(&self) -> String;
}

impl WhatNext for CaStatus {
    fn what_next(&self) -> String {
        let even_so = match self.behind {
            0 => String::new(),
            count => format!(" (or go on without them: --even-so --expect {count})"),
        };
        match self.phase.as_str() {
            "settled" => "Nothing is under way. To begin: muster ca prepare".to_owned(),
            "prepared" => "Next: muster ca publish. Back: muster ca undo".to_owned(),
            "published" if self.behind == 0 => "Every machine is ready. Next: muster ca activate".to_owned(),
            "published" => format!(
                "Wait until every machine holds bundle {}{even_so}. Next: muster ca activate. Back: muster ca undo",
                self.bundle
            ),
            "activated" => format!(
                "New invites have the new pin. Is the old key in other hands? muster ca taint\nElse, once no machine needs the old roots{even_so}: muster ca remove. Back: muster ca undo"
            ),
            _ => format!(
                "Machines change their keys. Once all have{even_so}: muster ca remove. Back: muster ca undo"
            ),
        }
    }
}

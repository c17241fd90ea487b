//! `muster alarm`: what somebody should look at, and that somebody has.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_wire::alarm::{Acknowledge, Alarm as Shape};

use super::lists::{Listed, or_dash};
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{relative, table};

/// Alarms.
#[derive(Debug, Subcommand)]
pub(crate) enum Alarm {
    /// List what nobody has looked at yet.
    #[command(visible_alias = "list")]
    Ls,
    /// Say that you have looked at what was told of a machine, or of the deployment. Whatever was paused stays paused.
    Acknowledge(Looked),
}

/// What was looked at.
#[derive(Debug, Args)]
pub(crate) struct Looked {
    /// What the alarm is about, as the list tells it.
    #[arg(value_name = "OBJECT")]
    object: String,
    /// What you say of it, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

/// Runs `muster alarm`.
pub(crate) async fn run(context: &Context, verb: Alarm) -> Result {
    let client = context.client().await?;
    let open = client.alarms().await?;
    let looked = match verb {
        Alarm::Ls => return context.out.show(&open),
        Alarm::Acknowledge(looked) => looked,
    };
    let of_it = open.items.iter().filter(|alarm| alarm.object == looked.object);
    let until = of_it.map(|alarm| alarm.last_at).max();
    let until = until.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("no alarm is open about {}", looked.object))
            .hint("muster alarm ls tells what is open")
    })?;
    let request = Acknowledge { object: looked.object, until, reason: looked.reason };
    context.out.show(&client.acknowledge(&request).await?)
}

impl Listed for Shape {
    const EMPTY: &'static str =
        "no alarm is open: nothing was told within seven days that nobody has looked at";

    fn table(items: &[Self], now: Timestamp) -> String {
        let rows = items.iter().map(|alarm| {
            [
                alarm.object.clone(),
                or_dash(alarm.name.as_deref()),
                alarm.action.clone(),
                or_dash(alarm.cause.as_deref()),
                alarm.times.to_string(),
                relative(now, alarm.last_at),
            ]
        });
        table(["OBJECT", "NAME", "ALARM", "CAUSE", "TIMES", "LAST"], rows)
    }
}

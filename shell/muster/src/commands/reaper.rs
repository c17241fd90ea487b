//! `muster reaper`: how it stands, and which machines are due. What it does can be seen here and not be ordered.

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use muster_wire::machine::Silence;
use muster_wire::reaper::Reaper as Shape;

use crate::context::Context;
use crate::durations::show;
use crate::failure::Result;
use crate::output::{Human, details, relative, table};

/// The reaper.
#[derive(Debug, Subcommand)]
pub(crate) enum Reaper {
    /// How it stands, and whom it would take now. Nothing is done by this.
    Status,
}

/// Runs `muster reaper`.
pub(crate) async fn run(context: &Context, verb: Reaper) -> Result {
    match verb {
        Reaper::Status => context.out.show(&context.client().await?.reaper().await?),
    }
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        let after = |seconds: Option<u64>| {
            seconds.map_or_else(|| "never".to_owned(), |seconds| show(Duration::from_secs(seconds)))
        };
        let watched = self.watched_until.map(|until| relative(now, until)).unwrap_or_default();
        let stopped = self.stopped_at.map(|at| relative(now, at)).unwrap_or_default();
        let mut text = details([
            ("standing", self.standing.replace('_', " ")),
            ("stopped", stopped),
            ("pauses after", after(self.pause_after)),
            ("retires after", after(self.retire_after)),
            ("last look", watched),
            ("watched for", show(Duration::from_secs(self.watched_for))),
            ("fleet", self.fleet.to_string()),
            ("a run takes", format!("{} at most", self.share)),
            ("paused", format!("{} for silence, {} of them within a day", self.paused, self.paused_lately)),
            ("due", self.due.to_string()),
        ]);
        match self.standing.as_str() {
            "stopped" => text.push_str(STOPPED),
            "settling" => text.push_str(SETTLING),
            _ => {}
        }
        if !self.machines.is_empty() {
            text.push_str("\n\n");
            text.push_str(&due(self, now));
        }
        text
    }
}

const SETTLING: &str = "\n\nThe server that watches began to half an hour ago at most: nobody is taken before it has watched for so long.";

const STOPPED: &str = "\n\nMore than one in twenty are due at once: the fault is more likely here than with them, and nobody is taken.\n\
    Look at the way between them and the servers first. Those that are really gone: muster machine retire ID...";

fn due(reaper: &Shape, now: Timestamp) -> String {
    let rows = reaper.machines.iter().map(|machine| {
        [
            machine.id.clone(),
            machine.name.clone(),
            relative(now, machine.last_heard),
            machine.what.clone(),
            if machine.taken { "next run" } else { "later" }.to_owned(),
        ]
    });
    table(["ID", "NAME", "LAST HEARD", "DUE TO", "TAKEN"], rows)
}

/// What the silence of a machine leads to, as `muster machine show` tells it.
pub(super) fn silence(silence: &Silence, now: Timestamp) -> String {
    let at = |at: Option<Timestamp>| at.map(|at| relative(now, at)).unwrap_or_default();
    details([
        ("last heard", relative(now, silence.last_heard)),
        ("paused for it", at(silence.paused_at)),
        ("to be paused", at(silence.pauses_at)),
        ("to be retired", at(silence.retires_at)),
        ("restorable", at(silence.restorable_until)),
    ])
}

#[cfg(test)]
mod tests {
    use muster_wire::reaper::Silent;

    use super::*;

    fn shape(standing: &str) -> Shape {
        let machine = |id: &str, taken| Silent {
            id: id.into(),
            name: "web".into(),
            what: "pause".into(),
            last_heard: Timestamp::UNIX_EPOCH,
            taken,
        };
        Shape {
            standing: standing.into(),
            pause_after: Some(90 * 86_400),
            retire_after: None,
            watched_until: Some(Timestamp::UNIX_EPOCH),
            watched_for: 86_400,
            stopped_at: None,
            fleet: 30,
            share: 10,
            paused_lately: 0,
            paused: 0,
            due: 2,
            machines: vec![machine("mch_1", true), machine("mch_2", false)],
        }
    }

    #[test]
    fn it_tells_after_how_long_and_who_is_next() {
        let text = shape("at_work").human(Timestamp::UNIX_EPOCH);
        assert!(text.contains("90d") && text.contains("never") && text.contains("at work"), "{text}");
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("mch_")).collect();
        assert!(lines[0].contains("next run") && lines[1].contains("later"), "{text}");
        assert!(!text.contains("one in twenty"), "{text}");
    }

    #[test]
    fn one_that_just_began_to_watch_says_why_it_takes_nobody() {
        assert!(shape("settling").human(Timestamp::UNIX_EPOCH).contains("half an hour"));
    }

    #[test]
    fn a_stop_tells_what_to_look_at() {
        let text = shape("stopped").human(Timestamp::UNIX_EPOCH);
        assert!(text.contains("one in twenty") && text.contains("muster machine retire"), "{text}");
    }
}

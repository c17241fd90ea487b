//! `muster overview`: what the fleet did over time, what of it ends when, and what runs on it.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use muster_wire::overview::{Overview as Shape, OverviewQuery, PulsePoint};

use crate::context::Context;
use crate::durations::{parse, show};
use crate::failure::Result;
use crate::output::{Human, details, relative, table};

/// What the fleet did over time, what of it ends when, and what runs on it.
#[derive(Debug, Args)]
pub(crate) struct Overview {
    /// How far back to look, in hours or days: 1h to 92d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse)]
    last: Duration,
}

/// Runs `muster overview`.
pub(crate) async fn run(context: &Context, args: Overview) -> Result {
    // What is not a whole hour is part of one; what is too long is for the server to say.
    let hours = u32::try_from(args.last.as_secs().div_ceil(3_600)).unwrap_or(u32::MAX);
    let query = OverviewQuery { hours: Some(hours) };
    context.out.show(&context.client().await?.overview(&query).await?)
}

/// Columns of a line of blocks.
const WIDTH: usize = 48;
/// Days of the calendar that people are told; programs get all.
const DAYS: usize = 14;

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        let (machines, totals) = (&self.machines, &self.totals);
        let span = self.until.duration_since(self.from).unsigned_abs();
        let online = |point: &PulsePoint| point.online_least;
        let mut text = details([
            ("online", format!("{} of {} machines", machines.online, machines.active + machines.suspended)),
            ("", chart(self, Joined::Least, online)),
            ("let in", totals.enrolled.to_string()),
            ("", chart(self, Joined::Sum, |point| Some(point.happened.enrolled))),
            ("ended", totals.ended.to_string()),
            ("", chart(self, Joined::Sum, |point| Some(point.happened.ended))),
            ("refused", totals.refused.to_string()),
            ("", chart(self, Joined::Sum, |point| Some(point.happened.refused))),
            ("looked back", show(Duration::from_secs(span.as_secs()))),
            ("ca ends", relative(now, self.ca_expires)),
        ]);
        if !self.expiring.is_empty() {
            text.push_str(&format!("\n\n{}", ends(self)));
        }
        if !self.versions.is_empty() {
            text.push_str(&format!("\n\n{}", versions(self)));
        }
        text
    }
}

fn ends(overview: &Shape) -> String {
    let rows = overview.expiring.iter().take(DAYS).map(|day| {
        let count = |count: u64| if count == 0 { "-".to_owned() } else { count.to_string() };
        [
            day.day.to_string(),
            count(day.certificates),
            count(day.bearer_keys),
            count(day.grants),
            count(day.api_tokens),
        ]
    });
    let mut text = table(["ENDS ON", "CERTIFICATES", "BEARER KEYS", "GRANTS", "API TOKENS"], rows);
    if let Some(more) = overview.expiring.len().checked_sub(DAYS).filter(|more| *more > 0) {
        text.push_str(&format!("\nand on {more} more days: --output json"));
    }
    text
}

fn versions(overview: &Shape) -> String {
    let told = overview.versions.iter().map(|version| {
        let name = version.version.clone().unwrap_or_else(|| "(none told)".to_owned());
        [name, version.machines.to_string()]
    });
    let others = Some(overview.other_versions).filter(|count| *count > 0);
    let others = others.map(|count| ["(others)".to_owned(), count.to_string()]);
    table(["VERSION", "MACHINES"], told.chain(others))
}

/// What becomes of several stretches in one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    Least,
    Sum,
}

/// A line of blocks from 0 to the most; a space where nobody noted anything. Nothing where there is nothing to see.
fn chart(overview: &Shape, joined: Joined, of: impl Fn(&PulsePoint) -> Option<u64>) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let span = overview.until.duration_since(overview.from).as_secs().max(1);
    let mut columns: [Option<u64>; WIDTH] = [None; WIDTH];
    for point in &overview.pulses {
        let since = point.at.duration_since(overview.from).as_secs().clamp(0, span - 1);
        let column = &mut columns[(since * WIDTH as i64 / span) as usize];
        *column = match (*column, of(point), joined) {
            (Some(one), Some(other), Joined::Least) => Some(one.min(other)),
            (Some(one), Some(other), Joined::Sum) => Some(one.saturating_add(other)),
            (one, other, _) => one.or(other),
        };
    }
    let most = columns.iter().flatten().copied().max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let block = |value: &Option<u64>| match value {
        None => ' ',
        Some(value) => BLOCKS[(u128::from(*value) * 7).div_ceil(u128::from(most)) as usize],
    };
    format!("{}  {most} at most", columns.iter().map(block).collect::<String>())
}

#[cfg(test)]
mod tests {
    use muster_wire::overview::{ExpiringDay, Happened, VersionCount};
    use muster_wire::status::MachineCounts;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn shape() -> Shape {
        let point = |slot: i64, online: u64, enrolled| PulsePoint {
            at: at(slot * 300),
            online_least: Some(online),
            online_most: Some(online + 1),
            machines: Some(9),
            happened: Happened { enrolled, refused: 0, ended: 0 },
        };
        let day = ExpiringDay { grants: 2, ..ExpiringDay::none("1970-01-02".parse().expect("a day")) };
        Shape {
            from: at(0),
            until: at(300 * 96),
            step: 300,
            machines: MachineCounts { active: 8, suspended: 1, online: 7, ..MachineCounts::default() },
            totals: Happened { enrolled: 4, refused: 0, ended: 0 },
            pulses: vec![point(0, 8, 1), point(1, 4, 3), point(95, 0, 0)],
            expiring: vec![day],
            ca_expires: at(864_000),
            server_version: "1".to_owned(),
            versions: vec![VersionCount { version: None, machines: 8 }],
            other_versions: 0,
        }
    }

    #[test]
    fn it_tells_what_happened_what_ends_and_what_runs() {
        let text = shape().human(at(0));
        for told in ["7 of 9 machines", "let in", "8h", "1970-01-02", "(none told)"] {
            assert!(text.contains(told), "{told}: {text}");
        }
        assert!(!text.contains("(others)"), "{text}");
    }

    #[test]
    fn a_column_is_the_least_or_the_sum_of_its_stretches_and_empty_where_nothing_was_noted() {
        let shape = shape();
        let online = chart(&shape, Joined::Least, |point| point.online_least);
        assert_eq!(online.chars().take(WIDTH).collect::<String>(), format!("█{}▁", " ".repeat(WIDTH - 2)));
        assert!(online.ends_with("  4 at most"), "{online}");
        let enrolled = chart(&shape, Joined::Sum, |point| Some(point.happened.enrolled));
        assert!(enrolled.ends_with("  4 at most"), "{enrolled}");
        assert_eq!(chart(&shape, Joined::Sum, |point| Some(point.happened.refused)), "");
    }
}

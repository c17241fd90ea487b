//! What the fleet did: who was there, who came and went, what ends when, what runs. The tables hold every number; the charts are
//! drawn from them.

use askama::Template;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use muster_wire::overview::{ExpiringDay, Overview, PulsePoint};

use crate::frame::{Frame, Place};

/// The spans to choose from: hours, and what they are called.
const SPANS: [(u32, &str, &str); 4] =
    [(24, "24 h", "24 hours"), (168, "7 d", "7 days"), (720, "30 d", "30 days"), (2160, "90 d", "90 days")];
/// Days that the calendar looks ahead, today among them.
const DAYS: i64 = 91;

/// What the fleet did.
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    frame: Frame,
    place: Place,
    hours: u32,
    overview: Overview,
    weeks: Vec<Week>,
    bars: Vec<Bar>,
}

/// A row of the calendar.
#[derive(Debug)]
struct Week {
    name: String,
    cells: [Option<Cell>; 7],
}

/// A day of the calendar.
#[derive(Debug)]
struct Cell {
    number: i8,
    class: &'static str,
    is_today: bool,
    ends_authority: bool,
    ending: ExpiringDay,
    told: String,
}

/// A version, beside the others.
#[derive(Debug)]
struct Bar {
    name: String,
    class: &'static str,
    is_servers: bool,
    machines: u64,
    percent: u64,
}

impl OverviewPage {
    /// The overview of so many hours, where they were asked for.
    pub fn new(frame: Frame, hours: Option<u32>, overview: Overview) -> Self {
        let weeks = weeks(&overview, day_of(frame.now));
        let bars = bars(&overview);
        Self { frame, place: Place::Overview, hours: hours.unwrap_or(24), overview, weeks, bars }
    }

    /// Whether there is nothing to tell of yet.
    fn is_empty(&self) -> bool {
        let machines = &self.overview.machines;
        machines.active + machines.suspended + machines.retired == 0 && self.overview.pulses.is_empty()
    }

    /// What the span is called.
    fn span(&self) -> String {
        let known = SPANS.iter().find(|(hours, ..)| *hours == self.hours);
        known.map_or_else(|| format!("{} hours", self.hours), |(_, _, name)| (*name).to_owned())
    }

    /// How long a stretch of the charts is.
    fn step(&self) -> String {
        match self.overview.step / 60 {
            60 => "hour".to_owned(),
            minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
            minutes => format!("{minutes} minutes"),
        }
    }

    /// The command that gives the same.
    fn cli(&self) -> String {
        format!("muster overview --last {}h --output json", self.hours)
    }
}

/// How many were online, as a table tells it.
fn online(point: &PulsePoint) -> String {
    match (point.online_least, point.online_most) {
        (Some(least), Some(most)) if least == most => least.to_string(),
        (Some(least), Some(most)) => format!("{least} to {most}"),
        _ => "–".to_owned(),
    }
}

fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

fn weeks(overview: &Overview, today: Date) -> Vec<Week> {
    let back = i64::from(today.weekday().since(Weekday::Monday));
    let first = today.saturating_sub(back.days());
    let authority = day_of(overview.ca_expires);
    let count = (back + DAYS + 6) / 7;
    let week = |week: i64| {
        let cells = std::array::from_fn(|at| {
            let ahead = week * 7 + at as i64 - back;
            let day = today.saturating_add(ahead.days());
            (0..DAYS).contains(&ahead).then(|| cell(overview, day, today, authority))
        });
        let begins = first.saturating_add((week * 7).days());
        Week { name: begins.strftime("%-d %b").to_string(), cells }
    };
    (0..count).map(week).collect()
}

fn cell(overview: &Overview, day: Date, today: Date, authority: Date) -> Cell {
    let known = overview.expiring.iter().find(|known| known.day == day);
    let ending = known.copied().unwrap_or(ExpiringDay::none(day));
    let ends_authority = day == authority;
    Cell {
        number: day.day(),
        class: class(&ending, ends_authority),
        is_today: day == today,
        ends_authority,
        told: told(&ending, ends_authority),
        ending,
    }
}

/// How loud a day is. Certificates are renewed by whoever has them; nobody but a person renews the rest.
fn class(ending: &ExpiringDay, ends_authority: bool) -> &'static str {
    match (by_hand(ending), ending.certificates) {
        _ if ends_authority => "ends-all",
        (0, 0) => "quiet-day",
        (0, _) => "renews",
        (1..=2, _) => "few",
        (3..=9, _) => "some",
        _ => "many",
    }
}

fn by_hand(ending: &ExpiringDay) -> u64 {
    ending.bearer_keys + ending.grants + ending.api_tokens
}

fn told(ending: &ExpiringDay, ends_authority: bool) -> String {
    let count = |count: u64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts = [
        ends_authority.then(|| "the issuing authority".to_owned()),
        count(ending.bearer_keys, "bearer key", "bearer keys"),
        count(ending.grants, "grant", "grants"),
        count(ending.api_tokens, "API token", "API tokens"),
        count(ending.certificates, "certificate", "certificates"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A count in the room of a day.
fn short(count: u64) -> String {
    match count {
        0..=9_999 => count.to_string(),
        10_000..=999_999 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn bars(overview: &Overview) -> Vec<Bar> {
    let all = overview.versions.iter().map(|version| version.machines).sum::<u64>() + overview.other_versions;
    let bar = |name: String, class, is_servers, machines: u64| Bar {
        name,
        class,
        is_servers,
        machines,
        percent: (machines * 100).checked_div(all).unwrap_or(0),
    };
    let told = overview.versions.iter().map(|version| match &version.version {
        Some(name) => {
            let is_servers = *name == overview.server_version;
            bar(name.clone(), if is_servers { "present" } else { "other" }, is_servers, version.machines)
        }
        None => bar("none told".to_owned(), "untold", false, version.machines),
    });
    let others = Some(overview.other_versions).filter(|count| *count > 0);
    told.chain(others.map(|count| bar("others".to_owned(), "untold", false, count))).collect()
}

#[cfg(test)]
mod tests {
    use muster_wire::overview::{Happened, VersionCount};
    use muster_wire::status::MachineCounts;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn overview() -> Overview {
        Overview {
            from: at("2026-11-22T14:30:00Z"),
            until: at("2026-11-23T14:35:00Z"),
            step: 300,
            machines: MachineCounts::default(),
            totals: Happened::default(),
            pulses: Vec::new(),
            expiring: Vec::new(),
            ca_expires: at("2026-12-25T08:00:00Z"),
            server_version: "0.2.0".to_owned(),
            versions: Vec::new(),
            other_versions: 0,
        }
    }

    #[test]
    fn the_calendar_is_whole_weeks_from_today_on() {
        for (today, before) in [("2026-11-23", 0), ("2026-11-26", 3), ("2026-11-29", 6)] {
            let today: Date = today.parse().expect("a day");
            let weeks = weeks(&overview(), today);
            let cells: Vec<&Option<Cell>> = weeks.iter().flat_map(|week| &week.cells).collect();
            let first = cells.iter().position(|cell| cell.is_some()).expect("today");
            assert_eq!((weeks[0].name.as_str(), first), ("23 Nov", before), "{today}");
            assert_eq!(cells.iter().filter(|cell| cell.is_some()).count() as i64, DAYS);
            assert!(cells[first].as_ref().is_some_and(|cell| cell.is_today && cell.number == today.day()));
            assert!(weeks.last().expect("a week").cells.iter().any(Option::is_some), "no week is empty");
            let christmas = cells.iter().filter_map(|cell| cell.as_ref()).find(|cell| cell.ends_authority);
            assert_eq!(christmas.map(|cell| cell.number), Some(25));
        }
    }

    #[test]
    fn what_nobody_renews_by_itself_is_loud_and_a_certificate_is_not() {
        let day: Date = "2026-11-23".parse().expect("a day");
        let none = ExpiringDay::none(day);
        let certificates = ExpiringDay { certificates: 5_000, ..none };
        let grants = ExpiringDay { grants: 1, api_tokens: 2, ..certificates };
        assert_eq!(
            [none, certificates, grants].map(|day| class(&day, false)),
            ["quiet-day", "renews", "some"]
        );
        assert_eq!(class(&none, true), "ends-all");
        assert_eq!(told(&grants, false), "1 grant, 2 API tokens, 5000 certificates");
        assert_eq!(told(&none, true), "the issuing authority");
    }

    #[test]
    fn versions_are_parts_of_all_that_are_active() {
        let count =
            |version: Option<&str>, machines| VersionCount { version: version.map(str::to_owned), machines };
        let versions = vec![count(Some("0.2.0"), 6), count(Some("0.1.0"), 2), count(None, 1)];
        let bars = bars(&Overview { versions, other_versions: 1, ..overview() });
        let seen: Vec<_> = bars.iter().map(|bar| (bar.name.as_str(), bar.class, bar.percent)).collect();
        assert_eq!(
            seen,
            [
                ("0.2.0", "present", 60),
                ("0.1.0", "other", 20),
                ("none told", "untold", 10),
                ("others", "untold", 10)
            ]
        );
    }

    #[test]
    fn large_counts_fit_into_a_day() {
        assert_eq!([0, 9_999, 10_000, 999_999, 12_345_678].map(short), ["0", "9999", "10k", "999k", "12M"]);
    }
}

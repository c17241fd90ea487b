//! Times as people read them: how long ago or from now, with the whole of it where the pointer rests.

use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;

/// A time beside the present one, as an element that the page keeps up to date.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// A time as it is seen now.
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, told) = (self.at.strftime("%Y-%m-%d %H:%M:%S UTC"), relative(self.now, self.at));
        let exact = self.at.strftime("%Y-%m-%dT%H:%M:%SZ");
        write!(f, "<time datetime=\"{exact}\" title=\"{at}\">{told}</time>")
    }
}

// Digits and letters of our own.
impl HtmlSafe for Moment {}

/// How long ago, or how long from now: `119s ago`, `in 2d`.
pub fn relative(now: Timestamp, time: Timestamp) -> String {
    // A unit is used from twice its size on, rounded in the next finer one: `119s` says more than `1m`.
    const UNITS: [(u64, u64, &str); 3] = [(86_400, 3_600, "d"), (3_600, 60, "h"), (60, 1, "m")];
    let seconds = time.duration_since(now).as_secs();
    let size = seconds.unsigned_abs();
    let unit = UNITS.into_iter().find(|(unit, finer, _)| size + finer / 2 >= 2 * unit);
    let (unit, _, name) = unit.unwrap_or((1, 1, "s"));
    let text = format!("{}{name}", (size + unit / 2) / unit);
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {text}"),
        _ => format!("{text} ago"),
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let now = Timestamp::from_second(1_000_000_000).expect("in range");
        let told =
            |offset: i64| relative(now, Timestamp::from_second(1_000_000_000 + offset).expect("in range"));
        assert_eq!([told(0), told(-3), told(-119), told(-120)], ["now", "3s ago", "119s ago", "2m ago"]);
        assert_eq!([told(82_900), told(86_400 * 2), told(-7_140)], ["in 23h", "in 2d", "119m ago"]);
    }

    #[test]
    fn times_are_rounded_to_the_nearest_unit_and_not_down() {
        let now = Timestamp::from_second(1_000_000_000).expect("in range");
        let told =
            |offset: i64| relative(now, Timestamp::from_second(1_000_000_000 + offset).expect("in range"));
        assert_eq!([told(7 * 86_400 - 1), told(86_399), told(-7_199)], ["in 7d", "in 24h", "2h ago"]);
        assert_eq!([told(6 * 86_400 + 43_199), told(172_799), told(151)], ["in 6d", "in 2d", "in 3m"]);
    }
}

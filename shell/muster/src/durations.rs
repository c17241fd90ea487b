//! Durations as people write them: `15m`, `24h`, `7d`, `1h 30m`. A day has 24 hours.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Reads a duration longer than nothing.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write it like 15m, 24h or 7d");
    let span: Span = text.parse().or(Err(wrong()))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).or(Err(wrong()))?;
    if duration <= SignedDuration::ZERO {
        return Err(format!("{text:?} is not longer than nothing"));
    }
    Duration::try_from(duration).or(Err(wrong()))
}

/// Reads a duration as whole seconds, as the API takes it.
pub(crate) fn parse_seconds(text: &str) -> Result<u32, String> {
    let duration = parse(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(format!("{text:?} is not a whole number of seconds"));
    }
    u32::try_from(duration.as_secs()).or(Err(format!("{text:?} is too long")))
}

/// Writes a duration with its two largest units: `1d 2h`, `15m`, `3s`.
pub(crate) fn show(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        if rest >= size {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    match parts.len() {
        0 => format!("{}ms", duration.as_millis()),
        _ => parts.into_iter().take(2).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        for (text, seconds) in [
            ("15m", 900),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1h 30m", 5_400),
            ("90s", 90),
            ("2w", 1_209_600),
            ("PT1H", 3_600),
        ] {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for bad in ["", "15", "m", "0s", "-5m", "5m ago", "1 month", "soon", "999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("15").expect_err("no unit").contains("24h"));
        assert!(parse_seconds("1.5s").is_err());
        assert!(parse_seconds("60000d").is_err());
    }

    #[test]
    fn the_two_largest_units_are_shown() {
        let show = |seconds| show(Duration::from_secs(seconds));
        assert_eq!([show(3), show(900), show(93_784)], ["3s", "15m", "1d 2h"]);
        assert_eq!(super::show(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn what_is_shown_reads_back() {
        for seconds in [1, 59, 60, 3_600, 86_400, 90_000] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse(&show(duration)), Ok(duration));
        }
    }
}

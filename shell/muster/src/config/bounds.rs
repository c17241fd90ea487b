//! Values that cannot stand outside their bounds: reading one is checking it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::SignedDuration;
use muster_wire::invite::CaPin;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::durations;

/// A duration between two bounds, in seconds; written `15m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period<const MIN: u64, const MAX: u64>(Duration);

/// A whole number between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(u64);

/// A whole number type with a greatest value.
pub(crate) trait Limit {
    /// That value.
    const GREATEST: Self;
}

impl Limit for u32 {
    const GREATEST: Self = Self::MAX;
}

impl Limit for usize {
    const GREATEST: Self = Self::MAX;
}

/// The pin of a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin(pub(crate) CaPin);

impl<const MIN: u64, const MAX: u64> Period<MIN, MAX> {
    /// A default, in seconds. The bounds hold for it too.
    pub(crate) const fn of(seconds: u64) -> Self {
        assert!(MIN <= seconds && seconds <= MAX);
        Self(Duration::from_secs(seconds))
    }

    /// The duration.
    pub(crate) fn get(self) -> Duration {
        self.0
    }

    /// The duration, as instants of the calendar are moved by it.
    pub(crate) fn signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// A default. The bounds hold for it too.
    pub(crate) const fn of(count: u64) -> Self {
        assert!(MIN <= count && count <= MAX);
        Self(count)
    }

    /// The number, in the type that is asked for; its greatest value where the number does not fit.
    pub(crate) fn get<N: TryFrom<u64> + Limit>(self) -> N {
        N::try_from(self.0).unwrap_or(N::GREATEST)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Period<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let zero = self.0.is_zero();
        to.serialize_str(if zero { "0s".to_owned() } else { durations::show(self.0) }.as_str())
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Period<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        let duration = match (&*text, MIN) {
            ("0" | "0s", 0) => Duration::ZERO,
            (text, _) => durations::parse(text).map_err(D::Error::custom)?,
        };
        let (min, max) = (Duration::from_secs(MIN), Duration::from_secs(MAX));
        if duration < min || duration > max {
            let (min, max) = (durations::show(min), durations::show(max));
            return Err(D::Error::custom(format!("{text} is not between {min} and {max}")));
        }
        Ok(Self(duration))
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Period<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["15m", "24h", "7d"] })
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Count<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let count = u64::deserialize(from)?;
        if !(MIN..=MAX).contains(&count) {
            return Err(D::Error::custom(format!("{count} is not between {MIN} and {MAX}")));
        }
        Ok(Self(count))
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("{text:?} {error}")))
    }
}

impl JsonSchema for Pin {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Pin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Result<Period<60, 3600>, serde_json::Error> {
        serde_json::from_value(text.into())
    }

    #[test]
    fn q_46_bounds_hold_at_their_edges() {
        assert!(period("60s").is_ok() && period("1h").is_ok());
        for bad in ["59s", "3601s", "100h", "0s", "1", ""] {
            assert!(period(bad).is_err(), "{bad}");
        }
        let count = |n: u64| serde_json::from_value::<Count<1, 10>>(n.into()).is_ok();
        assert_eq!([0, 1, 10, 11, 1000].map(count), [false, true, true, false, false]);
    }

    #[test]
    fn nothing_is_a_period_only_where_it_is_allowed() {
        assert_eq!(serde_json::from_value::<Period<0, 9>>("0s".into()).expect("allowed"), Period::of(0));
    }

    #[test]
    fn what_is_written_reads_back() {
        let period: Period<60, 3600> = Period::of(90);
        let text = serde_json::to_value(period).expect("a string");
        assert_eq!(serde_json::from_value::<Period<60, 3600>>(text).expect("its own text"), period);
    }
}

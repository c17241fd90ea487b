//! How long machines may be silent before something is done about it.

use std::borrow::Cow;

use jiff::SignedDuration;
use muster_app::Patience;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounds::Period;

/// A week to a year.
type Silence = Period<604_800, 31_536_000>;

/// What is done about machines of which nothing is heard. Only time in which a server watched is silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reaper {
    /// After how much silence a machine is paused: 7d to 365d, or `never`. It goes on by itself when it is heard of.
    pub(crate) pause_after: Span,
    /// After how much silence more it is retired: 7d to 365d, or `never`. For 30 days `muster machine restore` undoes that.
    pub(crate) retire_after: Span,
}

/// A silence, or none that is long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Nothing is ever done.
    Never,
    /// So long.
    After(Silence),
}

const NEVER: &str = "never";

impl Span {
    fn get(self) -> Option<SignedDuration> {
        match self {
            Self::Never => None,
            Self::After(silence) => Some(silence.signed()),
        }
    }
}

impl Default for Reaper {
    fn default() -> Self {
        Self { pause_after: Span::After(Period::of(90 * 86_400)), retire_after: Span::Never }
    }
}

impl Reaper {
    /// The same, as the use cases take it.
    pub(crate) fn patience(&self) -> Patience {
        Patience { pause_after: self.pause_after.get(), retire_after: self.retire_after.get() }
    }

    /// Why these cannot stand side by side, if so.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let pauses = self.pause_after != Span::Never;
        let retires = self.retire_after != Span::Never;
        (retires && !pauses).then_some(
            "reaper.retire_after is set and reaper.pause_after is never: a machine is paused before it is retired",
        )
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => to.serialize_str(NEVER),
            Self::After(silence) => silence.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        if text == NEVER {
            return Ok(Self::Never);
        }
        let text = serde::de::value::StrDeserializer::new(&text);
        Silence::deserialize(text).map(Self::After)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": [NEVER, "90d"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reaper, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn machines_are_paused_after_a_season_and_never_retired_where_nothing_is_said() {
        let usual = read("").expect("nothing is said");
        let season = SignedDuration::from_hours(90 * 24);
        assert_eq!(usual.patience(), Patience { pause_after: Some(season), retire_after: None });
        assert_eq!(usual.contradiction(), None);
    }

    #[test]
    fn a_silence_is_never_or_between_its_bounds_and_a_wrong_one_is_told() {
        let set = read("pause_after = \"30d\"\nretire_after = \"7d\"").expect("within the bounds");
        let days = |days: i64| Some(SignedDuration::from_hours(days * 24));
        assert_eq!(set.patience(), Patience { pause_after: days(30), retire_after: days(7) });
        assert_eq!(read("pause_after = \"never\"").expect("off").patience(), Patience::default());
        let short = read("pause_after = \"6d\"").expect_err("too short");
        assert!(short.contains("6d is not between 7d and 365d"), "{short}");
        let odd = read("pause_after = \"soon\"").expect_err("no duration");
        assert!(odd.contains("is not a duration"), "{odd}");
        assert!(read("pause_afer = \"30d\"").is_err(), "unknown keys are refused");
    }

    #[test]
    fn nobody_is_retired_who_was_not_paused() {
        let wrong = read("pause_after = \"never\"\nretire_after = \"30d\"").expect("each by itself");
        assert!(wrong.contradiction().is_some_and(|why| why.contains("pause_after")));
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let text = "pause_after = \"30d\"\nretire_after = \"never\"\n";
        assert_eq!(toml::to_string(&read(text).expect("read")).expect("written"), text);
    }
}

//! What the agent of a machine does by itself.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Period;

const NEVER: &str = "never";
/// Ten years are as good as never.
type Age = Period<1, 315_360_000>;

/// The agent of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Agent {
    /// How old its key may grow: 1s to 3650d, or `never`. The next one is made when half to four fifths of that are over.
    pub(crate) rotate_after: RotateAfter,
}

/// How old a key may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RotateAfter {
    /// As old as it gets, unless the server orders another one.
    Never,
    /// So old.
    Age(Age),
}

impl Default for RotateAfter {
    fn default() -> Self {
        Self::Age(Period::of(muster_agent::ROTATE_AFTER.as_secs()))
    }
}

impl RotateAfter {
    /// The duration, if there is one.
    pub(crate) fn get(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Age(age) => Some(age.get()),
        }
    }
}

impl Serialize for RotateAfter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => to.serialize_str(NEVER),
            Self::Age(age) => age.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for RotateAfter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::IntoDeserializer;
        let text = Cow::<'de, str>::deserialize(from)?;
        match &*text {
            NEVER => Ok(Self::Never),
            text => Age::deserialize(text.into_deserializer()).map(Self::Age),
        }
    }
}

impl JsonSchema for RotateAfter {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RotateAfter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["30d", NEVER] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RotateAfter, serde_json::Error> {
        serde_json::from_value(text.into())
    }

    #[test]
    fn a_key_grows_thirty_days_old_unless_somebody_says_otherwise() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        assert_eq!(RotateAfter::default().get(), days(30));
        assert_eq!(read("7d").expect("a duration").get(), days(7));
        assert_eq!(read("never").expect("a word").get(), None);
        for bad in ["", "soon", "5000d", "Never"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for age in [RotateAfter::Never, RotateAfter::default()] {
            let shown = serde_json::to_value(age).expect("text");
            assert_eq!(serde_json::from_value::<RotateAfter>(shown).expect("its own form"), age);
        }
    }
}

//! An engagement: what a software agent is to do, where, how often, and by which model.
//!
//! Invariant: an [`Engagement`] was checked as a whole. Its [document](Engagement::document) is the one text that is kept
//! and signed: the fields in a fixed order, nothing that is empty.

mod difference;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::text::is_printable;
pub use difference::Difference;

/// An engagement that was checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Engagement(Draft);

/// Every number in it is finite.
impl Eq for Engagement {}

/// An engagement before it is checked: what somebody wishes, or one that is to be changed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Draft {
    /// The channels it joins: each begins with `#`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Those of them in which it operates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ops_channels: Vec<String>,
    /// What it may do, in words of whoever obeys it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// How often it may speak.
    pub rate_limit: RateLimit,
    /// Whom it listens to.
    pub engagement: Rules,
    /// What its model is told first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system_prompt: String,
    /// Its model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The temperature of its model; none leaves it to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The tools it may use; none is no restriction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_allowlist: Vec<String>,
    /// Whatever else is agreed. Muster does not look into it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// How often a software agent may speak.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// Messages a second in the long run; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_per_second: f64,
    /// How many at once above that.
    #[serde(skip_serializing_if = "is_none")]
    pub burst: i64,
}

/// Whom a software agent listens to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The types of messages it answers; none is all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub respond_to_types: Vec<String>,
    /// Nicks it takes no notice of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_nicks: Vec<String>,
}

/// Parts of an engagement that take the place of what they were; none stays as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Amendment {
    /// The channels. Those that go take their operator channels with them.
    pub channels: Option<Vec<String>>,
    /// What its model is told first.
    pub system_prompt: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// The temperature of its model.
    pub temperature: Option<f64>,
    /// The tools it may use.
    pub tool_allowlist: Option<Vec<String>>,
}

/// Where a draft is wrong, and what is wrong there.
pub type Wrong = Vec<(String, String)>;

const MAX_LIST: usize = 100;
const MAX_TOOLS: usize = 256;
const MAX_CHANNEL: usize = 64;
const MAX_WORD: usize = 128;
const MAX_PROMPT: usize = 16 * 1024;
const MAX_DATA: usize = 16 * 1024;
const MAX_RATE: f64 = 1_000_000.0;
const MAX_BURST: i64 = 1_000_000;
const MAX_TEMPERATURE: f64 = 2.0;

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn is_none(number: &i64) -> bool {
    *number == 0
}

impl Engagement {
    /// Takes a draft that is right in every part.
    ///
    /// # Errors
    /// Every part that is wrong.
    pub fn new(draft: Draft) -> Result<Self, Wrong> {
        let mut wrong = Wrong::new();
        draft.channels_are_right(&mut wrong);
        draft.words_are_right(&mut wrong);
        draft.numbers_are_right(&mut wrong);
        draft.texts_are_right(&mut wrong);
        if wrong.is_empty() { Ok(Self(draft)) } else { Err(wrong) }
    }

    /// What it says.
    pub fn terms(&self) -> &Draft {
        &self.0
    }

    /// The same with other parts, as far as they are right. Each part is right or wrong by itself: check them on an
    /// empty engagement first.
    pub fn amended(&self, parts: &Amendment) -> Self {
        parts.on(self).unwrap_or_else(|_| self.clone())
    }

    /// The text that is kept and signed.
    pub fn document(&self) -> String {
        serde_json::to_string(&self.0).expect("texts and finite numbers are JSON")
    }

    /// Reads a document as it was written.
    pub fn from_document(text: &str) -> Option<Self> {
        let draft: Draft = serde_json::from_str(text).ok()?;
        Self::new(draft).ok().filter(|engagement| engagement.document() == text)
    }
}

impl Amendment {
    /// An engagement with these parts.
    ///
    /// # Errors
    /// Every part that is wrong.
    pub fn on(&self, engagement: &Engagement) -> Result<Engagement, Wrong> {
        let mut draft = engagement.0.clone();
        let parts = self.clone();
        draft.channels = parts.channels.unwrap_or(draft.channels);
        draft.ops_channels.retain(|channel| draft.channels.contains(channel));
        draft.system_prompt = parts.system_prompt.unwrap_or(draft.system_prompt);
        draft.model = parts.model.unwrap_or(draft.model);
        draft.temperature = parts.temperature.or(draft.temperature);
        draft.tool_allowlist = parts.tool_allowlist.unwrap_or(draft.tool_allowlist);
        Engagement::new(draft)
    }
}

fn told(wrong: &mut Wrong, path: impl Into<String>, message: impl Into<String>) {
    wrong.push((path.into(), message.into()));
}

/// Each entry of a list, within its bounds, without what could not stand in a log line.
fn list(wrong: &mut Wrong, path: &str, entries: &[String], most: usize) {
    if entries.len() > most {
        return told(wrong, path, format!("has more than {most} entries"));
    }
    for (at, entry) in entries.iter().enumerate() {
        if entry.is_empty() {
            told(wrong, format!("{path}[{at}]"), "must not be empty");
        } else if entry.chars().count() > MAX_WORD {
            told(wrong, format!("{path}[{at}]"), format!("is longer than {MAX_WORD} characters"));
        } else if !entry.chars().all(is_printable) {
            told(wrong, format!("{path}[{at}]"), "holds a character that is not allowed here");
        }
    }
}

/// What is wrong with the name of a channel, if anything.
pub fn wrong_channel(name: &str) -> Option<&'static str> {
    let is_bad = |c: char| !is_printable(c) || c.is_whitespace() || c == ',';
    if !name.starts_with('#') {
        Some("must begin with #")
    } else if name.chars().count() < 2 {
        Some("is too short")
    } else if name.chars().count() > MAX_CHANNEL {
        Some("is longer than 64 characters")
    } else if name.chars().any(is_bad) {
        Some("holds a space, a comma or a character that is not allowed here")
    } else {
        None
    }
}

impl Draft {
    fn channels_are_right(&self, wrong: &mut Wrong) {
        if self.channels.len() > MAX_LIST {
            told(wrong, "channels", format!("has more than {MAX_LIST} entries"));
        }
        for (at, channel) in self.channels.iter().take(MAX_LIST).enumerate() {
            if let Some(why) = wrong_channel(channel) {
                told(wrong, format!("channels[{at}]"), why);
            }
        }
        if self.ops_channels.len() > MAX_LIST {
            told(wrong, "ops_channels", format!("has more than {MAX_LIST} entries"));
        }
        let joined: BTreeSet<&str> = self.channels.iter().map(String::as_str).collect();
        for (at, channel) in self.ops_channels.iter().take(MAX_LIST).enumerate() {
            if !joined.contains(channel.as_str()) {
                told(wrong, format!("ops_channels[{at}]"), "is not among the channels");
            }
        }
    }

    fn words_are_right(&self, wrong: &mut Wrong) {
        list(wrong, "permissions", &self.permissions, MAX_LIST);
        list(wrong, "engagement.respond_to_types", &self.engagement.respond_to_types, MAX_LIST);
        list(wrong, "engagement.ignore_nicks", &self.engagement.ignore_nicks, MAX_LIST);
        list(wrong, "tool_allowlist", &self.tool_allowlist, MAX_TOOLS);
    }

    fn numbers_are_right(&self, wrong: &mut Wrong) {
        if !(0.0..=MAX_RATE).contains(&self.rate_limit.messages_per_second) {
            told(wrong, "rate_limit.messages_per_second", "is not between 0 and 1000000");
        }
        if !(0..=MAX_BURST).contains(&self.rate_limit.burst) {
            told(wrong, "rate_limit.burst", "is not between 0 and 1000000");
        }
        if self.temperature.is_some_and(|heat| !(0.0..=MAX_TEMPERATURE).contains(&heat)) {
            told(wrong, "temperature", "is not between 0 and 2");
        }
    }

    fn texts_are_right(&self, wrong: &mut Wrong) {
        // A prompt has lines; nothing else that steers a terminal.
        let fits = |c: char| {
            is_printable(c) || matches!(c, '\n' | '\r' | '\t') || ('\u{200b}'..='\u{2029}').contains(&c)
        };
        if self.system_prompt.len() > MAX_PROMPT {
            told(wrong, "system_prompt", format!("is longer than {MAX_PROMPT} bytes"));
        } else if !self.system_prompt.chars().all(fits) {
            told(wrong, "system_prompt", "holds a control character");
        }
        if self.model.chars().count() > MAX_WORD {
            told(wrong, "model", format!("is longer than {MAX_WORD} characters"));
        } else if !self.model.chars().all(is_printable) {
            told(wrong, "model", "holds a character that is not allowed here");
        }
        let data = serde_json::to_string(&self.data).map_or(usize::MAX, |text| text.len());
        if data > MAX_DATA || !self.data.values().all(is_storable) {
            told(wrong, "data", format!("is longer than {MAX_DATA} bytes of JSON, or holds NUL"));
        }
    }
}

/// PostgreSQL keeps no NUL in a text, not even an escaped one where it looks into it.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(is_storable),
        Value::Object(map) => map.iter().all(|(key, value)| !key.contains('\0') && is_storable(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    fn draft() -> Draft {
        Draft {
            channels: words(&["#general", "#ops"]),
            ops_channels: words(&["#ops"]),
            permissions: words(&["task.create"]),
            rate_limit: RateLimit { messages_per_second: 0.1, burst: 5 },
            engagement: Rules { respond_to_types: words(&["task"]), ignore_nicks: words(&["noise"]) },
            system_prompt: "Be kind.\nBe brief.".to_owned(),
            model: "small-1".to_owned(),
            temperature: Some(0.0),
            tool_allowlist: words(&["search"]),
            data: Map::from_iter([("project".to_owned(), Value::from("x<y>"))]),
        }
    }

    #[test]
    fn a_document_reads_back_and_is_the_same_text() {
        for draft in [Draft::default(), draft()] {
            let engagement = Engagement::new(draft).expect("right");
            let document = engagement.document();
            assert_eq!(Engagement::from_document(&document), Some(engagement), "{document}");
        }
        assert_eq!(Engagement::default().document(), r#"{"rate_limit":{},"engagement":{}}"#);
    }

    #[test]
    fn a_document_that_no_version_writes_is_not_read() {
        for odd in ["", "{}", "null", r#"{"rate_limit":{},"engagement":{},"channels":["nohash"]}"#] {
            assert_eq!(Engagement::from_document(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_wrong_part_is_named_at_once() {
        let bad = Draft {
            channels: words(&["nohash", "#", "#a b", "#a,b", "#ok"]),
            ops_channels: words(&["#else"]),
            permissions: words(&[""]),
            rate_limit: RateLimit { messages_per_second: -1.0, burst: -1 },
            engagement: Rules { respond_to_types: words(&[""]), ignore_nicks: words(&["a\u{1b}"]) },
            system_prompt: "\0".to_owned(),
            model: "m".repeat(129),
            temperature: Some(f64::NAN),
            tool_allowlist: vec!["t".to_owned(); 257],
            data: Map::from_iter([("a".to_owned(), Value::from("\0"))]),
        };
        let paths: Vec<String> =
            Engagement::new(bad).expect_err("wrong").into_iter().map(|(path, _)| path).collect();
        let expected = [
            "channels[0]",
            "channels[1]",
            "channels[2]",
            "channels[3]",
            "ops_channels[0]",
            "permissions[0]",
            "engagement.respond_to_types[0]",
            "engagement.ignore_nicks[0]",
            "tool_allowlist",
            "rate_limit.messages_per_second",
            "rate_limit.burst",
            "temperature",
            "system_prompt",
            "model",
            "data",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_channel_that_goes_takes_its_operator_channel_with_it() {
        let engagement = Engagement::new(draft()).expect("right");
        let parts = Amendment { channels: Some(words(&["#general"])), ..Amendment::default() };
        let amended = engagement.amended(&parts);
        assert_eq!(amended.terms().channels, ["#general"]);
        assert!(amended.terms().ops_channels.is_empty());
        assert_eq!(amended.terms().model, "small-1");
        let bad = Amendment { channels: Some(words(&["nohash"])), ..Amendment::default() };
        assert_eq!(bad.on(&Engagement::default()).expect_err("wrong")[0].0, "channels[0]");
    }

    #[test]
    fn bounds_hold_at_their_edges() {
        let fits = |change: fn(&mut Draft)| {
            let mut draft = draft();
            change(&mut draft);
            Engagement::new(draft).is_ok()
        };
        assert!(fits(|d| d.channels.push(format!("#{}", "c".repeat(63)))));
        assert!(!fits(|d| d.channels.push(format!("#{}", "c".repeat(64)))));
        assert!(fits(|d| d.system_prompt = "p".repeat(16 * 1024)));
        assert!(!fits(|d| d.system_prompt = "p".repeat(16 * 1024 + 1)));
        assert!(fits(|d| d.temperature = Some(2.0)) && !fits(|d| d.temperature = Some(2.1)));
        assert!(!fits(|d| d.rate_limit.messages_per_second = f64::INFINITY));
        assert!(!fits(|d| d.channels = vec!["#c".to_owned(); 101]));
    }
}

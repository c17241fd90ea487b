//! A look over a JSON document before it is given a type: how deep, how many values, any key twice (Q-36).
//!
//! One pass of serde_json's own reader that keeps nothing but the keys of the objects it is in; time and memory
//! are linear in the body. A key given twice is refused because two readers may disagree on which one counts
//! (RFC 8259 §4).

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// The bounds of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Arrays and objects inside each other; a lone number has depth 0.
    pub depth: usize,
    /// Values: every scalar, array and object; keys do not count.
    pub nodes: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { depth: 32, nodes: 1_000 }
    }
}

/// Which bound a document breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonBreach {
    /// Too deep.
    #[error("nests deeper than {limit}")]
    Depth {
        /// The bound.
        limit: usize,
    },
    /// Too many values.
    #[error("holds more than {limit} values")]
    Nodes {
        /// The bound.
        limit: usize,
    },
    /// An object with the same key twice.
    #[error("gives a key twice")]
    DuplicateKey,
}

/// What is wrong with a document: its bounds or its syntax.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) breach: Option<JsonBreach>,
    pub(super) error: serde_json::Error,
}

/// Checks a document against the bounds.
pub(super) fn prescan(document: &[u8], limits: JsonLimits) -> Result<(), Finding> {
    let state = State { limits, nodes: Cell::new(0), breach: Cell::new(None) };
    let mut reader = serde_json::Deserializer::from_slice(document);
    let scanned = Scan { state: &state, depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end());
    scanned.map_err(|error| Finding { breach: state.breach.get(), error })
}

struct State {
    limits: JsonLimits,
    nodes: Cell<usize>,
    breach: Cell<Option<JsonBreach>>,
}

impl State {
    /// serde's errors carry text only, so the breach goes beside them.
    fn fail<E: serde::de::Error>(&self, breach: JsonBreach) -> E {
        self.breach.set(Some(breach));
        E::custom("over the bounds")
    }
}

#[derive(Clone, Copy)]
struct Scan<'s> {
    state: &'s State,
    depth: usize,
}

impl Scan<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let limit = self.state.limits.depth;
        if self.depth >= limit {
            return Err(self.state.fail(JsonBreach::Depth { limit }));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let limit = self.state.limits.nodes;
        let nodes = self.state.nodes.get() + 1;
        self.state.nodes.set(nodes);
        if nodes > limit {
            return Err(self.state.fail(JsonBreach::Nodes { limit }));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut keys = HashSet::new();
        // Owned keys: one with an escape in it lives only as long as the reader stands on it.
        while let Some(key) = entries.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(self.state.fail(JsonBreach::DuplicateKey));
            }
            entries.next_value_seed(inside)?;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(document: &str) -> Option<JsonBreach> {
        prescan(document.as_bytes(), JsonLimits::default()).err().and_then(|finding| finding.breach)
    }

    fn nested(open: &str, close: &str, depth: usize) -> String {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    }

    fn list(values: usize) -> String {
        format!("[{}]", vec!["0"; values].join(","))
    }

    #[test]
    fn q36_depth_holds_at_the_bound_and_one_above_and_far_above() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(prescan(nested(open, close, 32).as_bytes(), JsonLimits::default()).is_ok());
            assert_eq!(breach(&nested(open, close, 33)), Some(JsonBreach::Depth { limit: 32 }));
            assert_eq!(breach(&nested(open, close, 3_200)), Some(JsonBreach::Depth { limit: 32 }));
        }
        assert_eq!(breach(&"[".repeat(64 * 1024)), Some(JsonBreach::Depth { limit: 32 }));
    }

    #[test]
    fn q36_nodes_hold_at_the_bound_and_one_above_and_far_above() {
        assert!(prescan(list(999).as_bytes(), JsonLimits::default()).is_ok());
        assert_eq!(breach(&list(1_000)), Some(JsonBreach::Nodes { limit: 1_000 }));
        assert_eq!(breach(&list(30_000)), Some(JsonBreach::Nodes { limit: 1_000 }));
    }

    #[test]
    fn a_key_given_twice_is_found_also_when_one_is_escaped() {
        assert_eq!(breach(r#"{"a":1,"b":{"a":1},"\u0061":2}"#), Some(JsonBreach::DuplicateKey));
        assert!(prescan(br#"{"a":1,"b":{"a":1}}"#, JsonLimits::default()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_an_error_without_a_breach() {
        for document in ["", "{", "[1,]", "{} {}", "nul", "\"\u{0001}\"", "1e999"] {
            let finding = prescan(document.as_bytes(), JsonLimits::default()).expect_err(document);
            assert_eq!(finding.breach, None, "{document}");
        }
    }

    #[test]
    fn every_kind_of_value_is_looked_over() {
        let document = br#"{"n":null,"t":true,"i":-1,"u":1,"f":1.5,"s":"\n","l":[],"o":{}}"#;
        assert!(prescan(document, JsonLimits::default()).is_ok());
    }
}

//! What a proof tells when it is done: one line of JSON that `cargo xtask prove` reads.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The line of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What was proved.
    pub kind: &'static str,
    /// How many cases were aimed at.
    pub goal: u64,
    /// How many were done.
    pub done: u64,
    /// How many were not as promised.
    pub violations: u64,
    /// What it all follows from.
    pub seed: u64,
    /// Whatever else was measured.
    pub figures: BTreeMap<&'static str, Value>,
}

impl Line {
    /// As it is printed.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are always JSON")
    }
}

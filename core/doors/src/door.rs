//! What a door is.

use muster_model::{Claim, CredentialId, GrantId, Refusal, Secret, SecretHash};
use thiserror::Error;

/// A way in.
pub trait Door {
    /// Its name on the wire.
    const METHOD: &'static str;
    /// What it is, in a sentence for people.
    const SUMMARY: &'static str;
    /// How a person uses it: the command to type.
    const USAGE: &'static str;
    /// What it asks of a caller, parsed.
    type Evidence;

    /// JSON Schema of its evidence.
    fn schema() -> serde_json::Value;

    /// Parses evidence. Nothing is looked up and nothing is spent.
    ///
    /// # Errors
    /// Every wrong field.
    fn parse(evidence: &serde_json::Value) -> Result<Self::Evidence, EvidenceError>;

    /// Judges evidence, one step at a time: first with [`Given::Nothing`], then with what it asked for.
    ///
    /// # Errors
    /// The refusal of whoever shows nothing that holds.
    fn step(evidence: &Self::Evidence, given: Given) -> Result<Step<'_>, Refusal>;
}

/// What a door says next.
#[derive(Debug)]
pub enum Step<'a> {
    /// The evidence holds.
    Proved(Claim),
    /// It must know something first.
    Fetch(Fetch<'a>),
}

/// What a door may ask for.
#[derive(Debug)]
pub enum Fetch<'a> {
    /// The grant that this secret selects, and the hash of the secret itself.
    Grant(&'a Secret),
    /// The credential of a machine that this secret selects, and the hash of the secret itself.
    Credential(&'a Secret),
}

/// What a door is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Nothing yet.
    Nothing,
    /// What [`Fetch::Grant`] found.
    Grant {
        /// The grant that the secret's id selects, with its stored hash; `None` where there is none.
        stored: Option<(GrantId, SecretHash)>,
        /// The hash of the secret that was presented, computed in either case.
        presented: SecretHash,
    },
    /// What [`Fetch::Credential`] found.
    Credential {
        /// The credential that the secret's id selects, with its stored hash; `None` where there is none.
        stored: Option<(CredentialId, SecretHash)>,
        /// The hash of the secret that was presented, computed in either case.
        presented: SecretHash,
    },
}

/// Evidence that is not of its door's form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct EvidenceError {
    /// Where, below `evidence`.
    pub path: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Reads evidence into the fields a door names. Only an object will do: serde would take an array as well.
pub(crate) fn fields<'a, T: serde::Deserialize<'a>>(
    evidence: &'a serde_json::Value,
) -> Result<T, EvidenceError> {
    let whole = |message: String| EvidenceError { path: "", message };
    if !evidence.is_object() {
        return Err(whole("is not a JSON object".to_owned()));
    }
    T::deserialize(evidence).map_err(|error| whole(error.to_string()))
}

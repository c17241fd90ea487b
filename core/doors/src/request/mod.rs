//! *Somebody vouches for you*: a request without any secret, which a person approves.
//!
//! It proves nothing, and its claim says so: whoever comes by this door waits for a person.

use muster_model::{Claim, Entitlement, Refusal, SiteCode};
use serde::Deserialize;

use crate::{Door, EvidenceError, Given, Step};

/// The door for requests.
pub struct RequestDoor;

/// Where the caller would like to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The code of a site; `None`: the only one.
    pub site: Option<SiteCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    #[serde(default)]
    site: Option<String>,
}

impl Door for RequestDoor {
    const METHOD: &'static str = "request";
    const SUMMARY: &'static str = "No secret at all: the machine asks, and a person approves.";
    const USAGE: &'static str = "muster enroll --request --server URL --ca-pin PIN";
    type Evidence = Wish;

    fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {"site": {"type": "string", "description": "The code of a site.", "maxLength": 64}}
        })
    }

    fn parse(evidence: &serde_json::Value) -> Result<Wish, EvidenceError> {
        let shape: Shape = crate::door::fields(evidence)?;
        let parse = |code: String| {
            code.parse().map_err(|error: muster_model::TextError| EvidenceError {
                path: "site",
                message: error.to_string(),
            })
        };
        Ok(Wish { site: shape.site.map(parse).transpose()? })
    }

    fn step(evidence: &Wish, _given: Given) -> Result<Step<'_>, Refusal> {
        let entitlement = Entitlement::Nothing { site: evidence.site.clone() };
        Ok(Step::Proved(Claim { method: Self::METHOD, entitlement }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_claims_more_than_a_wish() {
        let wish = RequestDoor::parse(&serde_json::json!({"site": "berlin"})).expect("well formed");
        let step = RequestDoor::step(&wish, Given::Nothing).expect("a step");
        assert!(matches!(
            step,
            Step::Proved(Claim { entitlement: Entitlement::Nothing { site: Some(_) }, .. })
        ));
    }

    #[test]
    fn a_site_code_is_checked() {
        let error = RequestDoor::parse(&serde_json::json!({"site": "../x"})).expect_err("not a code");
        assert_eq!(error.path, "site");
    }
}

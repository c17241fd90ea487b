//! *Something you were given*: an enrollment token, one-time, capped, or a site's reusable enrollment key.
//!
//! The token's id selects a grant, its hash proves it. An unknown id and a wrong secret take the same path and end in
//! the same refusal, so that nobody can list grants by asking.

use muster_model::{Claim, Entitlement, Refusal, Secret, SecretHash, SecretKind};
use serde::Deserialize;

use crate::{Door, EvidenceError, Fetch, Given, Step};

/// The door for enrollment tokens.
pub struct TokenDoor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    token: String,
}

impl Door for TokenDoor {
    const METHOD: &'static str = "token";
    const SUMMARY: &'static str =
        "An enrollment token: one-time, capped, or a site's reusable enrollment key.";
    const USAGE: &'static str = "muster enroll --invite-file FILE";
    type Evidence = Secret;

    fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "required": ["token"],
            "additionalProperties": false,
            "properties": {"token": {"type": "string", "description": "mst_enroll_…", "maxLength": 128}}
        })
    }

    fn parse(evidence: &serde_json::Value) -> Result<Secret, EvidenceError> {
        let shape: Shape = crate::door::fields(evidence)?;
        let wrong = |message: String| EvidenceError { path: "token", message };
        let secret: Secret = shape
            .token
            .parse()
            .map_err(|error: muster_model::secret::SecretError| wrong(error.to_string()))?;
        match secret.kind() {
            SecretKind::Enroll => Ok(secret),
            other => {
                Err(wrong(format!("is a secret of another kind ({}), not an enrollment token", other.word())))
            }
        }
    }

    fn step(evidence: &Secret, given: Given) -> Result<Step<'_>, Refusal> {
        let Given::Grant { stored, presented } = given else {
            return Ok(Step::Fetch(Fetch::Grant(evidence)));
        };
        // Compared in either case: an unknown id must cost what a wrong secret costs.
        let expected = stored.map_or(SecretHash([0; 32]), |(_, hash)| hash);
        let proved = expected == presented;
        match stored {
            Some((id, hash)) if proved => {
                Ok(Step::Proved(Claim { method: Self::METHOD, entitlement: Entitlement::Grant { id, hash } }))
            }
            Some(_) => Err(Refusal::NotEntitled { cause: "secret_wrong" }),
            None => Err(Refusal::NotEntitled { cause: "secret_unknown" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::GrantId;

    use super::*;

    fn secret() -> Secret {
        Secret::new(SecretKind::Enroll, [1; 10], [2; 32])
    }

    fn judge(stored: Option<SecretHash>) -> Result<Step<'static>, Refusal> {
        let stored = stored.map(|hash| (GrantId::new(1, [1; 10]), hash));
        let evidence = Box::leak(Box::new(secret()));
        TokenDoor::step(evidence, Given::Grant { stored, presented: SecretHash([7; 32]) })
    }

    #[test]
    fn it_first_asks_for_the_grant() {
        let evidence = secret();
        let step = TokenDoor::step(&evidence, Given::Nothing).expect("a step");
        assert!(matches!(step, Step::Fetch(Fetch::Grant(asked)) if asked.id() == evidence.id()));
    }

    #[test]
    fn a_fitting_secret_proves_its_grant() {
        let step = judge(Some(SecretHash([7; 32]))).expect("it fits");
        assert!(matches!(step, Step::Proved(Claim { entitlement: Entitlement::Grant { .. }, .. })));
    }

    #[test]
    fn q_09_unknown_and_wrong_are_one_refusal() {
        for stored in [None, Some(SecretHash([8; 32])), Some(SecretHash([0; 32]))] {
            assert!(matches!(judge(stored), Err(Refusal::NotEntitled { .. })));
        }
        let zero = Given::Grant { stored: None, presented: SecretHash([0; 32]) };
        assert!(TokenDoor::step(&secret(), zero).is_err(), "the stand-in for an unknown grant opens nothing");
    }

    #[test]
    fn a_secret_of_another_kind_is_named_before_any_look_up() {
        let api = Secret::new(SecretKind::Api, [1; 10], [2; 32]).reveal();
        let error = TokenDoor::parse(&serde_json::json!({"token": api})).expect_err("not for enrolling");
        assert!(error.message.contains("api") && !error.message.contains(&api));
    }
}

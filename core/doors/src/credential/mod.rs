//! *What you are already*: a machine without a key of its own shows the secret it was issued, and comes back with a key.
//!
//! The secret's id selects the credential, its hash proves it. An unknown id and a wrong secret take the same path and
//! end in the same refusal.

use muster_model::{Claim, Entitlement, Refusal, Secret, SecretHash, SecretKind};
use serde::Deserialize;

use crate::{Door, EvidenceError, Fetch, Given, Step};

/// The door for machines that have a bearer key and want a key of their own.
pub struct CredentialDoor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    credential: String,
}

impl Door for CredentialDoor {
    const METHOD: &'static str = "credential";
    const SUMMARY: &'static str =
        "A machine that has a bearer key or refresh token gets a key of its own: same machine, those end.";
    const USAGE: &'static str = "muster agent adopt --from CLIENT --config FILE --server URL --ca-pin PIN";
    type Evidence = Secret;

    fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "required": ["credential"],
            "additionalProperties": false,
            "properties": {"credential": {"type": "string", "description": "mst_bearer_…", "maxLength": 128}}
        })
    }

    fn parse(evidence: &serde_json::Value) -> Result<Secret, EvidenceError> {
        let shape: Shape = crate::door::fields(evidence)?;
        let wrong = |message: String| EvidenceError { path: "credential", message };
        let parsed = shape.credential.parse();
        let secret: Secret =
            parsed.map_err(|error: muster_model::secret::SecretError| wrong(error.to_string()))?;
        match secret.kind() {
            SecretKind::Bearer | SecretKind::Refresh => Ok(secret),
            other => Err(wrong(format!("is a secret of another kind ({}), not a machine's", other.word()))),
        }
    }

    fn step(evidence: &Secret, given: Given) -> Result<Step<'_>, Refusal> {
        let Given::Credential { stored, presented } = given else {
            return Ok(Step::Fetch(Fetch::Credential(evidence)));
        };
        // Compared in either case: an unknown id must cost what a wrong secret costs.
        let expected = stored.map_or(SecretHash([0; 32]), |(_, hash)| hash);
        let proved = expected == presented;
        match stored {
            Some((id, hash)) if proved => {
                let entitlement = Entitlement::Credential { id, hash };
                Ok(Step::Proved(Claim { method: Self::METHOD, entitlement }))
            }
            Some(_) => Err(Refusal::NotEntitled { cause: "secret_wrong" }),
            None => Err(Refusal::NotEntitled { cause: "secret_unknown" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::CredentialId;

    use super::*;

    fn secret() -> Secret {
        Secret::new(SecretKind::Bearer, [1; 10], [2; 32])
    }

    fn judge(stored: Option<SecretHash>, presented: [u8; 32]) -> Result<Step<'static>, Refusal> {
        let stored = stored.map(|hash| (CredentialId::new(1, [1; 10]), hash));
        let evidence = Box::leak(Box::new(secret()));
        CredentialDoor::step(evidence, Given::Credential { stored, presented: SecretHash(presented) })
    }

    #[test]
    fn a_fitting_secret_proves_its_credential_and_nothing_else_does() {
        let step = judge(Some(SecretHash([7; 32])), [7; 32]).expect("it fits");
        assert!(matches!(step, Step::Proved(Claim { entitlement: Entitlement::Credential { .. }, .. })));
        for (stored, presented) in [(None, [7; 32]), (None, [0; 32]), (Some(SecretHash([8; 32])), [7; 32])] {
            assert!(matches!(judge(stored, presented), Err(Refusal::NotEntitled { .. })));
        }
    }

    #[test]
    fn an_invite_is_named_before_any_look_up_and_not_repeated() {
        let token = Secret::new(SecretKind::Enroll, [1; 10], [2; 32]).reveal();
        let evidence = serde_json::json!({"credential": token});
        let error = CredentialDoor::parse(&evidence).expect_err("not a machine's");
        assert!(error.message.contains("enroll") && !error.message.contains(&token));
    }
}

//! Enrolling, and waiting for a person to decide: `POST /v1/enroll`, `GET /v1/enroll/{hold}`, `POST …/self/renew`.

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use muster_model::{Attributes, HardwareId, Hostname, MachineKind};
use serde::{Deserialize, Serialize};

use crate::trust::Trust;
use crate::{FieldErrors, Fields};

/// A request to enroll.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The join method: one of `GET /v1/join-methods`.
    pub method: String,
    /// What the method asks for.
    #[schema(value_type = Object)]
    pub evidence: serde_json::Value,
    /// Base64 of a DER PKCS #10 request (RFC 2986), at most 8 KiB. Only its public key and self-signature are used.
    /// Left out by clients that have no key of their own and ask for a bearer key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
    /// The SHA-256 of a secret text that a client without a key drew for itself, 64 hexadecimal digits in lower case. By
    /// that secret it collects what it is held for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<String>,
    /// Which credential to issue.
    #[serde(default)]
    pub credential: CredentialForm,
    /// `hw_…` or a value the operator chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_id: Option<String>,
    /// What the machine calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `host`, `worker` or `software_agent`.
    #[serde(default = "host")]
    pub kind: String,
    /// What else the machine says of itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// A proof by the machine's present key that it wants the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousKey>,
}

/// A proof by a machine's present key that it wants the key of the CSR in its place.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviousKey {
    /// Fingerprint of the present key, 64 hexadecimal digits.
    pub key: String,
    /// Base64 of its signature over `muster-rekey-v1`, a line feed, and the bytes of the CSR.
    pub signature: String,
}

/// What kind of credential a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialForm {
    /// An X.509 certificate for the key of the CSR.
    #[default]
    Certificate,
    /// A bearer key, for clients that have no key of their own.
    Bearer,
}

/// The request as values of the model; the evidence is still as it came.
#[derive(Debug, Clone)]
pub struct EnrollFields {
    /// The join method.
    pub method: String,
    /// What the method asks for, for its door to parse.
    pub evidence: serde_json::Value,
    /// DER of the CSR.
    pub csr: Option<Vec<u8>>,
    /// The SHA-256 of the client's own secret.
    pub secret_hash: Option<[u8; 32]>,
    /// The hardware signal.
    pub hardware_id: Option<HardwareId>,
    /// What the machine calls itself.
    pub hostname: Option<Hostname>,
    /// What sort of thing it is.
    pub kind: MachineKind,
    /// What else it says of itself.
    pub attributes: Attributes,
    /// Fingerprint of its present key and that key's signature.
    pub previous: Option<(muster_model::KeyFingerprint, Vec<u8>)>,
}

/// The evidence of an enrollment token.
pub fn by_token(token: &str) -> serde_json::Value {
    serde_json::json!({ "token": token })
}

/// The largest CSR taken, in bytes of DER.
pub const MAX_CSR: usize = 8 * 1024;

/// The text that a present key signs, before the bytes of the CSR.
pub const REKEY_CONTEXT: &[u8] = b"muster-rekey-v1\n";

impl TryFrom<EnrollRequest> for EnrollFields {
    type Error = FieldErrors;

    fn try_from(request: EnrollRequest) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let csr = request.csr.as_deref().and_then(|text| decode(&mut fields, "csr", text, MAX_CSR));
        match (request.credential, request.csr.is_some()) {
            (CredentialForm::Certificate, false) => fields.wrong("csr", "is needed for a certificate"),
            (CredentialForm::Bearer, true) => fields.wrong("csr", "does not go with a bearer key"),
            _ => {}
        }
        if request.csr.is_some() && request.secret_hash.is_some() {
            fields.wrong("secret_hash", "does not go with a key of one's own");
        }
        let secret_hash = request.secret_hash.as_deref().and_then(|text| sha256(&mut fields, text));
        let previous = request.previous.as_ref().and_then(|previous| {
            let key = fields.parse("previous.key", &previous.key);
            key.zip(decode(&mut fields, "previous.signature", &previous.signature, 128))
        });
        let kind = fields.parse("kind", &request.kind);
        let attributes = fields.take_map("attributes", Attributes::new(&request.attributes));
        let hardware_id = fields.parse_opt("hardware_id", request.hardware_id.as_deref());
        let hostname = fields.parse_opt("hostname", request.hostname.as_deref());
        let value = kind.zip(attributes).map(|(kind, attributes)| Self {
            method: request.method,
            evidence: request.evidence,
            csr,
            secret_hash,
            hardware_id,
            hostname,
            kind,
            attributes,
            previous,
        });
        fields.finish(value)
    }
}

fn host() -> String {
    MachineKind::Host.as_str().to_owned()
}

fn sha256(fields: &mut Fields, text: &str) -> Option<[u8; 32]> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    fields.take("secret_hash", bytes.ok_or("is not 64 hexadecimal digits in lower case"))
}

pub(crate) fn decode(fields: &mut Fields, path: &str, text: &str, max: usize) -> Option<Vec<u8>> {
    if text.len() > max.div_ceil(3) * 4 {
        fields.wrong(path, format!("is larger than {max} bytes"));
        return None;
    }
    fields.take(path, BASE64.decode(text.as_bytes()).or(Err("is not base64 with padding (RFC 4648 §4)")))
}

/// The answer to a request to enroll and to polling a hold: `201`, `200` or `202`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EnrollAnswer {
    /// `201`: a machine, with a new credential.
    Enrolled(Box<Enrolled>),
    /// `200`: the same machine again.
    Same(Box<Enrolled>),
    /// `202`: a person must decide.
    Held(Held),
}

/// A machine and its credential.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Enrolled {
    /// Which machine the caller is.
    pub machine: EnrolledMachine,
    /// Its credential.
    pub credential: IssuedCredential,
    /// Whom to trust from now on.
    pub trust: Trust,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub server_time: Timestamp,
}

/// Which machine the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnrolledMachine {
    /// Its identifier.
    pub id: String,
    /// What operators call it.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
    /// The code of its site.
    pub site: String,
    /// Its state.
    pub state: String,
    /// Its generation.
    pub generation: u32,
}

/// A credential as it is handed over.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssuedCredential {
    /// Its identifier.
    pub id: String,
    /// PEM: the certificate, then the issuing CA. Absent for bearer keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The bearer key, in the clear, this once. Absent for certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<String>,
    /// Start of its life.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Timestamp,
    /// End of its life.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Timestamp,
}

/// A person must decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// The hold.
    pub hold: String,
    /// Why.
    pub reason: String,
    /// Words derived from the key, for the person to compare.
    #[serde(default)]
    pub words: Vec<String>,
    /// When the hold ends by itself.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Ask again after this many seconds.
    pub poll_after: u32,
}

/// The answer to renewing and to rotating.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Renewed {
    /// The new credential.
    pub credential: IssuedCredential,
    /// Whom to trust from now on.
    pub trust: Trust,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub server_time: Timestamp,
}

/// A request for a short JWT.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whom the token is for.
    pub audience: String,
    /// How long it should live, in seconds: 60 to 3600; 300 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

/// A short JWT.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MachineToken {
    /// The JWT (RFC 7519).
    pub token: String,
    /// Its end.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> serde_json::Value {
        serde_json::json!({"method": "token", "evidence": {}, "csr": "AAAA", "hostname": "web-1"})
    }

    fn fields(json: serde_json::Value) -> Result<EnrollFields, FieldErrors> {
        EnrollFields::try_from(serde_json::from_value::<EnrollRequest>(json).expect("the shape is right"))
    }

    #[test]
    fn defaults_are_a_host_with_a_certificate() {
        let taken = fields(request()).expect("well formed");
        assert_eq!((taken.kind, taken.csr), (MachineKind::Host, Some(vec![0; 3])));
    }

    #[test]
    fn q_22_unknown_fields_are_refused() {
        for name in ["id", "tenant_id", "site_id", "role", "state", "generation", "revoked", "created_at"] {
            let mut json = request();
            json[name] = 1.into();
            assert!(serde_json::from_value::<EnrollRequest>(json).is_err(), "{name}");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut json = request();
        json["csr"] = "?".into();
        json["kind"] = "toaster".into();
        json["hardware_id"] = "a\u{0}b".into();
        json["attributes"] = serde_json::json!({"os": "a\nb"});
        let paths: Vec<String> =
            fields(json).expect_err("four are wrong").0.into_iter().map(|e| e.path).collect();
        assert_eq!(paths, ["csr", "kind", "attributes.os", "hardware_id"]);
    }

    #[test]
    fn q_03_a_large_csr_is_refused_before_it_is_decoded() {
        let mut json = request();
        json["csr"] = "A".repeat(4 * MAX_CSR).into();
        assert_eq!(fields(json).expect_err("too large").0[0].path, "csr");
    }

    #[test]
    fn a_csr_and_a_bearer_key_do_not_go_together() {
        let mut json = request();
        json["credential"] = "bearer".into();
        assert!(fields(json.clone()).is_err());
        json.as_object_mut().expect("an object").remove("csr");
        assert!(fields(json).is_ok());
    }

    #[test]
    fn a_client_without_a_key_leaves_the_hash_of_its_secret_in_one_form() {
        let mut json = request();
        json["credential"] = "bearer".into();
        json["secret_hash"] = "ab".repeat(32).into();
        assert_eq!(fields(json.clone()).expect_err("it has a key").0[1].path, "secret_hash");
        json.as_object_mut().expect("an object").remove("csr");
        assert_eq!(fields(json.clone()).expect("well formed").secret_hash, Some([0xab; 32]));
        for wrong in ["AB".repeat(32), "ab".repeat(31), "ab".repeat(33), "zz".repeat(32), String::new()] {
            json["secret_hash"] = wrong.clone().into();
            assert_eq!(fields(json.clone()).expect_err("no hash").0[0].path, "secret_hash", "{wrong}");
        }
    }
}

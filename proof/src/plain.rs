//! Answers as text that two stores can be compared by.
//!
//! What must be equal is left as it is. Three things differ between any two runs and are left out: signatures, which have
//! a random part; places in the log, of which a database may skip some; and the seals of cursors, which hold such places.

use data_encoding::HEXLOWER;
use muster_app::Error;
use muster_model::{Credential, CredentialState, Minted};
use muster_testkit::world::leaf;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What an operation was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There was nothing to do it with.
    Nothing,
    /// It was done.
    Done(String),
    /// It was decided: no.
    Refused(String),
    /// It is not a request.
    Malformed(String),
    /// The store or the authority failed: never right, even where all of them do.
    Failed(String),
}

impl Answer {
    /// Of a use case.
    pub(crate) fn of<T: Serialize>(result: &Result<T, Error>) -> Self {
        match result {
            Ok(value) => Self::done(value),
            Err(error) => Self::error(error),
        }
    }

    /// Of what was done.
    pub(crate) fn done(value: &impl Serialize) -> Self {
        let mut value = serde_json::to_value(value).expect("an answer can be written");
        plain(&mut value);
        Self::Done(value.to_string())
    }

    /// Of what was not.
    pub(crate) fn error(error: &Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::Refused(format!("{refusal:?}")),
            Error::Malformed(fields) => Self::Malformed(format!("{fields:?}")),
            other => Self::Failed(format!("{other:?}")),
        }
    }
}

fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for gone in ["seq", "trust", "server_time"] {
                fields.remove(gone);
            }
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), &*value) {
                    ("certificate", Value::String(pem)) => *value = Value::String(said(&leaf(pem))),
                    ("next", next) => *value = Value::Bool(!next.is_null()),
                    _ => plain(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a certificate says, without its signature: a hash of its `tbsCertificate` (RFC 5280 §4.1).
fn said(der: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(signed_part(der))[..12])
}

/// The first element inside the outer sequence, head and all.
fn signed_part(der: &[u8]) -> &[u8] {
    let (start, _) = element(der);
    let inner = &der[start..];
    let (head, length) = element(inner);
    &inner[..head + length]
}

/// How long an element's head is, and how long what it holds (X.690 §8.1.3).
fn element(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let bytes = &der[2..2 + usize::from(long & 0x7f)];
            (2 + bytes.len(), bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    }
}

/// A JSON web token without its signature.
pub(crate) fn unsigned(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(said, _)| said)
}

/// A credential whose certificate is what it says, without its signature.
pub(crate) fn credential(credential: &Credential) -> Credential {
    let state = match &credential.state {
        CredentialState::Issued(Minted::Certificate(der)) => {
            CredentialState::Issued(Minted::Certificate(said(der).into_bytes()))
        }
        other => other.clone(),
    };
    Credential { state, ..credential.clone() }
}

/// A certificate in a PEM file, DER.
pub(crate) fn der(pem: Option<&str>) -> Option<Vec<u8>> {
    pem.map(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_any_two_runs_is_left_out() {
        let one = serde_json::json!({ "items": [{ "seq": 7, "id": "a" }], "next": "x" });
        let two = serde_json::json!({ "items": [{ "seq": 9, "id": "a" }], "next": "y" });
        assert_eq!(Answer::done(&one), Answer::done(&two));
        let none = serde_json::json!({ "items": [{ "seq": 9, "id": "a" }], "next": null });
        assert_ne!(Answer::done(&one), Answer::done(&none));
    }

    #[test]
    fn the_signed_part_of_a_certificate_ends_before_its_signature() {
        let der = [0x30, 0x08, 0x30, 0x03, 0x02, 0x01, 0x05, 0x03, 0x01, 0xff];
        assert_eq!(signed_part(&der), [0x30, 0x03, 0x02, 0x01, 0x05]);
    }

    #[test]
    fn a_certificate_is_compared_by_what_it_says() {
        let pem = |signature: u8| {
            let der = [0x30, 0x08, 0x30, 0x03, 0x02, 0x01, 0x05, 0x03, 0x01, signature];
            let body = data_encoding::BASE64.encode(&der);
            let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
            Answer::done(&serde_json::json!({ "certificate": pem }))
        };
        assert_eq!(pem(1), pem(2));
    }
}

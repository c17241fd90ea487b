//! Rotating the machine's key: `POST /v1/machines/self/rotate`, and what a machine says of its own store beside its
//! certificate.
//!
//! Two keys sign a rotation: the one that vouches signs the request, with a nonce, and the next one signs the CSR and a
//! statement that names both, so that neither can be moved into another rotation. A certificate alone asks for none: what
//! comes over its connection carries no order.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use muster_model::KeyFingerprint;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::enroll::{MAX_CSR, decode};
use crate::{FieldErrors, Fields};

/// Where a key is rotated.
pub const PATH: &str = "/v1/machines/self/rotate";
/// Name of the header that goes with a certificate. Signed requests say the same in their own header.
pub const SLOT_HEADER: &str = "muster-slot";
const MAX_SLOT: usize = 256;

/// A request for a certificate for the machine's next key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Of this rotation, 32 hexadecimal digits in lower case: drawn with the key, the same in each repetition.
    pub rotation: String,
    /// Base64 of a DER PKCS #10 request (RFC 2986) by the next key, at most 8 KiB.
    pub csr: String,
    /// Base64 of the next key's signature over [`statement`].
    pub signature: String,
}

/// The request as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotateFields {
    /// Of this rotation.
    pub rotation: [u8; 16],
    /// DER of the CSR.
    pub csr: Vec<u8>,
    /// The next key's signature.
    pub signature: Vec<u8>,
}

/// What the next key signs: who vouches for it, and in which rotation.
pub fn statement(vouching: KeyFingerprint, rotation: &[u8; 16], csr: &[u8]) -> Vec<u8> {
    let mut text = format!("muster-rotate-v1\n{vouching}\n{}\n", HEXLOWER.encode(rotation)).into_bytes();
    text.extend_from_slice(csr);
    text
}

impl TryFrom<RotateRequest> for RotateFields {
    type Error = FieldErrors;

    fn try_from(request: RotateRequest) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let rotation = sixteen(&request.rotation).ok_or("is not 32 hexadecimal digits in lower case");
        let rotation = fields.take("rotation", rotation);
        let csr = decode(&mut fields, "csr", &request.csr, MAX_CSR);
        let signature = decode(&mut fields, "signature", &request.signature, 128);
        let value = rotation.zip(csr).zip(signature);
        fields.finish(value.map(|((rotation, csr), signature)| Self { rotation, csr, signature }))
    }
}

/// What a machine says of its own store beside its certificate: which key it would wake up with, and which life of the
/// agent this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The key in its durable slot.
    pub base: KeyFingerprint,
    /// Random for each start of the agent.
    pub boot: [u8; 16],
    /// Rises by one with each thing that the agent says of itself in that life.
    pub counter: u64,
}

/// A header that is not of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the {SLOT_HEADER} header is not of the form v1;base=…;boot=…;counter=…")]
pub struct SlotError;

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1;base={};boot={};counter={}", self.base, HEXLOWER.encode(&self.boot), self.counter)
    }
}

impl FromStr for Slot {
    type Err = SlotError;

    fn from_str(text: &str) -> Result<Self, SlotError> {
        if text.len() > MAX_SLOT {
            return Err(SlotError);
        }
        let mut parts = text.split(';');
        if parts.next() != Some("v1") {
            return Err(SlotError);
        }
        let mut field = |name: &str| {
            let part = parts.next().ok_or(SlotError)?;
            part.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or(SlotError)
        };
        let base = field("base")?.parse().or(Err(SlotError))?;
        let boot = sixteen(field("boot")?).ok_or(SlotError)?;
        let counter = field("counter")?.parse().or(Err(SlotError))?;
        if parts.next().is_some() { Err(SlotError) } else { Ok(Self { base, boot, counter }) }
    }
}

pub(crate) fn sixteen(text: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot { base: KeyFingerprint([1; 32]), boot: [2; 16], counter: 3 }
    }

    #[test]
    fn what_is_said_of_a_slot_reads_back() {
        assert_eq!(slot().to_string().parse(), Ok(slot()));
    }

    #[test]
    fn odd_slots_are_refused_without_panic() {
        let good = slot().to_string();
        let odd = ["", "v1", "v2;base=1", &format!("{good};x=1"), &good.replace("counter=3", "counter=-3")];
        for bad in odd {
            assert_eq!(bad.parse::<Slot>(), Err(SlotError), "{bad}");
        }
    }

    #[test]
    fn every_wrong_field_of_a_rotation_is_named() {
        let request = RotateRequest { rotation: "AB".into(), csr: "?".into(), signature: "AAAA".into() };
        let paths: Vec<String> = RotateFields::try_from(request)
            .expect_err("two are wrong")
            .0
            .into_iter()
            .map(|error| error.path)
            .collect();
        assert_eq!(paths, ["rotation", "csr"]);
    }

    #[test]
    fn what_the_next_key_signs_names_everything_that_it_is_for() {
        let (one, two) = (KeyFingerprint([1; 32]), KeyFingerprint([2; 32]));
        let text = statement(one, &[0; 16], b"csr");
        for other in [statement(two, &[0; 16], b"csr"), statement(one, &[1; 16], b"csr")] {
            assert_ne!(text, other);
        }
        assert_ne!(text, statement(one, &[0; 16], b"another"));
    }
}

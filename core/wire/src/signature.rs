//! The signed request header: how a machine proves its key where TLS cannot carry the proof.
//!
//! Used with expired certificates, behind proxies that end TLS, and while polling a hold. The signature covers
//! method, path, query, body hash, a nonce of the server, the caller's clock, the durable slot it stands on (`base`),
//! its boot and a counter, so that nothing can be moved to another request or replayed later.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use muster_model::KeyFingerprint;
use thiserror::Error;

/// Name of the header.
pub const HEADER: &str = "muster-signature";
const MAX: usize = 2048;

/// What the header carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    /// The statement that is signed together with the request.
    pub statement: Statement,
    /// ECDSA (ASN.1 DER) or Ed25519, as the key is.
    pub signature: Vec<u8>,
}

/// What the caller states beside the request itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The signing key.
    pub key: KeyFingerprint,
    /// A nonce the server gave out, opaque to the caller.
    pub nonce: String,
    /// The caller's clock, seconds since the Unix epoch.
    pub time: i64,
    /// The key in the caller's durable slot.
    pub base: KeyFingerprint,
    /// Random per boot of the agent.
    pub boot: [u8; 16],
    /// Rises by one with every signed request of a boot.
    pub counter: u64,
}

/// The request that is signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path as sent, without query.
    pub path: &'a str,
    /// Query as sent, without `?`; empty where there is none.
    pub query: &'a str,
    /// SHA-256 of the body as sent.
    pub body_sha256: [u8; 32],
}

/// A header that is not of the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the {HEADER} header is not of the form v1;key=…;nonce=…;time=…;base=…;boot=…;counter=…;sig=…")]
pub struct HeaderError;

impl Statement {
    /// The bytes to sign.
    pub fn signing_input(&self, request: &SignedRequest<'_>) -> Vec<u8> {
        format!(
            "muster-signature-v1\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            request.method,
            request.path,
            request.query,
            HEXLOWER.encode(&request.body_sha256),
            self.key,
            self.nonce,
            self.time,
            self.base,
            HEXLOWER.encode(&self.boot),
            self.counter,
        )
        .into_bytes()
    }
}

impl fmt::Display for SignedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statement { key, nonce, time, base, boot, counter } = &self.statement;
        write!(
            f,
            "v1;key={key};nonce={nonce};time={time};base={base};boot={};counter={counter};sig={}",
            HEXLOWER.encode(boot),
            BASE64URL_NOPAD.encode(&self.signature)
        )
    }
}

impl FromStr for SignedHeader {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        if text.len() > MAX {
            return Err(HeaderError);
        }
        let mut parts = text.split(';');
        if parts.next() != Some("v1") {
            return Err(HeaderError);
        }
        // The order is fixed: one request has one header, byte for byte.
        let mut field = |name: &str| {
            let part = parts.next().ok_or(HeaderError)?;
            part.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or(HeaderError)
        };
        let statement = Statement {
            key: field("key")?.parse().or(Err(HeaderError))?,
            nonce: field("nonce")?.to_owned(),
            time: field("time")?.parse().or(Err(HeaderError))?,
            base: field("base")?.parse().or(Err(HeaderError))?,
            boot: crate::rotate::sixteen(field("boot")?).ok_or(HeaderError)?,
            counter: field("counter")?.parse().or(Err(HeaderError))?,
        };
        let signature = BASE64URL_NOPAD.decode(field("sig")?.as_bytes()).or(Err(HeaderError))?;
        if parts.next().is_some()
            || signature.len() > 128
            || !statement.nonce.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(HeaderError);
        }
        Ok(Self { statement, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SignedHeader {
        let statement = Statement {
            key: KeyFingerprint([1; 32]),
            nonce: "n-1".into(),
            time: 1_763_000_000,
            base: KeyFingerprint([2; 32]),
            boot: [3; 16],
            counter: 4,
        };
        SignedHeader { statement, signature: vec![5; 64] }
    }

    #[test]
    fn text_form_reads_back() {
        assert_eq!(header().to_string().parse(), Ok(header()));
    }

    #[test]
    fn odd_headers_are_refused_without_panic() {
        let good = header().to_string();
        for bad in [
            "",
            "v1",
            "v2;key=1",
            &format!("{good};x=1"),
            &good.replace("time=1", "time=x"),
            &"v1;".repeat(900),
        ] {
            assert_eq!(bad.parse::<SignedHeader>(), Err(HeaderError), "{bad}");
        }
    }

    #[test]
    fn every_part_of_the_request_changes_what_is_signed() {
        let request = SignedRequest { method: "POST", path: "/v1/a", query: "b=1", body_sha256: [0; 32] };
        let input = |r| header().statement.signing_input(&r);
        for other in [
            SignedRequest { method: "GET", ..request },
            SignedRequest { path: "/v1/b", ..request },
            SignedRequest { query: "", ..request },
            SignedRequest { body_sha256: [1; 32], ..request },
        ] {
            assert_ne!(input(request), input(other));
        }
    }
}

//! An invite: address, CA pin and token in one paste.
//!
//! Text form: `muster1:` and the base64url (RFC 4648 §5, no padding) of a small JSON object. It holds a secret: it
//! travels by file, standard input or environment, never on a command line.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use muster_model::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const PREFIX: &str = "muster1:";
const MAX: usize = 4096;

/// Address, CA pin and token in one paste.
#[derive(Clone)]
pub struct Invite {
    /// Where the server is: `https://host:port`, perhaps with a path prefix.
    pub url: String,
    /// Which CA it must have.
    pub pin: CaPin,
    /// The token to enroll with.
    pub token: Secret,
}

/// `sha256:` and the hexadecimal SHA-256 of the DER `SubjectPublicKeyInfo` of the deployment's active root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaPin(pub [u8; 32]);

/// A text that is not an invite. Never repeats the text: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InviteError {
    /// It does not start with `muster1:`.
    #[error("is not an invite (muster1:…)")]
    Form,
    /// It was cut or changed on the way.
    #[error("is damaged: copy it again as a whole, it ends without a line break")]
    Damaged,
    /// The address is not one an agent connects to.
    #[error("names an address that does not start with https://")]
    Address,
}

/// A text that is not a CA pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a CA pin (sha256: and 64 hexadecimal digits)")]
pub struct PinError;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    u: String,
    p: String,
    t: String,
}

impl Invite {
    /// The text form, in the clear. Call it only where the invite is handed to its owner.
    pub fn reveal(&self) -> String {
        let inner = Inner { u: self.url.clone(), p: self.pin.to_string(), t: self.token.reveal() };
        let json = serde_json::to_vec(&inner).expect("three strings are always JSON");
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&json))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(InviteError::Form)?;
        if body.len() > MAX {
            return Err(InviteError::Damaged);
        }
        let json = BASE64URL_NOPAD.decode(body.as_bytes()).or(Err(InviteError::Damaged))?;
        let inner: Inner = serde_json::from_slice(&json).or(Err(InviteError::Damaged))?;
        if !inner.u.starts_with("https://") {
            return Err(InviteError::Address);
        }
        Ok(Self {
            url: inner.u,
            pin: inner.p.parse().or(Err(InviteError::Damaged))?,
            token: inner.t.parse().or(Err(InviteError::Damaged))?,
        })
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("url", &self.url).field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl fmt::Display for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl FromStr for CaPin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let hex = text.trim().strip_prefix("sha256:").ok_or(PinError)?;
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).or(Err(PinError))?;
        bytes.try_into().map(Self).or(Err(PinError))
    }
}

#[cfg(test)]
mod tests {
    use muster_model::SecretKind;

    use super::*;

    fn invite() -> Invite {
        Invite {
            url: "https://127.0.0.1:8443".into(),
            pin: CaPin([7; 32]),
            token: Secret::new(SecretKind::Enroll, [1; 10], [2; 32]),
        }
    }

    #[test]
    fn text_form_reads_back_and_stays_one_shell_word() {
        let text = invite().reveal();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_".contains(&b)));
        let back: Invite = format!(" {text}\n").parse().expect("its own text form");
        assert_eq!((back.url, back.pin), (invite().url, invite().pin));
        assert_eq!(back.token.reveal(), invite().token.reveal());
    }

    #[test]
    fn a_cut_invite_is_damaged_and_its_error_repeats_nothing() {
        let text = invite().reveal();
        for end in PREFIX.len()..text.len() {
            let error = text[..end].parse::<Invite>().expect_err("cut");
            assert_eq!(error, InviteError::Damaged);
        }
    }

    #[test]
    fn q_43_plain_http_is_refused() {
        let plain = Invite { url: "http://127.0.0.1".into(), ..invite() };
        assert_eq!(plain.reveal().parse::<Invite>().err(), Some(InviteError::Address));
    }
}

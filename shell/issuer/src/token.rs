//! Machine tokens: short JWTs (RFC 7519) that anybody can verify with our published keys.
//!
//! Signed with ES256 alone; `typ`, key id and every time claim are checked (RFC 8725 §3.1, §3.11; Q-21), and no life is
//! longer than [`MAX_LIFE`]. Times enter as values: the library's own clock is not asked.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// The `typ` of a machine token's header.
pub const MACHINE_TOKEN: &str = "muster-machine+jwt";
/// Longest life of a machine token.
pub const MAX_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// How far a verifier's clock may be off.
pub const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// What a machine token says. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineClaims {
    /// Who issued it: our public address.
    pub iss: String,
    /// The machine, as `spiffe://…`.
    pub sub: String,
    /// Whom it is for: one audience.
    pub aud: String,
    /// End.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Start.
    pub nbf: i64,
    /// Its own name, unique.
    pub jti: String,
}

/// The `typ` of the header of a token that a machine without a key of its own shows at each heartbeat.
pub const SESSION_TOKEN: &str = "muster-session+jwt";

/// What such a token says. It counts while the refresh token does that it was issued beside; whoever else reads it trusts
/// it until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionClaims {
    /// What it is of: `host`.
    pub typ: String,
    /// The machine's identifier.
    pub host_id: String,
    /// The same.
    pub sub: String,
    /// Its tenant.
    pub tenant: String,
    /// End.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Who issued it: our public address.
    pub iss: String,
    /// The refresh token that it was issued beside, by its identifier.
    pub jti: String,
}

/// What a verifier expects.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// Itself.
    pub audience: &'a str,
    /// Its clock.
    pub now: Timestamp,
}

/// Why a token was not made or not taken.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It would live too long, or end before it begins.
    #[error("a machine token cannot live from {nbf} to {exp} (seconds since 1970)")]
    Life {
        /// Start.
        nbf: i64,
        /// End.
        exp: i64,
    },
    /// Its header is not that of a machine token of ours.
    #[error("is not a machine token: its header says otherwise")]
    Header,
    /// Before its start or after its end.
    #[error("is not valid at this time")]
    Time,
    /// For somebody else.
    #[error("is for somebody else")]
    Audience,
    /// Its document is not the one whose hash it names.
    #[error("says something else than its hash does")]
    Document,
    /// The published keys cannot be read.
    #[error("cannot be checked: the keys are no JWKS")]
    Keys(#[source] serde_json::Error),
    /// It was signed by a key that is not among those published.
    #[error("was signed by a key that is not among these")]
    UnknownKey,
    /// Malformed, signed by another key, or for somebody else.
    #[error("is not a machine token")]
    Invalid(#[source] jsonwebtoken::errors::Error),
}

/// The key that signs machine tokens.
pub struct TokenSigner {
    header: Header,
    session: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
    jwks: serde_json::Value,
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenSigner({:?})", self.header.kid)
    }
}

impl TokenSigner {
    /// Draws a new key and gives it as PKCS #8.
    pub(crate) fn generate() -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()))
    }

    /// Takes a P-256 key as PKCS #8.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        let encoding = EncodingKey::from_ec_der(der);
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::ES256)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(MACHINE_TOKEN.to_owned());
        header.kid = Some(kid);
        let session = Header { typ: Some(SESSION_TOKEN.to_owned()), ..header.clone() };
        let decoding = DecodingKey::from_jwk(&jwk)?;
        let jwks = serde_json::to_value(JwkSet { keys: vec![jwk] })?;
        Ok(Self { header, session, encoding, decoding, jwks })
    }

    /// The key's name (RFC 7638 thumbprint).
    pub fn kid(&self) -> &str {
        self.header.kid.as_deref().unwrap_or_default()
    }

    /// The public keys, as `/.well-known/jwks.json` shows them (RFC 7517).
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    /// Signs a machine token. The one place where a token's life is bounded.
    pub fn sign(&self, claims: &MachineClaims) -> Result<String, TokenError> {
        let life = claims.exp.checked_sub(claims.nbf.min(claims.iat));
        if life.is_none_or(|life| life > MAX_LIFE.as_secs()) || claims.exp <= claims.nbf.max(claims.iat) {
            return Err(TokenError::Life { nbf: claims.nbf, exp: claims.exp });
        }
        jsonwebtoken::encode(&self.header, claims, &self.encoding).map_err(TokenError::Invalid)
    }

    /// Signs a session token. Its life is bounded by the refresh token beside it.
    pub fn sign_session(&self, claims: &SessionClaims) -> Result<String, TokenError> {
        if claims.exp <= claims.iat {
            return Err(TokenError::Life { nbf: claims.iat, exp: claims.exp });
        }
        jsonwebtoken::encode(&self.session, claims, &self.encoding).map_err(TokenError::Invalid)
    }

    /// Signs claims under a type of their own. Whoever calls it has bounded their life.
    pub(crate) fn sign_as(&self, typ: &str, claims: &impl Serialize) -> Result<String, TokenError> {
        let header = Header { typ: Some(typ.to_owned()), ..self.header.clone() };
        jsonwebtoken::encode(&header, claims, &self.encoding).map_err(TokenError::Invalid)
    }

    /// Reads a session token that this key signed for this issuer. Whether it is over is the caller's to ask: one that is
    /// still says who shows it.
    pub fn verify_session(&self, token: &str, issuer: &str) -> Result<SessionClaims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(TokenError::Invalid)?;
        if header != self.session {
            return Err(TokenError::Header);
        }
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        rules.set_issuer(&[issuer]);
        rules.validate_aud = false;
        rules.validate_exp = false;
        let data = jsonwebtoken::decode::<SessionClaims>(token, &self.decoding, &rules);
        Ok(data.map_err(TokenError::Invalid)?.claims)
    }

    /// Reads a machine token that this key signed.
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<MachineClaims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(TokenError::Invalid)?;
        // Whole equality refuses jku, jwk, x5u, x5c, crit and whatever else a header may smuggle in.
        if header != self.header {
            return Err(TokenError::Header);
        }
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        rules.set_issuer(&[expected.issuer]);
        rules.set_audience(&[expected.audience]);
        // They would read the library's clock; the typed claims are compared below instead.
        rules.validate_exp = false;
        let data = jsonwebtoken::decode::<MachineClaims>(token, &self.decoding, &rules);
        let claims = data.map_err(TokenError::Invalid)?.claims;
        let (now, leeway) = (expected.now.as_second(), LEEWAY.as_secs());
        let has_begun = claims.nbf.max(claims.iat) <= now + leeway;
        if has_begun && now - leeway < claims.exp { Ok(claims) } else { Err(TokenError::Time) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: i64 = 1_800_000_000;

    fn signer() -> TokenSigner {
        TokenSigner::from_pkcs8(&TokenSigner::generate().expect("a key")).expect("a signer")
    }

    fn claims() -> Value {
        json!({ "iss": "us", "sub": "spiffe://x/t/t/m/m", "aud": "vault", "exp": AT + 600, "iat": AT, "nbf": AT, "jti": "1" })
    }

    fn verify(signer: &TokenSigner, header: &Header, claims: &Value) -> Result<MachineClaims, TokenError> {
        let key = match header.alg {
            Algorithm::ES256 => signer.encoding.clone(),
            _ => EncodingKey::from_secret(signer.jwks.to_string().as_bytes()),
        };
        let token = jsonwebtoken::encode(header, claims, &key).expect("signed");
        let now = Timestamp::from_second(AT).expect("in range");
        signer.verify(&token, &Expected { issuer: "us", audience: "vault", now })
    }

    #[test]
    fn q_21_a_header_that_is_not_ours_is_refused_even_under_our_own_key() {
        let signer = signer();
        assert!(verify(&signer, &signer.header, &claims()).is_ok());
        let changes: [fn(&mut Header); 10] = [
            |h| h.typ = Some("JWT".into()),
            |h| h.typ = None,
            |h| h.kid = None,
            |h| h.kid = Some("other".into()),
            |h| h.jku = Some("https://evil.example/keys".into()),
            |h| h.x5u = Some("https://evil.example/chain".into()),
            |h| h.x5c = Some(vec!["AA==".into()]),
            |h| h.crit = Some(vec!["exp".into()]),
            |h| h.extras.insert("b64", false),
            |h| h.alg = Algorithm::HS256,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut header = signer.header.clone();
            change(&mut header);
            assert!(matches!(verify(&signer, &header, &claims()), Err(TokenError::Header)), "change {i}");
        }
    }

    #[test]
    fn q_21_another_key_under_our_name_is_refused() {
        let (ours, mut other) = (signer(), signer());
        other.header = ours.header.clone();
        let token = jsonwebtoken::encode(&other.header, &claims(), &other.encoding).expect("signed");
        let now = Timestamp::from_second(AT).expect("in range");
        let read = ours.verify(&token, &Expected { issuer: "us", audience: "vault", now });
        assert!(matches!(read, Err(TokenError::Invalid(_))));
    }

    #[test]
    fn q_21_a_session_token_is_no_machine_token_and_no_other_header_is_taken_for_one() {
        let signer = signer();
        let text = |text: &str| text.to_owned();
        let (typ, host_id, sub) = (text("host"), text("mch_1"), text("mch_1"));
        let (iss, jti, tenant) = (text("us"), text("crd_1"), text("tnt_1"));
        let claims = SessionClaims { typ, host_id, sub, tenant, exp: AT + 600, iat: AT, iss, jti };
        let token = signer.sign_session(&claims).expect("signed");
        assert_eq!(signer.verify_session(&token, "us").expect("ours"), claims);
        assert!(signer.verify_session(&token, "somebody").is_err());
        assert!(self::signer().verify_session(&token, "us").is_err(), "another key");
        let now = Timestamp::from_second(AT).expect("in range");
        let read = signer.verify(&token, &Expected { issuer: "us", audience: "vault", now });
        assert!(matches!(read, Err(TokenError::Header)));
        let other = jsonwebtoken::encode(&signer.header, &claims, &signer.encoding).expect("signed");
        assert!(matches!(signer.verify_session(&other, "us"), Err(TokenError::Header)));
        let timeless = SessionClaims { exp: AT, ..claims };
        assert!(matches!(signer.sign_session(&timeless), Err(TokenError::Life { .. })));
    }

    #[test]
    fn q_21_every_claim_is_required_alone_and_times_are_numbers() {
        let signer = signer();
        let refused = |claims: &Value| verify(&signer, &signer.header, claims).is_err();
        let names: Vec<String> = claims().as_object().expect("an object").keys().cloned().collect();
        for name in names {
            let mut bad = claims();
            bad.as_object_mut().expect("an object").remove(&name);
            assert!(refused(&bad), "without {name}");
        }
        for name in ["exp", "nbf", "iat"] {
            let mut bad = claims();
            bad[name] = json!(bad[name].to_string());
            assert!(refused(&bad), "{name} as text");
        }
        let mut bad = claims();
        bad["admin"] = json!(true);
        assert!(refused(&bad), "an unknown claim");
    }
}

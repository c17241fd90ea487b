//! Engagements as JWS (RFC 7515): what a software agent is to do, so that whoever can verify it cannot forge it.
//!
//! Signed by the key of machine tokens under a type of their own; one is never taken for the other (RFC 8725 §3.11).
//! Verified offline, by the published keys alone, with a clock that enters as a value.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::token::{LEEWAY, TokenError, TokenSigner};

/// The `typ` of a signed engagement's header.
pub const ENGAGEMENT: &str = "muster-engagement+jwt";
/// Longest life of a signed engagement.
pub const MAX_LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What a signed engagement says. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngagementClaims {
    /// Who issued it: our public address.
    pub iss: String,
    /// The machine, as `spiffe://…`.
    pub sub: String,
    /// Whom it is for: one audience.
    pub aud: String,
    /// When it was made.
    pub iat: i64,
    /// Start.
    pub nbf: i64,
    /// End.
    pub exp: i64,
    /// Its own name, unique.
    pub jti: String,
    /// The nick of the software agent.
    pub nick: String,
    /// Its role.
    pub role: String,
    /// Its team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Which version of its engagement this is.
    pub version: u32,
    /// SHA-256 of the document, in hexadecimal: by it, the agent acknowledges it.
    pub hash: String,
    /// The document: a JSON text.
    pub document: String,
}

/// What a verifier expects of a signed engagement.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedEngagement<'a> {
    /// The issuer, where it is known.
    pub issuer: Option<&'a str>,
    /// Itself; the issuer where nothing is said.
    pub audience: Option<&'a str>,
    /// Its clock.
    pub now: Timestamp,
}

impl TokenSigner {
    /// Signs an engagement.
    ///
    /// # Errors
    /// [`TokenError::Life`] for one that would live too long or not at all.
    pub fn sign_engagement(&self, claims: &EngagementClaims) -> Result<String, TokenError> {
        let life = claims.exp.checked_sub(claims.nbf.min(claims.iat));
        if life.is_none_or(|life| life > MAX_LIFE.as_secs()) || claims.exp <= claims.nbf.max(claims.iat) {
            return Err(TokenError::Life { nbf: claims.nbf, exp: claims.exp });
        }
        self.sign_as(ENGAGEMENT, claims)
    }
}

fn header(kid: &str) -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some(ENGAGEMENT.to_owned());
    header.kid = Some(kid.to_owned());
    header
}

/// Reads a signed engagement by the published keys (`/.well-known/jwks.json`).
///
/// # Errors
/// [`TokenError`] tells apart a header that is not ours, a signature that does not hold, a time that is not now, and a
/// document that is not the one whose hash is named.
pub fn verify_engagement(
    jws: &str,
    keys: &serde_json::Value,
    expected: &ExpectedEngagement<'_>,
) -> Result<EngagementClaims, TokenError> {
    let found = jsonwebtoken::decode_header(jws).map_err(TokenError::Invalid)?;
    let kid = found.kid.clone().ok_or(TokenError::Header)?;
    // Whole equality refuses jku, jwk, x5u, x5c, crit and whatever else a header may smuggle in.
    if found != header(&kid) {
        return Err(TokenError::Header);
    }
    let keys: JwkSet = serde_json::from_value(keys.clone()).map_err(TokenError::Keys)?;
    let key = keys.find(&kid).ok_or(TokenError::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(TokenError::Invalid)?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    if let Some(issuer) = expected.issuer {
        rules.set_issuer(&[issuer]);
    }
    // It depends on the issuer; the typed claim is compared below. So are the times: the library's clock is not asked.
    rules.validate_aud = false;
    rules.validate_exp = false;
    let data = jsonwebtoken::decode::<EngagementClaims>(jws, &key, &rules).map_err(TokenError::Invalid)?;
    let claims = data.claims;
    if claims.aud != expected.audience.unwrap_or(&claims.iss) {
        return Err(TokenError::Audience);
    }
    let (now, leeway) = (expected.now.as_second(), LEEWAY.as_secs());
    if claims.nbf.max(claims.iat) > now + leeway || now - leeway >= claims.exp {
        return Err(TokenError::Time);
    }
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(claims.document.as_bytes()));
    if hash == claims.hash { Ok(claims) } else { Err(TokenError::Document) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_800_000_000;

    fn signer() -> TokenSigner {
        TokenSigner::from_pkcs8(&TokenSigner::generate().expect("a key")).expect("a signer")
    }

    fn claims() -> EngagementClaims {
        let document = r#"{"rate_limit":{},"engagement":{}}"#.to_owned();
        EngagementClaims {
            iss: "https://us".to_owned(),
            sub: "spiffe://x/t/t/m/m".to_owned(),
            aud: "https://us".to_owned(),
            iat: AT,
            nbf: AT,
            exp: AT + 600,
            jti: "1".to_owned(),
            nick: "w-two".to_owned(),
            role: "worker".to_owned(),
            team: None,
            version: 3,
            hash: data_encoding::HEXLOWER.encode(&Sha256::digest(document.as_bytes())),
            document,
        }
    }

    fn at(seconds: i64) -> ExpectedEngagement<'static> {
        let now = Timestamp::from_second(AT + seconds).expect("in range");
        ExpectedEngagement { issuer: Some("https://us"), audience: None, now }
    }

    #[test]
    fn whoever_has_the_published_keys_verifies_and_nobody_else_signs() {
        let (signer, other) = (signer(), signer());
        let jws = signer.sign_engagement(&claims()).expect("signed");
        assert_eq!(verify_engagement(&jws, signer.jwks(), &at(0)).expect("holds"), claims());
        assert!(matches!(verify_engagement(&jws, other.jwks(), &at(0)), Err(TokenError::UnknownKey)));
        let mut forged = jws.clone();
        forged.truncate(jws.rfind('.').expect("three parts") + 1);
        assert!(verify_engagement(&forged, signer.jwks(), &at(0)).is_err(), "no signature");
    }

    #[test]
    fn it_counts_for_its_audience_between_its_times_alone() {
        let signer = signer();
        let jws = signer.sign_engagement(&claims()).expect("signed");
        let other = ExpectedEngagement { audience: Some("vault"), ..at(0) };
        assert!(matches!(verify_engagement(&jws, signer.jwks(), &other), Err(TokenError::Audience)));
        let other = ExpectedEngagement { issuer: Some("https://them"), ..at(0) };
        assert!(matches!(verify_engagement(&jws, signer.jwks(), &other), Err(TokenError::Invalid(_))));
        for seconds in [-61, 660] {
            assert!(matches!(verify_engagement(&jws, signer.jwks(), &at(seconds)), Err(TokenError::Time)));
        }
        for seconds in [-60, 659] {
            assert!(verify_engagement(&jws, signer.jwks(), &at(seconds)).is_ok());
        }
        let long = EngagementClaims { exp: AT + MAX_LIFE.as_secs() + 1, ..claims() };
        assert!(matches!(signer.sign_engagement(&long), Err(TokenError::Life { .. })));
    }

    #[test]
    fn q_21_a_token_of_another_type_is_no_engagement_and_a_wrong_hash_is_noticed() {
        let signer = signer();
        let token = signer.sign_as(crate::token::MACHINE_TOKEN, &claims()).expect("signed");
        assert!(matches!(verify_engagement(&token, signer.jwks(), &at(0)), Err(TokenError::Header)));
        let wrong = EngagementClaims { document: "{}".to_owned(), ..claims() };
        let jws = signer.sign_engagement(&wrong).expect("signed");
        assert!(matches!(verify_engagement(&jws, signer.jwks(), &at(0)), Err(TokenError::Document)));
    }
}

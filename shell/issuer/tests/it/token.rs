//! Machine tokens: what is signed, what is taken, and what a stranger can verify.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use muster_issuer::token::{Expected, LEEWAY, MACHINE_TOKEN, MAX_LIFE};
use muster_issuer::{MachineClaims, TokenError};
use muster_model::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::*;

fn claims() -> MachineClaims {
    let at = now().as_second();
    MachineClaims {
        iss: "https://muster.example".into(),
        sub: format!("spiffe://fleet.example/t/{}/m/{}", template().tenant, template().machine),
        aud: "vault".into(),
        exp: at + 600,
        iat: at,
        nbf: at,
        jti: "one".into(),
    }
}

fn expected(now: Timestamp) -> Expected<'static> {
    Expected { issuer: "https://muster.example", audience: "vault", now }
}

#[test]
fn a_token_reads_back_within_its_life_and_for_its_audience_alone() {
    let authority = World::new().create();
    let token = authority.tokens().sign(&claims()).expect("signed");
    let read = |expected: Expected<'_>| authority.tokens().verify(&token, &expected);
    assert_eq!(read(expected(now())).expect("valid"), claims());
    for other in [
        Expected { audience: "other", ..expected(now()) },
        Expected { issuer: "https://other.example", ..expected(now()) },
    ] {
        assert!(matches!(read(other), Err(TokenError::Invalid(_))));
    }
    let end = now() + SignedDuration::from_secs(600) + LEEWAY;
    assert!(read(expected(end - SignedDuration::from_secs(1))).is_ok());
    assert!(matches!(read(expected(end)), Err(TokenError::Time)));
    let early = now() - LEEWAY;
    assert!(read(expected(early)).is_ok());
    assert!(matches!(read(expected(early - SignedDuration::from_secs(1))), Err(TokenError::Time)));
}

#[test]
fn a_stranger_verifies_a_token_with_the_published_keys() {
    let authority = World::new().create();
    let token = authority.tokens().sign(&claims()).expect("signed");
    let keys: JwkSet = serde_json::from_value(authority.tokens().jwks().clone()).expect("a key set");
    let header = jsonwebtoken::decode_header(&token).expect("a header");
    assert_eq!(header.typ.as_deref(), Some(MACHINE_TOKEN));
    let key = keys.find(header.kid.as_deref().expect("a key id")).expect("its key");
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&["vault"]);
    rules.validate_exp = false;
    let key = DecodingKey::from_jwk(key).expect("a key");
    let read = jsonwebtoken::decode::<BTreeMap<String, Value>>(&token, &key, &rules).expect("valid");
    assert_eq!(read.claims["sub"], json!(claims().sub));
    assert!(authority.tokens().jwks()["keys"][0].get("d").is_none(), "no private part");
}

#[test]
fn q_50_no_token_lives_longer_than_the_bound() {
    let authority = World::new().create();
    let until = |exp| authority.tokens().sign(&MachineClaims { exp, ..claims() });
    let at = now().as_second();
    assert!(until(at + MAX_LIFE.as_secs()).is_ok());
    for exp in [at + MAX_LIFE.as_secs() + 1, at, at - 1, i64::MIN, i64::MAX] {
        assert!(matches!(until(exp), Err(TokenError::Life { .. })), "{exp}");
    }
    let old = MachineClaims { nbf: at - 86_400, ..claims() };
    assert!(authority.tokens().sign(&old).is_err(), "a life counts from its first second");
}

#[test]
fn q_21_a_cut_or_unsigned_token_is_refused() {
    let authority = World::new().create();
    let token = authority.tokens().sign(&claims()).expect("signed");
    let (body, _) = token.rsplit_once('.').expect("three parts");
    let cuts = [body.to_owned(), format!("{body}."), token[..token.len() - 1].to_owned(), String::new()];
    for cut in cuts.into_iter().chain((0..token.len()).step_by(7).map(|n| token[..n].to_owned())) {
        assert!(authority.tokens().verify(&cut, &expected(now())).is_err(), "{cut}");
    }
}

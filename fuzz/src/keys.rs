//! Keys, certificates, and whatever is signed.

use std::sync::LazyLock;

use muster_issuer::token::Expected;
use muster_issuer::{
    Authority, EngagementClaims, ExpectedEngagement, MachineClaims, MachineIdentity, MachineTemplate,
    NewAuthority, SealKey, SessionClaims, csr as request, parse_spki, verify_engagement, verify_signature,
};
use muster_model::{CredentialId, MachineId, SignedDuration, TenantId, Timestamp};
use muster_testkit::at;
use muster_testkit::world::Device;
use muster_wire::signature::{SignedHeader, SignedRequest};
use sha2::{Digest, Sha256};

use crate::edits::edited;

const US: &str = "https://muster.test";
const THEM: &str = "vault";

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let home = tempfile::tempdir().expect("a temporary directory");
    let new = NewAuthority { trust_domain: "fleet.test".parse().expect("a trust domain"), now: at(0) };
    Authority::create(&home.path().join("ca"), &SealKey::Beside, &new).expect("an authority")
});

static DEVICES: LazyLock<[Device; 2]> =
    LazyLock::new(|| [Device::new("one"), Device::seeded([5; 32], "two")]);

/// As it is, and as a change of one that is valid.
pub(crate) fn csr(bytes: &[u8]) {
    static VALID: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [DEVICES[0].csr(), DEVICES[1].csr()]);
    read_csr(bytes);
    for (device, valid) in DEVICES.iter().zip(VALID.iter()) {
        let changed = edited(valid, bytes);
        if let Some(key) = read_csr(&changed) {
            let is_theirs = key == device.public();
            assert!(
                !is_theirs || signed_part(&changed) == signed_part(valid),
                "a key proves what it did not sign"
            );
        }
    }
}

/// What a request's signature covers: the first element in the outer one (RFC 2986 §4.2).
fn signed_part(der: &[u8]) -> &[u8] {
    let head = |der: &[u8]| match der.get(1) {
        Some(long) if *long > 0x80 => 2 + usize::from(long & 0x7f),
        _ => 2,
    };
    let whole = der.get(head(der)..).unwrap_or_default();
    let from = head(whole);
    let length =
        whole.get(2..from).unwrap_or_default().iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let length = if from == 2 { whole.get(1).map_or(0, |byte| usize::from(*byte)) } else { length };
    whole.get(..from + length).unwrap_or(whole)
}

fn read_csr(der: &[u8]) -> Option<muster_model::PublicKey> {
    let key = request::read(der).ok()?;
    assert_eq!(parse_spki(key.spki()).as_ref(), Ok(&key));
    let mut broken = der.to_vec();
    *broken.last_mut().expect("it is not empty") ^= 1;
    assert!(request::read(&broken).is_err(), "its last byte is of the signature");
    Some(key)
}

pub(crate) fn public_key(bytes: &[u8]) {
    static VALID: LazyLock<[Vec<u8>; 2]> =
        LazyLock::new(|| [0, 1].map(|which: usize| DEVICES[which].public().spki().to_vec()));
    let changed = VALID.iter().map(|valid| edited(valid, bytes));
    for der in std::iter::once(bytes.to_vec()).chain(changed) {
        let Ok(key) = parse_spki(&der) else { continue };
        assert_eq!(key.spki(), der, "one key has one form");
        assert!(!verify_signature(&key, b"a text", bytes), "a signature out of nothing");
    }
}

pub(crate) fn certificate(bytes: &[u8]) {
    static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let template = MachineTemplate {
            tenant: TenantId::from_bytes([1; 16]),
            machine: MachineId::from_bytes([2; 16]),
            serial: CredentialId::from_bytes([3; 16]),
            not_before: at(0),
            not_after: at(0) + SignedDuration::from_hours(24),
        };
        AUTHORITY.issue(&DEVICES[0].public(), &template).expect("a certificate")
    });
    for der in [bytes.to_vec(), edited(&VALID, bytes)] {
        let Ok(found) = MachineIdentity::from_certificate(&der, AUTHORITY.trust_domain()) else { continue };
        let name = AUTHORITY.spiffe_id(found.tenant, found.machine);
        assert!(der.windows(name.len()).any(|part| part == name.as_bytes()), "{name} is not in it");
        let mut longer = der.clone();
        longer.push(0);
        assert!(MachineIdentity::from_certificate(&longer, AUTHORITY.trust_domain()).is_err());
    }
}

/// A token that holds says what was signed, however its text was changed.
pub(crate) fn jwt(bytes: &[u8]) {
    static SESSION: LazyLock<(SessionClaims, String)> = LazyLock::new(|| {
        let text = |text: &str| text.to_owned();
        let (exp, iat, iss) = (600, 0, text(US));
        let (typ, host_id, sub) = (text("host"), text("mch_1"), text("mch_1"));
        let claims =
            SessionClaims { typ, host_id, sub, tenant: text("tnt_1"), exp, iat, iss, jti: text("crd_1") };
        let token = AUTHORITY.tokens().sign_session(&claims).expect("signed");
        (claims, token)
    });
    static MACHINE: LazyLock<(MachineClaims, String)> = LazyLock::new(|| {
        let text = |text: &str| text.to_owned();
        let (iss, sub, aud, jti) = (text(US), text("spiffe://x/t/t/m/m"), text(THEM), text("1"));
        let claims = MachineClaims { iss, sub, aud, exp: 600, iat: 0, nbf: 0, jti };
        let token = AUTHORITY.tokens().sign(&claims).expect("signed");
        (claims, token)
    });
    let raw = String::from_utf8_lossy(bytes);
    let (now, signer) = (Timestamp::UNIX_EPOCH, AUTHORITY.tokens());
    let machine = |token: &str| signer.verify(token, &Expected { issuer: US, audience: THEM, now }).ok();
    assert!(machine(&raw).is_none() && signer.verify_session(&raw, US).is_err(), "out of nothing");
    let changed = |valid: &str| String::from_utf8_lossy(&edited(valid.as_bytes(), bytes)).into_owned();
    if let Some(claims) = machine(&changed(&MACHINE.1)) {
        assert_eq!(claims, MACHINE.0);
    }
    if let Ok(claims) = signer.verify_session(&changed(&SESSION.1), US) {
        assert_eq!(claims, SESSION.0);
    }
    assert!(machine(&changed(&SESSION.1)).is_none(), "one kind is never taken for the other");
}

pub(crate) fn engagement(bytes: &[u8]) {
    static VALID: LazyLock<(EngagementClaims, String)> = LazyLock::new(|| {
        let text = |text: &str| text.to_owned();
        let document = text(r#"{"rate_limit":{},"engagement":{}}"#);
        let claims = EngagementClaims {
            iss: text(US),
            sub: text("spiffe://x/t/t/m/m"),
            aud: text(US),
            iat: 0,
            nbf: 0,
            exp: 600,
            jti: text("1"),
            nick: text("w-one"),
            role: text("worker"),
            team: None,
            version: 1,
            hash: data_encoding::HEXLOWER.encode(&Sha256::digest(&document)),
            document,
        };
        let jws = AUTHORITY.tokens().sign_engagement(&claims).expect("signed");
        (claims, jws)
    });
    let (claims, jws) = &*VALID;
    let keys = AUTHORITY.tokens().jwks();
    let expected = ExpectedEngagement { issuer: Some(US), audience: None, now: Timestamp::UNIX_EPOCH };
    let raw = String::from_utf8_lossy(bytes);
    assert!(verify_engagement(&raw, keys, &expected).is_err(), "out of nothing");
    let changed = edited(jws.as_bytes(), bytes);
    if let Ok(found) = verify_engagement(&String::from_utf8_lossy(&changed), keys, &expected) {
        assert_eq!(found, *claims);
    }
    if let Ok(others) = serde_json::from_slice::<serde_json::Value>(bytes) {
        assert!(verify_engagement(jws, &others, &expected).is_err() || others == *keys, "by another key");
    }
}

/// A signature over one request holds for no other: the first byte says which part of it is changed.
pub(crate) fn signed_request(bytes: &[u8]) {
    let Some((part, change)) = bytes.split_first() else { return };
    let device = &DEVICES[usize::from(part >> 7)];
    let signed = device.signs("nonce-1", "POST", "/v1/machines/self/renew", b"{}");
    let header = signed.header.to_string();
    let (mut method, mut path, mut query, mut body) =
        (signed.method.clone(), signed.path.clone(), signed.query.clone(), signed.body.clone());
    let text = |valid: &str| String::from_utf8_lossy(&edited(valid.as_bytes(), change)).into_owned();
    let mut sent = header.clone();
    match part % 5 {
        0 => sent = text(&header),
        1 => method = text(&method),
        2 => path = text(&path),
        3 => query = String::from_utf8_lossy(change).into_owned(),
        _ => body = edited(&body, change),
    }
    let Ok(found) = sent.parse::<SignedHeader>() else { return };
    let whole = SignedRequest {
        method: &method,
        path: &path,
        query: &query,
        body_sha256: Sha256::digest(&body).into(),
    };
    let holds = verify_signature(&device.public(), &found.statement.signing_input(&whole), &found.signature);
    let is_the_same = found == signed.header
        && (&method, &path, &query, &body) == (&signed.method, &signed.path, &signed.query, &signed.body);
    assert_eq!(holds, is_the_same, "{sent} {method} {path} {query}");
}

//! Texts that are values.

use std::fmt::Display;
use std::str::FromStr;

use http::HeaderMap;
use muster_app::Nonces;
use muster_issuer::{SpiffeId, TrustDomain};
use muster_model::*;
use muster_server::limits::{Source, TrustedProxies, source_of};
use muster_server::serve::{Peer, Transport};
use muster_wire::invite::{CaPin, Invite};
use muster_wire::rotate::Slot;
use muster_wire::signature::SignedHeader;

/// What is read is written as a text that reads the same.
fn reads_back<T: FromStr + Display>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    let again = written.parse::<T>().ok().map(|value| value.to_string());
    assert_eq!(again.as_deref(), Some(written.as_str()), "{text:?} is read and not written as it was");
    assert!(written.len() <= text.len() + 16, "{text:?} grew to {written:?}");
}

/// An error says the same whatever the text was: it cannot repeat a secret.
fn says_nothing_of_it<T: FromStr<Err: Display>>(error: &T::Err, others: &[&str]) {
    let said = error.to_string();
    let same = |other: &&str| other.parse::<T>().err().is_some_and(|error| error.to_string() == said);
    assert!(others.iter().any(same), "an error of its own: {said}");
}

pub(crate) fn secret(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Secret>() {
        Ok(secret) => {
            let back: Secret = secret.reveal().parse().expect("its own text form");
            assert_eq!((back.kind(), back.id()), (secret.kind(), secret.id()));
            assert_eq!(back.reveal(), secret.reveal());
            let shown = format!("{secret:?}");
            let last = &secret.reveal()[secret.reveal().len() - 40..];
            assert!(!shown.contains(last), "the debug form shows it: {shown}");
        }
        Err(error) => says_nothing_of_it::<Secret>(&error, &["", &format!("mst_enroll_{:016}_{:059}", 0, 0)]),
    }
}

pub(crate) fn invite(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    reads_back::<CaPin>(text);
    match text.parse::<Invite>() {
        Ok(invite) => {
            let back: Invite = invite.reveal().parse().expect("its own text form");
            assert_eq!((&back.url, back.pin), (&invite.url, invite.pin));
            assert_eq!(back.token.reveal(), invite.token.reveal());
            assert!(invite.url.starts_with("https://"), "{}", invite.url);
            assert!(!format!("{invite:?}").contains(&invite.token.reveal()));
        }
        // {"u":"http://a","p":"","t":""}
        Err(error) => {
            let plain = "muster1:eyJ1IjoiaHR0cDovL2EiLCJwIjoiIiwidCI6IiJ9";
            says_nothing_of_it::<Invite>(&error, &["", "muster1:", plain]);
        }
    }
}

pub(crate) fn signature_header(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    reads_back::<Slot>(text);
    let Ok(header) = text.parse::<SignedHeader>() else { return };
    assert_eq!(header.to_string().parse(), Ok(header.clone()));
    assert!(header.signature.len() <= 128 && header.statement.nonce.is_ascii());
}

pub(crate) fn nonce(bytes: &[u8]) {
    let Some((now, text)) = bytes.split_first_chunk::<4>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let nonces = Nonces::new(Pepper::new([7; 32]));
    let now = Timestamp::from_second(i64::from(u32::from_be_bytes(*now))).expect("in range");
    let issued = nonces.issue(now, 7, None);
    assert!(nonces.place(&issued, now, None).is_some(), "its own");
    if let Some(place) = nonces.place(text, now, None) {
        // Nobody but who has the pepper makes one: it is one that was given out.
        let at = Timestamp::from_millisecond((place >> 20) as i64).expect("a time");
        assert_eq!(nonces.issue(at, place as u32, None), text);
    }
}

pub(crate) fn forwarded(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n').take(8) {
        let Ok(value) = http::HeaderValue::from_bytes(line) else { continue };
        headers.append("x-forwarded-for", value);
    }
    let peer = Peer { address: "10.0.0.9:4000".parse().ok(), transport: Transport::Plain };
    let ours = ["10.0.0.0/8", "fd00::/8"].map(|range| range.parse().expect("a range"));
    let alone = source_of(&peer, &headers, &TrustedProxies::default());
    let is_peer =
        matches!(alone, Source::Address(address) if address == std::net::IpAddr::from([10, 0, 0, 9]));
    assert!(is_peer, "nobody is believed who is not configured: {alone}");
    let ours = TrustedProxies::new(if first % 2 == 0 { ours.to_vec() } else { vec![ours[0]] });
    let Source::Address(found) = source_of(&peer, &headers, &ours) else { panic!("a peer with an address") };
    assert_eq!(found, found.to_canonical(), "a v4 address in v6 clothes");
}

/// Each kind of text, tried one by one: what reads as several is written by each as it was.
pub(crate) fn nouns(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    identifiers(text);
    reads_back::<Hostname>(text);
    reads_back::<MachineName>(text);
    reads_back::<HardwareId>(text);
    reads_back::<SiteCode>(text);
    reads_back::<MethodName>(text);
    reads_back::<ProvisionerName>(text);
    reads_back::<ReasonText>(text);
    reads_back::<MishapText>(text);
    reads_back::<AccountName>(text);
    reads_back::<Role>(text);
    reads_back::<Skill>(text);
    reads_back::<Team>(text);
    reads_back::<Nick>(text);
    reads_back::<Cidr>(text);
    reads_back::<KeyFingerprint>(text);
    reads_back::<Actor>(text);
    reads_back::<Scopes>(text);
    reads_back::<TrustDomain>(text);
    reads_back::<SpiffeId>(text);
    let words = [
        text.parse::<MachineKind>().ok().map(MachineKind::as_str),
        text.parse::<AgentRole>().ok().map(AgentRole::as_str),
        text.parse::<OperatorRole>().ok().map(OperatorRole::as_str),
        text.parse::<ReimagePolicy>().ok().map(ReimagePolicy::as_str),
        text.parse::<KeyAlgorithm>().ok().map(KeyAlgorithm::as_str),
    ];
    for word in words.into_iter().flatten() {
        assert_eq!(word, text, "a word is taken as it is written alone");
    }
    if let Ok(hash) = text.parse::<ImportedHash>() {
        assert_eq!(hash.as_str().parse(), Ok(hash.clone()));
        assert!(!format!("{hash:?}").contains(hash.as_str()));
    }
    if let Ok(key) = text.parse::<PayloadKey>() {
        assert!(!format!("{key:?}").contains(text.trim()));
    }
}

fn identifiers(text: &str) {
    reads_back::<TenantId>(text);
    reads_back::<SiteId>(text);
    reads_back::<MachineId>(text);
    reads_back::<GrantId>(text);
    reads_back::<HoldId>(text);
    reads_back::<CredentialId>(text);
    reads_back::<OperatorId>(text);
    reads_back::<AccessTokenId>(text);
    reads_back::<AccountId>(text);
    reads_back::<AuditId>(text);
    reads_back::<ReplicaId>(text);
    reads_back::<DeploymentId>(text);
    reads_back::<IncarnationId>(text);
}

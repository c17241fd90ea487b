//! Certificates as a TLS library sees them, and identities read from them.

use std::sync::Arc;
use std::time::Duration;

use muster_issuer::{
    Authority, CallerTemplate, IdentityError, IssueError, MachineIdentity, MachineTemplate, ServerName,
    ServingTemplate, csr, serving_name,
};
use muster_model::{CredentialId, SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
    SerialNumber,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{Error, RootCertStore};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::support::*;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn trusting(root: &CertificateDer<'static>) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    store.add(root.clone()).expect("a trust anchor");
    Arc::new(store)
}

fn at(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_second().unsigned_abs()))
}

pub(crate) fn accepts_client(
    root: &CertificateDer<'static>,
    chain: &[CertificateDer<'_>],
    time: Timestamp,
) -> Result<(), Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(trusting(root), provider());
    let verifier = verifier.build().expect("a verifier");
    verifier.verify_client_cert(&chain[0], &chain[1..], at(time)).map(|_| ())
}

pub(crate) fn accepts_server(
    root: &CertificateDer<'static>,
    chain: &[CertificateDer<'_>],
    name: &str,
) -> Result<(), Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(trusting(root), provider());
    let verifier = verifier.build().expect("a verifier");
    let name = ServerName::try_from(name).expect("a name");
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], at(now())).map(|_| ())
}

fn machine(authority: &Authority, template: &MachineTemplate) -> CertificateDer<'static> {
    let request = csr(&key_pair(&PKCS_ECDSA_P256_SHA256), &CertificateParams::default());
    let key = csr::read(&request).expect("a good request");
    authority.issue(&key, template).expect("issued").into()
}

#[test]
fn a_machine_certificate_chains_to_the_active_root_and_to_no_other() {
    let authority = World::new().create();
    let chain = [machine(&authority, &template()), authority.chain_der().clone()];
    let [active, standby] = authority.roots_der()[..] else { panic!("two roots") };
    assert_eq!(accepts_client(active, &chain, now()), Ok(()));
    assert!(accepts_client(standby, &chain, now()).is_err());
    assert!(accepts_client(active, &chain[..1], now()).is_err(), "the root signed no leaf");
    assert!(accepts_client(active, &chain, now() + SignedDuration::from_hours(25)).is_err(), "expired");
}

#[test]
fn a_machine_certificate_serves_no_server_and_signs_no_other() {
    let authority = World::new().create();
    let chain = [machine(&authority, &template()), authority.chain_der().clone()];
    assert!(accepts_server(authority.roots_der()[0], &chain, "fleet.example").is_err());
    let pair = key_pair(&PKCS_ECDSA_P256_SHA256);
    let key = csr::read(&csr(&pair, &CertificateParams::default())).expect("a good request");
    let above = authority.issue(&key, &template()).expect("issued");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://x".try_into().expect("ASCII"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut name = CertificateParams::default();
    name.distinguished_name = rcgen::DistinguishedName::new();
    name.distinguished_name.push(rcgen::DnType::CommonName, template().machine.to_string());
    let forged = params.signed_by(&key_pair(&PKCS_ED25519), &rcgen::Issuer::new(name, pair)).expect("signed");
    let chain = [forged.into(), above.into(), authority.chain_der().clone()];
    let error = accepts_client(authority.roots_der()[0], &chain, now()).expect_err("not an authority");
    assert!(format!("{error:?}").contains("EndEntityUsedAsCa"), "{error:?}");
}

#[test]
fn our_server_certificate_holds_for_its_names_and_for_no_client() {
    let authority = World::new().create();
    let names = ["muster.example", "127.0.0.1", "::1"].map(|n| ServerName::try_from(n).expect("a name"));
    let made = authority.server_certificate(&names, now()).expect("made");
    let root = authority.roots_der()[0];
    for name in ["muster.example", "MUSTER.example", "127.0.0.1", "::1"] {
        assert_eq!(accepts_server(root, &made.chain, name), Ok(()), "{name}");
    }
    for name in ["x.muster.example", "example", "127.0.0.2"] {
        assert!(accepts_server(root, &made.chain, name).is_err(), "{name}");
    }
    assert!(accepts_client(root, &made.chain, now()).is_err());
    let signing = provider().key_provider.load_private_key(made.key.clone_key()).expect("a key");
    let certified = rustls::sign::CertifiedKey::new(made.chain.clone(), signing);
    assert_eq!(certified.keys_match(), Ok(()));
    assert_eq!(made.renew_at, now() + SignedDuration::from_hours(15 * 24));
    assert!(matches!(authority.server_certificate(&[], now()), Err(IssueError::Name(_))));
}

#[test]
fn no_certificate_outlives_the_authority_that_signs_it() {
    let authority = World::new().create();
    let end = authority.issuing_not_after();
    let key =
        muster_issuer::parse_spki(&rcgen::PublicKeyData::subject_public_key_info(&key_pair(&PKCS_ED25519)));
    let key = key.expect("a key");
    let until = |not_after| authority.issue(&key, &MachineTemplate { not_after, ..template() });
    assert!(until(end).is_ok());
    let second = SignedDuration::from_secs(1);
    assert!(matches!(until(end + second), Err(IssueError::OutlivesIssuer { .. })));
    assert!(matches!(until(template().not_before), Err(IssueError::Life { .. })));
    let late = end - SignedDuration::from_hours(48);
    let names = [ServerName::try_from("x").expect("a name")];
    let made = authority.server_certificate(&names, late).expect("made");
    assert_eq!((made.not_after, made.renew_at), (end, late + SignedDuration::from_hours(24)));
}

#[test]
fn q_02_an_identity_is_read_back_as_it_was_issued() {
    let authority = World::new().create();
    let serials = [[0x7f; 16], [0xff; 16], [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]];
    for serial in serials.map(CredentialId::from_bytes) {
        let template = MachineTemplate { serial, ..template() };
        let request = csr(&key_pair(&PKCS_ED25519), &CertificateParams::default());
        let key = csr::read(&request).expect("a good request");
        let der = authority.issue(&key, &template).expect("issued");
        let identity = MachineIdentity::from_certificate(&der, &trust_domain()).expect("one of ours");
        let MachineTemplate { tenant, machine, not_before, not_after, .. } = template;
        assert_eq!(
            identity,
            MachineIdentity { tenant, machine, credential: serial, key, not_before, not_after }
        );
    }
    let zero = MachineTemplate { serial: CredentialId::from_bytes([0; 16]), ..template() };
    let request = csr(&key_pair(&PKCS_ED25519), &CertificateParams::default());
    let key = csr::read(&request).expect("a good request");
    assert!(matches!(authority.issue(&key, &zero), Err(IssueError::Serial)));
}

#[test]
fn q_02_only_the_certificate_of_a_machine_of_this_trust_domain_has_an_identity() {
    let authority = World::new().create();
    let read = |der: &[u8]| MachineIdentity::from_certificate(der, &trust_domain());
    let der = machine(&authority, &template());
    let elsewhere =
        MachineIdentity::from_certificate(&der, &"other.example".parse().expect("a trust domain"));
    assert_eq!(elsewhere, Err(IdentityError::Foreign { found: trust_domain() }));
    assert_eq!(read(authority.chain_der()), Err(IdentityError::Authority));
    let names = [ServerName::try_from("x.example").expect("a name")];
    let server = authority.server_certificate(&names, now()).expect("made");
    assert_eq!(read(&server.chain[0]), Err(IdentityError::Usage));
    assert_eq!(read(&[&der[..], &[0]].concat()), Err(IdentityError::Malformed));
}

/// A certificate like ours, self-signed, but for one change.
fn altered(change: impl FnOnce(&mut CertificateParams)) -> Result<MachineIdentity, IdentityError> {
    let id = format!("spiffe://fleet.example/t/{}/m/{}", template().tenant, template().machine);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().expect("ASCII"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&[5; 16]));
    change(&mut params);
    let made = params.self_signed(&key_pair(&PKCS_ECDSA_P256_SHA256)).expect("signed");
    MachineIdentity::from_certificate(made.der(), &trust_domain())
}

#[test]
fn q_02_a_certificate_that_our_template_never_makes_has_no_identity() {
    let dns = || SanType::DnsName("x.example".try_into().expect("ASCII"));
    assert!(altered(|_| {}).is_ok());
    assert_eq!(altered(|p| p.subject_alt_names.push(dns())), Err(IdentityError::Names));
    assert_eq!(
        altered(|p| p.subject_alt_names.push(p.subject_alt_names[0].clone())),
        Err(IdentityError::Names)
    );
    assert_eq!(altered(|p| p.subject_alt_names.clear()), Err(IdentityError::Names));
    assert_eq!(altered(|p| p.subject_alt_names = vec![dns()]), Err(IdentityError::Names));
    assert_eq!(altered(|p| p.extended_key_usages.clear()), Err(IdentityError::Usage));
    assert_eq!(
        altered(|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth)),
        Err(IdentityError::Usage)
    );
    assert_eq!(
        altered(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
        Err(IdentityError::Usage)
    );
    let ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(altered(|p| p.is_ca = ca), Err(IdentityError::Authority));
    let long = SerialNumber::from_slice(&[5; 17]);
    assert_eq!(altered(|p| p.serial_number = Some(long)), Err(IdentityError::Serial));
}

fn serving(address: Option<&str>) -> ServingTemplate {
    ServingTemplate {
        serial: CredentialId::from_bytes([6; 16]),
        machine: template().machine,
        address: address.map(ToOwned::to_owned),
        now: now(),
        not_after: now() + SignedDuration::from_hours(24 * 7),
    }
}

#[test]
fn a_key_that_is_made_for_a_client_serves_under_our_name_and_is_no_identity() {
    let authority = World::new().create();
    let made = authority.make_key(&serving(None)).expect("made");
    assert!(made.key.starts_with("-----BEGIN EC PRIVATE KEY-----\n"), "what existing clients parse");
    let key = pem::parse(made.key.as_bytes()).expect("PEM");
    let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    assert!(key.contents().windows(p256.len()).any(|part| part == p256), "with its curve");
    let chain = pem::parse_many(made.chain.as_bytes()).expect("PEM");
    assert_eq!(chain[1].contents(), authority.chain_der().as_ref());
    let leaf = chain[0].contents();
    let (_, read) = X509Certificate::from_der(leaf).expect("a certificate");
    let names = read.subject_alternative_name().expect("once").expect("there").value;
    let name = serving_name(template().machine, &trust_domain());
    assert_eq!(names.general_names, [GeneralName::DNSName(&name)]);
    let usage = read.extended_key_usage().expect("once").expect("there").value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let identity = MachineIdentity::from_certificate(leaf, &trust_domain());
    assert_eq!(identity, Err(IdentityError::Usage));
    assert_ne!(made.chain, authority.make_key(&serving(None)).expect("made").chain, "a key of its own");
}

#[test]
fn q_03_only_an_address_that_an_operator_gave_stands_in_it_and_only_as_a_name() {
    let authority = World::new().create();
    for (given, expected) in [
        ("10.0.0.5", GeneralName::IPAddress(&[10, 0, 0, 5])),
        ("Box.Example", GeneralName::DNSName("box.example")),
    ] {
        let made = authority.make_key(&serving(Some(given))).expect("made");
        let chain = pem::parse_many(made.chain.as_bytes()).expect("PEM");
        let (_, read) = X509Certificate::from_der(chain[0].contents()).expect("a certificate");
        let names = read.subject_alternative_name().expect("once").expect("there").value;
        assert_eq!(names.general_names[1], expected);
    }
    assert!(authority.make_key(&serving(Some("bücher.example"))).is_err());
}

fn der(pem: &str) -> Vec<CertificateDer<'static>> {
    let all = pem::parse_many(pem.as_bytes()).expect("PEM");
    all.into_iter().map(|one| CertificateDer::from(one.into_contents())).collect()
}

fn caller(authority: &Authority, not_after: Timestamp) -> Result<Vec<CertificateDer<'static>>, IssueError> {
    let key = csr::read(&csr(&key_pair(&PKCS_ECDSA_P256_SHA256), &CertificateParams::default()));
    let serial = CredentialId::from_bytes([4; 16]);
    let template = CallerTemplate { serial, name: "wrenn-cp".to_owned(), now: now(), not_after };
    authority.certify_caller(&key.expect("a good request"), &template).map(|pem| der(&pem))
}

/// Which certificates open the port of a machine that serves: those of callers. One of a machine does not, not even with
/// everything that stands above it, and neither does the server's own.
#[test]
fn a_caller_is_let_in_by_the_authority_of_callers_and_a_machine_is_not() {
    let authority = World::new().create();
    let [callers] = &der(&authority.callers_pem())[..] else { panic!("one authority") };
    let caller = caller(&authority, now() + SignedDuration::from_hours(24)).expect("made");
    assert_eq!(accepts_client(callers, &caller, now()), Ok(()));
    assert!(accepts_client(callers, &caller, now() + SignedDuration::from_hours(25)).is_err(), "short");
    let [active, standby] = authority.roots_der()[..] else { panic!("two roots") };
    let machine = machine(&authority, &template());
    let names = [ServerName::try_from("muster.example").expect("a name")];
    let server = authority.server_certificate(&names, now()).expect("made");
    for foreign in [
        vec![machine.clone(), authority.chain_der().clone()],
        vec![machine, authority.chain_der().clone(), active.clone(), standby.clone()],
        server.chain,
        der(&authority.make_key(&serving(None)).expect("made").chain),
    ] {
        assert!(accepts_client(callers, &foreign, now()).is_err());
    }
}

/// The other direction: nobody who calls is a machine, serves, or certifies, and a machine that serves shows a certificate
/// of the roots that operators are told.
#[test]
fn a_caller_is_no_machine_and_no_server_and_those_it_calls_are_of_the_machines_authority() {
    let authority = World::new().create();
    let callers = der(&authority.callers_pem());
    let caller = caller(&authority, now() + SignedDuration::from_hours(24)).expect("made");
    for root in authority.roots_der() {
        assert!(accepts_client(root, &caller, now()).is_err());
    }
    assert!(accepts_server(&callers[0], &caller, "wrenn-cp").is_err());
    assert!(MachineIdentity::from_certificate(&caller[0], &trust_domain()).is_err());
    let (_, read) = X509Certificate::from_der(&callers[0]).expect("a certificate");
    let limits = read.basic_constraints().expect("once").expect("there").value;
    assert_eq!((limits.ca, limits.path_len_constraint), (true, Some(0)));
    let served = der(&authority.make_key(&serving(Some("10.0.0.5"))).expect("made").chain);
    assert_eq!(accepts_server(authority.roots_der()[0], &served, "10.0.0.5"), Ok(()));
    assert!(accepts_server(&callers[0], &served, "10.0.0.5").is_err(), "callers certify no server");
}

#[test]
fn a_caller_has_the_name_and_key_that_were_certified_and_does_not_outlive_its_authority() {
    let authority = World::new().create();
    let made = caller(&authority, now() + SignedDuration::from_hours(24)).expect("made");
    let (_, read) = X509Certificate::from_der(&made[0]).expect("a certificate");
    let common: Vec<_> = read.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
    assert_eq!((common, read.serial.to_bytes_be()), (vec!["wrenn-cp"], vec![4; 16]));
    let names = read.subject_alternative_name().expect("once").expect("there").value;
    assert_eq!(names.general_names, [GeneralName::URI("spiffe://fleet.example/caller/wrenn-cp")]);
    let usage = read.extended_key_usage().expect("once").expect("there").value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let late = now() + SignedDuration::from_hours(11 * 365 * 24);
    assert!(matches!(caller(&authority, late), Err(IssueError::OutlivesIssuer { .. })));
}

#[test]
fn q_29_an_own_key_is_made_once_privately_and_proves_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("x.key");
    let first = muster_issuer::OwnKey::at(&path).expect("made").request().expect("a request");
    let again = muster_issuer::OwnKey::at(&path).expect("read").request().expect("a request");
    let spki = |request: &[u8]| csr::read(request).expect("proves its key").spki().to_vec();
    assert_eq!(spki(&first), spki(&again));
    assert!(muster_issuer::files::read(&path).is_ok(), "private");
    std::fs::write(&path, "half").expect("ours");
    assert!(muster_issuer::OwnKey::at(&path).is_err(), "never made anew");
}

//! Requests: what is taken from them and what never is.

use muster_issuer::csr::{self, MAX_CSR};
use muster_issuer::{CsrError, KeyError, MachineIdentity};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SanType,
};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::support::*;

#[test]
fn the_key_of_a_request_is_the_key_that_signed_it() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let key = key_pair(algorithm);
        let read = csr::read(&csr(&key, &CertificateParams::default())).expect("a good request");
        assert_eq!(read.spki(), key.subject_public_key_info());
    }
}

#[test]
fn a_request_of_another_algorithm_is_refused_by_name() {
    let request = csr(&key_pair(&PKCS_ECDSA_P384_SHA384), &CertificateParams::default());
    assert_eq!(csr::read(&request), Err(CsrError::Key(KeyError::Curve)));
}

#[test]
fn a_signature_algorithm_that_does_not_fit_the_key_is_refused() {
    let mut request = csr(&key_pair(&PKCS_ECDSA_P256_SHA256), &CertificateParams::default());
    let ecdsa_with_sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let at = request.windows(8).position(|w| w == ecdsa_with_sha256).expect("its algorithm");
    request[at + 7] = 0x03;
    assert_eq!(csr::read(&request), Err(CsrError::Algorithm));
}

#[test]
fn a_request_changed_after_signing_proves_nothing() {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "aaaaaaaaaaaa");
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let mut request = csr(&key_pair(algorithm), &params);
        let at = request.windows(12).position(|w| w == b"aaaaaaaaaaaa").expect("its subject");
        request[at] = b'b';
        assert_eq!(csr::read(&request), Err(CsrError::Signature));
    }
}

#[test]
fn the_signature_of_another_request_proves_nothing() {
    let params = CertificateParams::default();
    let (one, other) = (csr(&key_pair(&PKCS_ED25519), &params), csr(&key_pair(&PKCS_ED25519), &params));
    let body = one.len() - 64;
    let mixed = [&one[..body], &other[body..]].concat();
    assert_eq!(csr::read(&mixed), Err(CsrError::Signature));
}

#[test]
fn bytes_after_a_request_are_refused() {
    let mut request = csr(&key_pair(&PKCS_ED25519), &CertificateParams::default());
    request.push(0);
    assert_eq!(csr::read(&request), Err(CsrError::Malformed));
}

/// A request of exactly `len` bytes, a hundred or more.
fn padded(key: &KeyPair, len: usize) -> Vec<u8> {
    let with = |pad: usize| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "x".repeat(pad));
        csr(key, &params)
    };
    let overhead = with(len).len() - len;
    let request = with(len - overhead);
    assert_eq!(request.len(), len, "signatures of this key have one length");
    request
}

#[test]
fn q_03_q_46_a_request_is_read_up_to_its_bound_and_no_further() {
    let key = key_pair(&PKCS_ED25519);
    assert!(csr::read(&padded(&key, MAX_CSR)).is_ok());
    assert_eq!(csr::read(&padded(&key, MAX_CSR + 1)), Err(CsrError::TooLong));
    assert_eq!(csr::read(&vec![0x30; 100 * MAX_CSR]), Err(CsrError::TooLong));
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn hostile_name() -> impl Strategy<Value = SanType> {
    prop_oneof![
        Just(uri("spiffe://fleet.example/t/admin/m/root")),
        "[a-z]{1,12}\\.example".prop_map(|d| SanType::DnsName(d.as_str().try_into().expect("ASCII"))),
        "[a-z]{1,8}@example".prop_map(|d| SanType::Rfc822Name(d.as_str().try_into().expect("ASCII"))),
        any::<[u8; 4]>().prop_map(|ip| SanType::IpAddress(ip.into())),
    ]
}

fn hostile_constraint() -> impl Strategy<Value = IsCa> {
    prop_oneof![
        Just(IsCa::NoCa),
        Just(IsCa::Ca(BasicConstraints::Unconstrained)),
        any::<u8>().prop_map(|n| IsCa::Ca(BasicConstraints::Constrained(n % 128))),
    ]
}

fn hostile_usages() -> impl Strategy<Value = Vec<ExtendedKeyUsagePurpose>> {
    let all = vec![
        ExtendedKeyUsagePurpose::Any,
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::CodeSigning,
    ];
    proptest::sample::subsequence(all, 0..=4)
}

prop_compose! {
    fn hostile()(
        names in proptest::collection::vec(hostile_name(), 0..4),
        is_ca in hostile_constraint(),
        usages in hostile_usages(),
        subject in "\\PC{0,40}",
        extension in proptest::collection::vec(any::<u8>(), 0..60),
    ) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.subject_alt_names = names;
        params.is_ca = is_ca;
        params.extended_key_usages = usages;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], extension)];
        params
    }
}

/// The signed part of a certificate with its key and its key identifier blanked.
fn without_key(der: &[u8]) -> Vec<u8> {
    let (_, certificate) = X509Certificate::from_der(der).expect("a certificate");
    let tbs: &[u8] = certificate.tbs_certificate.as_ref();
    let id = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    let mut blank = tbs.to_vec();
    for part in [certificate.public_key().raw, id.expect("a key identifier")] {
        let at = tbs.windows(part.len()).position(|w| w == part).expect("inside");
        blank[at..at + part.len()].fill(0);
    }
    blank
}

#[test]
fn q_03_nothing_of_a_thousand_hostile_requests_but_the_key_gets_into_a_certificate() {
    let authority = World::new().create();
    let blank = |algorithm| {
        let key =
            csr::read(&csr(&key_pair(algorithm), &CertificateParams::default())).expect("a good request");
        without_key(&authority.issue(&key, &template()).expect("issued"))
    };
    let (p256, ed25519) = (blank(&PKCS_ECDSA_P256_SHA256), blank(&PKCS_ED25519));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) };
    proptest!(config, |(params in hostile(), is_p256: bool)| {
        let algorithm = if is_p256 { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_ED25519 };
        let pair = key_pair(algorithm);
        let key = csr::read(&csr(&pair, &params)).expect("well formed and signed by its key");
        let der = authority.issue(&key, &template()).expect("issued");
        prop_assert_eq!(&without_key(&der), if is_p256 { &p256 } else { &ed25519 });
        let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
        prop_assert_eq!(certificate.public_key().raw, pair.subject_public_key_info());
    });
}

/// Changes bytes, cuts, and repeats pieces.
fn mutate(bytes: &[u8], changes: &[(u16, u8)], cut: u16, twice: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, value) in changes {
        let at = usize::from(*at) % bytes.len();
        bytes[at] ^= value;
    }
    if twice {
        let middle = bytes.len() / 2;
        bytes.extend_from_within(middle..);
    }
    bytes.truncate(bytes.len() - usize::from(cut) % bytes.len());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn no_bytes_at_all_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(csr::read(&bytes).is_err());
        prop_assert!(muster_issuer::parse_spki(&bytes).is_err());
        prop_assert!(MachineIdentity::from_certificate(&bytes, &trust_domain()).is_err());
    }
}

#[test]
fn a_mutated_request_never_gives_another_key_and_never_panics() {
    let pair = key_pair(&PKCS_ECDSA_P256_SHA256);
    let mut params = CertificateParams::new(vec!["x.example".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let request = csr(&pair, &params);
    let authority = World::new().create();
    let key = csr::read(&request).expect("a good request");
    let certificate = authority.issue(&key, &template()).expect("issued");
    let changes = proptest::collection::vec((any::<u16>(), any::<u8>()), 0..4);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) };
    proptest!(config, |(changes in changes, cut in prop_oneof![3 => Just(0u16), 1 => any::<u16>()], twice: bool)| {
        if let Ok(read) = csr::read(&mutate(&request, &changes, cut, twice)) {
            prop_assert_eq!(&read, &key);
        }
        let mutated = mutate(&certificate, &changes, cut, twice);
        let read = MachineIdentity::from_certificate(&mutated, &trust_domain());
        prop_assert!(read.is_err() || mutated.len() == certificate.len());
    });
}

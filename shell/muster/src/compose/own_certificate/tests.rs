//! What is wrong with a pair, in words; and what is picked up when.

use std::os::unix::fs::{PermissionsExt, symlink};

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    PKCS_RSA_SHA256, SignatureAlgorithm, date_time_ymd,
};

use super::*;

/// Where an operator keeps a pair, and who certifies it.
struct Place {
    dir: tempfile::TempDir,
    root: Issuer<'static, KeyPair>,
}

/// A certificate of 2030, with its key.
struct Made {
    chain: String,
    key: KeyPair,
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn new_year() -> Timestamp {
    at("2030-01-01T00:00:00Z")
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

impl Place {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = Issuer::new(params, KeyPair::generate().expect("a key"));
        Self { dir: tempfile::tempdir().expect("a directory"), root }
    }

    fn make(&self, algorithm: &'static SignatureAlgorithm) -> Made {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::new(vec!["clients.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2029, 12, 1);
        params.not_after = date_time_ymd(2030, 3, 1);
        let chain = params.signed_by(&key, &self.root).expect("a leaf").pem();
        Made { chain, key }
    }

    fn files(&self) -> OwnFiles {
        OwnFiles {
            certificate: self.dir.path().join("fullchain.pem"),
            key: self.dir.path().join("privkey.pem"),
        }
    }

    fn write(&self, chain: &str, key: &str) -> OwnFiles {
        let files = self.files();
        std::fs::write(&files.certificate, chain).expect("ours");
        std::fs::write(&files.key, key).expect("ours");
        self.mode(0o600);
        files
    }

    fn mode(&self, mode: u32) {
        std::fs::set_permissions(self.files().key, std::fs::Permissions::from_mode(mode)).expect("ours");
    }

    fn put(&self, made: &Made) -> OwnFiles {
        self.write(&made.chain, &made.key.serialize_pem())
    }
}

/// How a start and a check refuse these files.
fn refused(files: &OwnFiles, now: Timestamp) -> String {
    let failure = files.warning(now).expect_err("refused");
    assert_eq!(failure.exit(), Exit::Config);
    let said = format!("{} {} {}", failure.message(), failure.why(), failure.fix());
    let started = files.clone().keep(now).err().expect("no start either");
    assert_eq!(said, format!("{} {} {}", started.message(), started.why(), started.fix()));
    assert!(!said.contains("BEGIN") && !said.contains("MII"), "{said}");
    said
}

#[test]
fn a_key_may_be_written_in_any_of_the_three_ways() {
    let place = Place::new();
    let (rsa, p256) = (place.make(&PKCS_RSA_SHA256), place.make(&PKCS_ECDSA_P256_SHA256));
    // What PKCS#8 wraps, behind its head, is what the older forms hold.
    let inner = |made: &Made, head: usize| made.key.serialize_der()[head..].to_vec();
    for (what, chain, key) in [
        ("PKCS#8", &p256.chain, p256.key.serialize_pem()),
        ("SEC1", &p256.chain, pem("EC PRIVATE KEY", &inner(&p256, 29))),
        ("PKCS#1", &rsa.chain, pem("RSA PRIVATE KEY", &inner(&rsa, 26))),
    ] {
        let said = place.write(chain, &key).warning(new_year());
        assert!(matches!(said, Ok(None)), "{what}: {said:?}");
    }
}

#[test]
fn what_is_wrong_with_a_pair_is_named_by_its_file_and_nothing_of_the_key_is_shown() {
    let place = Place::new();
    let (made, other) = (place.make(&PKCS_ED25519), place.make(&PKCS_ED25519));
    let (chain, key) = (made.chain.as_str(), made.key.serialize_pem());
    let cut = |text: &str| text[..text.len() * 2 / 3].to_owned();
    let swapped = format!("{}{chain}", other.chain);
    let locked = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    for (chain, key, file, why) in [
        ("not PEM", key.as_str(), "compat.certificate", "there is no certificate (PEM) in it"),
        (&cut(chain), &key, "compat.certificate", "is not PEM"),
        (&pem("CERTIFICATE", b"x"), &key, "compat.certificate", "certificate 1 of the chain cannot be read"),
        (chain, "not PEM", "compat.key", "there is no private key in it"),
        (chain, &cut(&key), "compat.key", "there is no private key in it"),
        (chain, &locked, "compat.key", "without a passphrase"),
        (chain, &pem("PRIVATE KEY", b"x"), "the certificate and its key cannot be used", ""),
        (chain, &other.key.serialize_pem(), "compat.key", "does not fit the first certificate"),
        (&swapped, &key, "compat.key", "does not fit the first certificate"),
    ] {
        let said = refused(&place.write(chain, key), new_year());
        assert!(said.contains(file) && said.contains(why), "{file} {why}: {said}");
    }
}

#[test]
fn files_that_are_missing_or_open_to_others_are_named() {
    let place = Place::new();
    let files = place.put(&place.make(&PKCS_ED25519));
    place.mode(0o640);
    let said = refused(&files, new_year());
    assert!(said.contains("privkey.pem") && said.contains("0640") && said.contains("chmod 0600"), "{said}");
    place.mode(0o400);
    assert!(files.warning(new_year()).is_ok(), "narrower is as well");
    for (gone, key) in [(&files.certificate, "compat.certificate"), (&files.key, "compat.key")] {
        let kept = std::fs::read(gone).expect("ours");
        std::fs::remove_file(gone).expect("ours");
        let said = refused(&files, new_year());
        assert!(said.starts_with(key) && said.contains("No such file"), "{said}");
        std::fs::write(gone, kept).expect("ours");
    }
}

#[test]
fn a_key_behind_a_link_is_judged_by_the_file_at_its_end() {
    let place = Place::new();
    let files = place.put(&place.make(&PKCS_ED25519));
    let archived = place.dir.path().join("privkey1.pem");
    std::fs::rename(&files.key, &archived).expect("ours");
    symlink(&archived, &files.key).expect("ours");
    assert!(files.warning(new_year()).is_ok());
    place.mode(0o644);
    assert!(refused(&files, new_year()).contains("0644"));
}

#[test]
fn a_chain_serves_between_its_begin_and_its_end_and_warns_a_fortnight_before() {
    let place = Place::new();
    let files = place.put(&place.make(&PKCS_ED25519));
    assert!(refused(&files, at("2029-11-30T00:00:00Z")).contains("begins at 2029-12-01"));
    assert!(matches!(files.warning(at("2030-02-14T23:00:00Z")), Ok(None)));
    let warning = files.warning(at("2030-02-15T01:00:00Z")).expect("it serves").expect("a warning");
    assert!(warning.contains("fullchain.pem ends at 2030-03-01"), "{warning}");
    assert!(refused(&files, at("2030-03-01T00:00:00Z")).contains("ended at 2030-03-01"));
}

#[test]
fn a_chain_ends_with_the_first_of_its_certificates() {
    let place = Place::new();
    let made = place.make(&PKCS_ED25519);
    let mut above = CertificateParams::new(Vec::new()).expect("no names");
    above.not_after = date_time_ymd(2030, 1, 2);
    let above = above.signed_by(&made.key, &place.root).expect("signed").pem();
    let files = place.write(&(made.chain + &above), &made.key.serialize_pem());
    let warning = files.warning(new_year()).expect("it serves").expect("a warning");
    assert!(warning.contains("ends at 2030-01-02"), "{warning}");
    assert!(refused(&files, at("2030-01-02T00:00:01Z")).contains("certificate 2 of the chain ended"));
}

#[test]
fn a_new_pair_is_picked_up_and_one_that_does_not_fit_is_not() {
    let place = Place::new();
    let (first, second) = (place.make(&PKCS_ED25519), place.make(&PKCS_ED25519));
    let mut kept = place.put(&first).keep(new_year()).expect("it serves");
    let shared = kept.shared();
    let before = shared.load_full();
    let serves_as_before = || Arc::ptr_eq(&before, &shared.load_full());

    kept.look(new_year());
    assert!(serves_as_before(), "nothing has changed");
    // Half of the change: the chain is there, its key is not yet.
    place.write(&second.chain, &first.key.serialize_pem());
    kept.look(new_year());
    assert!(serves_as_before());
    assert!(
        kept.complaint.as_ref().is_some_and(|said| said.contains("does not fit")),
        "{:?}",
        kept.complaint
    );
    std::fs::remove_file(place.files().certificate).expect("ours");
    kept.look(new_year());
    assert!(serves_as_before());
    place.put(&second);
    kept.look(new_year());
    assert!(!serves_as_before() && kept.complaint.is_none());
}

#[test]
fn the_end_is_told_once_a_day_until_there_is_another_pair() {
    let place = Place::new();
    let mut kept = place.put(&place.make(&PKCS_ED25519)).keep(new_year()).expect("it serves");
    assert_eq!(kept.warned, None);
    let (first, next) = (at("2030-02-20T00:00:00Z"), at("2030-02-21T00:00:00Z"));
    kept.look(first);
    kept.look(first + SignedDuration::from_hours(23));
    assert_eq!(kept.warned, Some(first));
    kept.look(next);
    assert_eq!(kept.warned, Some(next));
    let mut longer = CertificateParams::new(Vec::new()).expect("no names");
    longer.not_after = date_time_ymd(2031, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let chain = longer.signed_by(&key, &place.root).expect("a leaf").pem();
    place.write(&chain, &key.serialize_pem());
    kept.look(next);
    assert_eq!(kept.warned, None);
}

//! From one authority to the next, as a TLS library sees each step.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use muster_issuer::{Authority, AuthorityError, SealKey, ServerName, csr};
use muster_model::{Ca, CaPhase, SignedDuration, Timestamp};
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::chain::{accepts_client, accepts_server};
use crate::support::*;

/// One step further, with what is sealed for it.
fn step(authority: &Authority, phase: CaPhase) -> Authority {
    let ca = authority.ca();
    let mut next = Ca { revision: ca.revision + 1, phase, since: now(), ..ca.clone() };
    next.sealed = authority.sealed_for(&next).expect("sealed");
    authority.as_of(&next).expect("as it is now")
}

const ACTIVATED: CaPhase = CaPhase::Activated;
const TAINTED: CaPhase = CaPhase::Tainted { before: None };

/// The authority at each step: founded, prepared, published, activated, tainted, and with the one before removed.
fn all(world: &World) -> Vec<Authority> {
    let mut all = vec![world.create()];
    for phase in [CaPhase::Prepared, CaPhase::Published, ACTIVATED, TAINTED, CaPhase::Settled] {
        let next = step(all.last().expect("the first"), phase);
        all.push(next);
    }
    all
}

fn server(authority: &Authority) -> Vec<CertificateDer<'static>> {
    let names = [ServerName::try_from("muster.example").expect("a name")];
    authority.server_certificate(&names, now()).expect("made").chain
}

fn machine(authority: &Authority) -> [CertificateDer<'static>; 2] {
    let key = key_pair(&PKCS_ECDSA_P256_SHA256);
    let key = csr::read(&csr(&key, &CertificateParams::default())).expect("a good request");
    let leaf = authority.issue(&key, &template()).expect("issued");
    [leaf.into(), authority.chain_der().clone()]
}

#[test]
fn the_bundle_grows_when_the_next_roots_are_published_and_shrinks_when_the_old_ones_are_removed() {
    let world = World::new();
    let all = all(&world);
    let counts: Vec<usize> = all.iter().map(|authority| authority.roots_der().len()).collect();
    assert_eq!(counts, [2, 2, 4, 4, 4, 2]);
    assert_eq!(all[2].pin(), all[0].pin(), "nothing is signed by the next one yet");
    assert_ne!(all[3].pin(), all[0].pin());
    assert_eq!(all[3].pins()[..2], all[5].pins()[..]);
    assert!(all[0].pins().iter().all(|pin| !all[5].pins().contains(pin)), "both old roots went");
    assert_eq!(all[0].callers_pem(), all[5].callers_pem());
    assert_eq!(all[0].tokens().kid(), all[5].tokens().kid());
}

#[test]
fn whoever_knows_the_old_root_alone_reaches_the_new_server_through_the_cross_certificate_until_it_is_removed()
{
    let world = World::new();
    let all = all(&world);
    let (old, new) = (all[0].roots_der()[0], all[3].roots_der()[0]);
    let reaches = |root, authority| accepts_server(root, &server(authority), "muster.example").is_ok();
    assert!(reaches(old, &all[2]) && !reaches(new, &all[2]));
    for active in [&all[3], &all[4]] {
        assert!(reaches(old, active), "it slept through the publication, or shows an old invite");
        assert!(reaches(new, active));
        assert!(!reaches(all[0].roots_der()[1], active), "the standby root vouches for nothing");
    }
    assert!(!reaches(old, &all[5]) && reaches(new, &all[5]));
}

#[test]
fn certificates_of_either_authority_are_taken_by_every_server_that_has_the_roots_of_both() {
    let world = World::new();
    let all = all(&world);
    let takes = |authority: &Authority, chain: &[CertificateDer<'_>]| {
        authority.roots_der().iter().any(|root| accepts_client(root, chain, now()).is_ok())
    };
    let (old, new) = (machine(&all[0]), machine(&all[3]));
    let taken: Vec<_> =
        all.iter().map(|authority| (takes(authority, &old), takes(authority, &new))).collect();
    let both = (true, true);
    assert_eq!(taken, [(true, false), (true, false), both, both, both, (false, true)]);
}

#[test]
fn after_a_taint_only_what_the_present_authority_signed_is_beyond_doubt() {
    let world = World::new();
    let all = all(&world);
    let ([old, _], [new, _]) = (machine(&all[0]), machine(&all[3]));
    for authority in [&all[0], &all[2], &all[3], &all[5]] {
        assert!(!authority.is_doubtful(&old) && !authority.is_doubtful(&new));
    }
    assert!(all[4].is_doubtful(&old) && !all[4].is_doubtful(&new));
    assert!(all[4].is_doubtful(b"not a certificate"));
}

#[test]
fn a_change_after_a_change_begins_from_what_is_in_the_database() {
    let world = World::new();
    let first = all(&world).pop().expect("removed");
    let second = step(&step(&step(&first, CaPhase::Prepared), CaPhase::Published), ACTIVATED);
    let chain = server(&second);
    for root in [first.roots_der()[0], second.roots_der()[0]] {
        assert_eq!(accepts_server(root, &chain, "muster.example"), Ok(()));
    }
    assert_ne!(first.pin(), second.pin());
}

#[test]
fn a_preparation_that_was_taken_back_leaves_nothing_of_its_keys() {
    let world = World::new();
    let founded = world.create();
    let prepared = step(&founded, CaPhase::Prepared);
    let back = step(&prepared, CaPhase::Settled);
    assert!(back.ca().sealed.len() < 200, "{}", back.ca().sealed.len());
    assert!(back.as_of(&Ca { phase: CaPhase::Published, ..back.ca().clone() }).is_err());
}

#[test]
fn q_28_what_is_sealed_shows_no_key_and_fits_its_own_row_and_its_own_directory_alone() {
    let world = World::new();
    let prepared = step(&world.create(), CaPhase::Prepared);
    let ca = prepared.ca();
    let text = String::from_utf8_lossy(&ca.sealed);
    assert!(!text.contains("active") && !text.contains("MIG"), "{text}");
    let other = Ca { phase: CaPhase::Published, ..ca.clone() };
    let older = Ca { revision: ca.revision + 1, ..ca.clone() };
    let mut damaged = ca.clone();
    *damaged.sealed.last_mut().expect("sealed") ^= 1;
    for odd in [&other, &older, &damaged] {
        assert!(matches!(prepared.as_of(odd), Err(AuthorityError::File(_))), "{:?}", odd.phase);
    }
    let stranger = World::new();
    let error = stranger.create().as_of(ca).expect_err("another seal key");
    assert!(error.to_string().contains("the authority in the database"), "{error}");
}

#[test]
fn the_seal_key_that_is_given_from_elsewhere_seals_the_database_too() {
    let world = World::new();
    let seal = |n| SealKey::Given(zeroize(n));
    let made = Authority::create(&world.dir(), &seal(7), &new_authority()).expect("made");
    let prepared = step(&made, CaPhase::Prepared);
    let replica = Authority::open(&world.dir(), &seal(7)).expect("opened");
    assert_eq!(replica.as_of(prepared.ca()).expect("the same key").ca().revision, 1);
}

fn zeroize(n: u8) -> zeroize::Zeroizing<[u8; 32]> {
    zeroize::Zeroizing::new([n; 32])
}

#[test]
fn the_cross_certificate_ends_no_later_than_the_root_that_signed_it() {
    let world = World::new();
    let late = now() + SignedDuration::from_hours(9 * 365 * 24);
    let founded = world.create();
    let mut next = Ca { revision: 1, phase: CaPhase::Prepared, since: late, ..Ca::founding() };
    next.sealed = founded.sealed_for(&next).expect("sealed");
    let prepared = founded.as_of(&next).expect("prepared");
    let mut active = Ca { revision: 2, phase: ACTIVATED, ..next };
    active.sealed = prepared.sealed_for(&active).expect("sealed");
    let active = prepared.as_of(&active).expect("activated");
    let names = [ServerName::try_from("muster.example").expect("a name")];
    let chain = active.server_certificate(&names, late).expect("made").chain;
    let ends = |der: &CertificateDer<'_>| {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).expect("a certificate");
        Timestamp::from_second(certificate.validity().not_after.timestamp()).expect("in range")
    };
    let [leaf, issuing, cross] = &chain[..] else { panic!("a chain") };
    assert!(ends(cross) <= ends(founded.roots_der()[0]) && ends(cross) < ends(active.roots_der()[0]));
    assert!(ends(leaf) < ends(issuing));
}

#[test]
fn openssl_finds_both_ways_up_too() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("openssl is not here: nothing is compared");
        return;
    }
    let world = World::new();
    let all = all(&world);
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("ours");
    let pem = |der: &CertificateDer<'_>| pem::encode(&pem::Pem::new("CERTIFICATE", der.to_vec()));
    let chain = server(&all[3]);
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let leaf = write("leaf.pem", pem(&chain[0]));
    let above = write("above.pem", chain[1..].iter().map(pem).collect());
    for (name, root, fits) in [
        ("old.pem", all[0].roots_der()[0], true),
        ("new.pem", all[3].roots_der()[0], true),
        ("standby.pem", all[0].roots_der()[1], false),
    ] {
        let root = write(name, pem(root));
        let at = now().as_second().to_string();
        let verify = Command::new("openssl")
            .args(["verify", "-attime", &at, "-no-CApath", "-no-CAfile", "-trusted"])
            .arg(&root)
            .arg("-untrusted")
            .arg(&above)
            .arg(&leaf)
            .output()
            .expect("openssl runs");
        assert_eq!(verify.status.success(), fits, "{name}: {verify:?}");
    }
}

#[test]
fn a_certificate_is_handed_over_with_what_signed_it_at_every_step_of_the_change() {
    let world = World::new();
    let all = all(&world);
    let undone = step(&all[3], CaPhase::Published);
    let handed = |authority: &Authority, leaf: &CertificateDer<'_>| {
        let pem = authority.leaf_chain_pem(leaf);
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().expect("PEM")
    };
    let takes = |authority: &Authority, leaf: &CertificateDer<'_>| {
        let chain = handed(authority, leaf);
        authority.roots_der().iter().any(|root| accepts_client(root, &chain, now()).is_ok())
    };
    let ([old, _], [new, _]) = (machine(&all[0]), machine(&all[3]));
    for authority in [&all[2], &all[3], &all[4], &undone] {
        assert!(takes(authority, &old) && takes(authority, &new), "{:?}", authority.ca().phase);
    }
    assert!(takes(&all[0], &old) && takes(&all[1], &old) && takes(&all[5], &new));
    assert!(!takes(&all[5], &old), "its roots are gone");
}

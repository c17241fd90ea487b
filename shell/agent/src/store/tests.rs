//! A damaged store stops the agent with path, reason and fix; it never leads to a new enrollment.

use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;

use muster_agent_core::{Life, Standing};
use muster_model::KeyAlgorithm;
use muster_wire::enroll::{CredentialForm, EnrollRequest, EnrolledMachine};
use muster_wire::trust::Trust;

use super::fuse::{self, Fuse};
use super::records::{PendingHold, VERSION};
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn certificate(key: &MachineKey) -> String {
    let pair = rcgen::KeyPair::from_pem(&key.to_pem()).expect("a key");
    rcgen::CertificateParams::default().self_signed(&pair).expect("a certificate").pem()
}

fn identity() -> Identity {
    let machine = EnrolledMachine {
        id: "mch_1".into(),
        name: "web-1".into(),
        tenant: "default".into(),
        site: "main".into(),
        state: "active".into(),
        generation: 1,
    };
    Identity {
        version: VERSION,
        slot: Slot::A,
        url: "https://127.0.0.1:8443".into(),
        trust: Trust {
            version: 1,
            trust_domain: "t".into(),
            roots: vec!["root".into()],
            pins: vec!["pin".into()],
        },
        machine,
        credential: "crd_1".into(),
        life: Life { not_before: at(0), not_after: at(86_400) },
        standing: Standing::Active,
        hardware_source: "none".into(),
        enrolled_at: at(0),
        key_made_at: None,
        renewed_at: None,
    }
}

fn pending() -> Pending {
    let request = EnrollRequest {
        method: "request".into(),
        evidence: serde_json::json!({}),
        csr: None,
        secret_hash: None,
        credential: CredentialForm::Certificate,
        hardware_id: None,
        hostname: None,
        kind: "host".into(),
        attributes: Default::default(),
        previous: None,
    };
    Pending {
        version: VERSION,
        url: "https://127.0.0.1:8443".into(),
        pin: "sha256:00".into(),
        root: None,
        token: None,
        request,
        hold: Some(PendingHold {
            id: "hld_1".into(),
            reason: "approval".into(),
            poll_after: 5,
            expires_at: at(9),
        }),
        hardware_source: "none".into(),
    }
}

fn enrolled() -> (tempfile::TempDir, Store, MachineKey) {
    let temp = tempfile::tempdir().expect("a directory");
    let store = Store::open(&temp.path().join("agent")).expect("opened");
    let key = MachineKey::generate(KeyAlgorithm::P256).expect("a key");
    store.save_key(&key, at(1)).expect("saved");
    store.save_pending(&pending()).expect("saved");
    store.save_identity(&identity(), &certificate(&key)).expect("saved");
    (temp, store, key)
}

#[test]
fn an_enrollment_goes_from_nothing_over_pending_to_enrolled() {
    let temp = tempfile::tempdir().expect("a directory");
    let store = Store::open(&temp.path().join("a/b")).expect("opened");
    assert!(matches!(store.load(), Ok(Found::Nothing)));
    let key = MachineKey::generate(KeyAlgorithm::Ed25519).expect("a key");
    store.save_key(&key, at(1)).expect("saved");
    assert!(matches!(store.load(), Ok(Found::Nothing)), "a key alone was never spoken of");
    store.save_pending(&pending()).expect("saved");
    let Ok(Found::Pending(found, same)) = store.load() else { panic!("it is pending") };
    assert_eq!((found.hold, same.fingerprint()), (pending().hold, key.fingerprint()));
    store.save_identity(&identity(), &certificate(&key)).expect("saved");
    let Ok(Found::Enrolled(found)) = store.load() else { panic!("it is enrolled") };
    let found = found.present;
    assert_eq!((found.identity.machine.id.as_str(), found.key.fingerprint()), ("mch_1", key.fingerprint()));
}

#[test]
fn a_crash_before_the_identity_is_written_leaves_the_enrollment_pending_with_its_key() {
    let (_temp, store, key) = enrolled();
    store.save_pending(&pending()).expect("saved");
    std::fs::remove_file(store.path().join("identity.json")).expect("removed");
    let Ok(Found::Pending(_, same)) = store.load() else { panic!("it is pending again") };
    assert_eq!(same.fingerprint(), key.fingerprint());
}

#[test]
fn a_note_of_a_rotation_that_is_no_more_is_never_taken_for_the_proposal_of_another_key() {
    let (_temp, store, _) = enrolled();
    let Ok(Found::Enrolled(found)) = store.load() else { panic!("it is enrolled") };
    store.begin_rotation(&found.present, at(2)).expect("begun");
    // Its key is lost, and its note is passed over.
    std::fs::remove_file(store.path().join("key-b.pem")).expect("removed");
    fuse::set(Fuse::After(1));
    let killed = std::panic::catch_unwind(AssertUnwindSafe(|| store.begin_rotation(&found.present, at(3))));
    assert!(
        killed.is_err() && store.path().join("key-b.pem").exists(),
        "killed once the next key is written"
    );
    let Ok(Found::Enrolled(found)) = store.load() else { panic!("it is enrolled") };
    assert!(found.spare.is_some() && found.note.is_none(), "the key was never spoken of");
}

#[test]
fn every_damaged_file_stops_the_agent_with_path_reason_and_fix() {
    type Damage = fn(&Path);
    let table: &[(&str, Damage)] = &[
        ("identity.json", |path| std::fs::write(path, "").expect("emptied")),
        ("identity.json", |path| truncate(path)),
        ("identity.json", |path| std::fs::write(path, b"\xff\xfe").expect("garbled")),
        ("identity.json", |path| std::fs::write(path, "{}").expect("emptied")),
        ("identity.json", |path| std::fs::remove_file(path).expect("removed")),
        ("key-a.pem", |path| truncate(path)),
        ("key-a.pem", |path| std::fs::write(path, "").expect("emptied")),
        ("key-a.pem", |path| std::fs::remove_file(path).expect("removed")),
        ("ended.json", |path| {
            std::fs::write(path, "").expect("emptied");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
        }),
    ];
    for (n, (name, damage)) in table.iter().enumerate() {
        let (_temp, store, _) = enrolled();
        assert!(matches!(store.load(), Ok(Found::Enrolled(_))), "whole before");
        damage(&store.path().join(name));
        let error = store.load().expect_err("damaged");
        assert_eq!(error.exit_code(), 13, "{n} {name}: {error}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("--reset"), "{n}: {text}");
    }
}

#[test]
fn a_damaged_certificate_is_gone_around_as_long_as_its_key_is_whole() {
    type Damage = fn(&Path);
    let table: &[Damage] = &[
        |path| truncate(path),
        |path| std::fs::write(path, "").expect("emptied"),
        |path| std::fs::remove_file(path).expect("removed"),
        |path| {
            let other = MachineKey::generate(KeyAlgorithm::P256).expect("a key");
            std::fs::write(path, certificate(&other)).expect("swapped");
        },
    ];
    for damage in table {
        let (_temp, store, key) = enrolled();
        damage(&store.path().join("certificate-a.pem"));
        let Ok(Found::Enrolled(slots)) = store.load() else { panic!("its key is whole") };
        assert_eq!(slots.present.key.fingerprint(), key.fingerprint());
        assert!(slots.present.chain.is_empty() && slots.present.identity.life.is_over(at(1)));
    }
}

#[test]
fn q_16_a_lost_certificate_that_a_clock_ahead_gave_out_is_over_at_once() {
    let (_temp, store, key) = enrolled();
    let life = Life { not_before: at(31_536_000), not_after: at(31_622_400) };
    store.save_identity(&Identity { life, ..identity() }, &certificate(&key)).expect("saved");
    std::fs::remove_file(store.path().join("certificate-a.pem")).expect("removed");
    let Ok(Found::Enrolled(slots)) = store.load() else { panic!("its key is whole") };
    assert!(slots.present.identity.life.is_over(at(100)));
}

#[test]
fn reading_a_damaged_store_changes_nothing_and_putting_it_right_sets_aside_what_is_damaged() {
    let (_temp, store, _) = enrolled();
    let path = store.path().join("certificate-a.pem");
    truncate(&path);
    let Ok(Found::Enrolled(slots)) = store.load() else { panic!("its key is whole") };
    assert!(path.exists(), "reading changes nothing");
    assert!(slots.damage[0].what.contains("certificate-a.pem"), "{:?}", slots.damage);
    store.put_right(&slots, at(7));
    assert!(!path.exists() && store.dir.exists("certificate-a.pem.corrupt-7"));
}

fn truncate(path: &Path) {
    let text = std::fs::read(path).expect("there");
    std::fs::write(path, &text[..text.len() / 2]).expect("cut");
}

#[test]
fn q_29_a_file_that_others_can_reach_stops_the_agent() {
    for name in ["identity.json", "key-a.pem", "certificate-a.pem"] {
        let (_temp, store, _) = enrolled();
        let path = store.path().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
        assert_eq!(store.load().expect_err("others can read it").exit_code(), 11);
    }
}

#[test]
fn q_14_an_end_keeps_every_file_and_stays_an_end_until_a_reset() {
    let (_temp, store, key) = enrolled();
    store.end(&Ending::Revoked, EndedNote::new(&Ending::Revoked, at(7))).expect("noted");
    let Ok(Found::Ended(note)) = store.load() else { panic!("it is over") };
    assert_eq!((note.ending.as_str(), note.machine.as_deref()), ("revoked", Some("mch_1")));
    let kept = store.dir.read("key-a.pem.retired-7").expect("read").expect("kept");
    assert_eq!(MachineKey::from_pem(&kept).expect("whole").fingerprint(), key.fingerprint());
    assert!(store.dir.exists("identity.json.retired-7") && store.dir.exists("certificate-a.pem.retired-7"));
    store.reset(at(8)).expect("reset");
    assert!(matches!(store.load(), Ok(Found::Nothing)));
}

#[test]
fn a_crash_between_note_and_renaming_is_an_end_all_the_same() {
    let (_temp, store, _) = enrolled();
    store.write_json(ENDED, &EndedNote::new(&Ending::Retired, at(7))).expect("noted");
    assert!(matches!(store.load(), Ok(Found::Ended(_))));
}

#[test]
fn a_rejection_keeps_its_files_where_they_are() {
    let (_temp, store, _) = enrolled();
    let ending = Ending::Rejected { reason: Some("not ours\u{1b}".into()) };
    store.end(&ending, EndedNote::new(&ending, at(7))).expect("noted");
    assert!(store.dir.exists("key-a.pem"));
    let Ok(Found::Ended(note)) = store.load() else { panic!("it is over") };
    assert_eq!(note.reason.as_deref(), Some("not ours\\u{1b}"));
}

#[test]
fn one_agent_per_directory() {
    let (_temp, store, _) = enrolled();
    assert!(is_in_use(&store.dir));
    let error = Store::open(store.path()).expect_err("in use");
    assert!(matches!(error, AgentError::InUse { .. }));
    let dir = store.dir.clone();
    drop(store);
    assert!(!is_in_use(&dir));
    assert!(Store::open(dir.path()).is_ok());
}

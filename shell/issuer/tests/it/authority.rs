//! The authority on disk: made once, opened whole or not at all, never made anew.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use muster_issuer::{Authority, AuthorityError, FileError, FileProblem, SealKey};

use crate::support::*;

const FILES: [&str; 10] = [
    "callers.crt",
    "callers.key",
    "issuing.crt",
    "issuing.key",
    "jwt.key",
    "root-a.crt",
    "root-a.key",
    "root-b.crt",
    "root-b.key",
    "seal.key",
];

fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry"));
    entries.map(|e| (e.file_name().into_string().expect("text"), fs::read(e.path()).expect("read"))).collect()
}

fn open(dir: &Path) -> Result<Authority, FileError> {
    match Authority::open(dir, &SealKey::Beside) {
        Ok(authority) => Ok(authority),
        Err(AuthorityError::File(error)) => Err(error),
        Err(other) => panic!("not about a file: {other}"),
    }
}

#[test]
fn an_authority_opens_as_it_was_made() {
    let world = World::new();
    let made = world.create();
    let opened = open(&world.dir()).expect("opened");
    assert_eq!(opened.pins(), made.pins());
    assert_eq!(opened.chain_der(), made.chain_der());
    assert_eq!(opened.trust_domain(), &trust_domain());
    assert_eq!(opened.tokens().jwks(), made.tokens().jwks());
    assert_ne!(made.pins()[0], made.pins()[1]);
    assert_eq!(made.pin(), made.pins()[0]);
    assert!(made.pin().starts_with("sha256:") && made.pin().len() == 7 + 64, "{}", made.pin());
    assert!(made.roots_pem()[0].starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn q_29_all_of_it_is_private_and_no_key_lies_open() {
    let world = World::new();
    world.create();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&world.dir()), 0o700);
    let content = content(&world.dir());
    assert_eq!(content.keys().map(String::as_str).collect::<Vec<_>>(), FILES);
    for (name, bytes) in content {
        assert_eq!(mode(&world.dir().join(&name)), 0o600, "{name}");
        let text = String::from_utf8(bytes).expect("PEM");
        assert!(!text.contains("PRIVATE KEY"), "{name}");
    }
}

#[test]
fn an_authority_is_not_made_where_anything_is() {
    let world = World::new();
    let pins = world.create().pins();
    let before = content(&world.dir());
    let again =
        Authority::create(&world.dir(), &SealKey::Beside, &new_authority()).expect_err("there already");
    assert!(matches!(again, AuthorityError::File(FileError { problem: FileProblem::Exists, .. })));
    assert_eq!(content(&world.dir()), before);
    assert_eq!(open(&world.dir()).expect("opened").pins(), pins);
}

#[test]
fn a_crash_while_it_was_made_leaves_nothing_in_its_place_and_does_no_harm() {
    let world = World::new();
    let left = world.dir().with_file_name(".ca.creating");
    fs::create_dir(&left).expect("made");
    fs::write(left.join("root-a.crt"), "half").expect("written");
    world.create();
    assert!(!left.exists());
    assert!(open(&world.dir()).is_ok());
}

/// The ways in which a file's content goes bad.
fn damages(good: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    let middle = good.len() / 2;
    let mut changed = good.to_vec();
    changed[middle] = if good[middle] == b'A' { b'B' } else { b'A' };
    let (cut, binary) = (good[..middle].to_vec(), vec![0xff; good.len()]);
    [("empty", Vec::new()), ("cut", cut), ("changed", changed), ("binary", binary)]
}

#[test]
fn whatever_is_cut_or_changed_is_named_and_nothing_is_made_anew() {
    let world = World::new();
    world.create();
    for name in FILES {
        let path = world.dir().join(name);
        let good = fs::read(&path).expect("read");
        for (how, bad) in damages(&good) {
            fs::write(&path, &bad).expect("written");
            let before = content(&world.dir());
            let error = open(&world.dir()).expect_err(how);
            // Another seal key than the one that sealed shows at the first key it shall open.
            let shown = if name == "seal.key" && how == "changed" { "root-a.key" } else { name };
            let (crt, key) = (shown.replace(".key", ".crt"), shown.replace(".crt", ".key"));
            assert!(error.path.ends_with(&crt) || error.path.ends_with(&key), "{name} {how}: {error}");
            assert_eq!(content(&world.dir()), before, "{name} {how}");
        }
        fs::write(&path, &good).expect("written");
    }
    assert!(open(&world.dir()).is_ok());
}

#[test]
fn whatever_is_missing_or_open_to_others_is_named() {
    let world = World::new();
    world.create();
    for name in FILES {
        let path = world.dir().join(name);
        let good = fs::read(&path).expect("read");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("own file");
        let error = open(&world.dir()).expect_err("readable by others");
        assert!(matches!(error.problem, FileProblem::Mode { .. }) && error.path == path, "{error}");
        fs::remove_file(&path).expect("removed");
        let error = open(&world.dir()).expect_err("missing");
        assert!(matches!(error.problem, FileProblem::Missing) && error.path == path, "{error}");
        fs::write(&path, &good).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("own file");
    }
    assert!(open(&world.dir()).is_ok());
}

#[test]
fn files_of_another_authority_do_not_fit() {
    let (world, other) = (World::new(), World::new());
    let key = SealKey::Given([7; 32].into());
    for world in [&world, &other] {
        Authority::create(&world.dir(), &key, &new_authority()).expect("a new authority");
    }
    for name in FILES.into_iter().filter(|name| !["seal.key", "jwt.key"].contains(name)) {
        let path = world.dir().join(name);
        let own = fs::read(&path).expect("read");
        fs::write(&path, fs::read(other.dir().join(name)).expect("read")).expect("written");
        let Err(AuthorityError::File(error)) = Authority::open(&world.dir(), &key) else {
            panic!("{name} fits")
        };
        assert!(matches!(error.problem, FileProblem::Mismatch { .. }), "{name}: {error}");
        fs::write(&path, own).expect("written");
    }
    for name in ["issuing.crt", "issuing.key"] {
        fs::write(world.dir().join(name), fs::read(other.dir().join(name)).expect("read")).expect("written");
    }
    let Err(AuthorityError::File(error)) = Authority::open(&world.dir(), &key) else {
        panic!("a stranger issues")
    };
    assert!(error.path.ends_with("issuing.crt"), "{error}");
}

#[test]
fn a_sealed_key_does_not_open_under_the_name_of_another() {
    let world = World::new();
    world.create();
    fs::copy(world.dir().join("root-a.key"), world.dir().join("jwt.key")).expect("copied");
    let error = open(&world.dir()).expect_err("another key");
    assert!(matches!(error.problem, FileProblem::Damaged(_)) && error.path.ends_with("jwt.key"), "{error}");
}

#[test]
fn a_given_seal_key_is_never_written_and_only_it_opens() {
    let world = World::new();
    let key = SealKey::Given([0x5a; 32].into());
    Authority::create(&world.dir(), &key, &new_authority()).expect("a new authority");
    assert!(!world.dir().join("seal.key").exists());
    assert!(Authority::open(&world.dir(), &key).is_ok());
    let wrong = Authority::open(&world.dir(), &SealKey::Given([1; 32].into()));
    assert!(matches!(wrong, Err(AuthorityError::File(FileError { problem: FileProblem::Seal, .. }))));
    assert!(matches!(open(&world.dir()).expect_err("no file").problem, FileProblem::Missing));
    assert_eq!(format!("{key:?}"), "Given(…)");
}

#[test]
fn q_29_a_directory_that_others_may_enter_is_refused() {
    let world = World::new();
    world.create();
    fs::set_permissions(world.dir(), fs::Permissions::from_mode(0o755)).expect("own directory");
    let error = open(&world.dir()).expect_err("not private");
    assert!(error.to_string().contains("chmod 0700"), "{error}");
}

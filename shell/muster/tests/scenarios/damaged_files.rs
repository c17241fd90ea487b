//! A file of the server or of an agent is damaged, missing or open to others.
//!
//! 1. A server is stopped, one file is damaged, and it is started again.
//! 2. It refuses to start and says which file, what is wrong and what to do; nothing is made anew or changed.
//! 3. The same for an agent's credential. With the file as it was, everything goes on.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::support::{Agent, Server};

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Cut,
    Emptied,
    Overwritten,
    Gone,
    Opened,
}

/// Every file below a directory, by what is in it.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.is_file() && !path.ends_with("muster.lock") && !path.ends_with("agent.lock") {
            found.insert(path.clone(), Sha256::digest(fs::read(&path).expect("ours")).to_vec());
        }
    }
    found
}

/// Harms a file; gives what brings it back.
fn harm(path: &Path, how: Harm) -> impl FnOnce() + use<> {
    let (kept, path) = (fs::read(path).expect("it is there"), path.to_owned());
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    match how {
        Harm::Cut => fs::write(&path, &kept[..kept.len() * 2 / 3]).expect("ours"),
        Harm::Emptied => fs::write(&path, b"").expect("ours"),
        Harm::Overwritten => fs::write(&path, vec![0x5a; kept.len()]).expect("ours"),
        Harm::Gone => fs::remove_file(&path).expect("ours"),
        Harm::Opened => mode(&path, 0o644),
    }
    move || {
        fs::write(&path, kept).expect("ours");
        mode(&path, 0o600);
    }
}

#[test]
fn a_server_with_a_damaged_file_refuses_to_start_and_changes_nothing() {
    let mut server = Server::up(&[]);
    let machine = server.show(server.machine());
    server.stop();
    for (name, how) in [
        ("muster.db", Harm::Cut),
        ("muster.db", Harm::Emptied),
        ("muster.db", Harm::Overwritten),
        ("pepper", Harm::Cut),
        ("pepper", Harm::Gone),
        ("pepper", Harm::Opened),
        ("ca/issuing.key", Harm::Cut),
        ("ca/issuing.key", Harm::Overwritten),
        ("ca/issuing.key", Harm::Gone),
        ("ca/root-a.key", Harm::Emptied),
        ("ca/root-a.crt", Harm::Cut),
        ("ca/jwt.key", Harm::Gone),
        ("ca/callers.crt", Harm::Gone),
        ("ca/callers.key", Harm::Overwritten),
        ("ca/seal.key", Harm::Gone),
        ("ca/issuing.key", Harm::Opened),
    ] {
        let restore = harm(&server.dir().join(name), how);
        let before = contents(server.dir());
        let (code, text) = server.refuses_to_start("127.0.0.1:0");
        assert_eq!(code, 78, "{name} {how:?}: {text}");
        assert!(text.contains("error:") && text.contains(name), "{name} {how:?}: {text}");
        assert!(fix_is_named(&text), "{name} {how:?} has no way out: {text}");
        assert_eq!(contents(server.dir()), before, "{name} {how:?}: something was changed");
        restore();
    }
    server.start();
    let again = server.show(server.machine());
    assert_eq!((&again["id"], &again["key"]), (&machine["id"], &machine["key"]));
}

/// Whether a person is told what to do.
fn fix_is_named(text: &str) -> bool {
    ["restore", "chmod", "--repair-permissions"].iter().any(|word| text.to_lowercase().contains(word))
}

#[test]
fn a_missing_database_beside_a_founded_authority_is_not_made_anew() {
    let mut server = Server::up(&[]);
    server.stop();
    for name in ["muster.db", "muster.db-wal", "muster.db-shm"] {
        fs::remove_file(server.dir().join(name)).ok();
    }
    let before = contents(server.dir());
    let (code, text) = server.refuses_to_start("127.0.0.1:0");
    assert_eq!(code, 78, "an empty registry would disown the fleet: {text}");
    assert!(text.contains("muster.db") && fix_is_named(&text), "{text}");
    assert_eq!(contents(server.dir()), before);
}

#[test]
fn an_agent_with_a_damaged_credential_refuses_to_start_and_changes_nothing() {
    let server = Server::up(&[]);
    let mut agent = Agent::enrolled(&server.invite());
    let id = agent.machine();
    for (name, how, code) in [
        ("identity.json", Harm::Cut, 13),
        ("identity.json", Harm::Emptied, 13),
        ("identity.json", Harm::Gone, 13),
        ("key-a.pem", Harm::Overwritten, 13),
        ("key-a.pem", Harm::Gone, 13),
        ("key-a.pem", Harm::Opened, 11),
    ] {
        let restore = harm(&agent.dir().join(name), how);
        let before = contents(&agent.dir());
        agent.start_with(&server.invite(), &[]);
        assert_eq!(agent.exit_code(), code, "{name} {how:?}: {}", agent.log());
        assert!(agent.log().contains(name), "{name} {how:?}: {}", agent.log());
        assert_eq!(contents(&agent.dir()), before, "{name} {how:?}: something was changed");
        restore();
    }
    agent.start(&[]);
    agent.event("online");
    assert_eq!(agent.machine(), id);
    assert_eq!(server.list(&["machine", "ls"]).len(), 2, "it never enrolled anew");
}

#[test]
fn an_agent_whose_certificate_alone_is_damaged_gets_another_by_its_key() {
    let server = Server::up(&[]);
    let mut agent = Agent::enrolled(&server.invite());
    let id = agent.machine();
    for how in [Harm::Cut, Harm::Gone] {
        let harmed = agent.dir().join("certificate-a.pem");
        let _restore = harm(&harmed, how);
        assert!(agent.status()["damage"][0].as_str().is_none_or(|text| text.contains("certificate-a.pem")));
        agent.start(&[]);
        agent.event("online");
        assert_eq!((agent.machine(), agent.stop()), (id.clone(), 0), "{how:?}");
        assert!(harmed.exists(), "{how:?}");
    }
    assert!(agent.files().iter().any(|name| name.starts_with("certificate-a.pem.corrupt-")), "it is kept");
    assert_eq!(server.list(&["machine", "ls"]).len(), 2, "it never enrolled anew");
}

#[test]
fn a_server_whose_own_agent_is_damaged_says_so_and_does_not_make_another() {
    let mut server = Server::up(&[]);
    server.stop();
    let restore = harm(&server.dir().join("agent/identity.json"), Harm::Cut);
    server.start();
    assert!(server.log().contains("agent/identity.json"), "{}", server.log());
    assert_eq!(server.list(&["machine", "ls"]).len(), 1, "the server serves, and nothing was made anew");
    server.stop();
    restore();
    server.start();
    assert_eq!(server.list(&["machine", "ls"]).len(), 1);
}

#[test]
fn q_29_wrong_modes_are_refused_and_can_be_repaired_on_request() {
    let mut server = Server::up(&[]);
    let invite = server.invite();
    let mut agent = Agent::enrolled(&invite);
    fs::set_permissions(agent.dir(), Permissions::from_mode(0o755)).expect("ours");
    agent.start(&[]);
    assert_eq!(agent.exit_code(), 11, "{}", agent.log());
    agent.start(&["--repair-permissions"]);
    agent.event("online");

    server.stop();
    fs::set_permissions(server.dir(), Permissions::from_mode(0o750)).expect("ours");
    let (code, text) = server.refuses_to_start("127.0.0.1:0");
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("0750") && fix_is_named(&text), "{text}");
}

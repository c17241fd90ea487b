//! `muster doctor` names what is wrong.
//!
//! 1. A set-up that works passes, with exit code 0.
//! 2. One thing is broken at a time: the check that is about it fails with the cause and a way out, exit code 1.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Agent, Home, Server, SmallDisk, is_root, json, muster, skipped};

/// What was found, and the exit code.
struct Finding {
    code: Option<i32>,
    checks: Vec<Value>,
}

fn doctor(home: &Path, args: &[&str]) -> Finding {
    let output =
        muster(home).args(["doctor", "--output", "json"]).args(args).output().expect("the binary runs");
    let mut report = json(&output);
    let checks: Vec<Value> = serde_json::from_value(report["checks"].take()).expect("a list");
    assert_eq!(report["ok"], output.status.success(), "{checks:#?}");
    Finding { code: output.status.code(), checks }
}

fn doctor_of(server: &Server, args: &[&str]) -> Finding {
    doctor(server.home().path(), &[&["--data-dir", &server.dir().display().to_string()], args].concat())
}

impl Finding {
    /// The named check failed, says all of this, and tells a way out.
    fn names(&self, check: &str, said: &[&str]) {
        assert_eq!(self.code, Some(1));
        let failed: Vec<&Value> = self.checks.iter().filter(|found| found["status"] == "fail").collect();
        let found = failed.iter().find(|found| found["name"] == check);
        let found = found.unwrap_or_else(|| panic!("{check} did not fail: {:#?}", self.checks));
        let text = found.to_string();
        assert!(said.iter().all(|part| text.contains(part)), "{said:?} in {text}");
        assert!(found["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "no way out: {text}");
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

#[test]
fn what_works_passes() {
    let server = Server::up(&[]);
    let finding = doctor_of(&server, &[]);
    assert_eq!(finding.code, Some(0), "{:#?}", finding.checks);
    let agent = Agent::online(&server.invite());
    let finding = doctor(agent.home().path(), &["--data-dir", &agent.dir().display().to_string()]);
    assert_eq!(finding.code, Some(0), "{:#?}", finding.checks);
}

#[test]
fn a_server_that_is_down_is_named_from_both_ends() {
    let mut server = Server::up(&[]);
    let agent = Agent::enrolled(&server.invite());
    server.stop();
    doctor_of(&server, &[]).names("server", &["muster up"]);
    let finding = doctor(agent.home().path(), &["--data-dir", &agent.dir().display().to_string()]);
    finding.names("agent address", &[server.address()]);
}

#[test]
fn a_wrong_pin_is_named_with_the_right_one() {
    let server = Server::up(&[]);
    let wrong = format!("sha256:{}", "ab".repeat(32));
    doctor_of(&server, &["--ca-pin", &wrong]).names("pin", &[&wrong, server.told("ca_pin")]);
    let finding = doctor(server.home().path(), &["--server", server.url(), "--ca-pin", &wrong]);
    finding.names("pin", &[]);
}

#[test]
fn q_16_a_clock_that_is_off_is_named() {
    let server = Server::up(&[]);
    let mut status = server.muster(&["status"]);
    let now: jiff::Timestamp = status["server_time"].as_str().expect("a time").parse().expect("RFC 3339");
    status["server_time"] = json!((now + jiff::SignedDuration::from_hours(1)).to_string());
    let home = Home::new();
    let dir = home.path().join("server");
    fs::create_dir(&dir).expect("ours");
    mode(&dir, 0o700);
    let listener = UnixListener::bind(dir.join("muster.sock")).expect("a new path");
    let answer = status.to_string();
    let server_of_another_hour = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let read = stream.read(&mut [0; 8192]).expect("a request");
        assert!(read > 0);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(format!("{head}{answer}").as_bytes()).expect("it listens");
    });
    let finding = doctor(home.path(), &["--data-dir", &dir.display().to_string()]);
    finding.names("server clock", &["behind the server's"]);
    server_of_another_hour.join().expect("it was asked");

    // Files from tomorrow tell the same where no server can be asked.
    let mut server = server;
    server.stop();
    let tomorrow = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    let file = fs::File::options().append(true).open(server.dir().join("pepper")).expect("ours");
    file.set_modified(tomorrow).expect("ours");
    doctor_of(&server, &[]).names("clock", &["pepper", "in the future"]);
}

#[test]
fn wrong_modes_and_owners_are_named() {
    let server = Server::up(&[]);
    mode(server.dir(), 0o755);
    doctor_of(&server, &[]).names("data directory", &["0755", "chmod 0700"]);
    mode(server.dir(), 0o700);
    mode(&server.dir().join("pepper"), 0o644);
    doctor_of(&server, &[]).names("modes and owners", &["pepper", "0644", "chmod 0600"]);
    mode(&server.dir().join("pepper"), 0o600);
    if !is_root() {
        skipped("only root can give a file away");
        return;
    }
    chown(server.dir().join("ca/issuing.key"), Some(54_321), None).expect("root may");
    doctor_of(&server, &[]).names("modes and owners", &["issuing.key", "54321", "chown"]);
}

#[test]
fn a_cut_credential_file_is_named() {
    let server = Server::up(&[]);
    for name in ["identity.json", "certificate-a.pem", "key-a.pem"] {
        let agent = Agent::enrolled(&server.invite());
        let path = agent.dir().join(name);
        let whole = fs::read(&path).expect("ours");
        fs::write(&path, &whole[..whole.len() / 2]).expect("ours");
        let finding = doctor(agent.home().path(), &["--data-dir", &agent.dir().display().to_string()]);
        finding.names("files", &[name]);
        finding.names("credential", &[name]);
    }
}

#[test]
fn an_expired_certificate_is_named() {
    let server = Server::up(&[]);
    let agent = Agent::enrolled(&server.invite());
    let path = agent.dir().join("identity.json");
    let mut identity: Value = serde_json::from_slice(&fs::read(&path).expect("ours")).expect("JSON");
    identity["life"] = json!({"not_before": "2026-01-01T00:00:00Z", "not_after": "2026-01-02T00:00:00Z"});
    fs::write(&path, identity.to_string()).expect("ours");
    let finding = doctor(agent.home().path(), &["--data-dir", &agent.dir().display().to_string()]);
    finding.names("credential", &["expired"]);
}

#[test]
fn a_taken_port_is_named() {
    let mut server = Server::up(&[]);
    server.stop();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    doctor_of(&server, &["--listen", &taken]).names("port", &["taken", &taken]);
    let (code, complaint) = server.refuses_to_start(&taken);
    assert_eq!(code, 78);
    assert!(complaint.contains(&taken) && complaint.contains("--listen"), "{complaint}");
}

#[test]
fn a_full_disk_is_named() {
    let Some(disk) = SmallDisk::of(48) else {
        skipped("only root can make a small disk");
        return;
    };
    let server = Server::at(Home::new(), disk.path().join("server"), "", &[]);
    assert_eq!(doctor_of(&server, &[]).code, Some(0), "nearly full is a warning");
    disk.fill();
    doctor_of(&server, &[]).names("disk", &["full", "503"]);
}

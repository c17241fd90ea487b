//! The real binary against a socket that gives one canned answer: what goes to which stream, and which code it ends in.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::{Value, json};

struct Server {
    dir: tempfile::TempDir,
    served: JoinHandle<String>,
}

/// Answers one request and gives its text.
fn server(status: u16, content_type: &str, body: &Value) -> Server {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let listener = UnixListener::bind(dir.path().join("muster.sock")).expect("a new path");
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\nconnection: close\r\n");
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut bytes = vec![0; 64 * 1024];
        let read = stream.read(&mut bytes).expect("a request");
        stream.write_all(answer.as_bytes()).expect("a client that listens");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    Server { dir, served }
}

fn muster(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.env_clear().env("HOME", server.dir.path()).arg("--data-dir").arg(server.dir.path());
    command.args(args).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn machine(name: &str) -> Value {
    json!({
        "id": "mch_01", "name": name, "kind": "host", "state": "active", "state_since": "2026-11-01T00:00:00Z",
        "online": true, "site": "main", "hostname": "web", "hardware_id": "hw_1", "last_seen": "2026-11-01T00:00:00Z",
        "credential_expires": "2026-11-02T00:00:00Z", "generation": 1, "key": null, "role": null, "labels": {},
        "attributes": {}, "grant": null, "contested_by": null, "created_at": "2026-11-01T00:00:00Z", "enrolled_at": null,
    })
}

#[test]
fn lists_as_json_are_the_apis_shape_and_nothing_else() {
    let page = json!({"items": [machine("web-1")], "next": null});
    let server = server(200, "application/json", &page);
    let output = muster(&server, &["machine", "ls", "--output", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON alone"), page);
    assert!(output.status.success() && output.stderr.is_empty());
    let request = server.served.join().expect("served");
    assert!(request.starts_with("GET /v1/machines?limit=1000 HTTP/1.1\r\n"), "{request}");
}

#[test]
fn q_34_a_table_shows_a_hostile_name_as_text() {
    let page = json!({"items": [machine("\u{1b}]52;c;eA==\u{7}")], "next": null});
    let server = server(200, "application/json", &page);
    let table = text(&muster(&server, &["machine", "ls"]).stdout);
    assert!(!table.contains(['\u{1b}', '\u{7}']) && table.contains("online"), "{table}");
}

#[test]
fn problems_end_in_the_documented_codes_and_leave_stdout_empty() {
    for (status, code) in [(400, 2), (401, 77), (403, 4), (404, 3), (409, 5), (429, 7), (500, 1), (503, 75)] {
        let problem = json!({"type": "/p", "title": "No.", "status": status, "code": "no", "action": "stop",
            "help": "Ask.", "request_id": "r-1"});
        let server = server(status, "application/problem+json", &problem);
        let output = muster(&server, &["hold", "show", "hld_1"]);
        assert_eq!(output.status.code(), Some(code), "{status}");
        assert!(output.stdout.is_empty());
        assert_eq!(text(&output.stderr), "error: No.\nhint: Ask.\nrequest id: r-1\n");
    }
}

#[test]
fn an_approval_carries_the_choice_and_an_idempotency_key() {
    let hold = json!({"id": "hld_1", "reason": "key_mismatch", "state": "approved", "site": "main", "existing": null,
        "grant": null, "created_at": "2026-11-01T00:00:00Z", "expires_at": "2026-11-08T00:00:00Z",
        "claimant": {"key": null, "words": [], "hardware_id": null, "hostname": null, "kind": "host", "attributes": {},
            "source": null, "method": "request"}});
    let server = server(200, "application/json", &hold);
    let output = muster(&server, &["hold", "approve", "hld_1", "--as-new", "-o", "yaml"]);
    assert!(output.status.success() && text(&output.stdout).contains("state: approved"));
    let request = server.served.join().expect("served");
    assert!(
        request.starts_with("POST /v1/holds/hld_1/approve ") && request.contains("idempotency-key: "),
        "{request}"
    );
    assert!(request.ends_with(r#"{"as":"new"}"#), "{request}");
}

#[test]
fn no_server_and_no_sense_have_codes_of_their_own() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        let output = command
            .env_clear()
            .env("HOME", dir.path())
            .arg("--data-dir")
            .arg(dir.path().join("d"))
            .args(args)
            .output();
        output.expect("the binary runs").status.code()
    };
    assert_eq!(run(&["machine", "ls"]), Some(69));
    assert_eq!(run(&["machine", "lst"]), Some(2));
    assert_eq!(run(&["--config", "/nonexistent", "machine", "ls"]), Some(78));
    assert_eq!(run(&["agent", "run"]), Some(10));
    assert_eq!(run(&["enroll"]), Some(10));
    assert_eq!(run(&["doctor"]), Some(1));
}

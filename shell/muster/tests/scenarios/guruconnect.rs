//! GuruConnect agents as they are, on SQLite and on PostgreSQL.
//!
//! 1. The bytes of a real agent's enrollment: 201 with the four fields that it insists on; sent again, 200 with the same
//!    key, also after the server was killed; whatever is wrong with site or key, one 401; 400 for what is no request.
//! 2. The same hardware under another name: 202 as often as it asks, and nothing of the machine changes; once a person
//!    has approved, 200, once; the older key has ended with the approval.
//! 3. An operator's tools rotate the site's key, and end one key of a machine.
//! 4. A relay asks whose key it was shown.
//! 5. An operator who moves here brings a site's key along as the hash that the old server has; installers go on with it,
//!    also where the server is killed while the first of them asks.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Server, database, skipped, text};

/// The body of a real run; key, hardware and hostname are those of the test.
const BODY: &str = r#"{"site_code":"ACME-PHX","enrollment_key":"KEY","machine_uid":"UID","hostname":"NAME","labels":{"company":"Acme","tags":["prod","x"]}}"#;

/// A server that serves existing clients on a plain listener, and what its operators' tools show.
struct Relay {
    server: Server,
    token: String,
}

struct Answer {
    status: u16,
    body: Value,
}

impl Relay {
    fn new(config: &str) -> Self {
        let server = Server::configured(config, &["--compat-listen", "127.0.0.1:0"]);
        server.muster(&["site", "create", "ACME-PHX"]);
        let token = text(&server.muster(&["token", "create", "dashboard", "--role", "admin"])["secret"]);
        Self { server, token }
    }

    /// Sends bytes and reads all that comes back.
    fn send(&self, head: &str, body: &str) -> Answer {
        let url = self.server.told("compat_url");
        let address = url.strip_prefix("http://").expect("a plain address");
        let mut stream = TcpStream::connect(address).expect("it listens");
        let length = body.len();
        let request = format!(
            "{head}\r\naccept: */*\r\nhost: {address}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, body: serde_json::from_str(body).unwrap_or_default() }
    }

    fn enroll(&self, key: &str, uid: &str, name: &str) -> Answer {
        let body = BODY.replace("KEY", key).replace("UID", uid).replace("NAME", name);
        self.send("POST /api/enroll HTTP/1.1\r\ncontent-type: application/json", &body)
    }

    /// What an operator's tool asks with its token.
    fn tool(&self, line: &str, body: &str) -> Answer {
        let media = if body.is_empty() { "" } else { "\r\ncontent-type: application/x-www-form-urlencoded" };
        self.send(&format!("{line} HTTP/1.1\r\nauthorization: Bearer {}{media}", self.token), body)
    }

    fn rotate(&self) -> Value {
        let answer = self.tool("POST /api/sites/ACME-PHX/enrollment-key/rotate", "");
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }

    fn is_active(&self, key: &str) -> bool {
        let answer = self.tool("POST /api/introspect", &format!("token={key}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["active"] == json!(true)
    }
}

/// Runs a story on each database that this machine has.
fn on_both(story: fn(Relay)) {
    story(Relay::new(""));
    match database() {
        Some(database) => story(Relay::new(&format!("database = '{}'\n", database.url()))),
        None => skipped("there is no PostgreSQL on this machine"),
    }
}

fn error(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.body["status_code"], answer.status, "{}", answer.body);
    (answer.status, answer.body["error_code"].as_str().unwrap_or_default())
}

#[test]
fn an_agent_enrolls_and_a_lost_answer_costs_nothing() {
    on_both(|mut relay| {
        let key = text(&relay.rotate()["key"]);
        let first = relay.enroll(&key, "muid_test", "WS-01");
        assert_eq!(first.status, 201, "{}", first.body);
        assert_eq!(first.body["enrollment_state"], "active");
        assert_eq!(first.body["disposition"], "new");
        let cak = text(&first.body["key"]);
        assert!(cak.starts_with("cak_") && cak.len() == 68);
        for _ in 0..2 {
            let again = relay.enroll(&key, "muid_test", "WS-01");
            assert_eq!((again.status, &again.body["key"]), (200, &first.body["key"]));
            assert_eq!(again.body["machine_id"], first.body["machine_id"]);
            relay.server.end(Signal::KILL);
            relay.server.start();
        }
        let shown = relay.server.show(&text(&first.body["machine_id"]));
        assert_eq!(shown["attributes"], json!({"company": "Acme", "tags": "prod,x"}));
        assert!(
            !relay.server.log().contains(&cak) && !relay.server.log().contains(&key),
            "no secret in the log"
        );

        let never = format!("cek_{}", "0f".repeat(32));
        for wrong in ["cek_secret", "secret", &never] {
            assert_eq!(error(&relay.enroll(wrong, "muid_test", "WS-01")), (401, "ENROLL_REJECTED"));
        }
        assert_eq!(error(&relay.enroll(&key, "", "WS-01")), (400, "INVALID_REQUEST"));
        assert_eq!(error(&relay.enroll(&key, "muid_test", &"x".repeat(300))), (400, "INVALID_REQUEST"));
    });
}

#[test]
fn another_name_on_known_hardware_waits_until_a_person_has_decided() {
    on_both(|relay| {
        let key = text(&relay.rotate()["key"]);
        let first = relay.enroll(&key, "muid_test", "WS-01");
        let (id, old) = (text(&first.body["machine_id"]), text(&first.body["key"]));
        for _ in 0..3 {
            let held = relay.enroll(&key, "muid_test", "WS-02");
            assert_eq!((held.status, &held.body["enrollment_state"]), (202, &json!("pending")));
            assert!(held.body.get("key").is_none(), "{}", held.body);
        }
        assert_eq!(relay.server.show(&id)["hostname"], "WS-01");
        assert!(relay.is_active(&old));
        let holds = relay.server.list(&["hold", "ls"]);
        assert_eq!(holds.len(), 1);
        relay.server.muster(&["hold", "approve", &text(&holds[0]["id"]), "--as-same"]);
        assert!(!relay.is_active(&old), "older keys end with the approval");
        assert_eq!(relay.enroll(&key, "muid_test", "WS-03").status, 202, "it is for one claimant");
        let second = relay.enroll(&key, "muid_test", "WS-02");
        assert_eq!((second.status, &second.body["disposition"]), (200, &json!("reuse")));
        assert_eq!(second.body["machine_id"], id.as_str());
        assert!(relay.is_active(&text(&second.body["key"])));
        relay.server.muster(&["machine", "retire", &id]);
        assert!(!relay.is_active(&text(&second.body["key"])));
        assert_eq!(relay.enroll(&key, "muid_test", "WS-02").status, 202, "what was removed stays removed");
        assert_eq!(relay.server.show(&id)["state"], "retired");
    });
}

#[test]
fn an_operators_tools_and_a_relay_find_what_they_know() {
    on_both(|relay| {
        assert_eq!(
            error(&relay.tool("GET /api/sites/ACME-PHX/enrollment-key", "")),
            (404, "NO_ENROLLMENT_KEY")
        );
        let (first, second) = (relay.rotate(), relay.rotate());
        let shown = relay.tool("GET /api/sites/ACME-PHX/enrollment-key", "").body;
        let label = format!("v2 ({})", text(&second["fingerprint"]));
        assert_eq!((&shown["fingerprint_label"], &shown["active"]), (&json!(label), &json!(true)));
        assert_eq!(error(&relay.enroll(&text(&first["key"]), "muid_a", "WS-01")), (401, "ENROLL_REJECTED"));
        let enrolled = relay.enroll(&text(&second["key"]), "muid_a", "WS-01").body;
        let (id, cak) = (text(&enrolled["machine_id"]), text(&enrolled["key"]));

        let asked = relay.tool("POST /api/introspect", &format!("token={cak}")).body;
        assert_eq!((&asked["active"], &asked["sub"]), (&json!(true), &json!(id)));
        assert!(asked["exp"].as_i64() > asked["iat"].as_i64());
        let unknown = relay.tool("POST /api/introspect", "token=cak_unknown").body;
        assert_eq!(unknown, json!({"active": false}));
        let stranger = relay.send(
            "POST /api/introspect HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded",
            &format!("token={cak}"),
        );
        assert_eq!(stranger.status, 401);

        let keys = relay.tool(&format!("GET /api/machines/{id}/keys"), "").body;
        let one = text(&keys["keys"][0]["key_id"]);
        assert_eq!(relay.tool(&format!("DELETE /api/machines/{id}/keys/{one}"), "").status, 204);
        assert!(!relay.is_active(&cak));
        let actions: Vec<String> = relay.server.audit().iter().map(|entry| text(&entry["action"])).collect();
        for action in ["site.rotate_key", "machine.enroll", "machine.revoke"] {
            assert!(actions.iter().any(|found| found == action), "{action} in {actions:?}");
        }
    });
}

/// A key of an old server, and what that has of it.
const OLD_KEY: &str = "cek_0101010101010101010101010101010101010101010101010101010101010101";
const OLD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$kVww0f9H9a0ESYzo2z81kmRp9IOavsCv6bRQiN2SEN0";

#[test]
fn installers_of_an_old_server_go_on_with_the_key_that_they_have() {
    on_both(|mut relay| {
        let file = relay.server.home().write("old.phc", &format!("{OLD_HASH}\n"));
        let file = file.display().to_string();
        let import = ["site", "import-key", "ACME-PHX", &file, "--generation", "v3"];
        for shown in [false, false] {
            let imported = relay.server.muster(&import);
            assert_eq!((&imported["generation"], &imported["shown"]), (&json!("v3 (????)"), &json!(shown)));
        }
        assert_eq!(error(&relay.enroll("cek_secret", "muid_a", "WS-01")), (401, "ENROLL_REJECTED"));
        relay.server.end(Signal::KILL);
        relay.server.start();
        let first = relay.enroll(OLD_KEY, "muid_a", "WS-01");
        assert_eq!((first.status, &first.body["disposition"]), (201, &json!("new")), "{}", first.body);
        assert_eq!(relay.enroll(OLD_KEY, "muid_a", "WS-01").body["key"], first.body["key"]);
        assert_eq!(relay.enroll(OLD_KEY, "muid_b", "WS-02").status, 201);
        assert_eq!(relay.server.muster(&import)["shown"], json!(true), "and nothing else changed");
        let label = text(&relay.server.list(&["site", "ls"])[1]["enrollment_key"]);
        assert!(label.starts_with("v3 (") && !label.contains('?'), "{label}");
        assert!(!relay.server.log().contains("argon2id"), "no hash in the log");
        relay.rotate();
        assert_eq!(error(&relay.enroll(OLD_KEY, "muid_c", "WS-03")), (401, "ENROLL_REJECTED"));
    });
}

//! The first five minutes.
//!
//! 1. `muster up` in an empty directory: one line of JSON says where everything is, and nobody else can read it.
//! 2. `machine ls` shows this machine, live, with a credential.
//! 3. The login link opens the status page once; a browser is never asked for a certificate.
//! 4. A second `up` in the same directory is told that one runs there.
//! 5. Ctrl-C stops it cleanly, within seconds; `up` again starts what is there: same machine, same CA, same address.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use crate::support::{Http, Server, eventually};

#[test]
fn an_empty_directory_becomes_a_server_that_knows_this_machine() {
    let server = Server::up(&[]);
    for key in ["url", "login_url", "ca_pin", "invite", "data_dir"] {
        assert!(server.ready[key].is_string(), "{key} in {}", server.ready);
    }
    let mode = |name: &str| {
        let found = std::fs::metadata(server.dir().join(name)).expect("it was made");
        found.permissions().mode() & 0o777
    };
    assert_eq!([".", "ca", "agent"].map(mode), [0o700; 3]);
    assert_eq!(["muster.db", "pepper", "ca/root-a.key", "muster.sock"].map(mode), [0o600; 4]);

    let machines = server.list(&["machine", "ls"]);
    let [this] = machines.as_slice() else { panic!("one machine: {machines:?}") };
    assert_eq!(
        (&this["id"], &this["state"], &this["online"]),
        (&json!(server.machine()), &json!("active"), &json!(true))
    );
    for key in ["name", "kind", "site", "last_seen", "credential_expires"] {
        assert!(this[key].is_string(), "{key} in {this}");
    }
    assert!(this.as_object().expect("an object").contains_key("hardware_id"));
    assert_eq!(server.muster(&["status"])["ca_pin"], server.ready["ca_pin"]);
}

#[test]
fn the_login_link_opens_the_status_page_once() {
    let server = Server::up(&[]);
    let http = server.http();
    let page = http.get("/");
    assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("Log in"), "{}", page.text());
    let (before, secret) = server.told("login_url").split_once('#').expect("the secret is in the fragment");
    assert_eq!(before, format!("{}/login", server.url()), "no secret where a log would show it (Q-27)");

    let opened = http.post("/v1/session", &json!({"login": secret}));
    assert_eq!(opened.status, 204, "{}", opened.text());
    let cookie = opened.header("set-cookie").expect("a session");
    for word in ["Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let session = cookie.split(';').next().expect("a value");
    let same_origin = [("cookie", session), ("sec-fetch-site", "same-origin")];
    assert_eq!(http.send("GET", "/v1/machines", &same_origin, b"").status, 200);
    assert_eq!(http.get("/v1/machines").status, 401, "without the session");
    let desk = http.send("GET", "/", &same_origin, b"");
    assert!(desk.status == 200 && desk.text().contains("Nothing waits for you"), "{}", desk.text());
    assert_eq!(http.post("/v1/session", &json!({"login": secret})).status, 401, "the link works once");
}

/// Notices when a server asks for a certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::SeqCst);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_browser_is_never_asked_for_a_certificate_and_an_agent_always_is() {
    let server = Server::up(&[]);
    let asked = |alpn: &[u8]| {
        let asked = Arc::new(Asked::default());
        let http = Http::asked(server.address(), server.dir(), asked.clone(), alpn);
        let answer = http.try_send("GET", "/healthz", &[], b"");
        (asked.0.load(Ordering::SeqCst), answer.is_ok_and(|answer| answer.status == 200))
    };
    assert_eq!(asked(b"http/1.1"), (false, true));
    assert_eq!(asked(muster_wire::ALPN), (true, false), "and without one it gets nowhere (Q-42)");
}

#[test]
fn a_second_server_in_the_same_directory_is_told_that_one_runs_there() {
    let server = Server::up(&[]);
    let (code, complaint) = server.refuses_to_start("127.0.0.1:0");
    assert_eq!(code, 5);
    assert!(complaint.contains("a server runs in") && complaint.contains("hint:"), "{complaint}");
    assert_eq!(server.list(&["machine", "ls"]).len(), 1, "and the first one goes on");
}

#[test]
fn ctrl_c_stops_it_cleanly_and_up_starts_what_is_there() {
    let mut server = Server::up(&[]);
    let (ready, machine) = (server.ready.clone(), server.show(server.machine()));
    let (code, took) = server.end(Signal::INT);
    assert_eq!(code, 0, "{}", server.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!server.dir().join("muster.db-wal").exists(), "the database is closed");
    assert_eq!(server.fails(&["machine", "ls"]).0, 69, "nobody answers");

    server.start();
    let kept = |ready: &Value| ["url", "ca_pin", "data_dir", "machine"].map(|key| ready[key].clone());
    assert_eq!(kept(&server.ready), kept(&ready));
    let again = server.show(server.machine());
    for key in ["key", "generation", "enrolled_at", "credentials"] {
        assert_eq!(again[key], machine[key], "{key}");
    }
    assert_eq!(again["online"], true);
}

#[test]
fn another_port_is_no_other_server() {
    let mut server = Server::up(&[]);
    let (url, machine) = (server.url().to_owned(), server.machine().to_owned());
    server.stop();
    let taken = std::net::TcpListener::bind(server.address()).expect("the server let go of it");
    server.start_anywhere();
    assert_ne!(server.url(), url);
    assert_eq!(server.machine(), machine);
    eventually("this machine is online again", crate::support::SOON, || {
        (server.show(&machine)["online"] == true).then_some(())
    });
    assert_eq!(server.list(&["machine", "ls"]).len(), 1);
    drop(taken);
}

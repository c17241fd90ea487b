//! A revoked machine tries everything.
//!
//! 1. A machine is enrolled and then revoked; its agent set its files aside, and somebody picks them up.
//! 2. With certificate and key over TLS: itself, renew, token, channel, leave. With signed requests: the same.
//! 3. It enrolls again by the same key, and lets the old key vouch for a new one.
//! 4. Every answer is `revoked`, nothing changes, no token is spent; so after a restart of the server (Q-04, Q-07).

use std::fs;

use data_encoding::BASE64;
use muster_wire::enroll::REKEY_CONTEXT;
use muster_wire::signature::HEADER;
use serde_json::{Value, json};

use crate::support::{Agent, Device, Http, Server, text};

/// Somebody with the files of a machine that is no more.
struct Ghost {
    id: String,
    device: Device,
    certificate: String,
}

/// What the issue names, in the order a curious owner of the files might try it.
const WITH_IDENTITY: [(&str, &str, &str); 5] = [
    ("GET", "/v1/machines/self", ""),
    ("POST", "/v1/machines/self/renew", ""),
    ("POST", "/v1/machines/self/token", r#"{"audience": "https://elsewhere.example"}"#),
    ("GET", "/v1/machines/self/channel", ""),
    ("POST", "/v1/machines/self/leave", ""),
];

const UPGRADE: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "muster.channel.v1"),
];

impl Ghost {
    /// A machine that was ended like this.
    fn of(server: &Server, verb: &str) -> Self {
        let mut agent = Agent::online(&server.invite());
        let id = agent.machine();
        server.muster(&["machine", verb, &id, "--reason", "stolen"]);
        assert_eq!(agent.exit_code(), 22);
        let aside = |name: &str| {
            let files = agent.files();
            let found =
                files.iter().find(|file| file.starts_with(&format!("{name}.retired-"))).expect("kept");
            fs::read_to_string(agent.dir().join(found)).expect("ours")
        };
        Self { id, device: Device::with_key(&aside("key-a.pem")), certificate: aside("certificate-a.pem") }
    }

    fn mutual(&self, server: &Server) -> Http {
        Http::mutual(server.address(), server.dir(), &self.certificate, &self.device.key_pem())
    }

    fn try_everything(&self, server: &Server) {
        let revoked = (403, "revoked".to_owned());
        for (method, path, body) in WITH_IDENTITY {
            let answer = self.mutual(server).send(method, path, &UPGRADE, body.as_bytes());
            assert_eq!(answer.problem(), revoked, "{method} {path} with the certificate: {}", answer.text());
            assert_eq!(answer.json()["action"], "enroll_again");
            let answer = self.device.signed(&server.http(), method, path, body.as_bytes());
            assert_eq!(answer.problem(), revoked, "{method} {path} signed: {}", answer.text());
        }
    }

    /// Enrolls again by the same key, and by a new one that the old one vouches for.
    fn enroll_again(&self, server: &Server, token: &str) {
        let again = self.device.enroll(&server.http(), token);
        assert_eq!(again.problem(), (403, "revoked".into()), "{}", again.text());

        let fresh = Device::new();
        let csr = BASE64.decode(fresh.csr().as_bytes()).expect("base64");
        let mut request = fresh.enrollment(token);
        request["csr"] = BASE64.encode(&csr).into();
        let signature = BASE64.encode(&self.device.sign(&[REKEY_CONTEXT, &csr].concat()));
        request["previous"] = json!({"key": self.device.fingerprint().to_string(), "signature": signature});
        let vouched = server.http().post("/v1/enroll", &request);
        assert_eq!(vouched.problem(), (403, "revoked".into()), "{}", vouched.text());
    }
}

fn state_of(server: &Server, id: &str) -> (Value, usize, usize) {
    let mut machine = server.show(id);
    machine.as_object_mut().expect("an object").remove("last_seen");
    (machine, server.list(&["machine", "ls"]).len(), server.list(&["hold", "ls"]).len())
}

/// Revoked or retired: it is all the same to whoever comes back.
fn gets_nowhere(verb: &str) {
    let mut server = Server::up(&[]);
    let ghost = Ghost::of(&server, verb);
    let before = state_of(&server, &ghost.id);
    let token = server.token();
    ghost.try_everything(&server);
    ghost.enroll_again(&server, &token);
    assert_eq!(state_of(&server, &ghost.id), before, "nothing changed");

    assert_eq!(server.stop(), 0);
    server.start();
    ghost.try_everything(&server);
    ghost.enroll_again(&server, &token);
    assert_eq!(state_of(&server, &ghost.id), before, "nor after a restart");
    let honest = Device::new().enroll(&server.http(), &token);
    assert_eq!(honest.status, 201, "the token was not spent: {}", honest.text());
}

#[test]
fn q_07_a_revoked_machine_gets_nowhere() {
    gets_nowhere("revoke");
}

#[test]
fn q_07_a_retired_machine_gets_nowhere() {
    gets_nowhere("retire");
}

#[test]
fn q_08_revoking_one_credential_takes_its_key_with_it() {
    let server = Server::up(&[]);
    let device = Device::new();
    let enrolled = device.enroll(&server.http(), &server.token()).json();
    let (id, credential) = (text(&enrolled["machine"]["id"]), text(&enrolled["credential"]["id"]));
    let ghost = Ghost { id, certificate: text(&enrolled["credential"]["certificate"]), device };
    assert_eq!(ghost.mutual(&server).get("/v1/machines/self").status, 200);
    server.muster(&["machine", "revoke", &ghost.id, "--credential", &credential]);
    ghost.try_everything(&server);
    ghost.enroll_again(&server, &server.token());
}

#[test]
fn removed_hardware_comes_back_only_through_a_person() {
    let server = Server::up(&[]);
    let http = server.http();
    let enrolled = http.post("/v1/enroll", &Device::new().enrollment_on(&server.token(), "hw_gone")).json();
    let id = text(&enrolled["machine"]["id"]);
    server.muster(&["machine", "retire", &id]);
    let before = server.show(&id);

    let answer = http.post("/v1/enroll", &Device::new().enrollment_on(&server.token(), "hw_gone"));
    assert_eq!((answer.status, &answer.json()["reason"]), (202, &json!("was_removed")));
    let keyless = json!({"method": "token", "evidence": {"token": server.token()}, "credential": "bearer",
        "hardware_id": "hw_gone"});
    assert_eq!(http.post("/v1/enroll", &keyless).status, 202, "nor without a key");
    let mut after = server.show(&id);
    after["contested_by"] = Value::Null;
    assert_eq!(after, before, "it stays retired");
}

#[test]
fn q_06_a_captured_signed_request_is_refused_when_it_is_sent_again() {
    let mut server = Server::up(&[]);
    let device = Device::new();
    assert_eq!(device.enroll(&server.http(), &server.token()).status, 201);
    let header = device.signature(&server.http(), "GET", "/v1/machines/self", b"");
    let send = |server: &Server| server.http().send("GET", "/v1/machines/self", &[(HEADER, &header)], b"");
    assert_eq!(send(&server).status, 200);
    assert_eq!(send(&server).problem(), (401, "nonce_needed".into()));
    server.stop();
    server.start();
    assert_eq!(send(&server).problem(), (401, "nonce_needed".into()), "nor after a restart");
}

#[test]
fn q_02_a_machine_acts_as_itself_alone() {
    let server = Server::up(&[]);
    let device = Device::new();
    let enrolled = device.enroll(&server.http(), &server.token()).json();
    let certificate = text(&enrolled["credential"]["certificate"]);
    let other = server.machine();
    let http = Http::mutual(server.address(), server.dir(), &certificate, &device.key_pem());
    for (method, path) in [
        ("GET", format!("/v1/machines/{other}")),
        ("POST", format!("/v1/machines/{other}/retire")),
        ("GET", "/v1/machines".into()),
        ("GET", "/v1/audit".into()),
        ("POST", "/v1/tokens".into()),
    ] {
        let answer = http.send(method, &path, &[("content-type", "application/json")], b"{}");
        assert_eq!(answer.problem(), (403, "forbidden".into()), "{method} {path}");
    }
    assert_eq!(server.show(other)["state"], "active");
}

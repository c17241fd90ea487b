//! A studio-worker as it is comes in over plain HTTP: what it sends is what the real one sends.
//!
//! 1. It asks with the hash of its secret, twice, because the answer was lost: one line on the Desk.
//! 2. Somebody else asks in its name with another hash: another line, and the first one is not touched.
//! 3. A person approves; polling gives the same key each time, also after the server was killed and started again.
//! 4. A rejected one is told why. What is not there is 404.
//! 5. The machine is retired: the next poll is 404, and the worker starts over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Server, database};

const INSTALL: &str = "1d848de4-9446-7f86-0556-a1cd78668dfd";
/// SHA-256 of the secret as text, as the client computes it: `sha256("899d…")` over the digits, not the bytes.
const SECRET: &str = "899dd2c3899dd2c3899dd2c3899dd2c3899dd2c3899dd2c3899dd2c3899dd2c3";
const CAPABILITIES: &str = r#"{"machineName":"vm","username":"root","agentVersion":"0.4.35","engine":"multi","vramTotalGb":0.0,"vramThresholdGb":12.0,"autoEnabled":true,"autoStart":false,"autoUpdate":false,"startMinimised":true,"onlyWhenIdle":false,"supportedModels":["sd-cpp:*","synthetic","synthetic-image","synthetic-llm","synthetic-mesh","synthetic-stt","synthetic-tts","synthetic-video"],"taskKinds":["image","llm","audio_stt","audio_tts","video","mesh"],"supportedModelsPerKind":{"image":["sd-cpp:*","synthetic","synthetic-image"],"llm":["synthetic","synthetic-llm"],"audio_stt":["synthetic","synthetic-stt"],"audio_tts":["synthetic","synthetic-tts"],"video":["synthetic","synthetic-video"],"mesh":["synthetic","synthetic-mesh"]},"modelEngines":["sd-cpp","synthetic"]}"#;

fn hash(secret: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends bytes to the plain listener and reads the answer to its end.
fn send(server: &Server, head: &str, body: &str) -> (u16, Value) {
    let address = server.told("compat_url").strip_prefix("http://").expect("plain HTTP");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let request = format!("{head}host: {address}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn ask(server: &Server, secret: &str) -> String {
    let body = format!(
        r#"{{"installId":"{INSTALL}","registrationSecretHash":"{}","capabilities":{CAPABILITIES},"userAgent":"studio-worker/0.4.35"}}"#,
        hash(secret)
    );
    let length = body.len();
    let head = format!(
        "POST /x/graphics/api/workers/register-request HTTP/1.1\r\ncontent-type: application/json\r\naccept: */*\r\ncontent-length: {length}\r\n"
    );
    let (status, answer) = send(server, &head, &body);
    assert_eq!((status, &answer["status"]), (200, &json!("pending")), "{answer}");
    answer["requestId"].as_str().expect("a request id").to_owned()
}

fn poll(server: &Server, request: &str, secret: &str) -> (u16, Value) {
    let head = format!(
        "GET /x/graphics/api/workers/register-requests/{request} HTTP/1.1\r\nauthorization: Bearer {secret}\r\naccept: */*\r\n"
    );
    send(server, &head, "")
}

fn played(mut server: Server) {
    let request = ask(&server, SECRET);
    assert_eq!(ask(&server, SECRET), request, "the answer was lost");
    let other = ask(&server, "somebody else");
    assert_ne!(request, other);
    assert_eq!(server.list(&["hold", "ls"]).len(), 2);
    let hold = server.muster(&["hold", "show", &request]);
    assert_eq!(hold["claimant"]["hardware_id"], INSTALL);
    assert_eq!(hold["claimant"]["attributes"]["task_kinds"], "image, llm, audio_stt, audio_tts, video, mesh");
    assert_eq!(poll(&server, &request, SECRET), (200, json!({"status": "pending"})));
    assert_eq!(poll(&server, &request, "somebody else").0, 404);
    server.muster(&["hold", "approve", &request]);
    let (status, approved) = poll(&server, &request, SECRET);
    assert_eq!((status, &approved["status"]), (200, &json!("approved")));
    server.signal(Signal::KILL);
    server.end(Signal::KILL);
    server.start();
    assert_eq!(poll(&server, &request, SECRET), (200, approved.clone()), "the same key after a crash");
    assert_eq!(ask(&server, SECRET), request);

    server.muster(&["hold", "reject", &other, "--reason", "not ours"]);
    assert_eq!(
        poll(&server, &other, "somebody else"),
        (200, json!({"status": "rejected", "reason": "not ours"}))
    );
    assert_eq!(poll(&server, "rr-unknown", SECRET).0, 404);

    let worker = approved["workerId"].as_str().expect("a machine");
    let shown = server.show(worker);
    assert_eq!((&shown["kind"], &shown["hostname"]), (&json!("worker"), &json!("vm")));
    server.muster(&["machine", "retire", worker]);
    assert_eq!(poll(&server, &request, SECRET).0, 404, "gone: it starts over");
    assert!(!server.log().contains(approved["authToken"].as_str().expect("a key")), "no key in the log");
    assert_eq!(server.stop(), 0);
}

const PLAIN: [&str; 2] = ["--compat-listen", "127.0.0.1:0"];

#[test]
fn a_studio_worker_comes_in_as_it_is() {
    played(Server::up(&PLAIN));
}

#[test]
fn a_studio_worker_comes_in_as_it_is_on_postgresql() {
    let Some(database) = database() else { return };
    played(Server::configured(&format!("[database]\nurl = '{}'\n", database.url()), &PLAIN));
}

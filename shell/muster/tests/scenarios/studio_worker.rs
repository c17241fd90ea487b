//! A studio-worker as it is comes in over plain HTTP: what it sends is what the real one sends.
//!
//! 1. It asks with the hash of its secret, twice, because the answer was lost: one line on the Desk.
//! 2. Somebody else asks in its name with another hash: another line, and the first one is not touched.
//! 3. A person approves; polling gives the same key each time, also after the server was killed and started again.
//! 4. A rejected one is told why. What is not there is 404.
//! 5. It holds its socket: hello and welcome, a heartbeat and its answer, online. A pause closes it for later, and it is refused
//!    until it is resumed; a second socket closes the first with 4003; the server comes and goes.
//! 6. The machine is retired: its socket is closed with 4004, the next poll and the next connection are 404, and the worker
//!    starts over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::channel::{CLOSE, PING, PONG, TEXT, read_frame, write_frame};
use crate::support::{SOON, Server, database, eventually, text};

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

/// The worker's socket, spoken as the client speaks it.
struct Socket(TcpStream);

/// What a socket ended with: the code of an error frame, if there was one, and that of the closing frame.
type Ended = (Option<String>, u16);

impl Socket {
    /// Connects, or gives the status that was answered instead.
    fn connect(server: &Server, worker: &str, key: &str) -> Result<Self, u16> {
        let address = server.told("compat_url").strip_prefix("http://").expect("plain HTTP");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let request = format!(
            "GET /x/graphics/api/workers/{worker}/connect HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: studio-worker-v1\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text").to_ascii_lowercase();
        match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
            Some(101) => {
                assert!(head.contains("sec-websocket-protocol: studio-worker-v1"), "{head}");
                Ok(Self(stream))
            }
            Some(status) => Err(status),
            None => panic!("{head}"),
        }
    }

    /// Connects and is welcomed.
    fn welcomed(server: &Server, worker: &str, key: &str) -> Self {
        let mut socket = Self::connect(server, worker, key).unwrap_or_else(|status| panic!("{status}"));
        let capabilities: Value = serde_json::from_str(CAPABILITIES).expect("JSON");
        socket.say(&json!({"type": "hello", "authToken": key, "capabilities": capabilities}));
        let welcome = socket.hear().unwrap_or_else(|ended| panic!("{ended:?}"));
        assert_eq!((&welcome["type"], &welcome["workerId"]), (&json!("welcome"), &json!(worker)));
        socket.beat();
        socket
    }

    fn say(&mut self, frame: &Value) {
        write_frame(&mut self.0, TEXT, frame.to_string().as_bytes()).expect("sent");
    }

    /// The next frame, or how it ended.
    fn hear(&mut self) -> Result<Value, Ended> {
        let mut said = None;
        loop {
            let (kind, payload) = read_frame(&mut self.0).expect("a frame");
            match kind {
                PING => write_frame(&mut self.0, PONG, &payload).expect("answered"),
                CLOSE => {
                    let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                    return Err((said, code));
                }
                TEXT => {
                    let frame: Value = serde_json::from_slice(&payload).expect("JSON");
                    if frame["type"] != "error" {
                        return Ok(frame);
                    }
                    said = frame["code"].as_str().map(ToOwned::to_owned);
                }
                other => panic!("a frame of kind {other}"),
            }
        }
    }

    fn beat(&mut self) {
        let capabilities: Value = serde_json::from_str(CAPABILITIES).expect("JSON");
        self.say(&json!({"type": "heartbeat", "capabilities": capabilities}));
        assert_eq!(self.hear(), Ok(json!({"type": "heartbeatAck"})));
    }

    fn ended(mut self) -> Ended {
        loop {
            if let Err(ended) = self.hear() {
                return ended;
            }
        }
    }
}

fn is_online(server: &Server, worker: &str, online: bool) {
    eventually(&format!("online: {online}"), SOON, || {
        (server.show(worker)["online"] == json!(online)).then_some(())
    });
}

/// The worker's socket, until it is retired.
fn connected(server: &mut Server, worker: &str, key: &str) {
    let older = Socket::welcomed(server, worker, key);
    is_online(server, worker, true);
    let socket = Socket::welcomed(server, worker, key);
    assert_eq!(older.ended(), (None, 4003), "no error frame: by one the daemon ends");
    server.muster(&["machine", "suspend", worker]);
    let (said, code) = socket.ended();
    assert_eq!(said, None, "a pause ends nothing");
    assert!(![4001, 4004].contains(&code), "{code}");
    assert_eq!(Socket::connect(server, worker, key).err(), Some(403), "it comes again, slower and slower");
    server.muster(&["machine", "resume", worker]);
    let socket = Socket::welcomed(server, worker, key);
    server.stop();
    let (said, code) = socket.ended();
    assert_eq!((said, [4001, 4004].contains(&code)), (None, false), "{code}: a stop ends nothing");
    server.start();
    let other = server.machine().to_owned();
    assert_eq!(Socket::connect(server, &other, key).err(), Some(403), "of another machine, never 404");
    let socket = Socket::welcomed(server, worker, key);
    is_online(server, worker, true);
    server.muster(&["machine", "retire", worker]);
    assert_eq!(socket.ended(), (Some("worker_deleted".to_owned()), 4004));
    assert_eq!(Socket::connect(server, worker, key).err(), Some(404));
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
    let key = text(&approved["authToken"]);
    connected(&mut server, worker, &key);
    assert_eq!(poll(&server, &request, SECRET).0, 404, "gone: it starts over");
    assert!(!server.log().contains(&key), "no key in the log");
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

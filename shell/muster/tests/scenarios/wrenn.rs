//! The wrenn host agent, as the unmodified program speaks: the bytes of its requests as they were recorded, and what it
//! does on each answer. On SQLite, and on PostgreSQL where the machine has it.
//!
//! 1. An operator makes a host by this wire; the agent registers, and the answer is lost; it registers again and beats.
//! 2. It refreshes, and that answer is lost; it refreshes again, twice at once. One successor.
//! 3. A copy of its file refreshes behind its back: it notices, both are stopped, and the log tells. An operator gives
//!    another token, and the host comes back under its id.
//! 4. The server stops and starts: the host goes on. A paused host hears nothing more: it pauses at the third silence and goes on
//!    by itself once it is resumed. A revoked one gives up.
//! 5. It is deleted: 404, and the agent deletes its credentials. Nobody else is answered so.
//! 6. On PostgreSQL: the way to the database is cut. The host is told 503 and never 401, and goes on by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use muster_testkit::balancer::Balancer;
use serde_json::Value;

use crate::support::{SOON, Server, database, eventually, text};

/// A request as Go's HTTP client writes it.
const POST: &str = "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {length}\r\n{headers}Accept-Encoding: gzip\r\n\r\n{body}";
/// What the agent sends of its host.
const REGISTER: &str = r#"{"token":"TOK1","arch":"amd64","cpu_cores":2,"memory_mb":24105,"disk_gb":251,"address":"10.0.0.5:50051"}"#;
const JSON: &str = "Content-Type: application/json\r\n";

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// The plain listener, or nothing where the connection ended without an answer.
fn send(url: &str, path: &str, headers: &str, body: &str) -> Option<Answer> {
    let host = url.strip_prefix("http://").expect("a plain address");
    let request = POST
        .replace("{path}", path)
        .replace("{host}", host)
        .replace("{length}", &body.len().to_string())
        .replace("{headers}", headers)
        .replace("{body}", body);
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.write_all(request.as_bytes()).ok()?;
    answer_of(&mut stream)
}

fn answer_of(stream: &mut TcpStream) -> Option<Answer> {
    let mut read = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let head = read.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(end) = head {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if read.len() >= end + 4 + length.unwrap_or(0) {
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some(Answer { status, body: read[end + 4..].to_vec() });
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            count => read.extend_from_slice(&piece[..count]),
        }
    }
}

/// What the agent keeps in `host-credentials.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    host_id: String,
    jwt: String,
    refresh_token: String,
}

/// What a heartbeat makes the agent do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beat {
    /// 204.
    Alive,
    /// 401 or 403, and the refresh that follows succeeded.
    Refreshed(Kept),
    /// 401 or 403, and the refresh failed: everything is paused and the loop ends for good.
    GaveUp,
    /// No answer. At the third in a row everything is paused, until 204.
    Silence,
    /// 404: the credentials are deleted and the agent ends.
    Deleted,
    /// A warning.
    Ignored(u16),
}

/// The agent takes the identifier from the JWT and does not verify it; without both it has nothing.
fn kept(answer: &Answer) -> Kept {
    let json = answer.json();
    for field in ["cert_pem", "key_pem", "ca_cert_pem"] {
        assert!(json[field].as_str().is_some_and(|pem| !pem.is_empty()), "main.go exits without {field}");
    }
    let jwt = text(&json["token"]);
    let payload = jwt.split('.').nth(1).expect("three parts");
    let claims: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).expect("raw base64url"))
            .expect("JSON");
    Kept { host_id: text(&claims["host_id"]), jwt, refresh_token: text(&json["refresh_token"]) }
}

fn register(url: &str, token: &str) -> Answer {
    send(url, "/v1/hosts/register", JSON, &REGISTER.replace("TOK1", token)).expect("an answer")
}

fn refresh(url: &str, kept: &Kept) -> Option<Answer> {
    let body = format!(r#"{{"refresh_token":"{}"}}"#, kept.refresh_token);
    send(url, "/v1/hosts/auth/refresh", JSON, &body)
}

fn status_of_beat(url: &str, kept: &Kept) -> Option<u16> {
    let header = format!("X-Host-Token: {}\r\n", kept.jwt);
    let path = format!("/v1/hosts/{}/heartbeat", kept.host_id);
    send(url, &path, &header, "").map(|answer| answer.status)
}

fn beat(url: &str, kept: &Kept) -> Beat {
    let Some(status) = status_of_beat(url, kept) else { return Beat::Silence };
    match status {
        204 => Beat::Alive,
        404 => Beat::Deleted,
        401 | 403 => match refresh(url, kept) {
            Some(answer) if answer.status == 200 => Beat::Refreshed(self::kept(&answer)),
            _ => Beat::GaveUp,
        },
        other => Beat::Ignored(other),
    }
}

/// What an operator asks of this wire, with an API token.
fn asked(server: &Server, api: &str, path: &str, body: &str) -> Value {
    let headers = format!("Authorization: Bearer {api}\r\n{JSON}");
    let answer = send(server.told("compat_url"), path, &headers, body).expect("an answer");
    assert_eq!(answer.status, 201, "{:?}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn audited(server: &Server, action: &str) -> usize {
    server.audit().iter().filter(|entry| entry["action"] == action).count()
}

/// The whole story. The server may be started on any database.
fn life_of_a_host(mut server: Server) {
    let url = server.told("compat_url").to_owned();
    let api = text(&server.muster(&["token", "create", "wrenn", "--role", "operator"])["secret"]);
    let made = asked(&server, &api, "/v1/hosts", r#"{"type":"regular"}"#);
    let (id, token) = (text(&made["host"]["id"]), text(&made["registration_token"]));

    // A lost answer to a registration.
    assert_eq!(register(&url, &token).status, 201);
    let answer = register(&url, &token);
    assert_eq!(answer.status, 201);
    let first = kept(&answer);
    assert_eq!(first.host_id, id);
    assert_eq!(beat(&url, &first), Beat::Alive);
    assert_eq!(register(&url, &token).status, 401, "spent");
    eventually("the host is online", SOON, || (server.show(&id)["online"] == true).then_some(()));

    // A lost answer to a refresh, and two refreshes at once.
    assert_eq!(refresh(&url, &first).expect("an answer").status, 200);
    let both = thread::scope(|scope| {
        let asked = [(); 2].map(|()| scope.spawn(|| refresh(&url, &first).expect("an answer")));
        asked.map(|one| one.join().expect("answered"))
    });
    let next = both.map(|answer| kept(&answer));
    assert_eq!(next[0].refresh_token, next[1].refresh_token);
    let [next, _] = next;
    assert_eq!(beat(&url, &next), Beat::Alive);

    // The server comes and goes; the host stays.
    server.stop();
    server.start();
    let url = server.told("compat_url").to_owned();
    assert_eq!(beat(&url, &next), Beat::Alive);

    // A pause, as the agent reads it: it gives up nothing, and comes back by itself.
    server.muster(&["machine", "suspend", &id]);
    for _ in 0..3 {
        assert_eq!(beat(&url, &next), Beat::Silence);
    }
    assert!(refresh(&url, &next).is_none(), "nothing is issued meanwhile");
    server.muster(&["machine", "resume", &id]);
    assert_eq!(beat(&url, &next), Beat::Alive);

    // A copy of the file refreshes behind the agent's back.
    let thief = kept(&refresh(&url, &next).expect("an answer"));
    assert_eq!(beat(&url, &thief), Beat::Alive);
    assert_eq!(beat(&url, &next), Beat::GaveUp);
    assert_eq!((beat(&url, &thief), audited(&server, "credential.copied")), (Beat::GaveUp, 1));
    let again = asked(&server, &api, &format!("/v1/hosts/{id}/token"), "");
    let back = kept(&register(&url, &text(&again["registration_token"])));
    assert_eq!((beat(&url, &back), &back.host_id), (Beat::Alive, &id));

    // A revocation, as the agent reads it.
    server.muster(&["machine", "revoke", &id]);
    assert_eq!(beat(&url, &back), Beat::GaveUp);
    let again = asked(&server, &api, &format!("/v1/hosts/{id}/token"), "");
    let back = kept(&register(&url, &text(&again["registration_token"])));
    assert_eq!(beat(&url, &back), Beat::Alive);

    // Only a host that was deleted deletes its credentials.
    let stranger = Kept { host_id: server.machine().to_owned(), ..back.clone() };
    assert_eq!(status_of_beat(&url, &stranger), Some(403), "another host");
    let odd = Kept { host_id: "host-0000000000000000000000000".to_owned(), ..back.clone() };
    assert_eq!(status_of_beat(&url, &odd), Some(400));
    server.muster(&["machine", "retire", &id]);
    assert_eq!((beat(&url, &back), beat(&url, &back)), (Beat::Deleted, Beat::Deleted));
}

#[test]
fn the_wrenn_agent_lives_unmodified_on_sqlite() {
    life_of_a_host(Server::up(&["--compat-listen", "127.0.0.1:0"]));
}

#[test]
fn the_wrenn_agent_lives_unmodified_on_postgresql() {
    let Some(database) = database() else { return };
    let config = format!("[database]\nurl = '{}'\n", database.url());
    life_of_a_host(Server::configured(&config, &["--compat-listen", "127.0.0.1:0"]));
}

#[test]
fn a_wrenn_agent_whose_server_lost_its_database_is_told_503_and_goes_on() {
    let Some(database) = database() else { return };
    let (way, there, around) = around(&database.url());
    let config = format!("[database]\nurl = '{around}'\n");
    let server = Server::configured(&config, &["--compat-listen", "127.0.0.1:0"]);
    let url = server.told("compat_url").to_owned();
    let api = text(&server.muster(&["token", "create", "wrenn", "--role", "operator"])["secret"]);
    let made = asked(&server, &api, "/v1/hosts", r#"{"type":"regular"}"#);
    let host = kept(&register(&url, &text(&made["registration_token"])));
    assert_eq!(beat(&url, &host), Beat::Alive);
    way.set(Vec::new());
    way.cut();
    let told = status_of_beat(&url, &host).unwrap_or(503);
    assert_eq!(told, 503);
    let refused = refresh(&url, &host).map_or(503, |answer| answer.status);
    assert_eq!(refused, 503);
    way.set(vec![there]);
    eventually("it goes on", SOON, || (status_of_beat(&url, &host) == Some(204)).then_some(()));
    assert_eq!(kept(&refresh(&url, &host).expect("an answer")).host_id, host.host_id);
}

/// A way to the database that can be shut, where it leads, and the URL that takes it.
fn around(url: &str) -> (Balancer, SocketAddr, String) {
    let (_, rest) = url.rsplit_once(':').expect("an address");
    let (port, _) = rest.split_once('/').expect("a database");
    let there = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let way = Balancer::start(vec![there]).expect("a balancer");
    let around = url.replace(&format!(":{port}/"), &format!(":{}/", way.address().port()));
    (way, there, around)
}

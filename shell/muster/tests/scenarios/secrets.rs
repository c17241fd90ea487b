//! No secret where it does not belong.
//!
//! 1. A server and its agents run with everything logged; every kind of secret is made, used, misused and ended.
//! 2. None of them is in a log, the audit log, the metrics, a file of server or agent, or a command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Agent, Device, Http, Server, muster, text, token_in};

/// Where something was found that should not be there.
struct Search {
    secrets: Vec<(&'static str, String)>,
}

impl Search {
    /// Every secret by its whole text, and by its last part: a log might have cut it.
    fn of(named: &[(&'static str, &str)]) -> Self {
        let mut secrets = Vec::new();
        for (name, secret) in named {
            assert!(secret.len() > 60, "{name} is {secret}");
            secrets.push((*name, (*secret).to_owned()));
            secrets.push((*name, secret[secret.len() - 40..].to_owned()));
        }
        Self { secrets }
    }

    fn found<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'static str> {
        let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        self.secrets.iter().filter(move |(_, secret)| holds(secret)).map(|(name, _)| *name)
    }

    fn absent(&self, place: &str, bytes: &[u8]) {
        let found: Vec<_> = self.found(bytes).collect();
        assert!(found.is_empty(), "{found:?} in {place}");
    }

    fn absent_below(&self, dir: &Path) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("readable").path();
            let kind = path.symlink_metadata().expect("there").file_type();
            if kind.is_dir() {
                self.absent_below(&path);
            } else if kind.is_file() {
                self.absent(&path.display().to_string(), &fs::read(&path).expect("ours"));
            }
        }
    }
}

fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).expect("it runs")
}

/// Shows a secret in every way that a client may get wrong.
fn misuse(http: &Http, secret: &str) {
    let bearer = format!("Bearer {secret}");
    let cookie = format!("__Host-muster-session={secret}");
    let same_origin = ("sec-fetch-site", "same-origin");
    for headers in [vec![("authorization", bearer.as_str())], vec![("cookie", &cookie), same_origin]] {
        http.send("GET", "/v1/machines/self", &headers, b"");
        http.send("GET", "/v1/status", &headers, b"");
    }
    let mut request = Device::new().enrollment(secret);
    http.post("/v1/enroll", &request);
    request["evidence"]["more"] = secret.into();
    http.post("/v1/enroll", &request);
    request["kind"] = secret.into();
    http.post("/v1/enroll", &request);
    http.post("/v1/session", &json!({"login": secret}));
    let cut = format!("{{\"method\": \"token\", \"evidence\": {{\"token\": \"{secret}\"");
    http.send("POST", "/v1/enroll", &[("content-type", "application/json")], cut.as_bytes());
}

#[test]
fn q_27_q_28_no_secret_is_written_anywhere() {
    let mut server = Server::configured("[log]\nlevel = 'trace'\n", &[]);
    let http = server.http();
    let (invite, waiting_invite) =
        (server.invite(), text(&server.muster(&["invite", "create", "--approve"])["invite"]));
    let site_key = text(&server.muster(&["site", "rotate-key", "default"])["key"]);
    let api = text(&server.muster(&["token", "create", "ci", "--role", "admin"])["secret"]);
    let login = server.told("login_url").split_once('#').expect("a fragment").1.to_owned();
    let session = http.post("/v1/session", &json!({"login": login}));
    let session =
        session.header("set-cookie").and_then(|cookie| cookie.split(['=', ';']).nth(1)).expect("one");
    let keyless = json!({"method": "token", "evidence": {"token": site_key}, "credential": "bearer"});
    let bearer = text(&http.post("/v1/enroll", &keyless).json()["credential"]["bearer"]);

    let mut agent = Agent::new();
    agent.start_with(&invite, &["-vv"]);
    agent.event("online");
    let mut waiting = Agent::new();
    waiting.start_with(&waiting_invite, &["-vv"]);
    waiting.event("held");
    let file = agent.home().write("api-token", &api);
    let mut remote = muster(agent.home().path());
    remote.args(["status", "-o", "json", "-vv", "--server", server.url(), "--ca-pin", server.told("ca_pin")]);
    let remote = remote.arg("--token-file").arg(file).output().expect("the binary runs");
    assert!(remote.status.success(), "{}", String::from_utf8_lossy(&remote.stderr));
    let token = token_in(&invite);
    for secret in [&token, &site_key, &api, &login, session, &bearer] {
        misuse(&http, secret);
    }

    let search = Search::of(&[
        ("an invite", &invite),
        ("its token", &token),
        ("the invite of the one that waits", &waiting_invite),
        ("its token", &token_in(&waiting_invite)),
        ("the printed invite", server.told("invite")),
        ("the site's key", &site_key),
        ("an API token", &api),
        ("a login", &login),
        ("a session", session),
        ("a bearer key", &bearer),
    ]);
    let handed_over = fs::read(agent.home().path().join("invite")).expect("a person put it there");
    assert_eq!(search.found(&handed_over).count(), 2, "what is there is found");
    search.absent("the server's command line", &command_line(server.pid()));
    search.absent("the agent's command line", &command_line(agent.pid()));
    search.absent("the audit log", Value::from(server.audit()).to_string().as_bytes());
    search.absent("the metrics", metrics(&server).as_bytes());
    for agent in [&mut agent, &mut waiting] {
        search.absent("the agent's log", agent.log().as_bytes());
        search.absent_below(&agent.dir());
    }
    search.absent("the command's log", &remote.stderr);
    search.absent_below(server.dir());
    server.stop();
    search.absent_below(server.dir());
    let log = server.log();
    assert!(log.contains("TRACE"), "everything was logged");
    search.absent("the server's log", log.as_bytes());
    assert!(!log.contains("PRIVATE KEY"));
}

/// The metrics, from their own listener.
fn metrics(server: &Server) -> String {
    use std::io::{Read, Write};
    let address = server.told("metrics_url").strip_prefix("http://").expect("plain HTTP");
    let address = address.strip_suffix("/metrics").expect("its path");
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    assert!(text.contains("muster_"), "{text}");
    text
}

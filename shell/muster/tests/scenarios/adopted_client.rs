//! A machine that came by an existing client gets Muster's own agent.
//!
//! 1. The agent reads the client's file, shows its bearer key once and a key of its own: the machine keeps its id, its
//!    name and its history; its bearer key ends.
//! 2. The same call by the same key gets the same machine, whatever became of the bearer key; another key gets nothing.
//! 3. What is no credential of ours, or not there, is told with what to do.
//! 4. A wrenn host the same, by its refresh token: also by one whose successor was lost on the way. By one whose successor is
//!    in use it is a copy: nobody goes on with either.
//! 5. The agent is killed, or cut off, at each step: before it asked, after it was answered, and once it is in.
//! 6. A GuruConnect agent's `cak_` key: an agent that is killed before its call arrived, or that lost all that it had after
//!    it, comes back as the same machine, once.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use muster_testkit::balancer::Balancer;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Agent, Device, SOON, Server, eventually, text, token_in};

/// A machine without a key of its own: its id and its bearer key.
fn keyless(server: &Server) -> (String, String) {
    let request = json!({"method": "token", "evidence": {"token": server.token()}, "credential": "bearer",
        "hardware_id": "install-1", "hostname": "gpu-1", "kind": "worker"});
    let enrolled = server.http().post("/v1/enroll", &request);
    assert_eq!(enrolled.status, 201, "{}", enrolled.text());
    let answer = enrolled.json();
    (text(&answer["machine"]["id"]), text(&answer["credential"]["bearer"]))
}

fn by_bearer(server: &Server, bearer: &str) -> (u16, Value) {
    let authorization = format!("Bearer {bearer}");
    let headers = [("authorization", authorization.as_str())];
    let answer = server.http().send("GET", "/v1/machines/self", &headers, b"");
    (answer.status, answer.json())
}

fn adopt<'a>(server: &'a Server, client: &'a str, file: &'a str) -> Vec<&'a str> {
    let (url, pin) = (server.url(), server.told("ca_pin"));
    let way = ["agent", "adopt", "--from", client, "--config", file, "--server", url, "--ca-pin", pin];
    [&way[..], &["--hardware-id", "none"]].concat()
}

#[test]
fn an_existing_clients_machine_stays_the_same_under_the_agent() {
    let server = Server::up(&[]);
    let (id, bearer) = keyless(&server);
    assert_eq!(by_bearer(&server, &bearer).0, 200);
    let agent = Agent::new();
    let config = format!(
        "api_base_url = \"https://studio.test\"\nvram_threshold_gb = 12.0\nauth_token = \"{bearer}\"\n"
    );
    let file = agent.home().write("config.toml", &config).display().to_string();
    let adopt = adopt(&server, "studio-worker", &file);
    let output = agent.run(&[&adopt[..], &["--once"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(agent.machine(), id);
    let shown = server.show(&id);
    assert_eq!((&shown["name"], &shown["kind"]), (&json!("gpu-1"), &json!("worker")));
    assert_eq!((&shown["generation"], &shown["hardware_id"]), (&json!(2), &json!("install-1")));
    assert_eq!(by_bearer(&server, &bearer).0, 403, "the bearer key has ended");
    let log = server.audit();
    let upgraded = log.iter().find(|entry| entry["action"] == "machine.upgrade").expect("it is told");
    assert_eq!(upgraded["object"], json!(id));
    assert!(log.iter().all(|entry| !entry.to_string().contains(&bearer)));

    // Somebody else's file is not passed over in silence.
    let other = "worker_id = \"mch_06h032f2fnyf5m8r7v7m4v0q4r\"\nauth_token = \"x\"\n";
    let other = agent.home().write("other.toml", other).display().to_string();
    let refused = agent.run(&[&self::adopt(&server, "studio-worker", &other)[..], &["--once"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(10), "{said}");
    assert!(said.contains(&id) && said.contains("--data-dir"), "{said}");

    // Again, as a service would start it: the file may be gone by now.
    std::fs::remove_file(&file).expect("ours");
    let mut resident = agent;
    let again: Vec<&str> = adopt.iter().copied().chain(["--output", "json"]).collect();
    resident.start_as(&again);
    resident.event("online");
    assert_eq!(resident.machine(), id);
    assert_eq!(server.list(&["machine", "ls"]).len(), 2, "this host and the one machine");
}

#[test]
fn q_01_a_lost_answer_is_given_again_to_the_same_key_and_to_no_other() {
    let server = Server::up(&[]);
    let (id, bearer) = keyless(&server);
    let device = Device::new();
    let ask = |device: &Device, bearer: &str| {
        let mut request = device.enrollment(&server.token());
        request["method"] = json!("credential");
        request["evidence"] = json!({"credential": bearer});
        server.http().post("/v1/enroll", &request)
    };
    let (first, again) = (ask(&device, &bearer), ask(&device, &bearer));
    assert_eq!((first.status, again.status), (201, 200), "{} {}", first.text(), again.text());
    for answer in [&first, &again] {
        assert_eq!(answer.json()["machine"]["id"], json!(id));
    }
    assert_eq!(first.json()["credential"]["id"], again.json()["credential"]["id"]);
    assert_eq!(ask(&Device::new(), &bearer).problem(), (403, "revoked".into()));
    let mut unknown = bearer.clone();
    let last = unknown.pop().expect("not empty");
    unknown.push(if last == '0' { '1' } else { '0' });
    assert_eq!(ask(&Device::new(), &unknown).status, 400, "a checksum that does not fit is no guess");
}

#[test]
fn what_is_no_credential_of_ours_is_told_with_what_to_do() {
    let server = Server::up(&[]);
    let agent = Agent::new();
    let absent = agent.home().path().join("absent").display().to_string();
    let foreign =
        agent.home().write("foreign.toml", "auth_token = \"0123456789abcdef\"\n").display().to_string();
    let waiting = agent.home().write("waiting.json", "{\"host_id\": \"\"}").display().to_string();
    for (client, file, told) in [
        ("studio-worker", &absent, "cannot be read"),
        ("studio-worker", &foreign, "not one that Muster gave"),
        ("wrenn", &waiting, "holds no credential"),
    ] {
        let output = agent.run(&[&adopt(&server, client, file)[..], &["--once"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(10), "{said}");
        assert!(said.contains(told) && !said.contains("0123456789abcdef"), "{said}");
    }
    assert_eq!(agent.status()["state"], "not_enrolled", "nothing was begun");
}

/// A wrenn host that is at work: what the agent keeps, and the bytes of its file.
struct Host {
    id: String,
    kept: Value,
}

impl Host {
    fn at_work(server: &Server) -> Self {
        let made = server.muster(&["machine", "create", "host-1", "--label", "rack=7"]);
        let body = json!({"token": token_in(&text(&made["invite"])), "arch": "amd64", "cpu_cores": 2,
            "memory_mb": 24105, "disk_gb": 251, "address": "10.0.0.5:50051"});
        let answer = server.http().post("/v1/hosts/register", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let host = Self { id: text(&made["machine"]["id"]), kept: answer.json() };
        assert_eq!(host.beat(server), 204);
        host
    }

    fn beat(&self, server: &Server) -> u16 {
        let path = format!("/v1/hosts/{}/heartbeat", self.id);
        server.http().send("POST", &path, &[("x-host-token", &text(&self.kept["token"]))], b"").status
    }

    /// Refreshes: the host after it.
    fn refreshed(&self, server: &Server) -> Result<Self, u16> {
        let token = json!({"refresh_token": self.kept["refresh_token"]});
        let answer = server.http().post("/v1/hosts/auth/refresh", &token);
        match answer.status {
            200 => Ok(Self { id: self.id.clone(), kept: answer.json() }),
            refused => Err(refused),
        }
    }

    /// `host-credentials.json` on this machine, as the client writes it.
    fn file(&self, agent: &Agent) -> String {
        let kept = json!({"host_id": self.id, "jwt": self.kept["token"],
            "refresh_token": self.kept["refresh_token"], "cert_pem": self.kept["cert_pem"],
            "key_pem": self.kept["key_pem"], "ca_cert_pem": self.kept["ca_cert_pem"]});
        let kept = serde_json::to_string_pretty(&kept).expect("JSON");
        agent.home().write("host-credentials.json", &kept).display().to_string()
    }
}

fn told(server: &Server, action: &str) -> usize {
    server.audit().iter().filter(|entry| entry["action"] == action).count()
}

#[test]
fn a_wrenn_hosts_machine_stays_the_same_under_the_agent_and_its_tokens_end() {
    let server = Server::up(&[]);
    let host = Host::at_work(&server);
    let agent = Agent::new();
    let file = host.file(&agent);
    // The host has refreshed since, and the answer was lost on the way: what its file holds is still good.
    let lost = host.refreshed(&server).unwrap_or_else(|status| panic!("{status}"));
    let output = agent.run(&[&adopt(&server, "wrenn", &file)[..], &["--once"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(agent.machine(), host.id);
    let shown = server.show(&host.id);
    assert_eq!((&shown["name"], &shown["labels"]["rack"]), (&json!("host-1"), &json!("7")));
    assert_eq!(shown["generation"], 2);
    for old in [&host, &lost] {
        assert_eq!((old.beat(&server), old.refreshed(&server).err()), (403, Some(403)), "told to give up");
    }
    let log = server.audit();
    let of_it = |action: &str| log.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((of_it("machine.upgrade"), of_it("credential.copied")), (1, 0));
    assert!(log.iter().any(|entry| entry["action"] == "machine.create" && entry["object"] == json!(host.id)));
    let log = serde_json::to_string(&log).expect("JSON");
    assert!(!log.contains(&text(&host.kept["refresh_token"])));
}

/// A file that was copied and kept while its host went on: the family ends, as wherever such a token is shown.
#[test]
fn a_copy_of_a_wrenn_hosts_file_takes_over_nothing_and_is_told() {
    let server = Server::up(&[]);
    let host = Host::at_work(&server);
    let agent = Agent::new();
    let file = host.file(&agent);
    let next = host.refreshed(&server).unwrap_or_else(|status| panic!("{status}"));
    assert_eq!(next.beat(&server), 204);
    let output = agent.run(&[&adopt(&server, "wrenn", &file)[..], &["--once"]].concat());
    assert_eq!(output.status.code(), Some(22), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((told(&server, "credential.copied"), told(&server, "machine.upgrade")), (1, 0));
    assert_eq!((next.beat(&server), next.refreshed(&server).err()), (403, Some(403)), "nobody goes on");
    assert_eq!(server.show(&host.id)["generation"], 1);
}

/// The private key that an agent keeps, if it has made one.
fn key_of(agent: &Agent) -> Option<String> {
    let entries = std::fs::read_dir(agent.dir()).ok()?;
    let mut texts = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    texts.find(|text| text.contains("PRIVATE KEY"))
}

/// A way to the server that can be shut, and its address.
fn way(server: &Server) -> (Balancer, SocketAddr, String) {
    let there = server.listens();
    let way = Balancer::start(vec![there]).expect("a balancer");
    let url = format!("https://{}", way.address());
    (way, there, url)
}

#[test]
fn an_adoption_that_is_cut_off_anywhere_is_finished_by_repeating_it() {
    let server = Server::up(&[]);
    let host = Host::at_work(&server);
    let mut agent = Agent::new();
    let file = host.file(&agent);
    let (way, there, url) = way(&server);
    let adopt = ["agent", "adopt", "--from", "wrenn", "--config", &file, "--server", &url, "--ca-pin"];
    let adopt = [&adopt[..], &[server.told("ca_pin"), "--hardware-id", "none", "--output", "json"]].concat();

    // Nobody is reached: the key is there, and nothing was asked.
    way.set(Vec::new());
    agent.start_as(&adopt);
    let made = eventually("a key is made, and the request noted", SOON, || {
        key_of(&agent).filter(|_| agent.dir().join("pending.json").exists())
    });
    agent.signal(Signal::KILL);
    agent.exit_code();
    assert_eq!((host.beat(&server), told(&server, "machine.upgrade")), (204, 0), "the host is at work");

    // It asked and was answered, and fell before it heard it: the same key, once.
    let device = Device::with_key(&made);
    let mut request = device.enrollment(&server.token());
    request["method"] = json!("credential");
    request["evidence"] = json!({"credential": host.kept["refresh_token"]});
    assert_eq!(server.http().post("/v1/enroll", &request).status, 201);
    assert_eq!(host.beat(&server), 403, "what the client had has ended");

    // Repeated, it comes in; killed again, it is in.
    way.set(vec![there]);
    for round in 0..2 {
        agent.start_as(&adopt);
        agent.event("online");
        assert_eq!((agent.machine(), key_of(&agent)), (host.id.clone(), Some(made.clone())));
        agent.signal(Signal::KILL);
        agent.exit_code();
        if round == 0 {
            std::fs::remove_file(&file).expect("the client's file, which is not needed any more");
        }
    }
    assert_eq!(
        (server.show(&host.id)["generation"].clone(), told(&server, "machine.upgrade")),
        (json!(2), 1)
    );
    assert_eq!(server.list(&["machine", "ls"]).len(), 2, "this host and the one machine");
}

/// A machine that came by the wire of the GuruConnect agent: its id and its key.
fn by_site_key(server: &Server) -> (String, String) {
    let key = text(&server.muster(&["site", "rotate-key", "default", "--form", "cek"])["key"]);
    let request = json!({"site_code": "default", "enrollment_key": key, "machine_uid": "muid_test",
        "hostname": "WS-01", "labels": {"company": "Acme"}});
    let enrolled = server.http().post("/api/enroll", &request);
    assert_eq!(enrolled.status, 201, "{}", enrolled.text());
    (text(&enrolled.json()["machine_id"]), text(&enrolled.json()["key"]))
}

/// Puts a directory's files in the place of another's.
fn put_back(from: &Path, to: &Path) {
    fs::remove_dir_all(to).expect("ours");
    fs::create_dir(to).expect("ours");
    fs::set_permissions(to, fs::metadata(from).expect("it is there").permissions()).expect("ours");
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("readable");
        if file.file_type().expect("readable").is_file() {
            fs::copy(file.path(), to.join(file.file_name())).expect("ours");
        }
    }
}

#[test]
fn a_guruconnect_agents_machine_comes_back_once_whenever_its_agent_is_killed() {
    let mut server = Server::up(&[]);
    let (id, cak) = by_site_key(&server);
    let mut agent = Agent::new();
    let file = agent.home().write("agent.cak", &cak).display().to_string();
    let adopt: Vec<String> = adopt(&server, "guruconnect", &file).into_iter().map(str::to_owned).collect();
    let adopt: Vec<&str> = adopt.iter().map(String::as_str).collect();
    let resident: Vec<&str> = adopt.iter().copied().chain(["--output", "json"]).collect();

    // Killed while its call cannot arrive: the key is durable, nothing else is.
    server.end(Signal::KILL);
    agent.start_as(&resident);
    let has_begun = || agent.dir().join("pending.json").is_file().then_some(());
    eventually("what is durable before any call", SOON, has_begun);
    agent.signal(Signal::KILL);
    agent.exit_code();
    let early = agent.home().path().join("early");
    fs::create_dir(&early).expect("ours");
    put_back(&agent.dir(), &early);
    server.start();
    assert_eq!(by_bearer(&server, &cak).0, 200, "its old key works until the new one is there");

    for what in ["after the first crash", "with what it had before its call arrived", "with all that it has"]
    {
        if what.contains("before its call") {
            put_back(&early, &agent.dir());
        }
        let output = agent.run(&[&adopt[..], &["--once"]].concat());
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(agent.machine(), id, "{what}");
        let shown = server.show(&id);
        assert_eq!((&shown["generation"], &shown["hardware_id"]), (&json!(2), &json!("muid_test")), "{what}");
        assert_eq!(shown["name"], "WS-01", "{what}");
        assert_eq!(by_bearer(&server, &cak).0, 403, "{what}: the old key has ended");
    }
    let log = server.audit();
    let told = |action: &str| {
        log.iter().filter(|entry| entry["action"] == action && entry["object"] == id.as_str()).count()
    };
    assert_eq!((told("machine.enroll"), told("machine.upgrade")), (1, 1), "one history");
    assert!(log.iter().all(|entry| !entry.to_string().contains(&cak)));
}

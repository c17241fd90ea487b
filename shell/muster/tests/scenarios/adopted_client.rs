//! A machine that came by an existing client gets Muster's own agent.
//!
//! 1. The agent reads the client's file, shows its bearer key once and a key of its own: the machine keeps its id, its
//!    name and its history; its bearer key ends.
//! 2. The same call by the same key gets the same machine, whatever became of the bearer key; another key gets nothing.
//! 3. What is no credential of ours, or not there, is told with what to do.

use serde_json::{Value, json};

use crate::support::{Agent, Device, Server, text};

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

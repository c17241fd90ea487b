//! Every act has its entry.
//!
//! 1. Machines, holds, sites, grants, tokens: each is made, decided and ended once.
//! 2. The log has each of them with actor, object, reason and source; `audit tail` shows the newest last.
//! 3. Refusals are entries too.

use serde_json::{Value, json};

use crate::support::{Agent, Device, Server, text};

struct Log(Vec<Value>);

impl Log {
    /// The one entry of this act on this object.
    fn one(&self, action: &str, object: &str) -> &Value {
        let found: Vec<&Value> =
            self.0.iter().filter(|entry| entry["action"] == action && entry["object"] == object).collect();
        let [entry] = found.as_slice() else { panic!("{action} of {object}: {found:?} in {:#?}", self.0) };
        entry
    }
}

#[test]
fn every_act_is_told_with_actor_object_reason_and_source() {
    let server = Server::up(&[]);
    let site = text(&server.muster(&["site", "create", "lab"])["id"]);
    let rotated = server.muster(&["site", "rotate-key", "lab"]);
    let grant = text(&server.muster(&["grant", "create", "--site", "lab"])["grant"]["id"]);
    server.muster(&["grant", "revoke", &grant, "--reason", "sent to the wrong person"]);
    let token = text(&server.muster(&["token", "create", "ci", "--role", "viewer"])["token"]["id"]);
    server.muster(&["token", "revoke", &token]);
    let made = text(&server.muster(&["machine", "create", "db-1", "--site", "lab"])["machine"]["id"]);
    let agent = Agent::enrolled(&text(&rotated["invite"]));
    let id = agent.machine();
    for verb in ["suspend", "resume", "retire"] {
        server.muster(&["machine", verb, &id, "--reason", verb]);
    }
    let other = Agent::enrolled(&text(&rotated["invite"])).machine();
    server.muster(&["machine", "revoke", &other, "--reason", "leaked"]);
    let asked = |server: &Server| {
        let request = json!({"method": "request", "evidence": {"site": "lab"}, "csr": Device::new().csr()});
        text(&server.http().post("/v1/enroll", &request).json()["hold"])
    };
    let (approved, rejected) = (asked(&server), asked(&server));
    server.muster(&["hold", "approve", &approved]);
    server.muster(&["hold", "reject", &rejected, "--reason", "unknown"]);

    let log = Log(server.audit());
    let admin =
        log.0.iter().find(|entry| entry["action"] == "operator.create").expect("founded")["object"].clone();
    for (action, object) in [
        ("site.create", &site),
        ("site.rotate_key", &site),
        ("grant.create", &grant),
        ("grant.revoke", &grant),
        ("token.create", &token),
        ("token.revoke", &token),
        ("machine.create", &made),
        ("machine.suspend", &id),
        ("machine.resume", &id),
        ("machine.retire", &id),
        ("machine.revoke", &other),
        ("hold.approve", &approved),
        ("hold.reject", &rejected),
    ] {
        let entry = log.one(action, object);
        assert_eq!(entry["actor"], admin, "the true actor: {entry}");
        assert!(entry["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{entry}");
        assert!(entry["at"].is_string() && entry["seq"].is_u64(), "{entry}");
    }
    for (action, object, said) in [
        ("grant.revoke", &grant, "sent to the wrong person"),
        ("machine.revoke", &other, "leaked"),
        ("hold.reject", &rejected, "unknown"),
    ] {
        assert_eq!(log.one(action, object)["detail"]["said"], said);
    }
    let enrolled = log.one("machine.enroll", &id);
    assert_eq!((&enrolled["reason"], &enrolled["actor"]), (&json!("admitted"), &json!("anonymous")));
    assert_eq!(enrolled["source"], "127.0.0.1");
    assert_eq!(enrolled["detail"]["grant"], rotated["grant"], "by whose permission");
    for hold in [&approved, &rejected] {
        let asked = log.one("hold.open", hold);
        assert_eq!((&asked["source"], &asked["reason"]), (&json!("127.0.0.1"), &json!("approval")));
    }
}

#[test]
fn the_tail_ends_with_what_was_done_last() {
    let server = Server::up(&[]);
    server.muster(&["site", "create", "one"]);
    server.muster(&["site", "create", "two"]);
    let tail = server.list(&["audit", "tail", "-n", "2"]);
    let acts: Vec<&Value> = tail.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(acts, ["site.create", "site.create"]);
    assert!(tail[0]["seq"].as_u64() < tail[1]["seq"].as_u64());
    let printed = String::from_utf8(server.run(&["audit", "tail", "-n", "2"]).stdout).expect("text");
    assert!(printed.lines().last().is_some_and(|line| line.contains("site.create")), "{printed}");
}

#[test]
fn a_refusal_is_an_entry_and_a_flood_of_them_is_few() {
    let server = Server::up(&[]);
    let http = server.http();
    let spent = server.token();
    assert_eq!(Device::new().enroll(&http, &spent).status, 201);
    let before = server.audit().len();
    for _ in 0..50 {
        assert_eq!(Device::new().enroll(&http, &spent).status, 401);
    }
    assert_eq!(http.send("GET", "/v1/machines", &[], b"").status, 401);
    let mut server = server;
    assert_eq!(server.stop(), 0);
    server.start();
    let entries: Vec<Value> = server.audit().split_off(before);
    let refused = entries.iter().filter(|entry| entry["reason"] == "not_entitled");
    let counted = |entry: &Value| {
        entry["detail"]["repeated"].as_str().map_or(1, |count| count.parse::<u32>().expect("a count"))
    };
    let (lines, told) = refused.fold((0, 0), |(lines, told), entry| (lines + 1, told + counted(entry)));
    assert_eq!(told, 50, "none is left out: {entries:#?}");
    assert!(lines < 20, "and they do not flood the log: {lines}");
    assert!(entries.iter().any(|entry| entry["reason"] == "not_authenticated"), "{entries:#?}");
}

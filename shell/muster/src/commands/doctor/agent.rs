//! The agent of this machine: its identity, its credential's life, and the server it belongs to.

use std::path::Path;

use jiff::Timestamp;
use muster_agent::AgentStatus;
use muster_wire::invite::CaPin;

use super::report::Check;
use super::server::{self, Names};
use crate::failure::Failure;
use crate::output::relative;

const AGENT: &str = "agent";
const CREDENTIAL: &str = "credential";
/// What the agent finds of its server has names of its own: a server's own checks may stand beside it.
const NAMES: Names = Names { address: "agent address", pin: "agent pin", clock: "agent clock" };

/// Looks at an agent's directory and at the server it names; `run` is the command that runs this agent.
pub(super) async fn check(dir: &Path, run: &str, now: Timestamp, checks: &mut Vec<Check>) {
    let status = match muster_agent::status(dir) {
        Ok(status) => status,
        // The agent's own words name path, reason and fix.
        Err(error) => return checks.push(fixed(Check::of(CREDENTIAL, &Failure::from(error)))),
    };
    checks.push(standing(&status, run));
    checks.extend(credential(&status, now));
    checks.extend(trouble(&status, now));
    if let (Some(url), Some(pin)) = (&status.url, pin(dir)) {
        server::address(&NAMES, url, pin, now, checks).await;
    }
}

fn fixed(check: Check) -> Check {
    let fix = check
        .fix
        .clone()
        .unwrap_or_else(|| "see the message; --reset sets the identity aside and begins anew".into());
    Check { fix: Some(fix), ..check }
}

fn standing(status: &AgentStatus, run: &str) -> Check {
    match (status.state.as_str(), status.running) {
        ("not_enrolled", _) => Check::warn(
            AGENT,
            format!("{} holds no identity", status.dir.display()),
            format!("{run} --invite-file FILE"),
        ),
        ("ended", _) => {
            let why = status.ended.as_ref().map(|note| note.ending.clone()).unwrap_or_default();
            Check::fail(
                AGENT,
                format!("this machine's identity ended ({why})"),
                "talk to an operator; --reset begins anew",
            )
        }
        ("waiting", _) => {
            Check::warn(AGENT, "waiting for somebody to approve", "muster hold ls, on the server's host")
        }
        (state, true) => Check::ok(AGENT, format!("{state} and running")),
        (state, false) => {
            Check::warn(AGENT, format!("{state} and not running"), format!("start it with `{run}`"))
        }
    }
}

fn credential(status: &AgentStatus, now: Timestamp) -> Option<Check> {
    if !status.damage.is_empty() {
        let fix = "run the agent: it sets the file aside and goes on by what is whole";
        return Some(Check::fail(CREDENTIAL, status.damage.join("; "), fix));
    }
    let end = status.certificate_expires?;
    let text = format!("the certificate ends {}", relative(now, end));
    if end > now {
        return Some(Check::ok(CREDENTIAL, text));
    }
    let fix = "run the agent: it asks for a new one by itself, for 30 days; later, enroll again with --reset";
    Some(Check::fail(CREDENTIAL, format!("the certificate expired {}", relative(now, end)), fix))
}

fn trouble(status: &AgentStatus, now: Timestamp) -> Option<Check> {
    let trouble = status.last_problem.as_ref()?;
    let since = status.last_contact.is_none_or(|contact| contact < trouble.at);
    since.then(|| {
        Check::warn(
            "last trouble",
            format!("{} ({})", trouble.what, relative(now, trouble.at)),
            "see the other checks",
        )
    })
}

/// The pin of the CA that the agent trusts, from its identity or from the enrollment under way.
fn pin(dir: &Path) -> Option<CaPin> {
    let read = |name: &str| -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(dir.join(name)).ok()?).ok()
    };
    let identity = read("identity.json").and_then(|json| json["trust"]["pins"][0].as_str()?.parse().ok());
    identity.or_else(|| read("pending.json").and_then(|json| json["pin"].as_str()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Status;

    fn status(json: serde_json::Value) -> AgentStatus {
        let mut all = serde_json::json!({
            "dir": "/d", "state": "active", "running": true, "channel": null, "url": null, "machine": null, "key": null,
            "words": [], "certificate_expires": null, "renew_at": null, "last_contact": null, "last_problem": null,
            "clock_skew_seconds": 0, "hardware_source": null, "hold": null, "ended": null,
        });
        for (key, value) in json.as_object().expect("an object") {
            all[key] = value.clone();
        }
        serde_json::from_value(all).expect("the agent's own shape")
    }

    #[test]
    fn an_expired_certificate_fails_and_a_good_one_does_not() {
        let ends = status(serde_json::json!({"certificate_expires": "2026-11-01T00:00:00Z"}));
        let at = |text: &str| text.parse().expect("a time");
        assert_eq!(credential(&ends, at("2026-10-31T00:00:00Z")).expect("looked at").status, Status::Ok);
        let check = credential(&ends, at("2026-11-03T00:00:00Z")).expect("looked at");
        assert!(check.status == Status::Fail && check.message.contains("expired 2d ago"), "{check:?}");
    }

    #[test]
    fn a_file_that_the_agent_goes_around_is_named_all_the_same() {
        let damaged = status(serde_json::json!({"damage": ["/d/certificate-a.pem: holds no certificate"]}));
        let check = credential(&damaged, Timestamp::UNIX_EPOCH).expect("looked at");
        assert!(check.status == Status::Fail && check.message.contains("certificate-a.pem"), "{check:?}");
    }

    #[test]
    fn an_agent_that_does_not_run_warns_and_an_ended_one_fails() {
        let standing = |json| standing(&status(json), "muster agent run --data-dir /d");
        assert_eq!(standing(serde_json::json!({})).status, Status::Ok);
        let stopped = standing(serde_json::json!({"running": false}));
        assert_eq!(stopped.status, Status::Warn);
        assert!(stopped.fix.expect("a fix").contains("muster agent run --data-dir /d"));
        assert_eq!(standing(serde_json::json!({"state": "ended"})).status, Status::Fail);
    }

    #[test]
    fn trouble_counts_until_the_server_was_heard_again() {
        let told = |contact: &str| {
            let problem = serde_json::json!({"at": "2026-11-01T00:00:10Z", "what": "no route"});
            trouble(
                &status(serde_json::json!({"last_problem": problem, "last_contact": contact})),
                Timestamp::UNIX_EPOCH,
            )
        };
        assert!(told("2026-11-01T00:00:00Z").is_some());
        assert!(told("2026-11-01T00:00:20Z").is_none());
    }
}

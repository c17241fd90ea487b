//! A certificate's life, with a day cut down to a minute.
//!
//! 1. Certificates live for a minute. One machine runs, another one is switched off.
//! 2. The first renews by itself, between half and four fifths of the life, and runs its hook.
//! 3. The second comes back after its certificate has expired: expired is not revoked, it goes on by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Agent, Server, eventually, text};

const A_LIFE: Duration = Duration::from_secs(60);

fn time(value: &Value) -> jiff::Timestamp {
    text(value).parse().expect("RFC 3339")
}

#[test]
fn q_15_certificates_are_renewed_in_time_and_an_expired_one_is_no_end() {
    let server = Server::configured("[credentials]\ncertificate_life = '1m'\nbackdate = '0s'\n", &[]);
    let mut sleeper = Agent::enrolled(&server.invite());
    let expires = time(&sleeper.status()["certificate_expires"]);
    let mut agent = Agent::online(&server.invite());
    let before = agent.status();
    let (planned, end) = (time(&before["renew_at"]), time(&before["certificate_expires"]));
    let left = end.duration_since(planned).as_secs();
    assert!((11..=31).contains(&left), "between 50 and 80 % of a minute: {left} s before the end");

    let renewed = agent.event_within("renewed", A_LIFE).expect("in time");
    assert!(time(&renewed["not_after"]) > end);
    let machine = server.show(&agent.machine());
    assert_eq!((&machine["generation"], &machine["key"]), (&json!(1), &before["key"]), "the same key");
    eventually("its hook is done", A_LIFE, || {
        agent.called().iter().any(|line| line.starts_with("on_renewed ")).then_some(())
    });

    eventually("the other's certificate has expired", A_LIFE, || {
        (time(&server.muster(&["status"])["server_time"]) > expires).then_some(())
    });
    let id = sleeper.machine();
    sleeper.start(&[]);
    sleeper.event("online");
    assert_eq!(sleeper.machine(), id);
    assert!(time(&sleeper.status()["certificate_expires"]) > expires);
    assert_eq!(server.list(&["machine", "ls"]).len(), 3);
    assert!(agent.is_running());
}

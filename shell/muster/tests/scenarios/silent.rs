//! Machines of which nothing was heard for long, and their agents when they are switched on again.
//!
//! 1. A machine was switched off for a hundred days, all of which somebody watched: it is told who is next, and nothing is done.
//! 2. It was paused for its silence. Its agent starts, and goes on by itself.
//! 3. Another one was retired for it. Its agent starts, is told to wait, keeps its key and its files, and goes on as soon as an
//!    operator restores it.
//! 4. What ended longer ago is not restored.

use std::time::Duration;

use data_encoding::HEXLOWER;
use muster_model::MachineId;
use muster_testkit::postgres::Database;
use serde_json::json;

use crate::support::{Agent, SOON, Server, database, eventually, text};

const DAY: i64 = 86_400_000;
const BACK: Duration = Duration::from_secs(90);

/// A fleet whose past the test writes.
struct Past {
    database: Database,
    server: Server,
}

impl Past {
    fn change(&self, agent: &Agent, table: &str, key: &str, set: &str) {
        let id: MachineId = agent.machine().parse().expect("its identifier");
        let id = HEXLOWER.encode(id.as_bytes());
        self.database.run_sql(&format!("UPDATE {table} SET {set} WHERE {key} = '\\x{id}'::bytea"));
    }

    fn now(&self) -> i64 {
        let told =
            self.database.run_sql("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)");
        told[0][0].as_deref().expect("a time").parse().expect("milliseconds")
    }

    /// It is as if the machine had been in this state for so many days. How many machines are in each state is kept beside
    /// their rows, and does not follow.
    fn was(&self, agent: &Agent, state: &str, cause: &str, days: i64) {
        let since = self.now() - days * DAY;
        let set = format!("state = '{state}', state_cause = {cause}, state_since = {since}");
        self.change(agent, "machines", "id", &set);
    }

    /// It is as if nothing had been heard of it for so many days.
    fn was_silent_for(&self, agent: &Agent, days: i64) {
        let then = self.now() - days * DAY;
        self.was(agent, "active", "NULL", days);
        self.change(agent, "machines", "id", &format!("enrolled_at = {then}, entered_at = {then}"));
        self.change(agent, "presence", "machine_id", &format!("last_seen = {then}, online = 0"));
        self.change(agent, "credentials", "machine_id", &format!("not_before = {then}"));
    }

    fn is_offline(&self, agent: &Agent) {
        eventually("it is offline", SOON, || {
            (self.server.show(&agent.machine())["online"] == false).then_some(())
        });
    }
}

#[test]
fn who_was_silent_comes_back_by_itself_and_who_was_retired_for_it_when_an_operator_says_so() {
    let Some(database) = database() else { return };
    let url = database.url();
    let config = format!("database = '{url}'\n[reaper]\npause_after = '30d'\nretire_after = '30d'\n");
    let past = Past { database, server: Server::configured(&config, &[]) };
    let server = &past.server;
    let (mut laptop, mut shelf) = (Agent::online(&server.invite()), Agent::online(&server.invite()));

    laptop.stop();
    past.is_offline(&laptop);
    past.was_silent_for(&laptop, 100);
    let quiet = server.muster(&["reaper", "status"]);
    assert_eq!(
        (&quiet["standing"], &quiet["due"]),
        (&json!("settling"), &json!(0)),
        "nobody watched: {quiet}"
    );
    let (began, until) = (past.now() - 101 * DAY, past.now());
    past.database.run_sql(&format!("INSERT INTO watched (began, until) VALUES ({began}, {until})"));
    let next = server.muster(&["reaper", "status"]);
    assert_eq!(next["machines"][0]["id"], laptop.machine(), "{next}");
    assert_eq!((&next["due"], &next["machines"][0]["taken"]), (&json!(1), &json!(true)));
    assert_eq!(server.show(&laptop.machine())["state"], "active", "nothing was done");
    assert!(server.show(&laptop.machine())["silence"]["pauses_at"].is_string());

    past.was(&laptop, "suspended", "'silent'", 2);
    assert!(server.show(&laptop.machine())["silence"]["retires_at"].is_string());
    laptop.start(&[]);
    laptop.event("online");
    eventually("it goes on by itself", SOON, || {
        (server.show(&laptop.machine())["state"] == "active").then_some(())
    });
    let log = server.audit();
    let resumed = log.iter().find(|entry| entry["action"] == "machine.resume").expect("it is told");
    assert_eq!((&resumed["actor"], &resumed["detail"]["cause"]), (&json!(laptop.machine()), &json!("heard")));

    shelf.stop();
    past.is_offline(&shelf);
    past.was(&shelf, "retired", "'silent'", 3);
    let files = shelf.files();
    shelf.start(&[]);
    let trouble = shelf.event_within("trouble", BACK).expect("it is told to wait");
    assert!(text(&trouble["what"]).contains("reaped"), "{trouble}");
    assert!(shelf.is_running());
    assert_eq!(shelf.files(), files, "nothing was set aside");
    let restored =
        server.muster(&["machine", "restore", &shelf.machine(), "--reason", "it was on the shelf"]);
    assert_eq!(restored["items"][0]["state"], "active", "{restored}");
    shelf.event_within("online", BACK).expect("it goes on");

    laptop.stop();
    past.is_offline(&laptop);
    past.was(&laptop, "retired", "'silent'", 31);
    let (code, refused) = server.fails(&["machine", "restore", &laptop.machine()]);
    assert!(code != 0 && refused.contains("too_old"), "{code} {refused}");
    assert!(server.show(&laptop.machine())["silence"].is_null());
}

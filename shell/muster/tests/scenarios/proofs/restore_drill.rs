//! Yesterday's database is put back under a fleet that runs.
//!
//! 1. A fleet is enrolled and online; a backup is taken. After it machines come, renew, are revoked and retired, and
//!    tokens are spent.
//! 2. The backup is put back and the server started, while every agent of the fleet knocks. Nothing is changed, nobody is
//!    told that it is unknown, and `status` shows the gap.
//! 3. An operator accepts. Machines of before the backup are back by themselves; those of the gap are told that nobody
//!    knows them, keep their files aside and enroll again by their own key where somebody lets them.
//! 4. What was revoked before the backup stays out, and tokens that were spent before it stay spent. What was revoked or
//!    spent in the gap is forgotten with it: the proof counts these, so that nobody is surprised.

use std::fs;
use std::time::Duration;

use muster_testkit::postgres::{Database, query};
use serde_json::Value;

use super::{Tally, size};
use crate::support::{Agent, Device, Http, SOON, Server, Stopwatch, database, eventually, text, within};

/// How long an agent may take that has asked in vain while nobody had accepted.
const BACK: Duration = Duration::from_secs(120);

/// Where the state is, and how it is put back.
enum Keep {
    File,
    Postgres(Database),
}

/// A machine without an agent, and the token it came by.
struct Guest {
    device: Device,
    id: String,
    certificate: String,
    token: String,
}

struct Drill {
    server: Server,
    keep: Keep,
    tally: Tally,
}

impl Keep {
    fn config(&self) -> String {
        match self {
            Self::File => String::new(),
            Self::Postgres(database) => format!("database = '{}'\n", database.url()),
        }
    }

    /// Takes a backup of a server that stands still, and gives what puts it back.
    fn backup(&self, server: &Server) -> impl FnOnce(&Server) + use<> {
        let file = server.dir().join("muster.db");
        let copied = match self {
            Self::File => Ok(fs::read(&file).expect("there")),
            Self::Postgres(database) => {
                let (port, name) = (database.port(), database.name().to_owned());
                let copy = format!("CREATE DATABASE {name}_older TEMPLATE {name}");
                query(port, "postgres", &copy).expect("nobody is connected");
                Err((port, name))
            }
        };
        move |_| match copied {
            Ok(older) => fs::write(&file, older).expect("ours"),
            Err((port, name)) => {
                query(port, "postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).expect("ours");
                let back = format!("ALTER DATABASE {name}_older RENAME TO {name}");
                query(port, "postgres", &back).expect("nobody is connected");
            }
        }
    }
}

impl Drill {
    fn guest(&self) -> Guest {
        let (device, token) = (Device::new(), self.server.token());
        let answer = device.enroll(&self.server.http(), &token);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let body = answer.json();
        let (id, certificate) = (text(&body["machine"]["id"]), text(&body["credential"]["certificate"]));
        Guest { device, id, certificate, token }
    }

    /// What a machine that shows its certificate is told about itself.
    fn told(&self, guest: &Guest) -> (u16, String) {
        let (address, dir) = (self.server.address(), self.server.dir());
        let http = Http::mutual(address, dir, &guest.certificate, &guest.device.key_pem());
        let answer = http.get("/v1/machines/self");
        match answer.status {
            200 => (200, text(&answer.json()["state"])),
            _ => answer.problem(),
        }
    }

    fn hold(&self, is_so: bool, what: impl std::fmt::Display) {
        self.tally.hold(is_so, what);
        self.tally.did(1);
    }

    /// Whether a stranger with this token is kept out.
    fn is_spent(&self, token: &str) -> bool {
        Device::new().enroll(&self.server.http(), token).status == 401
    }

    /// While nobody has accepted: nothing changes, nobody is told an end, the gap is shown.
    fn waits(&self, gap: &[Guest], token: &str) {
        let status = self.server.muster(&["status"]);
        self.hold(status["mode"] == "restored", format!("the mode is {status}"));
        self.hold(
            status["warnings"].to_string().contains("muster restore accept"),
            format!("no word: {status}"),
        );
        self.hold(self.server.log().contains("RESTORED"), "the log does not tell of the gap");
        for guest in gap {
            let told = self.told(guest);
            self.hold(
                told.0 == 503,
                format!("a machine of the gap is told {told:?} before anybody accepted"),
            );
        }
        let refused = Device::new().enroll(&self.server.http(), token);
        self.hold(
            refused.problem() == (503, "restored".into()),
            format!("somebody got in: {}", refused.text()),
        );
        let (code, _) = self.server.fails(&["machine", "suspend", self.server.machine()]);
        self.hold(code == 75, format!("a change ended with {code}"));
    }

    /// The gap, as an operator reads it: both ends of what is missing.
    fn shown(&self, accepted: &Value) {
        let (seen, found) = (accepted["seen"].as_u64(), accepted["found"].as_u64());
        self.hold(seen > found && found.is_some(), format!("no gap is shown: {accepted}"));
        let log = self.server.audit();
        let is_told = |action: &str| log.iter().any(|entry| entry["action"] == action);
        self.hold(is_told("restore.notice") || is_told("restore.accept"), "the log does not tell of it");
    }
}

/// Runs the drill once.
fn drill(kind: &'static str, keep: Keep, agents: usize) {
    let server = Server::configured(&keep.config(), &[]);
    let mut drill = Drill { server, keep, tally: Tally::new(kind, 20) };
    let mut fleet: Vec<Agent> = (0..agents).map(|_| Agent::online(&drill.server.invite())).collect();
    let (old, revoked, retired) = (drill.guest(), drill.guest(), drill.guest());
    drill.server.muster(&["machine", "revoke", &revoked.id]);
    drill.server.muster(&["machine", "retire", &retired.id]);
    let (open, forgotten) = (drill.server.token(), drill.guest());
    drill.server.stop();
    let put_back = drill.keep.backup(&drill.server);
    drill.server.start();
    fleet.iter_mut().for_each(|agent| drop(agent.event("online")));

    // The day that will be forgotten.
    let gap = [drill.guest(), drill.guest()];
    let mut newcomer = Agent::online(&drill.server.invite());
    drill.server.muster(&["machine", "revoke", &forgotten.id]);
    drill.server.muster(&["machine", "renew", &fleet[0].machine()]);
    fleet[0].event("renewed");
    let spent_in_the_gap = Device::new();
    assert_eq!(spent_in_the_gap.enroll(&drill.server.http(), &open).status, 201);
    drill.server.stop();
    put_back(&drill.server);
    drill.server.start();
    drill.waits(&gap, &open);
    let ids: Vec<String> = fleet.iter().map(Agent::machine).collect();
    // Whoever renewed in the gap holds a certificate that nobody knows of: its key asks again, and waits for the operator.
    let (renewed, others) = fleet.split_first_mut().expect("a fleet");
    others.iter_mut().for_each(|agent| drop(agent.event("online")));
    drill.hold(renewed.is_running(), "an agent that renewed in the gap gave up before anybody accepted");
    drill.hold(newcomer.is_running(), "an agent of the gap gave up before anybody accepted");

    let watch = Stopwatch::start();
    let accepted = drill.server.muster(&["restore", "accept", "--yes"]);
    drill.shown(&accepted);
    let back = renewed.event_within("online", BACK).is_some();
    drill.hold(back, format!("an agent that renewed in the gap does not return: {}", renewed.said()));
    let took = watch.elapsed();
    after(&mut drill, &mut fleet, &ids);
    drill.hold(drill.told(&old) == (200, "active".into()), "a machine of before the backup is not back");
    for (guest, verb) in [(&revoked, "revoked"), (&retired, "retired")] {
        let told = drill.told(guest);
        drill.hold(
            told == (403, "revoked".into()),
            format!("who was {verb} before the backup is told {told:?}"),
        );
        let again = guest.device.enroll(&drill.server.http(), &drill.server.token());
        drill.hold(again.status == 403, format!("who was {verb} gets in again: {}", again.text()));
    }
    drill.hold(drill.is_spent(&old.token), "a token that was spent before the backup let somebody in");
    returns(&drill, &gap, &mut newcomer);
    forgotten_with_it(&drill, &forgotten, &open, &spent_in_the_gap);
    drill.tally.figure("back_ms", u64::try_from(took.as_millis()).expect("short"));
    drill.tally.tell();
}

/// The fleet of before the backup goes on by itself.
fn after(drill: &mut Drill, fleet: &mut [Agent], ids: &[String]) {
    for (agent, id) in fleet.iter_mut().zip(ids) {
        drill.server.muster(&["machine", "renew", id]);
        let renewed = agent.event_within("renewed", SOON).is_some();
        drill.hold(renewed, format!("{id} does not renew: {}", agent.said()));
        let machine = drill.server.show(id);
        drill.hold(machine["state"] == "active" && agent.machine() == *id, format!("{id} is {machine}"));
    }
}

/// Who came in the gap is told so, keeps its files aside, and comes again by its own key.
fn returns(drill: &Drill, gap: &[Guest], newcomer: &mut Agent) {
    for guest in gap {
        let told = drill.told(guest);
        drill.hold(told.1 == "unknown_machine", format!("a machine of the gap is told {told:?}"));
        let again = guest.device.enroll(&drill.server.http(), &drill.server.token());
        drill
            .hold(again.status == 201, format!("a machine of the gap does not come again: {}", again.text()));
    }
    // It asks as seldom by now as the one that renewed.
    within(BACK, || (!newcomer.is_running()).then_some(()));
    drill.hold(newcomer.exit_code() == 22, format!("its agent goes on: {}", newcomer.log()));
    let kept = newcomer.files().iter().any(|file| file.starts_with("key-a.pem.retired-"));
    drill.hold(kept, format!("its key is not kept aside: {:?}", newcomer.files()));
    let again = newcomer.enroll(&drill.server.invite(), &["--reset"]);
    drill.hold(again.status.success(), format!("it does not come again: {again:?}"));
}

/// What the gap takes with it, as it is documented: nobody who reads the backup can know it.
fn forgotten_with_it(drill: &Drill, revoked: &Guest, token: &str, spender: &Device) {
    let is_back = drill.told(revoked) == (200, "active".into());
    drill.tally.figure("revoked_in_the_gap_is_back", is_back);
    let again = eventually("an answer", SOON, || Some(spender.enroll(&drill.server.http(), token)));
    drill.hold(
        again.status == 201,
        format!("who spent a token in the gap cannot spend it again: {}", again.text()),
    );
    drill.hold(drill.is_spent(token), "a token that its key has spent again let in another one");
}

fn agents() -> usize {
    usize::try_from(size(3, 12)).expect("a small fleet")
}

#[test]
fn yesterdays_file_is_put_back_under_a_fleet_that_runs() {
    drill("restore-sqlite", Keep::File, agents());
}

#[test]
fn yesterdays_postgresql_database_is_put_back_under_a_fleet_that_runs() {
    let Some(database) = database() else { return };
    drill("restore-postgres", Keep::Postgres(database), agents());
}

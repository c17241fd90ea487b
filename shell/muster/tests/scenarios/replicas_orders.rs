//! What one replica decides bites at every other one.
//!
//! 1. An agent holds its channel at replica B. Orders given at A reach it within a second.
//! 2. The connections by which the replicas listen stand still: orders reach it within five seconds all the same.
//! 3. A machine revoked at A is refused at every replica at once, and its channel at B is cut.
//! 4. A site's key rotated at A lets nobody in at B.
//! 5. Revoke, suspend and retire, at the replica that holds the channel and at another one: measured.

use std::time::Duration;

use muster_testkit::postgres::Database;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Agent, Device, Replicas, SOON, Stopwatch, database, eventually, text};

/// What the design promises, and as much again for processes that have to be scheduled on a busy machine.
const A_SECOND: Duration = Duration::from_secs(2);
const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// Orders an agent about by one replica while it holds its channel at another one.
fn orders_arrive(replicas: &Replicas, limit: Duration) -> Vec<(&'static str, Duration)> {
    let door = replicas.door(1);
    let mut agent = Agent::online(&replicas.invite(&door));
    let id = agent.machine();
    let mut took = Vec::new();
    for (verb, standing) in [("suspend", "suspended"), ("resume", "active")] {
        replicas[0].muster(&["machine", verb, &id]);
        let watch = Stopwatch::start();
        assert_eq!(agent.standing(), standing);
        took.push((verb, watch.elapsed()));
    }
    replicas[2].muster(&["machine", "renew", &id]);
    let watch = Stopwatch::start();
    agent.event("renewed");
    took.push(("renew", watch.elapsed()));
    assert_eq!(replicas[0].show(&id)["online"], true, "it stays connected");

    replicas[0].muster(&["machine", "revoke", &id, "--reason", "stolen"]);
    let watch = Stopwatch::start();
    assert_eq!(agent.exit_code(), 22, "{}", agent.log());
    took.push(("revoke", watch.elapsed()));
    assert_eq!(agent.status()["ended"]["ending"], "revoked");
    for (verb, took) in &took {
        assert!(*took < limit, "{verb} took {took:?}");
    }
    took
}

#[test]
fn orders_reach_a_machine_at_another_replica_within_a_second() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    eprintln!("{:?}", orders_arrive(&replicas, A_SECOND));
}

/// Connections that listen and hear nothing. They go on when this is dropped.
struct Deaf(Vec<Pid>);

impl Deaf {
    /// Stops the process on the other end of every connection of this database that listens.
    fn listeners_of(database: &Database, count: usize) -> Self {
        let listening =
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen %'";
        let found = eventually("every replica listens", SOON, || {
            let found = database.run_sql(listening);
            (found.len() == count).then_some(found)
        });
        let pid = |row: &Vec<Option<String>>| {
            let pid = row[0].as_ref().and_then(|pid| pid.parse().ok());
            pid.and_then(Pid::from_raw).expect("a process has a number")
        };
        let deaf = Self(found.iter().map(pid).collect());
        for pid in &deaf.0 {
            kill_process(*pid, Signal::STOP).expect("it is ours");
        }
        deaf
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that has ended meanwhile needs nothing.
            kill_process(*pid, Signal::CONT).ok();
        }
    }
}

#[test]
fn orders_reach_a_machine_at_another_replica_within_five_seconds_where_nobody_listens() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    let deaf = Deaf::listeners_of(&database, replicas.len());
    let took = orders_arrive(&replicas, FIVE_SECONDS);
    eprintln!("{took:?}");
    drop(deaf);
    let took = orders_arrive(&replicas, A_SECOND);
    eprintln!("listening again: {took:?}");
}

#[test]
fn orders_reach_a_machine_while_listening_connections_are_cut_again_and_again() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    let (done, cut) = std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let cutter = scope.spawn({
            let database = &database;
            move || {
                let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE datname = current_database() AND query ILIKE 'listen %'";
                let mut times = 0;
                while stopped
                    .recv_timeout(Duration::from_millis(200))
                    .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    times += database.run_sql(cut).len();
                }
                times
            }
        });
        let took = orders_arrive(&replicas, FIVE_SECONDS);
        drop(stop);
        (took, cutter.join().expect("it only ever cuts"))
    });
    eprintln!("{cut} connections cut: {done:?}");
    assert!(cut >= replicas.len(), "each was cut once at least");
}

#[test]
fn q_07_a_machine_revoked_at_one_replica_is_refused_at_every_one_at_once() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    let door = replicas.door(1);
    let token = replicas.token();
    for by in 0..replicas.len() {
        let member = replicas.member(&token);
        let channel = member.connect(&door, &replicas);
        let ask = |at: usize| member.mutual(replicas[at].listens(), &replicas).get("/v1/machines/self");
        for at in 0..replicas.len() {
            assert_eq!(ask(at).status, 200);
        }
        replicas[by].muster(&["machine", "revoke", &member.id, "--reason", "stolen"]);
        let watch = Stopwatch::start();
        for at in 0..replicas.len() {
            assert_eq!(ask(at).problem(), (403, "revoked".into()), "revoked at {by}, asked at {at}");
            let renewed = member.device.signed(&replicas.http_of(at), "POST", "/v1/machines/self/renew", b"");
            assert_eq!(renewed.problem(), (403, "revoked".into()));
            let again = member.device.enroll(&replicas.http_of(at), &token);
            assert_eq!(again.problem(), (403, "revoked".into()), "{}", again.text());
        }
        assert_eq!(channel.order(A_SECOND).as_deref(), Some("revoked"));
        eventually("its channel is cut", A_SECOND, || (!channel.is_open()).then_some(()));
        eprintln!("revoked at {by}: refused everywhere and cut after {:?}", watch.elapsed());
    }
}

#[test]
fn a_site_key_rotated_at_one_replica_lets_nobody_in_at_another() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    replicas[2].muster(&["site", "create", "plant", "--seats", "100"]);
    let rotate = |at: usize| text(&replicas[at].muster(&["site", "rotate-key", "plant"])["key"]);
    let mut key = rotate(0);
    for at in [1, 2, 0, 1, 2] {
        let device = Device::new();
        assert_eq!(device.enroll(&replicas.http_of(at), &key).status, 201, "at {at}");
        let next = rotate((at + 1) % 3);
        for asked in 0..replicas.len() {
            let refused = Device::new().enroll(&replicas.http_of(asked), &key);
            assert_eq!(refused.problem(), (401, "not_entitled".into()), "at {asked}");
        }
        assert_eq!(device.enroll(&replicas.http_of(at), &key).status, 200, "who is in is in");
        key = next;
    }
}

/// From the order until whoever holds the channel was told and, where the machine ends, was cut off.
fn ending_took(replicas: &Replicas, by: usize, verb: &str) -> Duration {
    let door = replicas.door(1);
    let member = replicas.member(&replicas.token());
    let channel = member.connect(&door, replicas);
    eventually("it is online", SOON, || (replicas[1].show(&member.id)["online"] == true).then_some(()));
    replicas[by].muster(&["machine", verb, &member.id]);
    // The command has returned: its own start is no part of the promise.
    let watch = Stopwatch::start();
    let order = if verb == "revoke" { "revoked" } else { verb };
    assert_eq!(channel.order(FIVE_SECONDS).as_deref(), Some(order), "{verb} at {by}");
    if verb != "suspend" {
        eventually("its channel is cut", FIVE_SECONDS, || (!channel.is_open()).then_some(()));
    }
    watch.elapsed()
}

#[test]
fn q_07_endings_cut_a_channel_at_its_own_replica_within_a_second_and_at_another_within_five() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    for (by, at, limit) in [(1, "the same replica", A_SECOND), (0, "another replica", FIVE_SECONDS)] {
        for verb in ["suspend", "revoke", "retire"] {
            let took: Vec<Duration> = (0..3).map(|_| ending_took(&replicas, by, verb)).collect();
            let most = took.iter().max().copied().unwrap_or_default();
            eprintln!("{verb} at {at}: {most:?} at most of {took:?}");
            assert!(most < limit, "{verb} at {at} took {most:?}");
        }
    }
}

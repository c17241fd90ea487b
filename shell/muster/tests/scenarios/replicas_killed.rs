//! Three replicas behind a balancer, each of which is killed (-9) in its turn.
//!
//! 1. Twenty clients enroll 2,000 machines and renew 500 of them, by one-time tokens and by one for all, some of them
//!    asking twice at once. Who gets no answer asks again.
//! 2. Each replica in turn is killed and started again; then one is killed and one is stopped, and one is left.
//! 3. Nothing that was acknowledged is lost, nothing is doubled, nobody is stranded, and no server said more than
//!    "later".
//!
//! Another storm, in which a replica stands still (SIGSTOP) for longer than the database waits for it, and then wakes in the
//! middle of what it was doing: what it had begun is void, and it says so to nobody as if it were done.
//!
//! And a rolling start: three replicas begin at once on an empty database with the same secrets. It is founded once, and
//! all of them serve.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::storm::{Size, Storm};
use crate::support::{Replicas, Stopwatch, database, text, within};

#[test]
fn q_05_nothing_acknowledged_is_lost_or_doubled_while_each_replica_is_killed() {
    let Some(database) = database() else { return };
    let mut replicas = Replicas::on(&database.url());
    let storm = Storm::over(&replicas, Size { clients: 20, each: 100 });
    let watch = Stopwatch::start();
    let promised = storm.rage(|| {
        for (percent, at) in [(10, 0), (30, 1), (50, 2)] {
            storm.has_come(percent);
            replicas.kill(at);
            storm.has_come(percent + 8);
            replicas.start(at);
        }
        // Two at once, one of them in good order: the last one carries everybody.
        storm.has_come(70);
        replicas.kill(2);
        storm.has_come(75);
        replicas.stop(1);
        storm.has_come(80);
        replicas.start(1);
        replicas.start(2);
    });
    eprintln!("2,000 machines in {:?}", watch.elapsed());
    assert!(storm.setbacks() > 0, "the replicas died under somebody");
    storm.count(&replicas, &promised);
    eprintln!("and counted after {:?}", watch.elapsed());
}

/// Longer than the database leaves a transaction open in which nothing happens.
const STILL: Duration = Duration::from_secs(11);

#[test]
fn a_replica_that_stands_still_in_the_middle_of_its_work_acknowledges_nothing_that_was_undone() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    let storm = Storm::over(&replicas, Size { clients: 16, each: 40 });
    let promised = storm.rage(|| {
        storm.has_come(25);
        replicas.front.set(vec![replicas[1].listens(), replicas[2].listens()]);
        replicas[0].signal(Signal::STOP);
        within(STILL, || None::<()>);
        // Everybody to the one that wakes.
        replicas.front.set(vec![replicas[0].listens()]);
        replicas[0].signal(Signal::CONT);
    });
    storm.count(&replicas, &promised);
}

#[test]
fn replicas_that_start_at_once_on_an_empty_database_found_it_once_and_all_serve() {
    let Some(database) = database() else { return };
    let replicas = Replicas::at_once(&database.url(), 3);
    let listed = replicas.listed_by(0);
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(listed.iter().all(|replica| replica["alive"] == true), "{listed:?}");
    let founded = replicas[0].audit();
    let founded: Vec<String> = founded.iter().map(|entry| text(&entry["action"])).collect();
    let member = replicas.member(&replicas.token());
    for (at, server) in replicas.iter().enumerate() {
        assert_eq!(replicas.http_of(at).get("/readyz").status, 200);
        assert_eq!(server.list(&["site", "ls"]).len(), 1, "one site was founded: {founded:?}");
        assert_eq!(server.show(&member.id)["state"], "active");
        let itself = member.mutual(server.listens(), &replicas).get("/v1/machines/self");
        assert_eq!(itself.status, 200, "{}", itself.text());
    }
    let tenants = database.run_sql("SELECT count(*) FROM tenants");
    assert_eq!(tenants, [[Some("1".to_owned())]]);
    let secrets = |at: usize| std::fs::read(replicas[at].dir().join("pepper")).expect("ours");
    assert_eq!(secrets(0), secrets(2), "the story is about one deployment");
}

//! The database under three replicas dies, is promoted, forgets, or cannot be reached.
//!
//! 1. In the middle of a storm connections are cut from either side, again and again, and PostgreSQL crashes twice: the
//!    replicas live on, and nothing acknowledged is lost.
//! 2. The primary is killed while its synchronous standby is behind, and that is promoted: nothing acknowledged is lost,
//!    because nothing was acknowledged that it does not know.
//! 3. An asynchronous standby that is behind is promoted: every replica notices, changes nothing until an operator
//!    accepts that, and goes on then. Who was lost comes back by the same key.
//! 4. One replica loses its way to the database: nobody answers it, then nobody is there. At first it is patient, after
//!    half a minute it says "later" at once, channels stand all the while, and it goes on by itself.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use muster_testkit::balancer::Balancer;
use muster_testkit::postgres::{Server as Postgres, Stop};
use serde_json::json;

use crate::support::storm::{Size, Storm};
use crate::support::{
    Agent, Device, Door, Member, Replicas, SOON, Stopwatch, database, eventually, text, within,
};

const SMALL: Size = Size { clients: 16, each: 30 };
/// Between two cuts: long enough to connect again and begin something.
const BETWEEN: Duration = Duration::from_millis(100);
/// How long the standby is behind: long enough for every client to wait for it.
const BEHIND: Duration = Duration::from_secs(2);

fn pids(replicas: &Replicas) -> Vec<u32> {
    replicas.iter().map(|server| server.pid()).collect()
}

/// The way to a database that is on either of two servers.
fn either(one: &Postgres, other: &Postgres) -> String {
    let (one, other) = (one.port(), other.port());
    format!(
        "postgres://postgres@127.0.0.1:{one},127.0.0.1:{other}/muster?sslmode=disable&target_session_attrs=read-write"
    )
}

/// A way to a database that can be cut, and the URL that takes it.
fn way(url: &str, port: u16) -> (Balancer, String) {
    let way = Balancer::start(vec![there(port)]).expect("a balancer");
    let around = url.replace(&format!(":{port}/"), &format!(":{}/", way.address().port()));
    (way, around)
}

fn there(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Cuts every connection of the replicas, again and again: they lose the database, which notices late; and the database
/// throws them out.
fn cut_again_and_again(way: &Balancer, postgres: &Postgres, times: usize) {
    const OUT: &str =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'muster/%'";
    for _ in 0..times {
        way.cut();
        pass(BETWEEN);
        postgres.run_sql("muster", OUT);
        pass(BETWEEN);
    }
}

/// Lets this time go by: what happens meanwhile is not told by anybody.
fn pass(time: Duration) {
    within(time, || None::<()>);
}

#[test]
fn a_database_that_crashes_in_the_middle_costs_nothing_that_was_acknowledged() {
    let Some(postgres) = Postgres::start() else { return };
    let (way, around) = way(&postgres.create_database("muster"), postgres.port());
    let replicas = Replicas::on(&around);
    let before = pids(&replicas);
    let storm = Storm::over(&replicas, SMALL);
    let promised = storm.rage(|| {
        storm.has_come(10);
        cut_again_and_again(&way, &postgres, 10);
        storm.has_come(40);
        postgres.restart(Stop::Immediate);
        storm.has_come(70);
        postgres.kill_9();
        postgres.start_again();
    });
    assert!(storm.setbacks() > 0, "the database went away under somebody");
    storm.count(&replicas, &promised);
    assert_eq!(pids(&replicas), before, "nobody had to start a replica again");
    for at in 0..replicas.len() {
        eventually("each is ready again", SOON, || {
            (replicas.http_of(at).get("/readyz").status == 200).then_some(())
        });
    }
}

#[test]
fn a_synchronous_standby_that_is_promoted_knows_everything_that_was_acknowledged() {
    let Some(primary) = Postgres::start() else { return };
    primary.create_database("muster");
    let standby = primary.standby(true);
    let replicas = Replicas::on(&either(&primary, &standby));
    let before = pids(&replicas);
    let storm = Storm::over(&replicas, SMALL);
    let promised = storm.rage(|| {
        storm.has_come(40);
        standby.pause(true);
        pass(BEHIND);
        // Whoever waits may have the answer from the promoted one in the end, and notice nothing.
        assert!(storm.is_under_way(), "the database goes away under somebody");
        primary.kill_9();
        standby.pause(false);
        standby.promote();
    });
    storm.count(&replicas, &promised);
    assert_eq!(pids(&replicas), before, "nobody had to start a replica again");
    assert_eq!(replicas[0].muster(&["status"])["mode"], "normal");
}

/// Stops a standby from hearing anything more, once it has heard everything up to now.
fn fall_behind(primary: &Postgres, standby: &Postgres) {
    let written = primary.run_sql("postgres", "SELECT pg_current_wal_lsn()")[0][0].clone().expect("a place");
    let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
    eventually("the standby has it all", SOON, || {
        (standby.run_sql("postgres", &reached)[0][0].as_deref() == Some("t")).then_some(())
    });
    standby.run_sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
    standby.run_sql("postgres", "SELECT pg_reload_conf()");
    eventually("the standby hears nothing more", SOON, || {
        standby.run_sql("postgres", "SELECT pid FROM pg_stat_wal_receiver").is_empty().then_some(())
    });
}

/// Waits until every replica has written down that it has seen the newest entry of the audit log.
fn everybody_has_seen_the_newest(replicas: &Replicas) {
    let newest = replicas[0].audit().last().expect("there are entries")["id"].clone();
    for server in replicas.iter() {
        eventually("the newest entry is seen", SOON, || {
            let seen = std::fs::read_to_string(server.dir().join("seen")).unwrap_or_default();
            seen.contains(&text(&newest)).then_some(())
        });
    }
}

#[test]
fn what_a_replica_wrote_a_moment_before_is_missed_by_it_and_told_to_all() {
    let Some(primary) = Postgres::start() else { return };
    primary.create_database("muster");
    let standby = primary.standby(false);
    let replicas = Replicas::on(&either(&primary, &standby));
    let revoked = replicas.member(&replicas.token());
    fall_behind(&primary, &standby);
    replicas[0].muster(&["machine", "revoke", &revoked.id, "--reason", "stolen"]);
    primary.kill_9();
    standby.promote();
    for at in 0..replicas.len() {
        eventually("it is noticed", SOON, || {
            let ready = replicas.http_of(at).get("/readyz");
            (ready.status == 503 && ready.text().contains("restored")).then_some(())
        });
    }
}

#[test]
fn what_an_asynchronous_standby_has_lost_is_noticed_and_accepted_by_a_person() {
    let Some(primary) = Postgres::start() else { return };
    primary.create_database("muster");
    let standby = primary.standby(false);
    let mut replicas = Replicas::on(&either(&primary, &standby));
    let token = replicas.token();
    let door = replicas.door(1);
    let (kept, revived) = (replicas.member(&token), replicas.member(&token));
    let mut agent = Agent::online(&replicas.invite(&door));
    let channel = kept.connect(&door, &replicas);
    fall_behind(&primary, &standby);

    let lost = replicas.member(&token);
    replicas[0].muster(&["machine", "revoke", &revived.id, "--reason", "stolen"]);
    everybody_has_seen_the_newest(&replicas);
    primary.kill_9();
    standby.promote();
    let itself = |member: &Member, at: usize| {
        member.mutual(replicas[at].listens(), &replicas).get("/v1/machines/self")
    };
    for at in 0..replicas.len() {
        eventually("it is noticed", SOON, || {
            let told = itself(&lost, at);
            assert_eq!(
                told.status,
                503,
                "it would end itself if it were told that it is unknown: {}",
                told.text()
            );
            let ready = replicas.http_of(at).get("/readyz");
            (ready.status == 503 && ready.text().contains("restored")).then_some(())
        });
    }
    nothing_is_changed(&mut replicas, &token, &door);
    let itself = |member: &Member, at: usize| {
        member.mutual(replicas[at].listens(), &replicas).get("/v1/machines/self")
    };
    assert_eq!(itself(&kept, 0).status, 200, "reading goes on");
    assert_eq!(
        itself(&lost, 0).problem(),
        (503, "restored".into()),
        "who was lost is not told that it is unknown"
    );
    assert!(channel.is_open() && agent.is_running(), "channels stand");

    let accepted = replicas[0].muster(&["restore", "accept", "--yes"]);
    assert!(accepted["seen"].as_u64() > accepted["found"].as_u64(), "{accepted}");
    for at in 0..replicas.len() {
        eventually("each goes on", SOON, || {
            (replicas.http_of(at).get("/readyz").status == 200).then_some(())
        });
    }
    assert_eq!(itself(&lost, 2).problem(), (403, "unknown_machine".into()));
    let again = lost.device.enroll(&replicas.http_of(2), &token);
    assert_eq!(again.status, 201, "{}", again.text());
    let status = replicas[1].muster(&["status"]);
    assert_eq!((&status["mode"], &status["machines"]["active"]), (&json!("normal"), &json!(4)));
    assert_eq!(
        replicas[2].show(&revived.id)["state"],
        "active",
        "what was revoked in the gap must be revoked again"
    );
    let audit = replicas[2].audit();
    assert!(audit.iter().any(|entry| entry["action"] == "restore.accept"), "{audit:#?}");
    assert!(
        channel.is_open() && agent.is_running() && agent.event_within("offline", Duration::ZERO).is_none()
    );
}

/// Whoever asks for a change, at whichever replica and after a restart of one, hears why not and what to do.
fn nothing_is_changed(replicas: &mut Replicas, token: &str, door: &Door) {
    replicas.kill(0);
    replicas.start(0);
    for (at, server) in replicas.iter().enumerate() {
        let refused = Device::new().enroll(&replicas.http_of(at), token);
        assert_eq!(refused.problem(), (503, "restored".into()), "{}", refused.text());
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        let (_, said) = server.fails(&["grant", "create"]);
        assert!(said.contains("muster restore accept"), "{said}");
        assert_eq!(server.muster(&["status"])["mode"], "restored");
    }
    door.turn(&[&replicas[1], &replicas[2]]);
}

/// How long a request may try before it says "later", and as much again as a busy machine may need.
const TRYING: Duration = Duration::from_secs(7);
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a replica believes what it has seen of the database.
const FRESH: Duration = Duration::from_secs(30);

#[test]
fn a_replica_without_its_database_is_patient_then_says_later_at_once_and_goes_on_by_itself() {
    let Some(database) = database() else { return };
    let (way, around) = way(&database.url(), database.port());
    let replicas = Replicas::on_each(&[&database.url(), &around]);
    let door = replicas.door(1);
    let mut agent = Agent::online(&replicas.invite(&door));
    let member = replicas.member(&replicas.token());
    let channel = member.connect(&door, &replicas);
    let http = member.mutual(replicas[1].listens(), &replicas);
    let asked = |limit: Duration| {
        let watch = Stopwatch::start();
        let answer = http.get("/v1/machines/self");
        assert!(watch.elapsed() < limit, "{:?}", watch.elapsed());
        answer
    };
    assert_eq!(asked(AT_ONCE).status, 200);

    // Whoever is called takes the call, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    way.set(vec![silent.local_addr().expect("its address")]);
    way.cut();
    let cut = Stopwatch::start();
    let ready = replicas.http_of(1).get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    let said_later = || {
        let answer = asked(TRYING);
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    };
    said_later();
    // Nobody is there at all.
    drop(silent);
    way.set(Vec::new());
    way.cut();
    let mut later = 0;
    while !replicas.http_of(1).get("/readyz").text().contains("stale") {
        assert!(cut.elapsed() < FRESH + SOON, "it never becomes stale");
        said_later();
        later += 1;
        pass(BETWEEN);
    }
    let stale = cut.elapsed();
    eprintln!("stale after {stale:?}, {later} times later");
    assert!(stale > FRESH - Duration::from_secs(5), "{stale:?}");
    for _ in 0..5 {
        assert_eq!(asked(AT_ONCE).status, 503);
    }
    assert_eq!(replicas.http_of(1).get("/v1/trust").status, 200, "what needs no database is answered");
    assert_eq!(replicas.http_of(1).get("/healthz").status, 200);
    assert_eq!(replicas[0].show(&member.id)["online"], false, "nobody can say that it is");

    way.set(vec![there(database.port())]);
    let watch = Stopwatch::start();
    eventually("it goes on", SOON, || (replicas.http_of(1).get("/readyz").status == 200).then_some(()));
    eprintln!("ready {:?} after the database was back", watch.elapsed());
    assert_eq!(asked(TRYING).status, 200);
    eventually("both are online again", SOON, || {
        let online =
            replicas[0].list(&["machine", "ls"]).iter().filter(|machine| machine["online"] == true).count();
        (online == 2).then_some(())
    });
    assert!(channel.is_open(), "its channel stood");
    assert!(
        within(Duration::ZERO, || agent.event_within("offline", Duration::ZERO)).is_none(),
        "and the agent's"
    );
    assert!(agent.is_running());
}

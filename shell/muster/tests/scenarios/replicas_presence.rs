//! Who is online, when replicas die and when they only stood still.
//!
//! 1. Agents and bare channels are spread over three replicas. One is killed (-9): within 15 s the others tell its
//!    machines offline, and online again as they come back elsewhere; `replica ls` tells the dead one.
//! 2. One stands still (SIGSTOP) for 20 s. Meanwhile some of its machines come back elsewhere, one is suspended and one
//!    revoked. When it wakes it undoes nothing: all of them are told as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    Agent, Channel, Door, Member, Replicas, SOON, Stopwatch, database, eventually, text, within,
};

/// Bare channels at each replica, beside one agent.
const EACH: usize = 12;
/// What is promised, from the death of a replica until the others tell its machines offline.
const NOTICED: Duration = Duration::from_secs(15);
const STILL: Duration = Duration::from_secs(20);

/// The machines that hold their channel at one replica.
struct Group {
    door: Door,
    agent: Agent,
    members: Vec<(Member, Option<Channel>)>,
}

impl Group {
    fn at(at: usize, replicas: &Replicas, token: &str) -> Self {
        let door = replicas.door(at);
        let agent = Agent::online(&replicas.invite(&door));
        let members = (0..EACH).map(|_| {
            let member = replicas.member(token);
            let channel = member.connect(&door, replicas);
            (member, Some(channel))
        });
        let members = members.collect();
        Self { door, agent, members }
    }

    fn ids(&self) -> Vec<String> {
        let bare = self.members.iter().map(|(member, _)| member.id.clone());
        std::iter::once(self.agent.machine()).chain(bare).collect()
    }

    /// What agents do when they lose their channel.
    fn come_back(&mut self, replicas: &Replicas) {
        for (member, channel) in &mut self.members {
            // The older one goes first.
            drop(channel.take());
            *channel = Some(member.connect(&self.door, replicas));
        }
    }
}

/// Who is online, as a replica tells it.
fn online(replicas: &Replicas, by: usize) -> BTreeMap<String, bool> {
    let machines = replicas[by].list(&["machine", "ls", "--limit", "1000"]);
    machines.iter().map(|machine| (text(&machine["id"]), machine["online"] == true)).collect()
}

fn all(ids: &[String], told: &BTreeMap<String, bool>, expected: bool) -> bool {
    ids.iter().all(|id| told.get(id) == Some(&expected))
}

fn spread(replicas: &Replicas) -> [Group; 3] {
    let token = replicas.token();
    let groups = [0, 1, 2].map(|at| Group::at(at, replicas, &token));
    for by in 0..replicas.len() {
        let told = online(replicas, by);
        assert!(groups.iter().all(|group| all(&group.ids(), &told, true)), "by {by}: {told:?}");
    }
    groups
}

/// Alive and channels of every replica, as one of them tells it.
fn listed(replicas: &Replicas, by: usize) -> Vec<(bool, u64)> {
    let listed = replicas.listed_by(by);
    listed
        .iter()
        .map(|replica| (replica["alive"] == true, replica["channels"].as_u64().expect("a number")))
        .collect()
}

#[test]
fn machines_of_a_killed_replica_are_offline_within_fifteen_seconds_and_online_again_elsewhere() {
    let Some(database) = database() else { return };
    let mut replicas = Replicas::on(&database.url());
    let mut groups = spread(&replicas);
    let [dead, others @ ..] = &mut groups;
    eventually("every replica tells its channels", SOON, || {
        (listed(&replicas, 1) == [(true, EACH as u64 + 1); 3]).then_some(())
    });

    dead.door.turn(&[]);
    replicas.kill(0);
    let watch = Stopwatch::start();
    for by in [1, 2] {
        eventually("its machines are told offline", NOTICED, || {
            all(&dead.ids(), &online(&replicas, by), false).then_some(())
        });
    }
    eprintln!("offline after {:?}", watch.elapsed());
    assert!(watch.elapsed() < NOTICED, "{:?}", watch.elapsed());
    let told = online(&replicas, 2);
    assert!(
        others.iter().all(|group| all(&group.ids(), &told, true)),
        "the others' are as they were: {told:?}"
    );
    let listed = listed(&replicas, 1);
    assert_eq!((listed.len(), listed[0].0, listed[1].0, listed[2].0), (3, false, true, true), "{listed:?}");
    let seen = replicas[1].show(&dead.members[0].0.id);
    assert!(!seen["last_seen"].is_null(), "{seen}");

    dead.door.turn(&[&replicas[1], &replicas[2]]);
    dead.come_back(&replicas);
    for by in [1, 2] {
        eventually("they are online again", SOON, || {
            all(&dead.ids(), &online(&replicas, by), true).then_some(())
        });
    }
    replicas.start(0);
    let told = online(&replicas, 0);
    assert!(groups.iter().all(|group| all(&group.ids(), &told, true)), "by the one that is new: {told:?}");
    eventually("the count is right", SOON, || {
        (replicas[0].muster(&["status"])["machines"]["online"] == 3 * (EACH + 1)).then_some(())
    });
}

#[test]
fn a_replica_that_stood_still_undoes_nothing_when_it_wakes() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    let mut groups = spread(&replicas);
    let [sleeping, ..] = &mut groups;

    replicas[0].signal(Signal::STOP);
    let watch = Stopwatch::start();
    sleeping.door.turn(&[&replicas[1], &replicas[2]]);
    eventually("its machines are told offline", NOTICED, || {
        all(&sleeping.ids(), &online(&replicas, 1), false).then_some(())
    });
    eprintln!("offline after {:?}", watch.elapsed());
    // The first third comes back elsewhere; the second stays where it is; of the others one is ended, one is paused.
    for (member, channel) in &mut sleeping.members[..EACH / 3] {
        *channel = Some(member.connect(&sleeping.door, &replicas));
    }
    let (revoked, paused) = (EACH - 1, EACH - 2);
    let id = |at: usize| sleeping.members[at].0.id.clone();
    replicas[1].muster(&["machine", "revoke", &id(revoked), "--reason", "stolen"]);
    replicas[2].muster(&["machine", "suspend", &id(paused), "--reason", "drill"]);
    let moved: Vec<String> = (0..EACH / 3).map(id).collect();
    assert!(all(&moved, &online(&replicas, 1), true));
    within(STILL.saturating_sub(watch.elapsed()), || None::<()>);
    replicas[0].signal(Signal::CONT);

    let woken = Stopwatch::start();
    // Whoever stayed was silent for too long for the sleeper: it is cut, comes back elsewhere and hears how it stands.
    for (_, channel) in &sleeping.members[EACH / 3..] {
        let channel = channel.as_ref().expect("it had one");
        eventually("it is cut", SOON, || (!channel.is_open()).then_some(()));
    }
    eprintln!("cut {:?} after it woke", woken.elapsed());
    sleeping.agent.event("online");
    for (member, channel) in &mut sleeping.members[EACH / 3..revoked] {
        *channel = Some(member.connect(&sleeping.door, &replicas));
    }
    let hello = |at: usize| sleeping.members[at].1.as_ref().map(|channel| channel.hello["state"].clone());
    assert_eq!((hello(paused), hello(paused - 1)), (Some("suspended".into()), Some("active".into())));
    let ended = &sleeping.members[revoked].0;
    for server in replicas.iter() {
        let refused = ended.mutual(server.listens(), &replicas).get("/v1/machines/self/channel");
        assert_eq!(refused.problem(), (403, "revoked".into()));
    }
    let expected: Vec<String> =
        sleeping.ids().into_iter().filter(|one| *one != sleeping.members[revoked].0.id).collect();
    let gone = [sleeping.members[revoked].0.id.clone()];
    let is_right = |by: usize| {
        let told = online(&replicas, by);
        all(&expected, &told, true) && all(&gone, &told, false)
    };
    for by in 0..replicas.len() {
        eventually("everybody is told as they are", SOON, || is_right(by).then_some(()));
    }
    // The sleeper has said everything that it had to say when it is told alive, with the channels it has.
    eventually("the sleeper is alive", SOON, || {
        replicas.listed_by(1)[0]["alive"].as_bool().filter(|alive| *alive)
    });
    let undone = within(Duration::from_secs(7), || (0..replicas.len()).find(|by| !is_right(*by)));
    assert_eq!(undone, None, "it undid what the others wrote: {:?}", online(&replicas, 1));
    assert_eq!(replicas[1].show(&sleeping.members[paused].0.id)["state"], "suspended");
    assert!(replicas.logs().lines().all(|line| !line.contains("panicked")));
}

//! Whole rotations: in order, killed at every change of a file, on a disk that refuses, with answers that are lost.

use std::time::Duration;

use muster_model::KeyFingerprint;
use muster_wire::channel::Order;
use muster_wire::rotate::PATH;

use super::ring::Stands;
use super::stub::{Mode, Stub};
use super::*;
use crate::status;
use crate::store::fuse::{self, Fuse};

pub(super) async fn online(stub: &Stub) {
    until("the channel is open", || stub.get().channels >= 1).await;
}

fn key_of(machine: &Machine) -> KeyFingerprint {
    status(&machine.dir()).expect("a status").key.expect("a key").parse().expect("a fingerprint")
}

/// Waits until a rotation is over: noted here, known there, nothing of it left.
pub(super) async fn rotated(machine: &Machine, stub: &Stub, from: KeyFingerprint) {
    let over = until("the rotation is over", || {
        let now = key_of(machine);
        now != from
            && stub.get().ring.stands(now) == Some(Stands::Current)
            && stub.get().ring.stands(from) == Some(Stands::Superseded)
            && !machine.names().contains(&"rotation.json".to_owned())
    });
    if tokio::time::timeout(Duration::from_secs(3600), over).await.is_err() {
        let status = status(&machine.dir());
        panic!("not over: {:?} {:?} {status:#?}", machine.names(), stub.get().ring);
    }
}

/// An agent that is online, and its key.
async fn begun(machine: &Machine, stub: &Stub) -> (Resident, KeyFingerprint) {
    machine.enrolled(stub).await;
    let resident = machine.run(stub, None);
    online(stub).await;
    (resident, key_of(machine))
}

fn is_tidy(machine: &Machine) {
    let mut names = machine.names();
    names.retain(|name| !name.starts_with('.'));
    let slot = if names.contains(&"key-a.pem".to_owned()) { "a" } else { "b" };
    let key = format!("key-{slot}.pem");
    let certificate = format!("certificate-{slot}.pem");
    assert_eq!(names, ["agent.lock", &certificate, "identity.json", &key, "status.json"]);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_rotation_changes_the_key_and_nothing_else() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    for id in [1, 2] {
        let from = key_of(&machine);
        stub.order(id, Order::Rotate);
        rotated(&machine, &stub, from).await;
        until("it is acknowledged", || stub.get().acknowledged.contains(&id)).await;
        assert_eq!(stub.get().channels, 1, "one channel, by the new key");
        is_tidy(&machine);
    }
    let status = status(&machine.dir()).expect("a status");
    assert_eq!((status.machine.expect("one").id.as_str(), status.state.as_str()), ("mch_1", "active"));
    assert_eq!(stub.get().ring.stands(old), Some(Stands::Superseded));
    assert!(stub.get().ring.evidence.is_empty(), "{:?}", stub.get().ring.evidence);
    let told = machine.told();
    assert!(told.contains(&Progress::Rotated { key: stub.key() }) && !told.contains(&Progress::Offline));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_durable_key_vouches_and_is_named_until_the_new_one_is_durable() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    let before = stub.get().said.len();
    stub.order(1, Order::Rotate);
    rotated(&machine, &stub, old).await;
    let new = key_of(&machine);
    let said: Vec<_> = stub.get().said[before..].iter().map(|(key, slot)| (*key, slot.base)).collect();
    assert_eq!(said, [(old, old), (new, old), (new, new)], "asked, used for the first time, confirmed");
    let said = stub.get().said.clone();
    let counters: Vec<_> =
        said.iter().filter(|(_, slot)| slot.boot == said[0].1.boot).map(|(_, slot)| slot.counter).collect();
    assert_eq!(counters, (1..=counters.len() as u64).collect::<Vec<_>>(), "one counter for all");
    resident.stop().await;
    let resident = machine.run(&stub, None);
    until("it is online again", || stub.get().said.len() > said.len()).await;
    assert_ne!(stub.get().said.last().expect("said").1.boot, said[0].1.boot, "another life of the agent");
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_is_rotated_by_itself_between_half_and_four_fifths_of_what_it_may_live() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run_rotating(&stub, None, 10 * HOUR);
    online(&stub).await;
    let old = key_of(&machine);
    pass(5 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(key_of(&machine), old);
    pass(3 * HOUR + Duration::from_secs(120)).await;
    assert_ne!(key_of(&machine), old);
    let status = status(&machine.dir()).expect("a status");
    let age = status.rotate_at.expect("planned").duration_since(status.key_made_at.expect("known"));
    assert!((5..=8).contains(&age.as_hours()), "{age}");
    resident.stop().await;
}

/// What a fuse did to a run of the agent in which a rotation was ordered.
async fn ordered_until_killed(machine: &Machine, stub: &Stub, fuse: Fuse) -> bool {
    let (resident, old) = begun(machine, stub).await;
    fuse::set(fuse);
    stub.order(1, Order::Rotate);
    let over = rotated(machine, stub, old);
    let Resident { stop, handle } = resident;
    tokio::select! {
        ended = handle => {
            assert!(ended.is_err_and(|error| error.is_panic()), "it was killed");
            until("its channels are closed", || stub.get().channels == 0).await;
            true
        }
        () = over => {
            fuse::set(Fuse::Off);
            stop.send(true).expect("it runs");
            false
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i_15_killed_before_or_after_any_change_of_a_file_it_goes_on_by_the_same_key() {
    type Kind = fn(u32) -> Fuse;
    for kind in [Fuse::Before as Kind, Fuse::After as Kind] {
        let mut killed = 0;
        loop {
            let (machine, stub) = (Machine::new(), Stub::new());
            if !ordered_until_killed(&machine, &stub, kind(killed)).await {
                break;
            }
            let old = stub.get().ring.keys[0].0;
            let resident = machine.run(&stub, None);
            online(&stub).await;
            // Killed before anything was durable, the order is given again; else the rotation goes on by itself.
            if kind(killed) == Fuse::Before(0) {
                stub.order(2, Order::Rotate);
            }
            until("it is over", || stub.get().ring.stands(old) == Some(Stands::Superseded)).await;
            let point = kind(killed);
            until("nothing is left of it", || {
                machine.names().iter().filter(|name| name.starts_with("key-")).count() == 1
            })
            .await;
            until("the note is gone", || !machine.names().contains(&"rotation.json".to_owned())).await;
            assert_eq!(stub.get().ring.keys.len(), 2, "{point:?}: one next key, and no more");
            assert!(stub.get().ring.evidence.is_empty(), "{point:?}: {:?}", stub.get().ring.evidence);
            assert_eq!(key_of(&machine).to_string(), stub.key(), "{point:?}");
            resident.stop().await;
            killed += 1;
        }
        assert!(killed >= 8, "only {killed} changes were met");
    }
}

#[tokio::test(start_paused = true)]
async fn q_44_roots_that_come_with_the_next_certificate_are_durable_before_they_are_said_to_be_held() {
    for point in 0.. {
        let (machine, stub) = (Machine::new(), Stub::new());
        stub.get().next_bundle = Some(7);
        let killed = ordered_until_killed(&machine, &stub, Fuse::After(point)).await;
        let said = {
            let stub = stub.get();
            stub.announced.iter().chain(&stub.held).copied().max()
        };
        let (held, _) = super::keeping::kept(&machine);
        assert!(said.is_some_and(|said| said <= held), "{point}: {said:?} was said, {held} is on disk");
        if !killed {
            assert_eq!((said, held), (Some(7), 7), "and they are held in the end");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_any_change_keeps_the_old_key_working_and_the_rotation_is_done_later() {
    for skip in 0..8 {
        let (machine, stub) = (Machine::new(), Stub::new());
        let (resident, old) = begun(&machine, &stub).await;
        fuse::set(Fuse::Fails { skip, times: 4 });
        stub.order(1, Order::Rotate);
        rotated(&machine, &stub, old).await;
        assert_ne!(fuse::get(), Fuse::Fails { skip: 0, times: 4 }, "it was met");
        fuse::set(Fuse::Off);
        assert!(!machine.told().contains(&Progress::Offline), "{skip}: the channel stays");
        assert!(stub.get().ring.evidence.is_empty(), "{skip}: {:?}", stub.get().ring.evidence);
        assert_eq!(stub.get().ring.keys.len(), 2, "{skip}: what was spoken of is spoken of again");
        until("it is acknowledged", || stub.get().acknowledged == [1]).await;
        resident.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_by_the_same_request() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    stub.get().lose = 2;
    stub.order(1, Order::Rotate);
    rotated(&machine, &stub, old).await;
    let asked: Vec<_> =
        stub.get().bodies.iter().filter(|body| body.get("rotation").is_some()).cloned().collect();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|body| *body == asked[0]), "byte for byte");
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_use_that_was_never_greeted_is_repeated_and_the_old_key_is_needed_no_more() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    stub.get().cut = 1;
    stub.order(1, Order::Rotate);
    rotated(&machine, &stub, old).await;
    assert_eq!((stub.count(PATH), stub.get().ring.evidence.len()), (1, 0));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_off_when_its_next_key_became_the_present_one_finds_it() {
    let (machine, stub) = (Machine::new(), Stub::new());
    // Killed once the certificate is durable: the third change is that of the note, the fourth of the certificate.
    assert!(ordered_until_killed(&machine, &stub, Fuse::After(4)).await);
    let (old, next) = stub.proposed();
    stub.get().ring.shown(next, old).expect("used where nobody heard of it");
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert_eq!((key_of(&machine), stub.get().ring.evidence.len()), (next, 0));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_is_replaced_by_another_one() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    stub.get().lose = u32::MAX;
    stub.order(1, Order::Rotate);
    until("it is proposed", || stub.get().ring.at(Stands::Proposed).is_some()).await;
    let taken = stub.get().ring.at(Stands::Proposed).expect("proposed");
    stub.get().ring.set(taken, Stands::Superseded);
    stub.get().lose = 0;
    rotated(&machine, &stub, old).await;
    assert_ne!(key_of(&machine), taken);
    assert_eq!(stub.get().ring.keys.len(), 3);
    is_tidy(&machine);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_successor_was_lost_asks_for_another_rotation() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    resident.stop().await;
    stub.get().ring.set(old, Stands::Previous);
    stub.get().ring.keys.push((KeyFingerprint([9; 32]), Stands::Current));
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert!(stub.get().ring.evidence.contains(&"recovery"));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_next_key_that_is_refused_leaves_the_present_one_at_work() {
    let (machine, stub) = (Machine::new(), Stub::new());
    assert!(ordered_until_killed(&machine, &stub, Fuse::After(4)).await);
    let (old, next) = stub.proposed();
    stub.get().ring.set(next, Stands::Superseded);
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert_ne!(key_of(&machine), next);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_the_server_ends_one_key_the_other_one_is_shown_and_only_both_end_the_machine() {
    let (machine, stub) = (Machine::new(), Stub::new());
    assert!(ordered_until_killed(&machine, &stub, Fuse::After(4)).await);
    let (old, next) = stub.proposed();
    stub.get().ring.set(old, Stands::Superseded);
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert_eq!(key_of(&machine), next);
    is_tidy(&machine);
    resident.stop().await;
    stub.get().ring.set(next, Stands::Superseded);
    assert_eq!(machine.run(&stub, None).end().await.exit_code(), 22);
    assert_eq!(status(&machine.dir()).expect("a status").ended.expect("a note").ending, "superseded");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_machine_ends_in_the_middle_of_a_rotation_too() {
    let (machine, stub) = (Machine::new(), Stub::new());
    assert!(ordered_until_killed(&machine, &stub, Fuse::After(4)).await);
    stub.get().machine_problem = Some((403, "revoked"));
    assert_eq!(machine.run(&stub, None).end().await.exit_code(), 22);
    let kept = machine.names();
    for name in ["key-a.pem", "key-b.pem", "rotation.json", "identity.json"] {
        assert!(kept.iter().any(|kept| kept.starts_with(&format!("{name}.retired-"))), "{name}: {kept:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_the_middle_of_a_rotation_needs_no_hands() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let (resident, old) = begun(&machine, &stub).await;
    stub.get().lose = u32::MAX;
    stub.order(1, Order::Rotate);
    until("it is proposed", || stub.get().ring.at(Stands::Proposed).is_some()).await;
    stub.get().mode = Mode::Down;
    pass(Duration::from_secs(6 * 3600)).await;
    stub.get().lose = 0;
    stub.get().mode = Mode::Well;
    rotated(&machine, &stub, old).await;
    assert_eq!(stub.get().ring.keys.len(), 2);
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_leaves_by_its_next_key_where_the_present_one_may_only_vouch() {
    let (machine, stub) = (Machine::new(), Stub::new());
    assert!(ordered_until_killed(&machine, &stub, Fuse::After(4)).await);
    let (old, next) = stub.proposed();
    stub.get().ring.shown(next, old).expect("used where nobody heard of it");
    crate::leave::leave_on(stub.ports(), &machine.dir()).await.expect("it left");
    assert_eq!(status(&machine.dir()).expect("a status").state, "not_enrolled");
}

//! Clients without a key: they ask, and collect by a secret of their own.

use muster_app::Error;
use muster_model::{HoldId, Refusal, SignedDuration};
use muster_testkit::world::{Device, World, enrolled, held, machine_id};
use muster_wire::enroll::{EnrollAnswer, Enrolled};
use muster_wire::hold::{Approve, Choice};

use crate::support::{hours, refusal};

const GONE: Refusal = Refusal::NotFound { what: "hold" };

async fn asked(world: &World, device: &Device, secret: &str) -> HoldId {
    let held = held(world.ask(device.keyless_request(secret)).await.expect("held"));
    held.hold.parse().expect("a hold's identifier")
}

async fn poll(world: &World, hold: HoldId, secret: &str) -> Result<EnrollAnswer, Error> {
    world.app.collect_by_secret(hold, secret, world.stranger().source).await
}

async fn approve(world: &World, hold: HoldId, choice: Option<Choice>) {
    world.app.approve(hold, &Approve { choice }, &world.admin()).await.expect("approved");
}

async fn collected(world: &World, hold: HoldId, secret: &str) -> Enrolled {
    enrolled(poll(world, hold, secret).await.expect("collected"))
}

fn bearer(enrolled: &Enrolled) -> &str {
    enrolled.credential.bearer.as_deref().expect("a bearer key")
}

#[tokio::test]
async fn a_lost_answer_is_repaired_by_asking_again_at_every_step() {
    let mut world = World::new().await;
    let worker = Device::new("gpu-1");
    let hold = asked(&world, &worker, "my secret").await;
    assert_eq!(asked(&world, &worker, "my secret").await, hold);
    assert!(matches!(poll(&world, hold, "my secret").await, Ok(EnrollAnswer::Held(_))));
    approve(&world, hold, None).await;
    assert_eq!(asked(&world, &worker, "my secret").await, hold, "also once it is approved");
    let first = collected(&world, hold, "my secret").await;
    world.restart().await;
    let writes = world.writes();
    let again = collected(&world, hold, "my secret").await;
    assert_eq!((bearer(&first), &first.machine.id), (bearer(&again), &again.machine.id));
    assert_eq!(world.writes(), writes, "giving it again changes nothing");
    let caller = world.app.by_secret(bearer(&first)).await.expect("it authenticates");
    assert_eq!(caller.machine().expect("a machine").machine, machine_id(&first.machine.id));
    assert_eq!(world.machines().await.len(), 1);
    assert_eq!(world.machine(&first.machine.id).await.credentials.len(), 1);
}

#[tokio::test]
async fn whoever_knows_the_name_takes_over_neither_the_request_nor_the_machine() {
    let world = World::new().await;
    let worker = Device::new("gpu-1");
    let mine = asked(&world, &worker, "my secret").await;
    let theirs = asked(&world, &worker, "their secret").await;
    assert_ne!(mine, theirs, "another secret is another request");
    assert_eq!(refusal(poll(&world, mine, "their secret").await), GONE);
    approve(&world, mine, None).await;
    let first = collected(&world, mine, "my secret").await;
    assert!(matches!(poll(&world, theirs, "their secret").await, Ok(EnrollAnswer::Held(_))));
    // Asking in the name of a machine that is there says so to the person, and changes nothing.
    let again = asked(&world, &worker, "a third secret").await;
    let shown = world.app.hold(again, &world.admin()).await.expect("a hold");
    assert_eq!((shown.hold.reason.as_str(), shown.hold.asked), ("key_mismatch", 3));
    world.app.by_secret(bearer(&first)).await.expect("it still authenticates");
}

#[tokio::test]
async fn a_worker_that_starts_over_is_the_same_machine_where_a_person_says_so() {
    let world = World::new().await;
    let worker = Device::new("gpu-1");
    let first = asked(&world, &worker, "first").await;
    approve(&world, first, None).await;
    let old = collected(&world, first, "first").await;
    let second = asked(&world, &worker, "second").await;
    approve(&world, second, Some(Choice::Same)).await;
    assert_eq!(refusal(poll(&world, first, "first").await), GONE, "the older request gives nothing any more");
    let new = collected(&world, second, "second").await;
    assert_eq!((&new.machine.id, new.machine.generation), (&old.machine.id, 2));
    assert_eq!(refusal(world.app.by_secret(bearer(&old)).await), Refusal::Revoked);
    world.app.by_secret(bearer(&new)).await.expect("it authenticates");
}

#[tokio::test]
async fn a_request_that_was_not_collected_gives_nothing_once_another_one_became_the_machine() {
    let world = World::new().await;
    let worker = Device::new("gpu-1");
    let first = asked(&world, &worker, "first").await;
    approve(&world, first, None).await;
    let second = asked(&world, &worker, "second").await;
    world.clock.advance(SignedDuration::from_secs(1));
    approve(&world, second, Some(Choice::Same)).await;
    assert_eq!(refusal(poll(&world, first, "first").await), GONE);
    collected(&world, second, "second").await;
}

#[tokio::test]
async fn an_end_decided_by_a_person_holds_against_collecting_again() {
    let world = World::new().await;
    let mut machines = Vec::new();
    for name in ["retired", "revoked", "ended"] {
        let hold = asked(&world, &Device::new(name), name).await;
        approve(&world, hold, None).await;
        machines.push((hold, name, collected(&world, hold, name).await));
    }
    let admin = world.admin();
    let id = |n: usize| machine_id(&machines[n].2.machine.id);
    world.app.retire(id(0), None, &admin).await.expect("retired");
    world.app.revoke(id(1), None, None, false, &admin).await.expect("revoked");
    let credential = machines[2].2.credential.id.parse().expect("a credential");
    world.app.revoke(id(2), Some(credential), None, false, &admin).await.expect("revoked");
    for (hold, secret, _) in &machines {
        assert_eq!(refusal(poll(&world, *hold, secret).await), GONE, "{secret}");
    }
}

#[tokio::test]
async fn a_no_is_told_with_its_reason_and_asking_anew_is_one_more_line_with_its_number() {
    let world = World::new().await;
    let worker = Device::new("gpu-1");
    let first = asked(&world, &worker, "first").await;
    let reason = "not one of ours".parse().expect("a reason");
    world.app.reject(first, Some(reason), &world.admin()).await.expect("rejected");
    let said = Refusal::Rejected { reason: Some("not one of ours".to_owned()) };
    assert_eq!(refusal(poll(&world, first, "first").await), said);
    assert_eq!(asked(&world, &worker, "first").await, first, "the same request stays rejected");
    for _ in 0..3 {
        asked(&world, &worker, "second").await;
    }
    let open = world.app.holds(&Default::default(), &world.admin()).await.expect("a list").items;
    let [line] = open.as_slice() else { panic!("one line: {open:?}") };
    assert_eq!(line.asked, 2);
}

#[tokio::test]
async fn what_nobody_decided_or_collected_in_time_is_gone() {
    let world = World::new().await;
    let worker = Device::new("gpu-1");
    let hold = asked(&world, &worker, "secret").await;
    world.clock.advance(hours(24 * 7));
    assert_eq!(refusal(poll(&world, hold, "secret").await), GONE);
    let next = asked(&world, &worker, "secret").await;
    assert_ne!(next, hold, "it asks anew");
    approve(&world, next, None).await;
    world.clock.advance(hours(24 * 30));
    collected(&world, next, "secret").await;
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(refusal(poll(&world, next, "secret").await), GONE, "a leaked secret is no key for ever");
}

#[tokio::test]
async fn two_polls_at_once_get_one_key() {
    let world = World::new().await;
    let hold = asked(&world, &Device::new("gpu-1"), "secret").await;
    approve(&world, hold, None).await;
    let (a, b) = tokio::join!(collected(&world, hold, "secret"), collected(&world, hold, "secret"));
    assert_eq!(bearer(&a), bearer(&b));
    assert_eq!(world.machine(&a.machine.id).await.credentials.len(), 1);
}

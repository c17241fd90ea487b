//! A machine asks for another key, or somebody says so.

use data_encoding::BASE64;
use muster_model::Refusal;
use muster_testkit::world::{Device, World, enrolled, held};
use muster_wire::enroll::{EnrollRequest, PreviousKey};

use crate::support::{refusal, used, wrong_fields};

fn rekey(old: &Device, new: &Device, token: &str) -> EnrollRequest {
    let csr = new.csr();
    let previous = Some(old.vouches_for(&csr));
    EnrollRequest { csr: Some(BASE64.encode(&csr)), previous, ..new.by_token(token) }
}

#[tokio::test]
async fn the_present_key_vouches_for_the_next_and_ends_by_it() {
    let world = World::new().await;
    let old = Device::new("web-1");
    let first = world.enroll(&old).await;
    let new = old.reinstalled();
    let token = world.one_time().await;
    let next = enrolled(world.ask(rekey(&old, &new, &token)).await.expect("rekeyed"));
    assert_eq!(next.machine.id, first.machine.id);
    assert_eq!((first.machine.generation, next.machine.generation), (1, 2));
    assert_eq!(refusal(world.caller(&first).await), Refusal::Superseded);
    assert_eq!(world.caller(&next).await.expect("the new one").proof.key(), Some(new.fingerprint()));
    assert_eq!(world.machines().await.len(), 1);

    let again = enrolled(world.ask(rekey(&old, &new, &token)).await.expect("a lost answer"));
    assert_eq!(again.credential.certificate, next.credential.certificate);
}

#[tokio::test]
async fn a_proof_that_does_not_hold_changes_nothing_and_spends_nothing() {
    let world = World::new().await;
    let (old, thief) = (Device::new("web-1"), Device::new("thief"));
    let first = world.enroll(&old).await;
    let new = old.reinstalled();
    let token = world.one_time().await;
    let before = (world.machine(&first.machine.id).await.machine, used(&world).await);
    let claimed = |previous: PreviousKey| EnrollRequest { previous: Some(previous), ..new.by_token(&token) };
    let by_another = PreviousKey {
        key: old.fingerprint().to_string(),
        signature: thief.vouches_for(&new.csr()).signature,
    };
    let unknown = thief.vouches_for(&new.csr());
    for previous in [by_another, unknown, old.vouches_for(b"another request")] {
        assert_eq!(wrong_fields(world.ask(claimed(previous)).await), ["previous"]);
    }
    assert_eq!((world.machine(&first.machine.id).await.machine, used(&world).await), before);
    world.caller(&first).await.expect("it is as it was");
}

#[tokio::test]
async fn known_hardware_under_another_key_is_held_and_touches_nothing() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let token = world.one_time().await;
    let before = world.machine(&first.machine.id).await.machine;
    let clone = device.reinstalled();
    let one = held(world.ask(clone.by_token(&token)).await.expect("held"));
    assert_eq!(one.reason, "key_mismatch");
    let writes = world.writes();
    let two = held(world.ask(clone.by_token(&token)).await.expect("held"));
    assert_eq!((one.hold.clone(), world.writes()), (two.hold, writes), "the same hold, without a write");
    let mut after = world.machine(&first.machine.id).await.machine;
    assert_eq!(after.contested_by.take(), Some(one.hold), "only the flag, which is computed");
    assert_eq!(after, before);
    world.caller(&first).await.expect("its credential stays");
}

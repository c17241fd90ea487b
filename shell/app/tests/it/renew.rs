//! The next certificate for the same key.

use muster_app::{Action, MachineCaller};
use muster_model::{Refusal, SignedDuration};
use muster_testkit::world::{Device, World};
use muster_wire::enroll::{EnrollAnswer, Renewed};

use crate::support::{der, from, hours, refusal, signed};

const PATH: &str = "/v1/machines/self/renew";

async fn renew(world: &World, caller: &MachineCaller) -> Result<Renewed, muster_app::Error> {
    world.app.renew(caller, &from(*caller)).await
}

async fn by_signature(world: &World, device: &Device) -> Result<MachineCaller, muster_app::Error> {
    let signed = signed(world, device, PATH);
    Ok(*world.app.by_signature(&signed.call(), &world.stranger()).await?.machine()?)
}

#[tokio::test]
async fn a_machine_gets_the_next_certificate_and_the_one_before_lives_on() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let caller = world.caller(&first).await.expect("known");
    world.clock.advance(hours(13));
    let next = renew(&world, &caller).await.expect("renewed");
    assert_ne!(der(&next.credential), der(&first.credential));
    assert_eq!(next.credential.not_after.duration_since(world.clock.now()), hours(24));
    for der in [der(&first.credential), der(&next.credential)] {
        world.app.by_certificate(&der, None).await.expect("both are good: the answer may have been lost");
    }
    let lost = renew(&world, &caller).await.expect("again");
    assert_eq!(lost.credential.certificate, next.credential.certificate, "soon again: the same one");
    assert_eq!(world.machines().await[0].generation, 1);
}

#[tokio::test]
async fn q_15_an_expired_certificate_may_ask_for_the_next_and_for_a_rotation_and_nothing_else() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    world.clock.set(first.credential.not_after - SignedDuration::from_secs(1));
    assert!(!by_signature(&world, &device).await.expect("known").expired);
    world.clock.set(first.credential.not_after);
    let caller = by_signature(&world, &device).await.expect("expired is not revoked");
    assert!(caller.expired);
    for action in Action::ALL {
        let permitted = action.permit(&from(caller).caller).is_ok();
        let is_for_it = matches!(action, Action::Public | Action::SelfRenew | Action::SelfRotate);
        assert_eq!(permitted, is_for_it, "{action:?}");
    }
    assert!(world.caller(&first).await.expect("known").expired, "by its certificate too");
    let next = renew(&world, &caller).await.expect("renewed");
    assert!(!by_signature(&world, &device).await.expect("known").expired);
    assert!(next.credential.not_after > world.clock.now());
}

#[tokio::test]
async fn q_15_thirty_days_after_its_end_a_certificate_is_renewed_no_more_and_its_key_enrolls_as_the_same_machine()
 {
    let (world, device) = (World::new().await, Device::new("web-1"));
    let first = world.enroll(&device).await;
    world.clock.set(first.credential.not_after + hours(30 * 24));
    let caller = by_signature(&world, &device).await.expect("known");
    renew(&world, &caller).await.expect("on the last second");

    let (world, device) = (World::new().await, Device::new("web-1"));
    let first = world.enroll(&device).await;
    world.clock.set(first.credential.not_after + hours(30 * 24) + SignedDuration::from_secs(1));
    let caller = by_signature(&world, &device).await.expect("known");
    assert_eq!(refusal(renew(&world, &caller).await), Refusal::CredentialExpired);
    let again = world.ask(device.by_request()).await.expect("without a secret, by the key alone");
    let EnrollAnswer::Same(same) = again else { panic!("{again:?}") };
    assert_eq!(same.machine.id, first.machine.id);
    assert!(same.credential.not_after > world.clock.now());
}

#[tokio::test]
async fn no_certificate_outlives_its_issuer() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let end = world.app.authority().issuing_not_after();
    world.clock.set(end - hours(3));
    let first = world.enroll(&device).await;
    assert!(first.credential.not_after <= end);
}

#[tokio::test]
async fn a_crash_while_renewing_leaves_the_old_certificate_and_the_retry_gets_the_new_one() {
    for die in ["before", "minted", "after"] {
        let mut world = World::new().await;
        let device = Device::new("web-1");
        let first = world.enroll(&device).await;
        let caller = world.caller(&first).await.expect("known");
        world.clock.advance(hours(13));
        match die {
            "before" => world.faults().before("credential.renew"),
            "minted" => world.faults().before("credential.issue"),
            _ => world.faults().after("credential.issue"),
        }
        renew(&world, &caller).await.expect_err("the server died");
        world.restart().await;
        world.caller(&first).await.expect("the old one is as good as it was");
        let next = renew(&world, &caller).await.expect("renewed");
        world.app.by_certificate(&der(&next.credential), None).await.expect("and the new one is good");
        assert_eq!(world.machine(&first.machine.id).await.credentials.len(), 2, "{die}: no third one");
    }
}

/// A revocation wins over whatever is being issued at the same time (V of the fault matrix).
#[tokio::test]
async fn q_07_a_revocation_between_deciding_and_minting_wins() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let first = world.enroll(&device).await;
    let caller = world.caller(&first).await.expect("known");
    world.clock.advance(hours(13));
    let gate = world.faults().gate("credential.issue");
    let (renewed, ()) = tokio::join!(renew(&world, &caller), async {
        gate.arrived().await;
        world.app.revoke(caller.machine, None, None, false, &world.admin()).await.expect("revoked");
        gate.open();
    });
    assert_eq!(refusal(renewed), Refusal::Revoked);
    let credentials = world.machine(&first.machine.id).await.credentials;
    assert!(credentials.iter().all(|credential| credential.state == "ended"), "{credentials:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn q_07_however_renewing_and_revoking_race_nothing_issued_is_good_afterwards() {
    let world = World::new().await;
    for round in 0..40 {
        let device = Device::new(&format!("web-{round}"));
        let first = world.enroll(&device).await;
        let caller = world.caller(&first).await.expect("known");
        world.clock.advance(hours(13));
        let admin = world.admin();
        let (a, b, revoked) = tokio::join!(
            renew(&world, &caller),
            renew(&world, &caller),
            world.app.revoke(caller.machine, None, None, false, &admin)
        );
        revoked.expect("revoked");
        for renewed in [a, b].into_iter().flatten() {
            let shown = world.app.by_certificate(&der(&renewed.credential), None).await;
            assert_eq!(refusal(shown), Refusal::Revoked, "round {round}");
        }
        let credentials = world.machine(&first.machine.id).await.credentials;
        assert!(credentials.iter().all(|credential| credential.state == "ended"), "{credentials:?}");
    }
}

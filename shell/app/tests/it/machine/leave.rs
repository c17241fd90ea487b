//! A machine signs itself off.

use muster_model::Refusal;
use muster_testkit::world::{Device, World, held};

use crate::support::{from, refusal};

#[tokio::test]
async fn a_machine_that_left_stays_listed_and_comes_back_only_by_a_person() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let enrolled = world.enroll(&device).await;
    let caller = world.caller(&enrolled).await.expect("known");
    world.app.leave(&caller, &from(caller)).await.expect("left");
    let machine = world.machine(&enrolled.machine.id).await;
    assert_eq!(
        (machine.machine.state.as_str(), machine.machine.state_reason.as_deref()),
        ("retired", Some("left"))
    );
    assert_eq!(refusal(world.caller(&enrolled).await), Refusal::Revoked);
    let token = world.one_time().await;
    let back = held(world.ask(device.reinstalled().by_token(&token)).await.expect("held"));
    assert_eq!(back.reason, "was_removed");
    let token = world.one_time().await;
    assert_eq!(refusal(world.ask(device.by_token(&token)).await), Refusal::Revoked);
}

#[tokio::test]
async fn the_invite_of_a_pending_machine_is_good_for_that_machine_alone() {
    let world = World::new().await;
    let request = muster_wire::machine::CreateMachine {
        name: "db-1".to_owned(),
        site: None,
        kind: None,
        hardware_id: None,
        role: None,
        labels: Default::default(),
        expires_in: None,
    };
    let made = world.app.create_machine(request, None, &world.admin()).await.expect("made");
    assert_eq!(made.machine.state, "pending");
    let invite: muster_wire::invite::Invite = made.invite.parse().expect("an invite");
    let token = invite.token.reveal();
    let device = Device::new("whatever");
    let enrolled = muster_testkit::world::enrolled(world.ask(device.by_token(&token)).await.expect("let in"));
    assert_eq!(enrolled.machine.id, made.machine.id);
    assert_eq!(enrolled.machine.name, "db-1", "what the operator called it");
    assert!(crate::support::is_row_9(world.ask(Device::new("other").by_token(&token)).await));
}

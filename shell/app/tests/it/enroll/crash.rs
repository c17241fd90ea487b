//! The server dies at every step of an enrollment; the client's own retry repairs it.

use muster_app::Error;
use muster_store::StoreError;
use muster_testkit::world::{Device, Faults, World, enrolled};

use crate::support::used;

/// What the server does last, and how many machines there are then.
type Death = (&'static str, fn(&Faults), usize);

const DEATHS: [Death; 4] = [
    ("before anything was decided", |faults| faults.before("machine.enroll"), 0),
    ("after the decision", |faults| faults.after("machine.enroll"), 1),
    ("after minting", |faults| faults.before("credential.issue"), 1),
    ("before the answer", |faults| faults.after("credential.issue"), 1),
];

#[tokio::test]
async fn whenever_the_server_dies_the_same_request_gets_one_machine_and_spends_one_use() {
    for (when, die, machines) in DEATHS {
        let mut world = World::new().await;
        let device = Device::new("web-1");
        let token = world.one_time().await;
        die(world.faults());
        let lost = world.ask(device.by_token(&token)).await;
        assert!(matches!(lost, Err(Error::Store(StoreError::Unavailable { .. }))), "{when}: {lost:?}");
        assert_eq!(world.machines().await.len(), machines, "{when}");
        world.restart().await;

        let first = enrolled(world.ask(device.by_token(&token)).await.expect(when));
        let again = enrolled(world.ask(device.by_token(&token)).await.expect(when));
        assert_eq!(first.credential.certificate, again.credential.certificate, "{when}");
        assert_eq!(world.machines().await.len(), 1, "{when}");
        assert_eq!(used(&world).await, [("spent".to_owned(), Some(1))], "{when}");
        world.caller(&first).await.expect("it authenticates");
        let credentials = world.machine(&first.machine.id).await.credentials;
        assert_eq!(credentials.len(), 1, "{when}: one credential, not one per try");
    }
}

#[tokio::test]
async fn a_certificate_whose_confirmation_was_lost_authenticates_nobody() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let token = world.one_time().await;
    world.faults().before("credential.issue");
    world.ask(device.by_token(&token)).await.expect_err("lost");
    let id = world.machines().await[0].id.clone();
    let credentials = world.machine(&id).await.credentials;
    assert_eq!(credentials[0].state, "reserved");
    assert_eq!(world.machine(&id).await.machine.credential_expires, None);
}

#[tokio::test]
async fn two_tries_that_mint_at_once_get_the_certificate_that_was_confirmed_first() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let token = world.one_time().await;
    let gate = world.faults().gate("credential.issue");
    let (slow, fast) = tokio::join!(world.ask(device.by_token(&token)), async {
        gate.arrived().await;
        let fast = world.ask(device.by_token(&token)).await;
        gate.open();
        fast
    });
    let (slow, fast) = (enrolled(slow.expect("let in")), enrolled(fast.expect("let in")));
    assert_eq!(slow.credential.certificate, fast.credential.certificate);
    assert_eq!(world.machines().await.len(), 1);
}

#[tokio::test]
async fn a_machine_that_ends_while_its_certificate_is_minted_gets_none() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let token = world.one_time().await;
    let gate = world.faults().gate("credential.issue");
    let (asked, ()) = tokio::join!(world.ask(device.by_token(&token)), async {
        gate.arrived().await;
        let id = world.machines().await[0].id.parse().expect("an identifier");
        world.app.retire(id, None, &world.admin()).await.expect("retired");
        gate.open();
    });
    assert_eq!(crate::support::refusal(asked), muster_model::Refusal::Revoked);
    let id = world.machines().await[0].id.clone();
    assert!(world.machine(&id).await.credentials.iter().all(|credential| credential.state == "ended"));
}

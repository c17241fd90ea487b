//! A token becomes a certificate, once.

use muster_model::{Refusal, SignedDuration};
use muster_testkit::world::{Device, World, enrolled};
use muster_wire::enroll::EnrollAnswer;
use muster_wire::grant::CreateGrant;

use crate::support::{der, identity, is_row_9, refusal, used};

#[tokio::test]
async fn a_token_becomes_a_machine_with_a_certificate_for_its_own_key() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let token = world.one_time().await;
    let answer = world.ask(device.by_token(&token)).await.expect("let in");
    assert!(matches!(answer, EnrollAnswer::Enrolled(_)));
    let enrolled = enrolled(answer);

    let identity = identity(&world, &enrolled);
    assert_eq!(identity.key, device.public());
    assert_eq!(identity.machine.to_string(), enrolled.machine.id);
    assert_eq!(identity.tenant, world.founded.tenant);
    assert_eq!(identity.credential.to_string(), enrolled.credential.id);
    assert_eq!(identity.not_after.duration_since(world.clock.now()), SignedDuration::from_hours(24));
    assert_eq!(enrolled.trust.pins[0], world.app.authority().pin());

    let machines = world.machines().await;
    assert_eq!(machines.len(), 1);
    assert_eq!((machines[0].state.as_str(), machines[0].name.as_str()), ("active", "web-1"));
    assert_eq!(machines[0].credential_expires, Some(enrolled.credential.not_after));
    assert_eq!(used(&world).await, [("spent".to_owned(), Some(1))]);
    assert_eq!(world.caller(&enrolled).await.expect("it authenticates").machine, identity.machine);
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_certificate_and_spends_nothing() {
    let mut world = World::new().await;
    let device = Device::new("web-1");
    let token = world.token(CreateGrant { uses: Some(3), ..CreateGrant::default() }).await;
    let first = enrolled(world.ask(device.by_token(&token)).await.expect("let in"));
    for _ in 0..3 {
        let writes = world.writes();
        let again = world.ask(device.by_token(&token)).await.expect("the same again");
        assert!(matches!(again, EnrollAnswer::Same(_)));
        let again = enrolled(again);
        assert_eq!(again.machine, first.machine);
        assert_eq!(again.credential.certificate, first.credential.certificate);
        assert_eq!(world.writes(), writes, "repeating writes nothing");
        world.restart().await;
    }
    assert_eq!(used(&world).await, [("live".to_owned(), Some(1))]);
}

#[tokio::test]
async fn q_05_a_one_time_token_is_its_first_keys_for_ever() {
    let world = World::new().await;
    let (first, second) = (Device::new("web-1"), Device::new("web-2"));
    let token = world.one_time().await;
    enrolled(world.ask(first.by_token(&token)).await.expect("let in"));
    assert!(is_row_9(world.ask(second.by_token(&token)).await));
    world.clock.advance(SignedDuration::from_hours(24 * 40));
    let again = enrolled(world.ask(first.by_token(&token)).await.expect("its own token, long expired"));
    assert!(again.credential.not_after > world.clock.now(), "a certificate that is good now");
    assert!(is_row_9(world.ask(second.by_token(&token)).await));
    assert_eq!(world.machines().await.len(), 1);
}

#[tokio::test]
async fn a_capped_token_lets_in_as_many_as_it_says() {
    let world = World::new().await;
    let token = world.token(CreateGrant { uses: Some(2), ..CreateGrant::default() }).await;
    for name in ["a", "b"] {
        enrolled(world.ask(Device::new(name).by_token(&token)).await.expect("let in"));
    }
    assert!(is_row_9(world.ask(Device::new("c").by_token(&token)).await));
    assert_eq!(used(&world).await, [("spent".to_owned(), Some(2))]);
}

#[tokio::test]
async fn a_client_without_a_key_gets_a_bearer_key_that_authenticates() {
    let world = World::new().await;
    let token = world.one_time().await;
    let answer = enrolled(world.ask(Device::new("legacy").keyless(&token)).await.expect("let in"));
    assert_eq!(answer.credential.certificate, None);
    let secret = answer.credential.bearer.expect("a bearer key");
    let caller = world.app.by_secret(&secret).await.expect("it authenticates");
    let caller = caller.machine().expect("a machine");
    assert_eq!((caller.machine.to_string(), caller.proof.key()), (answer.machine.id, None));
    let mut changed = secret.clone().into_bytes();
    changed[30] ^= 1;
    let changed = String::from_utf8(changed).expect("ASCII");
    assert!(matches!(refusal(world.app.by_secret(&changed).await), Refusal::NotAuthenticated { .. }));
}

#[tokio::test]
async fn what_an_operator_stamps_and_what_a_machine_says_of_itself_end_in_its_record() {
    let world = World::new().await;
    let grant = CreateGrant {
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        role: Some("web".to_owned()),
        ..CreateGrant::default()
    };
    let token = world.token(grant).await;
    let mut request = Device::new("web-1").by_token(&token);
    request.attributes.insert("os".to_owned(), "<b>Debian</b>".to_owned());
    let enrolled = enrolled(world.ask(request).await.expect("let in"));
    let machine = world.machine(&enrolled.machine.id).await.machine;
    assert_eq!(machine.labels["env"], "prod");
    assert_eq!(machine.role.as_deref(), Some("web"));
    assert_eq!(machine.attributes["os"], "<b>Debian</b>", "kept as it came, for others to escape");
    assert_eq!(der(&enrolled.credential).windows(6).filter(|w| w == b"Debian").count(), 0);
}

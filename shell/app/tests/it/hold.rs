//! Asking without a secret, and what people decide.

use muster_model::{HoldId, Refusal, SignedDuration};
use muster_testkit::world::{Device, World, enrolled, held};
use muster_wire::enroll::{EnrollAnswer, Held};
use muster_wire::grant::CreateGrant;
use muster_wire::hold::{Approve, Choice};

use crate::support::refusal;

fn id(held: &Held) -> HoldId {
    held.hold.parse().expect("a hold's identifier")
}

async fn poll(world: &World, device: &Device, hold: HoldId) -> Result<EnrollAnswer, muster_app::Error> {
    let signed = device.signs(&world.app.nonce().nonce, "GET", &format!("/v1/enroll/{hold}"), b"");
    world.app.collect(hold, &signed.call(), world.stranger().source).await
}

async fn asked(world: &World, device: &Device) -> Held {
    held(world.ask(device.by_request()).await.expect("held"))
}

#[tokio::test]
async fn a_request_waits_for_a_person_and_goes_on_by_itself() {
    let mut world = World::new().await;
    let device = Device::new("web-1");
    let waiting = asked(&world, &device).await;
    assert_eq!((waiting.reason.as_str(), waiting.words.len()), ("approval", 5));
    assert_eq!(asked(&world, &device).await, waiting, "the same hold however often it asks");
    assert_eq!(held(poll(&world, &device, id(&waiting)).await.expect("still waiting")), waiting);
    assert!(world.machines().await.is_empty());

    let shown = world.app.hold(id(&waiting), &world.admin()).await.expect("a hold");
    assert_eq!(shown.hold.claimant.words, waiting.words, "what both sides compare");
    assert_eq!(shown.choices, [Choice::New]);
    world.app.approve(id(&waiting), &Approve::default(), &world.admin()).await.expect("approved");
    world.restart().await;

    let first = enrolled(poll(&world, &device, id(&waiting)).await.expect("collected"));
    let lost = enrolled(poll(&world, &device, id(&waiting)).await.expect("collected again"));
    assert_eq!(first.credential.certificate, lost.credential.certificate);
    let asked_again = world.ask(device.by_request()).await.expect("known by its key");
    assert!(matches!(asked_again, EnrollAnswer::Same(_)));
    world.caller(&first).await.expect("it authenticates");
    assert_eq!(world.machines().await.len(), 1);
}

#[tokio::test]
async fn a_rejected_machine_is_told_so_and_why() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let waiting = asked(&world, &device).await;
    let reason = "not one of ours".parse().expect("a reason");
    world.app.reject(id(&waiting), Some(reason), &world.admin()).await.expect("rejected");
    let said = Refusal::Rejected { reason: Some("not one of ours".to_owned()) };
    assert_eq!(refusal(poll(&world, &device, id(&waiting)).await), said);
    assert_eq!(refusal(world.ask(device.by_request()).await), said, "asking anew does not help");
    assert!(world.machines().await.is_empty());
}

#[tokio::test]
async fn the_first_decision_wins() {
    let world = World::new().await;
    let waiting = asked(&world, &Device::new("web-1")).await;
    let admin = world.admin();
    world.app.reject(id(&waiting), None, &admin).await.expect("rejected");
    let other = world.app.approve(id(&waiting), &Approve::default(), &admin).await;
    assert_eq!(refusal(other), Refusal::WrongState { verb: "approve", state: "rejected" });
    world.app.reject(id(&waiting), None, &admin).await.expect("saying it again changes nothing");
}

#[tokio::test]
async fn whoever_polls_with_another_key_learns_nothing_not_even_whether_there_is_a_hold() {
    let world = World::new().await;
    let (device, stranger) = (Device::new("web-1"), Device::new("stranger"));
    let waiting = asked(&world, &device).await;
    let nothing = Refusal::NotFound { what: "hold" };
    let unknown = HoldId::new(1, [1; 10]);
    assert_eq!(refusal(poll(&world, &stranger, unknown).await), nothing);
    assert_eq!(refusal(poll(&world, &stranger, id(&waiting)).await), nothing);
    world.app.approve(id(&waiting), &Approve::default(), &world.admin()).await.expect("approved");
    assert_eq!(refusal(poll(&world, &stranger, id(&waiting)).await), nothing);
    assert_eq!(world.machine(&world.machines().await[0].id).await.credentials.len(), 0, "nothing was issued");

    // The right name of the key with a signature by another one.
    let path = format!("/v1/enroll/{}", waiting.hold);
    let mut forged = stranger.signs(&world.app.nonce().nonce, "GET", &path, b"");
    forged.header.statement.key = device.fingerprint();
    let collected = world.app.collect(id(&waiting), &forged.call(), None).await;
    assert_eq!(refusal(collected), nothing);
}

#[tokio::test]
async fn a_poll_signed_for_another_hold_or_over_a_nonce_of_nobody_is_refused() {
    let world = World::new().await;
    let (one, two) = (Device::new("web-1"), Device::new("web-2"));
    let (first, second) = (asked(&world, &one).await, asked(&world, &two).await);
    let nonce = world.app.nonce().nonce;
    let moved = one.signs(&nonce, "GET", &format!("/v1/enroll/{}", second.hold), b"");
    let mut moved_here = moved.clone();
    moved_here.path = format!("/v1/enroll/{}", first.hold);
    let answer = world.app.collect(id(&first), &moved_here.call(), None).await;
    assert_eq!(refusal(answer), Refusal::NotFound { what: "hold" });
    let invented = one.signs("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "GET", &moved_here.path, b"");
    let answer = world.app.collect(id(&first), &invented.call(), None).await;
    assert_eq!(refusal(answer), Refusal::NonceNeeded);
}

#[tokio::test]
async fn a_clone_is_let_in_as_the_same_machine_or_as_another_one() {
    for choice in [Choice::Same, Choice::New] {
        let world = World::new().await;
        let device = Device::new("web-1");
        let original = world.enroll(&device).await;
        let clone = device.reinstalled();
        let token = world.one_time().await;
        let waiting = held(world.ask(clone.by_token(&token)).await.expect("held"));
        let shown = world.app.hold(id(&waiting), &world.admin()).await.expect("a hold");
        assert_eq!(shown.existing_machine.map(|machine| machine.id), Some(original.machine.id.clone()));
        assert_eq!(shown.choices, [Choice::Same, Choice::New]);

        let none = world.app.approve(id(&waiting), &Approve::default(), &world.admin()).await;
        assert_eq!(refusal(none), Refusal::ChoiceNeeded);
        let request = Approve { choice: Some(choice) };
        world.app.approve(id(&waiting), &request, &world.admin()).await.expect("approved");
        let cloned = enrolled(poll(&world, &clone, id(&waiting)).await.expect("collected"));
        match choice {
            Choice::Same => {
                assert_eq!(cloned.machine.id, original.machine.id);
                assert_eq!(refusal(world.caller(&original).await), Refusal::Superseded);
            }
            Choice::New => {
                assert_ne!(cloned.machine.id, original.machine.id);
                world.caller(&original).await.expect("both keep running");
            }
        }
        world.caller(&cloned).await.expect("it authenticates");
    }
}

#[tokio::test]
async fn a_hold_that_nobody_decides_ends_by_itself() {
    let world = World::new().await;
    let device = Device::new("web-1");
    let waiting = asked(&world, &device).await;
    world.clock.set(waiting.expires_at);
    let nothing = Refusal::NotFound { what: "hold" };
    assert_eq!(refusal(poll(&world, &device, id(&waiting)).await), nothing);
    let late = world.app.approve(id(&waiting), &Approve::default(), &world.admin()).await;
    assert_eq!(refusal(late), Refusal::WrongState { verb: "approve", state: "expired" });
    world.clock.advance(SignedDuration::from_secs(1));
    assert_ne!(asked(&world, &device).await.hold, waiting.hold);
}

#[tokio::test]
async fn holds_are_capped_and_those_who_wait_already_keep_their_place() {
    let world = World::with(|settings| settings.hold_cap = 4).await;
    let first = Device::new("web-1");
    let waiting = asked(&world, &first).await;
    asked(&world, &Device::new("web-2")).await;
    let third = world.ask(Device::new("web-3").by_request()).await;
    assert_eq!(refusal(third), Refusal::TooManyHolds, "bare requests have half of the places");
    assert_eq!(asked(&world, &first).await, waiting);
    let approval = CreateGrant { approval: true, uses: Some(0), ..CreateGrant::default() };
    let token = world.token(approval).await;
    for name in ["web-4", "web-5"] {
        held(world.ask(Device::new(name).by_token(&token)).await.expect("held"));
    }
    let sixth = world.ask(Device::new("web-6").by_token(&token)).await;
    assert_eq!(refusal(sixth), Refusal::TooManyHolds);
}

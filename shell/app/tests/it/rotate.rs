//! The next key of a machine: proposed, used, recovered, and what the one before it still may.

use data_encoding::BASE64;
use muster_app::{Action, Error, MachineCaller};
use muster_model::Refusal;
use muster_testkit::world::{Device, World, enrolled};
use muster_wire::channel::Order;
use muster_wire::enroll::{EnrollAnswer, Enrolled, IssuedCredential};
use muster_wire::rotate::{RotateRequest, Slot};

use crate::support::{from, hours, refusal, signed};

/// A machine with a key, and further keys that it has made.
struct Machine {
    world: World,
    keys: Vec<Device>,
    first: Enrolled,
}

impl Machine {
    async fn new() -> Self {
        let world = World::new().await;
        let keys: Vec<Device> = (0..4).map(|n| Device::new(&format!("key-{n}"))).collect();
        let first = world.enroll(&keys[0]).await;
        Self { world, keys, first }
    }

    fn request(&self, by: usize, next: usize) -> RotateRequest {
        self.keys[by].rotates_to(&self.keys[next], [7; 16])
    }

    /// Asks for a certificate for the next key, in the name of the one in the durable slot.
    async fn rotate(&self, by: usize, next: usize) -> Result<IssuedCredential, Error> {
        let signed = signed(&self.world, &self.keys[by], "/v1/machines/self/rotate");
        let caller = self.world.app.by_signature(&signed.call(), &self.world.stranger()).await?;
        let caller = *caller.machine()?;
        let renewed = self.world.app.rotate(self.request(by, next), &caller, &from(caller)).await?;
        Ok(renewed.credential)
    }

    async fn shows(&self, certificate: &IssuedCredential, base: usize) -> Result<MachineCaller, Error> {
        self.world.caller_by(certificate, Some(&self.keys[base])).await
    }

    async fn generation(&self) -> u32 {
        self.world.machine(&self.first.machine.id).await.machine.generation
    }

    async fn told(&self) -> Vec<(String, String)> {
        let entries = self.world.audit().await.into_iter();
        let keys = entries.filter(|entry| entry.action.starts_with("key."));
        keys.map(|entry| (entry.action, entry.reason)).collect()
    }
}

fn may(caller: MachineCaller) -> Vec<Action> {
    let own = Action::ALL.into_iter().filter(|action| *action != Action::Public);
    own.filter(|action| action.permit(&from(caller).caller).is_ok()).collect()
}

#[tokio::test]
async fn the_first_use_of_a_next_key_makes_it_the_present_one_and_its_base_ends_the_one_before() {
    let machine = Machine::new().await;
    let next = machine.rotate(0, 1).await.expect("proposed");
    machine.shows(&machine.first.credential, 0).await.expect("the old one works until the new one has");
    assert_eq!(machine.generation().await, 1);

    let caller = machine.shows(&next, 0).await.expect("it works");
    assert!(may(caller).contains(&Action::Self_));
    assert_eq!(machine.generation().await, 2);
    let before = machine.shows(&machine.first.credential, 0).await.expect("it may still ask for a rotation");
    assert_eq!(may(before), [Action::SelfRotate]);
    assert_eq!(Action::Self_.permit(&from(before).caller), Err(Refusal::RotationNeeded));

    machine.shows(&next, 1).await.expect("its slot is durable");
    assert_eq!(refusal(machine.shows(&machine.first.credential, 0).await), Refusal::Superseded);
    assert_eq!(refusal(machine.rotate(0, 2).await), Refusal::Superseded);
    let told = [("key.propose", "rotation"), ("key.activate", "first_use"), ("key.settle", "durable")];
    assert_eq!(machine.told().await, told.map(|(action, why)| (action.to_owned(), why.to_owned())));
}

#[tokio::test]
async fn a_lost_answer_is_given_again_and_changes_nothing() {
    let machine = Machine::new().await;
    let one = machine.rotate(0, 1).await.expect("proposed");
    let two = machine.rotate(0, 1).await.expect("again");
    assert_eq!(one.certificate, two.certificate);
    assert_eq!(machine.told().await.len(), 1);
}

#[tokio::test]
async fn q_08_a_machine_whose_new_slot_is_lost_comes_back_by_the_key_before() {
    let machine = Machine::new().await;
    let lost = machine.rotate(0, 1).await.expect("proposed");
    machine.shows(&lost, 0).await.expect("used once, and then lost with its disk");
    let next = machine.rotate(0, 2).await.expect("the one before asks for another");
    assert_eq!(refusal(machine.rotate(0, 1).await), Refusal::KeyTaken, "each key is the next one once");
    machine.shows(&next, 0).await.expect("it works");
    assert_eq!(refusal(machine.shows(&lost, 0).await), Refusal::Superseded);
    let reasons: Vec<String> = machine.told().await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["rotation", "first_use", "recovery", "key_taken", "first_use"]);
}

#[tokio::test]
async fn q_07_a_key_whose_place_is_taken_while_it_says_where_it_lies_is_served_no_more() {
    let machine = Machine::new().await;
    let next = machine.rotate(0, 1).await.expect("proposed");
    machine.shows(&next, 0).await.expect("it works");
    let gate = machine.world.faults().gate("key.use");
    let (late, ()) = tokio::join!(machine.shows(&next, 1), async {
        gate.arrived().await;
        let other = machine.rotate(0, 2).await.expect("the one before asks for another");
        machine.shows(&other, 0).await.expect("it works");
        gate.open();
    });
    assert_eq!(refusal(late), Refusal::Superseded);
}

#[tokio::test]
async fn q_07_a_key_whose_place_is_taken_while_the_life_of_its_agent_is_noted_gets_no_channel() {
    let machine = Machine::new().await;
    let next = machine.rotate(0, 1).await.expect("proposed");
    let caller = machine.shows(&machine.first.credential, 0).await.expect("the present key");
    let slot = caller.slot.map(|slot| Slot { boot: [9; 16], ..slot });
    let gate = machine.world.faults().gate("machine.boot");
    let anew = MachineCaller { slot, ..caller };
    let (late, ()) = tokio::join!(machine.world.app.channel_open(&anew), async {
        gate.arrived().await;
        machine.shows(&next, 0).await.expect("it works");
        gate.open();
    });
    assert_eq!(refusal(late.map(drop)), Refusal::RotationNeeded);
    assert_eq!(machine.world.app.registry().online(), 0);
}

#[tokio::test]
async fn i_5_a_key_before_the_present_one_that_was_away_for_too_long_enrolls_once_more_and_may_vouch_again() {
    let machine = Machine::new().await;
    let next = machine.rotate(0, 1).await.expect("proposed");
    machine.shows(&next, 0).await.expect("used once, and then lost with its disk");
    machine.world.clock.set(next.not_after + hours(30 * 24 + 1));
    assert_eq!(refusal(machine.rotate(0, 2).await), Refusal::CredentialExpired);
    for _ in 0..2 {
        let answer = machine.world.ask(machine.keys[0].by_request()).await.expect("by the key alone");
        let EnrollAnswer::Same(same) = answer else { panic!("{answer:?}") };
        assert_eq!(same.machine.id, machine.first.machine.id);
        let caller = machine.shows(&same.credential, 0).await.expect("it is for this key");
        assert_eq!(may(caller), [Action::SelfRotate], "it may what it might before, and nothing else");
    }
    let third = machine.rotate(0, 2).await.expect("it vouches");
    machine.shows(&third, 0).await.expect("it works");
    assert_eq!(refusal(machine.shows(&next, 0).await), Refusal::Superseded);
    let elsewhere = machine.world.ask(machine.keys[3].by_request()).await.expect("asked");
    assert!(matches!(elsewhere, EnrollAnswer::Held(_)), "a key that nobody knows is a newcomer");
}

#[tokio::test]
async fn q_08_a_proposal_that_was_in_hand_while_its_key_asked_for_another_is_late() {
    let machine = Machine::new().await;
    let gate = machine.world.faults().gate("key.propose");
    let (late, other) = tokio::join!(machine.rotate(0, 1), async {
        gate.arrived().await;
        // The machine has lost that key, and has made another one.
        let other = machine.rotate(0, 2).await.expect("proposed");
        machine.shows(&other, 0).await.expect("it works");
        gate.open();
        other
    });
    assert_eq!(refusal(late), Refusal::NonceNeeded);
    machine.shows(&other, 2).await.expect("it is the present one as before");
    assert_eq!(machine.generation().await, 2);
    let reasons: Vec<String> = machine.told().await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["rotation", "first_use", "nonce_needed", "durable"], "no recovery, no conflict");
}

#[tokio::test]
async fn q_08_a_rotation_is_signed_for_a_certificate_carries_no_order() {
    let machine = Machine::new().await;
    let caller = machine.shows(&machine.first.credential, 0).await.expect("known");
    let told = machine.world.app.rotate(machine.request(0, 1), &caller, &from(caller)).await;
    assert_eq!(refusal(told), Refusal::NonceNeeded);
    assert_eq!(machine.told().await, []);
}

#[tokio::test]
async fn two_proposals_under_one_key_are_told_as_a_conflict_and_the_newer_one_counts() {
    let machine = Machine::new().await;
    let one = machine.rotate(0, 1).await.expect("proposed");
    let two = machine.rotate(0, 2).await.expect("proposed beside an unused one");
    assert_eq!(refusal(machine.shows(&one, 0).await), Refusal::Superseded);
    machine.shows(&two, 0).await.expect("it works");
    assert_eq!(machine.told().await[1], ("key.propose".to_owned(), "conflict".to_owned()));
}

#[tokio::test]
async fn a_next_key_without_a_certificate_is_used_by_its_signature() {
    let machine = Machine::new().await;
    machine.rotate(0, 1).await.expect("proposed, and the answer lost");
    let caller = {
        let signed = signed(&machine.world, &machine.keys[1], "/v1/machines/self/renew");
        let caller = machine.world.app.by_signature(&signed.call(), &machine.world.stranger()).await;
        *caller.expect("it counts").machine().expect("a machine")
    };
    machine.world.app.renew(&caller, &from(caller)).await.expect("and gets its certificate");
    assert_eq!(machine.generation().await, 2);
}

#[tokio::test]
async fn a_rotation_is_signed_by_both_keys_and_cannot_be_moved_into_another() {
    let machine = Machine::new().await;
    let caller = machine.shows(&machine.first.credential, 0).await.expect("known");
    let mut by_another = machine.request(0, 1);
    by_another.signature = machine.request(2, 1).signature;
    let mut of_another = machine.request(0, 1);
    of_another.rotation = "00".repeat(16);
    let mut without_proof = machine.request(0, 1);
    without_proof.csr = BASE64.encode(&machine.keys[2].csr());
    for request in [by_another, of_another, without_proof] {
        let told = machine.world.app.rotate(request, &caller, &from(caller)).await;
        assert!(matches!(told, Err(Error::Malformed(_))), "{told:?}");
    }
    let elsewhere = machine.shows(&machine.first.credential, 3).await.expect("known");
    let told = machine.world.app.rotate(machine.request(0, 1), &elsewhere, &from(elsewhere)).await;
    assert_eq!(refusal(told), Refusal::IdentityMismatch, "it vouches by the key that it would wake up with");
    assert_eq!(machine.told().await, []);
}

#[tokio::test]
async fn q_07_a_revocation_and_a_rekey_end_every_key_on_its_way() {
    for how in ["revoked", "rekeyed"] {
        let machine = Machine::new().await;
        let used = machine.rotate(0, 1).await.expect("proposed");
        machine.shows(&used, 0).await.expect("used");
        let proposed = machine.rotate(1, 2).await;
        let proposed = proposed.expect("and the next one, which ends the one before");
        let world = &machine.world;
        let id = machine.first.machine.id.parse().expect("an identifier");
        let expected = match how {
            "revoked" => {
                world.app.revoke(id, None, None, false, &world.admin()).await.expect("revoked");
                Refusal::Revoked
            }
            _ => {
                let mut request = machine.keys[3].by_token(&world.one_time().await);
                let csr = machine.keys[3].csr();
                (request.csr, request.hardware_id) = (Some(BASE64.encode(&csr)), None);
                request.previous = Some(machine.keys[1].vouches_for(&csr));
                let again = enrolled(world.ask(request).await.expect("the present key vouches"));
                assert_eq!(again.machine.id, machine.first.machine.id);
                Refusal::Superseded
            }
        };
        for (name, certificate) in [("current", &used), ("proposed", &proposed)] {
            assert_eq!(refusal(machine.shows(certificate, 1).await), expected, "{how}: {name}");
        }
    }
}

#[tokio::test]
async fn i_15_the_channel_of_the_key_before_ends_without_a_word_wherever_it_is() {
    for is_elsewhere in [false, true] {
        let machine = Machine::new().await;
        let other = machine.world.replica().await;
        let holder = if is_elsewhere { &other } else { &machine.world.app };
        let old = machine.shows(&machine.first.credential, 0).await.expect("known");
        let mut channel = holder.channel_open(&old).await.expect("a channel");
        let next = machine.rotate(0, 1).await.expect("proposed");
        machine.shows(&next, 0).await.expect("used");
        holder.heed().await.expect("heeded");
        let said = channel.orders.recv().await;
        assert_eq!(said, None, "it must not take a rotation for its end, and is not left open");
        let told = holder.channel_open(&old).await.map(|_| "a channel");
        assert_eq!(refusal(told), Refusal::RotationNeeded);
    }
}

#[tokio::test]
async fn a_machine_without_a_key_has_nothing_to_rotate() {
    let machine = Machine::new().await;
    let world = &machine.world;
    let token = world.one_time().await;
    let legacy = enrolled(world.ask(Device::new("legacy").keyless(&token)).await.expect("let in"));
    let bearer = legacy.credential.bearer.expect("a bearer key");
    let caller = *world.app.by_secret(&bearer).await.expect("known").machine().expect("a machine");
    let told = world.app.rotate(machine.request(0, 1), &caller, &from(caller)).await;
    assert_eq!(refusal(told), Refusal::WrongState { verb: "rotate", state: "keyless" });
}

#[tokio::test]
async fn a_store_that_takes_nothing_keeps_the_present_key_at_work_and_grants_no_first_use() {
    let machine = Machine::new().await;
    let one = machine.rotate(0, 1).await.expect("proposed");
    machine.shows(&one, 0).await.expect("used");
    let two = machine.rotate(1, 2).await.expect("proposed");
    machine.world.faults().before("key.use");
    machine.shows(&two, 1).await.expect_err("nothing is granted that is not written");
    machine.shows(&two, 1).await.expect("the first use");
    machine.world.faults().before("key.use");
    machine.shows(&two, 2).await.expect("that its slot is durable is noted later");
    machine.shows(&one, 1).await.expect("until then the one before it has its right");
    machine.shows(&two, 2).await.expect("noted");
    assert_eq!(refusal(machine.shows(&one, 1).await), Refusal::Superseded);
}

#[tokio::test]
async fn an_order_to_rotate_waits_for_a_machine_that_is_away_and_ends_with_the_key_it_is_for() {
    let machine = Machine::new().await;
    let world = &machine.world;
    let id = machine.first.machine.id.parse().expect("an identifier");
    world.app.order_rotation(id, None, &world.admin()).await.expect("ordered");
    let shown = world.machine(&machine.first.machine.id).await.rotation.expect("it has a key");
    assert_eq!(shown.ordered_at, Some(world.clock.now()));
    let told = async |certificate: &IssuedCredential, base: usize| {
        let caller = machine.shows(certificate, base).await.expect("known");
        let mut channel = world.app.channel_open(&caller).await.expect("a channel");
        channel.orders.try_recv().map(|order| order.order)
    };
    assert_eq!(told(&machine.first.credential, 0).await, Ok(Order::Rotate));
    assert_eq!(told(&machine.first.credential, 0).await, Ok(Order::Rotate), "until it has done so");
    let next = machine.rotate(0, 1).await.expect("proposed");
    assert!(told(&next, 0).await.is_err(), "another key is in its place");
    let shown = world.machine(&machine.first.machine.id).await;
    assert_eq!(shown.rotation.expect("it has a key").ordered_at, None);
    let standings: Vec<&str> = shown.keys.iter().map(|key| key.standing.as_str()).collect();
    assert_eq!(standings, ["current", "previous"]);
}

#[tokio::test]
async fn a_key_past_its_life_is_shown_as_overdue() {
    let machine = Machine::new().await;
    let rotation = async || machine.world.machine(&machine.first.machine.id).await.rotation.expect("a key");
    let fresh = rotation().await;
    assert_eq!((fresh.last, fresh.overdue), (Some(machine.world.clock.now()), false));
    machine.world.clock.set(fresh.next.expect("a time"));
    assert!(!rotation().await.overdue);
    machine.world.clock.advance(muster_model::SignedDuration::from_millis(1));
    assert!(rotation().await.overdue);
}

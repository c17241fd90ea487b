//! Two hold the key of one machine, and take turns.

use muster_app::MachineCaller;
use muster_lifecycle::fork::OnCopy;
use muster_model::SignedDuration;
use muster_testkit::world::{Device, World};
use muster_wire::channel::Order;
use muster_wire::rotate::Slot;

use crate::support::{from, signed};

struct Twins {
    world: World,
    device: Device,
    caller: MachineCaller,
}

impl Twins {
    async fn under(policy: OnCopy) -> Self {
        let world = World::with(|settings| settings.on_copy = policy).await;
        let device = Device::new("twin");
        let enrolled = world.enroll(&device).await;
        let caller = world.caller(&enrolled).await.expect("known");
        Self { world, device, caller }
    }

    /// The machine, as one of the agents that hold its key shows itself.
    fn by(&self, boot: u8, counter: u64) -> MachineCaller {
        let slot = Slot { base: self.device.fingerprint(), boot: [boot; 16], counter };
        MachineCaller { slot: Some(slot), ..self.caller }
    }

    async fn opens(&self, boot: u8, counter: u64) -> muster_app::Channel {
        self.world.app.channel_open(&self.by(boot, counter)).await.expect("a channel")
    }

    fn later(&self, seconds: i64) {
        self.world.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// What was told of its lives.
    async fn told(&self) -> Vec<String> {
        let entries = self.world.audit().await.into_iter();
        let told =
            entries.filter(|entry| ["machine.boot", "machine.forked"].contains(&entry.action.as_str()));
        told.map(|entry| format!("{} {}", entry.action, entry.detail.get("cause").map_or("", String::as_str)))
            .collect()
    }

    async fn state(&self) -> (String, Option<String>) {
        let machine = self.world.machine(&self.caller.machine.to_string()).await.machine;
        (machine.state, machine.state_reason)
    }
}

#[tokio::test]
async fn q_18_two_that_take_turns_with_one_key_are_told_and_go_on_where_the_policy_is_to_tell() {
    let twins = Twins::under(OnCopy::Alarm).await;
    drop(twins.opens(1, 1).await);
    drop(twins.opens(2, 1).await);
    twins.later(30);
    drop(twins.opens(1, 2).await);
    assert_eq!(twins.told().await, ["machine.boot ", "machine.boot "], "that may be late");
    for counter in 3..9 {
        twins.later(31);
        drop(twins.opens(1, counter).await);
        drop(twins.opens(2, counter).await);
    }
    assert_eq!(twins.told().await[2..], ["machine.forked earlier_boot"], "once");
    assert_eq!(twins.state().await.0, "active");
    let rotation =
        twins.world.machine(&twins.caller.machine.to_string()).await.rotation.expect("it has a key");
    assert!(rotation.forked_at.is_some());
}

#[tokio::test]
async fn an_agent_that_is_started_again_and_again_is_no_copy() {
    let twins = Twins::under(OnCopy::Quarantine).await;
    for boot in 1..20 {
        for counter in 1..4 {
            drop(twins.opens(boot, counter).await);
            twins.later(600);
        }
    }
    assert_eq!(twins.told().await, vec!["machine.boot "; 19]);
}

#[tokio::test]
async fn q_18_a_copy_is_quarantined_by_policy_and_an_operator_ends_that() {
    let twins = Twins::under(OnCopy::Quarantine).await;
    drop(twins.opens(1, 1).await);
    drop(twins.opens(2, 1).await);
    twins.later(61);
    let mut channel = twins.opens(1, 2).await;
    assert_eq!(channel.orders.recv().await.expect("an order").order, Order::Suspend);
    assert_eq!(twins.state().await, ("suspended".into(), Some("quarantine: two hold its key".into())));
    let resumed = twins.world.app.resume(twins.caller.machine, None, &twins.world.admin()).await;
    assert_eq!(resumed.expect("looked at").state, "active");
}

#[tokio::test]
async fn q_18_a_copy_of_a_running_agent_counts_what_was_counted() {
    let twins = Twins::under(OnCopy::Alarm).await;
    let one = twins.opens(1, 7).await;
    let two = twins.opens(1, 8).await;
    assert_eq!(twins.told().await.len(), 1, "it has connected again");
    let copy = twins.opens(1, 8).await;
    assert_eq!(twins.told().await[1..], ["machine.forked counter"]);
    drop((one, two, copy));
}

#[tokio::test]
async fn renewals_and_rotations_tell_too_which_life_it_is() {
    let twins = Twins::under(OnCopy::Alarm).await;
    let app = &twins.world.app;
    app.renew(&twins.by(1, 1), &from(twins.caller)).await.expect("renewed");
    app.renew(&twins.by(2, 1), &from(twins.caller)).await.expect("renewed");
    twins.later(61);
    app.renew(&twins.by(1, 2), &from(twins.caller)).await.expect("renewed all the same");
    assert_eq!(twins.told().await, ["machine.boot ", "machine.boot ", "machine.forked earlier_boot"]);
}

#[tokio::test]
async fn q_18_two_proposals_under_one_key_quarantine_the_machine_by_policy() {
    let twins = Twins::under(OnCopy::Quarantine).await;
    for next in ["one", "two"] {
        let signed = signed(&twins.world, &twins.device, "/v1/machines/self/rotate");
        let caller = twins.world.app.by_signature(&signed.call(), &twins.world.stranger()).await;
        let caller = *caller.expect("known").machine().expect("a machine");
        let request = twins.device.rotates_to(&Device::new(next), [7; 16]);
        twins.world.app.rotate(request, &caller, &from(caller)).await.expect("answered all the same");
    }
    assert_eq!(twins.state().await.0, "suspended");
    let entries = twins.world.audit().await;
    assert!(entries.iter().any(|entry| entry.reason == "conflict"));
    let alarm = entries.iter().find(|entry| entry.action == "machine.forked").expect("told");
    let said = ["cause", "state"].map(|name| alarm.detail.get(name).map(String::as_str));
    assert_eq!(said, [Some("conflict"), Some("suspended")]);
}

#[tokio::test]
async fn a_life_that_cannot_be_noted_is_heard_of_all_the_same_and_noted_later() {
    let twins = Twins::under(OnCopy::Alarm).await;
    twins.world.faults().before("machine.boot");
    drop(twins.opens(1, 1).await);
    assert_eq!(twins.told().await.len(), 0);
    drop(twins.opens(1, 2).await);
    assert_eq!(twins.told().await, ["machine.boot "]);
}

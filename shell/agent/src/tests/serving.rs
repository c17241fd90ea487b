//! A machine at work: channel, orders, hooks, renewals.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use muster_wire::channel::Order;

use super::stub::{Mode, Stub};
use super::*;
use crate::status;

async fn online(stub: &Stub) {
    until("the channel is open", || stub.get().channels == 1).await;
}

fn hook(machine: &Machine, name: &str) {
    let path = machine.hooks_dir().join(name);
    std::fs::create_dir_all(machine.hooks_dir()).expect("made");
    let script = "#!/bin/sh\necho \"$MUSTER_HOOK $MUSTER_MACHINE_ID $MUSTER_STATE\" >> \"${0%/*}/ran\"\n";
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
}

// Hooks are real programs: this one runs in real time.
#[tokio::test]
async fn orders_run_their_hooks_and_are_acknowledged_afterwards() {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, Box::pin(orders_with_hooks())).await.expect("hooks are quick");
}

async fn orders_with_hooks() {
    let (machine, stub) = (Machine::new(), Stub::new());
    for name in ["on_enrolled", "on_suspended", "on_resumed", "on_renewed", "on_retired"] {
        hook(&machine, name);
    }
    let resident = machine.run(&stub, Some(joining(invite(stub.pin()))));
    online(&stub).await;
    for (id, order) in [(1, Order::Suspend), (2, Order::Resume), (3, Order::Renew)] {
        stub.order(id, order);
        until("it is acknowledged", || stub.get().acknowledged.last() == Some(&id)).await;
    }
    stub.order(4, Order::Retire);
    assert_eq!(resident.end().await.exit_code(), 22);
    let ran = std::fs::read_to_string(machine.hooks_dir().join("ran")).expect("they ran");
    assert_eq!(
        ran.lines().collect::<Vec<_>>(),
        [
            "on_enrolled mch_1 active",
            "on_suspended mch_1 suspended",
            "on_resumed mch_1 active",
            "on_renewed mch_1 active",
            "on_retired mch_1 active"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_suspension_while_the_agent_was_off_is_learned_from_the_hello_and_kept() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    stub.get().state = "suspended";
    let resident = machine.run(&stub, None);
    until("it is told", || machine.told().contains(&Progress::Standing(crate::Standing::Suspended))).await;
    resident.stop().await;
    assert_eq!(status(&machine.dir()).expect("a status").state, "suspended");
}

#[tokio::test(start_paused = true)]
async fn q_17_certificates_are_renewed_between_half_and_four_fifths_of_their_life() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&stub).await;
    for renewals in 1..=2 {
        let begun = tokio::time::Instant::now();
        until("it renews", || stub.count("/v1/machines/self/renew") == renewals).await;
        let share = begun.elapsed().as_secs_f64() / (24.0 * 3600.0);
        assert!((0.49..0.81).contains(&share), "{share}");
        assert_eq!(stub.get().channels, 1, "the channel stays");
    }
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_found_again() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&stub).await;
    stub.get().mode = Mode::Down;
    until("the loss is told", || machine.told().contains(&Progress::Offline)).await;
    let status = status(&machine.dir()).expect("a status");
    assert_eq!((status.running, status.state.as_str()), (true, "active"), "the workload goes on");
    stub.get().mode = Mode::Well;
    online(&stub).await;
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_agent_serves_one_directory() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&stub).await;
    assert!(matches!(machine.run(&stub, None).end().await, AgentError::InUse { .. }));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn channel_and_renewal_are_authenticated_by_the_machine_key() {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&stub).await;
    stub.order(1, Order::Renew);
    until("it is acknowledged", || stub.get().acknowledged == [1]).await;
    let key = status(&machine.dir()).expect("a status").key;
    for (path, seen) in &stub.get().seen {
        let expected = path.starts_with("/v1/machines/self").then(|| key.clone()).flatten();
        assert_eq!(seen.map(|key| key.to_string()), expected, "{path}");
    }
    pass(Duration::from_secs(1)).await;
    resident.stop().await;
}

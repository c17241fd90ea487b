//! One damaged slot: the other one is used, loudly, and nothing is enrolled anew. Both: the agent stops.

use muster_wire::channel::Order;

use super::ring::Stands;
use super::rotating::{online, rotated};
use super::stub::Stub;
use super::*;
use crate::status;
use crate::store::fuse::{self, Fuse};

fn garble(machine: &Machine, name: &str) {
    std::fs::write(machine.dir().join(name), "-----BEGIN").expect("garbled");
}

fn has(machine: &Machine, prefix: &str) -> bool {
    machine.names().iter().any(|name| name.starts_with(prefix))
}

/// A machine that was killed in a rotation, after this many changes of files.
async fn in_a_rotation(changes: u32) -> (Machine, Stub) {
    let (machine, stub) = (Machine::new(), Stub::new());
    machine.enrolled(&stub).await;
    let resident = machine.run(&stub, None);
    online(&stub).await;
    fuse::set(Fuse::After(changes));
    stub.order(1, Order::Rotate);
    assert!(resident.handle.await.is_err_and(|error| error.is_panic()));
    until("its channels are closed", || stub.get().channels == 0).await;
    (machine, stub)
}

#[tokio::test(start_paused = true)]
async fn a_certificate_alone_that_is_damaged_is_renewed_by_the_signature_of_its_key() {
    let (machine, stub) = (Machine::new(), Stub::new());
    let id = machine.enrolled(&stub).await.machine.id;
    garble(&machine, "certificate-a.pem");
    let found = status(&machine.dir()).expect("a status");
    assert!(found.damage[0].contains("certificate-a.pem"), "{:?}", found.damage);
    let resident = machine.run(&stub, None);
    online(&stub).await;
    assert_eq!((stub.count("/v1/enroll"), stub.count("/v1/machines/self/renew")), (1, 1));
    assert!(has(&machine, "certificate-a.pem.corrupt-") && machine.dir().join("certificate-a.pem").exists());
    let now = status(&machine.dir()).expect("a status");
    assert_eq!((now.machine.expect("one").id, now.damage.len()), (id, 0));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_durable_key_that_is_damaged_gives_way_to_the_next_one() {
    // With its certificate, and while the answer to its proposal is still to come.
    for changes in [4, 2] {
        let (machine, stub) = in_a_rotation(changes).await;
        let old = stub.get().ring.keys[0].0;
        if changes == 2 {
            // The request went out, and its answer was lost.
            let note = std::fs::read_to_string(machine.dir().join("rotation.json")).expect("noted");
            let note: serde_json::Value = serde_json::from_str(&note).expect("JSON");
            stub.propose(&note["request"], old);
        }
        garble(&machine, "key-a.pem");
        let resident = machine.run(&stub, None);
        rotated(&machine, &stub, old).await;
        assert_eq!(status(&machine.dir()).expect("a status").machine.expect("one").id, "mch_1");
        // It is set aside where it is known that the next one is enough; else it goes once the next one has worked.
        assert_eq!(has(&machine, "key-a.pem.corrupt-"), changes == 4);
        assert!(!machine.dir().join("key-a.pem").exists());
        assert_eq!(stub.count("/v1/enroll"), 1, "nothing is enrolled anew");
        resident.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn i_5_a_durable_key_that_is_damaged_before_the_server_heard_of_the_next_one_asks_for_a_person() {
    let (machine, stub) = in_a_rotation(2).await;
    let old = stub.get().ring.keys[0].0;
    let key = std::fs::read(machine.dir().join("key-a.pem")).expect("a key");
    garble(&machine, "key-a.pem");
    let before = machine.names();
    stub.get().machine_problem = Some((401, "not_authenticated"));
    let error = machine.run(&stub, None).end().await;
    assert_eq!(error.exit_code(), 13, "{error}");
    assert!(error.to_string().contains("--reset"), "{error}");
    assert_eq!(machine.names(), before, "everything is where a person can put it right");
    stub.get().machine_problem = None;
    std::fs::write(machine.dir().join("key-a.pem"), key).expect("put right");
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert_eq!(stub.count("/v1/enroll"), 1, "nothing is enrolled anew");
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_next_key_that_is_damaged_is_made_anew() {
    for changes in [0, 2, 4] {
        let (machine, stub) = in_a_rotation(changes).await;
        let old = stub.get().ring.keys[0].0;
        garble(&machine, "key-b.pem");
        let resident = machine.run(&stub, None);
        online(&stub).await;
        if changes == 0 {
            stub.order(2, Order::Rotate);
        }
        rotated(&machine, &stub, old).await;
        assert!(has(&machine, "key-b.pem.corrupt-"));
        resident.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_next_certificate_that_is_damaged_is_asked_for_again() {
    let (machine, stub) = in_a_rotation(4).await;
    let (old, next) = stub.proposed();
    garble(&machine, "certificate-b.pem");
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert_eq!(stub.key(), next.to_string(), "for the same key");
    assert!(stub.get().ring.evidence.is_empty());
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_key_that_is_damaged_before_the_server_heard_of_it_gives_way_to_the_one_before() {
    // Killed once the new slot is noted: the sixth change is that of `identity.json`.
    let (machine, stub) = in_a_rotation(5).await;
    let old = stub.get().ring.keys[0].0;
    assert_eq!(stub.get().ring.stands(old), Some(Stands::Previous));
    garble(&machine, "key-b.pem");
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert_eq!(stub.get().ring.evidence, ["recovery"], "an operator is told that a key was lost");
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_note_is_set_aside_and_the_rotation_done_all_the_same() {
    let (machine, stub) = in_a_rotation(4).await;
    let old = stub.get().ring.keys[0].0;
    garble(&machine, "rotation.json");
    let resident = machine.run(&stub, None);
    rotated(&machine, &stub, old).await;
    assert!(has(&machine, "rotation.json.corrupt-"));
    resident.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_both_keys_are_damaged_the_agent_stops_and_names_both() {
    let (machine, stub) = in_a_rotation(4).await;
    garble(&machine, "key-a.pem");
    garble(&machine, "key-b.pem");
    let (before, requests) = (machine.names(), stub.get().seen.len());
    let error = machine.run(&stub, Some(joining(invite(stub.pin())))).end().await;
    let text = error.to_string();
    assert_eq!((error.exit_code(), stub.get().seen.len()), (13, requests));
    assert!(text.contains("key-a.pem") && text.contains("key-b.pem") && text.contains("--reset"), "{text}");
    assert_eq!(machine.names(), before, "nothing is renamed where nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_others_can_reach_stops_the_agent_whichever_it_is() {
    use std::os::unix::fs::PermissionsExt;
    for name in ["key-a.pem", "key-b.pem", "certificate-b.pem", "rotation.json"] {
        let (machine, stub) = in_a_rotation(4).await;
        let path = machine.dir().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
        assert_eq!(machine.run(&stub, None).end().await.exit_code(), 11, "{name}");
    }
}

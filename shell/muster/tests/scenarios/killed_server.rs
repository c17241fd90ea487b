//! The server is killed (-9) again and again while 200 machines enroll.
//!
//! 1. Eight clients enroll 25 machines each, with a key of its own for every machine.
//! 2. The server is killed at points that differ from run to run, and started again.
//! 3. Who got no answer asks again by the same key; who got one asks again too, once all is quiet.
//! 4. No acknowledged machine is lost, none is doubled, each has exactly one live credential and one entry of its
//!    admission.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Device, Http, SOON, Server, eventually, text};

const CLIENTS: usize = 8;
const EACH: usize = 25;
const ALL: usize = CLIENTS * EACH;

/// A machine that was promised to its owner.
struct Acknowledged {
    device: Device,
    machine: String,
}

/// Enrolls until the server says so, however often that takes.
fn insist(http: &Http, token: &str, device: Device, unanswered: &AtomicUsize) -> Acknowledged {
    let body = device.enrollment(token).to_string();
    let answer = eventually("an answer", SOON, || {
        let headers = [("content-type", "application/json")];
        match http.try_send("POST", "/v1/enroll", &headers, body.as_bytes()) {
            Ok(answer) if answer.status == 503 => None,
            Ok(answer) => Some(answer),
            Err(_lost) => {
                unanswered.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    });
    assert!([200, 201].contains(&answer.status), "{}", answer.text());
    Acknowledged { device, machine: text(&answer.json()["machine"]["id"]) }
}

/// Points at which the server dies, by how many machines were acknowledged. They differ from run to run.
fn deaths() -> Vec<usize> {
    let random = Device::new().fingerprint().0;
    let points = (0..4).map(|at| 15 + at * 42 + usize::from(random[at]) % 40).collect();
    eprintln!("the server dies after {points:?} acknowledged enrollments");
    points
}

#[test]
fn no_acknowledged_machine_is_lost_and_none_is_doubled() {
    let mut server = Server::up(&[]);
    let token = text(&server.muster(&["grant", "create", "--uses", "0"])["token"]);
    let http = server.http();
    let (done, unanswered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let acknowledged: Vec<Acknowledged> = std::thread::scope(|scope| {
        let client = || {
            let enroll = |_| {
                let acknowledged = insist(&http, &token, Device::new(), &unanswered);
                done.fetch_add(1, Ordering::Relaxed);
                acknowledged
            };
            (0..EACH).map(enroll).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for point in deaths() {
            eventually("enough machines", SOON, || (done.load(Ordering::Relaxed) >= point).then_some(()));
            server.end(Signal::KILL);
            server.start();
        }
        clients.into_iter().flat_map(|client| client.join().expect("no client gave up")).collect()
    });
    assert_eq!(acknowledged.len(), ALL);
    assert!(unanswered.load(Ordering::Relaxed) > 0, "the server died under somebody");

    let listed = machines_by_key(&server);
    assert_eq!(listed.len(), ALL + 1, "this machine and each that was acknowledged, none twice");
    for promised in &acknowledged {
        let again = promised.device.enroll(&http, &token);
        assert_eq!((again.status, text(&again.json()["machine"]["id"])), (200, promised.machine.clone()));
        assert_eq!(listed.get(&promised.device.fingerprint().to_string()), Some(&promised.machine));
    }
    told_once(&server, &acknowledged);
}

/// The machine of every key. Fails where a key has two.
fn machines_by_key(server: &Server) -> BTreeMap<String, String> {
    let machines = server.list(&["machine", "ls", "--limit", "10000"]);
    let count = machines.len();
    let by_key: BTreeMap<_, _> =
        machines.iter().map(|machine| (text(&machine["key"]), text(&machine["id"]))).collect();
    assert_eq!(by_key.len(), count, "two machines of one key");
    by_key
}

/// One entry of its admission for each machine, and no credential that works without an entry.
fn told_once(server: &Server, acknowledged: &[Acknowledged]) {
    let audit = server.audit();
    let objects = |action: &str, reason: &str| {
        let told = audit.iter().filter(|entry| entry["action"] == action && entry["reason"] == reason);
        told.map(|entry| text(&entry["object"])).collect::<Vec<_>>()
    };
    let admitted = objects("machine.enroll", "admitted");
    let distinct: BTreeSet<&String> = admitted.iter().collect();
    assert_eq!((distinct.len(), admitted.len()), (ALL + 1, ALL + 1), "each admitted once");
    let minted: BTreeSet<String> = objects("credential.issue", "minted").into_iter().collect();
    for promised in acknowledged.iter().step_by(10) {
        let machine = server.show(&promised.machine);
        let credentials = machine["credentials"].as_array().expect("a list").clone();
        let live: Vec<&Value> =
            credentials.iter().filter(|credential| credential["state"] == "issued").collect();
        assert_eq!(live.len(), 1, "{credentials:?}");
        assert!(minted.contains(&text(&live[0]["id"])), "a credential without an entry: {credentials:?}");
    }
    let sequence: Vec<u64> = audit.iter().map(|entry| entry["seq"].as_u64().expect("a number")).collect();
    assert!(sequence.is_sorted_by(|a, b| a < b), "the log has one order");
}

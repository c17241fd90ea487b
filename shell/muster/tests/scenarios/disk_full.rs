//! The disk runs full.
//!
//! 1. A server lives on a small disk, an agent elsewhere is online; then the disk fills up.
//! 2. What would be written is answered with 503; reading, presence and the channel go on; health says why.
//! 3. Room is made, and writing works again without a restart. Nothing that was acknowledged is lost.

use crate::support::{Agent, Device, Home, SOON, Server, SmallDisk, eventually, skipped, text};

#[test]
fn writes_wait_reads_and_presence_go_on_and_room_mends_it() {
    let Some(disk) = SmallDisk::of(24) else {
        skipped("only root can make a small disk");
        return;
    };
    let mut server = Server::at(Home::new(), disk.path().join("server"), "", &[]);
    let mut agent = Agent::online(&server.invite());
    let id = agent.machine();
    let granted = server.muster(&["grant", "create", "--uses", "0"]);
    let token = text(&granted["token"]);
    let filler = disk.fill();

    let mut acknowledged = Vec::new();
    let http = server.http();
    let refused = eventually("a write is refused", SOON, || {
        let device = Device::new();
        let answer = device.enroll(&http, &token);
        if answer.status == 201 {
            acknowledged.push(text(&answer.json()["machine"]["id"]));
            return None;
        }
        Some(answer)
    });
    assert_eq!(refused.problem(), (503, "unavailable".into()), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.json()["action"], "retry", "an agent keeps asking");
    let (code, complaint) = server.fails(&["site", "create", "late"]);
    assert_eq!(code, 75, "try again later: {complaint}");

    assert_eq!(
        (http.get("/readyz").status, http.get("/healthz").status),
        (503, 200),
        "it lives, and says it is not well"
    );
    let machines = server.list(&["machine", "ls"]);
    assert_eq!(machines.len(), acknowledged.len() + 2, "reading goes on");
    assert_eq!(server.show(&id)["online"], true, "and presence");
    assert!(agent.is_running());
    let newcomer = Agent::new();
    let output = newcomer.enroll(&text(&granted["invite"]), &["--no-wait"]);
    assert_eq!(output.status.code(), Some(30), "it may try again: {output:?}");
    let key = newcomer.status()["key"].clone();
    assert!(server.log().contains("unavailable"), "the operator is told: {}", server.log());

    std::fs::remove_file(filler).expect("ours");
    eventually("health notices by itself", SOON, || (http.get("/readyz").status == 200).then_some(()));
    let late = eventually("there is room again", SOON, || {
        let answer = Device::new().enroll(&http, &token);
        (answer.status == 201).then(|| text(&answer.json()["machine"]["id"]))
    });
    acknowledged.push(late);
    assert!(newcomer.enroll(&text(&granted["invite"]), &[]).status.success());
    assert_eq!(newcomer.status()["key"], key, "by the key it had made");
    assert_eq!(http.get("/readyz").status, 200);
    server.muster(&["machine", "suspend", &id]);
    assert_eq!(agent.standing(), "suspended");
    assert_eq!(server.stop(), 0);
    server.start();
    for machine in &acknowledged {
        assert_eq!(server.show(machine)["state"], "active");
    }
}

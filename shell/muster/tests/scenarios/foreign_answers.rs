//! Something else answers in the server's place for a while.
//!
//! 1. A machine runs, another waits for approval; the server goes away.
//! 2. On its port stand, one after the other: a plain web server, a TLS server of another CA that says `revoked`, and
//!    proxies with a certificate of the right CA that answer 404, 401, 200 with HTML, 302, 403 and 502.
//! 3. The agents keep everything, send no secret, and go on by themselves when the server is back.

use crate::support::impostor::{Impostor, Stand, another_ca, stands};
use crate::support::{Agent, Server, text};

#[test]
fn q_14_agents_keep_their_identity_whatever_answers_in_the_servers_place() {
    let mut server = Server::up(&[]);
    let mut agent = Agent::online(&server.invite());
    let (id, files) = (agent.machine(), agent.files());
    let mut waiting = Agent::new();
    waiting.start(&[
        "--request",
        "--hardware-id",
        "none",
        "--server",
        server.url(),
        "--ca-pin",
        server.told("ca_pin"),
    ]);
    let held = waiting.event("held");
    let (stands, invite) = (stands(&server), server.invite());
    assert_eq!(server.stop(), 0);

    let impostor = Impostor::at(server.address(), stands[0].clone());
    for stand in stands {
        impostor.becomes(stand.clone());
        // A start asks at once, whatever the pause had grown to.
        agent.stop();
        agent.start(&[]);
        impostor.is_met();
        assert!(agent.is_running() && waiting.is_running(), "{}: {}", stand.name, agent.log());
        assert_eq!((agent.machine(), agent.files()), (id.clone(), files.clone()), "{}", stand.name);
        assert_eq!(agent.status()["state"], "active", "{}", stand.name);
    }
    impostor.becomes(Stand { name: "another CA", tls: Some(another_ca("127.0.0.1")), answer: String::new() });
    let stranger = Agent::new().enroll(&invite, &["--no-wait"]);
    assert!([30, 31].contains(&stranger.status.code().unwrap_or(-1)), "{stranger:?}");
    assert!(!impostor.heard().contains("mst_"), "a secret was sent to a stranger");
    drop(impostor);

    server.start();
    agent.event("online");
    assert_eq!(agent.machine(), id);
    server.muster(&["hold", "approve", &text(&held["hold"])]);
    waiting.event("online");
    assert_eq!(server.list(&["machine", "ls"]).len(), 3);
    assert_eq!(server.show(&id)["generation"], 1);
}

//! The wires of existing clients, whichever client it is.

use http::StatusCode;
use muster_server::Wires;
use muster_testkit::world::World;

use crate::face::{Face, get};

#[tokio::test]
async fn q_14_a_wire_that_is_switched_off_says_later_and_never_that_somebody_is_gone() {
    let face = Face::of(World::new().await, |config| config.wires = Wires::default());
    for path in [
        "/v1/hosts/host-1/heartbeat",
        "/behind/a/prefix/v1/hosts",
        "/graphics/api/workers/register-requests/rr-1",
        "/graphics/api/workers/w/connect",
        "/api/enroll",
        "/v1/agents/somebody",
    ] {
        let answer = face.stranger(get(path)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        assert!(!answer.is_problem(), "{path}: in the shape of its client");
    }
    assert_eq!(face.stranger(get("/v1/nothing")).await.status, StatusCode::NOT_FOUND);
}

/// A proxy may cut off more of a path than it should.
#[tokio::test]
async fn q_14_a_path_that_was_rewritten_wrongly_ends_no_client() {
    let face = Face::new().await;
    for path in
        ["/workers/w/connect", "/hosts/host-1/heartbeat", "/workers/register-requests/rr-1", "/connect"]
    {
        let answer = face.stranger(get(path)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
    }
    for path in ["/connects", "/register-requests", "/v1/heartbeats/x", "/nothing"] {
        assert_eq!(face.stranger(get(path)).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

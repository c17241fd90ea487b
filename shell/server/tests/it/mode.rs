//! What a server answers that cannot see its store, or whose store was put back to an older day.

use http::{Request, StatusCode};
use muster_app::Mark;
use muster_model::{AuditId, EntryPlace, SignedDuration};
use serde_json::{Value, json};

use crate::body::Stage;
use crate::face::{Answer, Face, get, post, with};
use crate::principals::mounted;

/// Every answer that needs no store: what anybody may ask of a server that cannot see it.
const WITHOUT_STORE: [&str; 9] = [
    "GET /.well-known/jwks.json",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/security.txt",
    "GET /healthz",
    "GET /v1/join-methods",
    "GET /v1/nonce",
    "GET /v1/trust",
    "GET /version",
    // Without a session there is none to close.
    "POST /v1/session/close",
];

async fn cut_off(stage: &Stage) -> Mark {
    let app = &stage.face.world.app;
    let mark = app.look(None).await.expect("a look");
    stage.face.world.clock.advance(SignedDuration::from_secs(31));
    mark
}

pub(crate) async fn restored(face: &Face) {
    let app = &face.world.app;
    let mark = app.look(None).await.expect("a look");
    let newest = mark.newest.map(|place| EntryPlace { seq: place.seq + 30, id: AuditId::new(9, [9; 10]) });
    app.look(Some(&Mark { newest, ..mark })).await.expect("a look");
}

async fn asked(stage: &Stage, method: &str, path: &str) -> Answer {
    let url = stage.filled(path);
    let request: Request<_> = if method == "GET" { get(&url) } else { post(&url, &stage.example(path)) };
    stage.send(path, request).await
}

fn told(answer: &Answer) -> (StatusCode, Option<String>, Option<&str>) {
    (answer.status, answer.code_if_any(), answer.header("retry-after"))
}

#[tokio::test]
async fn a_server_that_cannot_see_its_store_says_so_at_once_on_every_route_that_needs_it() {
    let stage = Stage::new().await;
    let mark = cut_off(&stage).await;
    let writes = stage.face.world.writes();
    for route in mounted() {
        let name = format!("{} {}", route.method, route.path);
        // A poll is answered by what is in its header; it is asked below.
        if name == "GET /v1/enroll/{hold}" {
            continue;
        }
        let answer = asked(&stage, &route.method, &route.path).await;
        let unavailable = (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable".to_owned()), Some("5"));
        match name.as_str() {
            "GET /readyz" => assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE),
            known if WITHOUT_STORE.contains(&known) => {
                assert!(answer.status.is_success(), "{name}: {answer:?}");
            }
            _ => assert_eq!(told(&answer), unavailable, "{name}"),
        }
    }
    assert_eq!(stage.face.world.writes(), writes);
    let ready = stage.face.stranger(get("/readyz")).await;
    assert_eq!(ready.text(), "store: unavailable\nmode: stale\n");
    stage.face.world.app.look(Some(&mark)).await.expect("a look");
    assert_eq!(stage.face.stranger(get("/readyz")).await.status, StatusCode::OK, "without a restart");
    assert_eq!(asked(&stage, "GET", "/v1/machines").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_older_database_is_read_and_not_changed_until_an_admin_accepts_it() {
    let stage = Stage::new().await;
    restored(&stage.face).await;
    let ready = stage.face.stranger(get("/readyz")).await;
    assert_eq!(
        (ready.status, ready.text().contains("mode: restored")),
        (StatusCode::SERVICE_UNAVAILABLE, true)
    );
    for path in ["/v1/status", "/v1/machines", "/v1/replicas", "/v1/audit", "/v1/machines/self"] {
        assert_eq!(asked(&stage, "GET", path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/v1/enroll", "/v1/grants", "/v1/machines/{machine}/suspend", "/v1/machines/self/renew"] {
        let answer = asked(&stage, "POST", path).await;
        let expected = (StatusCode::SERVICE_UNAVAILABLE, Some("restored".to_owned()), Some("30"));
        assert_eq!(told(&answer), expected, "{path}");
        assert!(answer.problem()["help"].as_str().is_some_and(|help| help.contains("muster restore accept")));
    }
    let status = asked(&stage, "GET", "/v1/status").await.json();
    assert_eq!(status["mode"], "restored");
    let accept = || with(post("/v1/restore/accept", &json!({})), "idempotency-key", "k-1");
    let accepted = stage.face.admin(accept()).await;
    assert_eq!(accepted.status, StatusCode::OK, "{accepted:?}");
    let gap = |name: &str| accepted.json()[name].as_u64().expect("a place");
    assert_eq!(gap("seen"), gap("found") + 30);
    assert_eq!(asked(&stage, "POST", "/v1/grants").await.status, StatusCode::CREATED);
    let again = stage.face.admin(accept()).await;
    assert_eq!(again.json(), accepted.json(), "the answer was lost, the work was not");
    assert_eq!(asked(&stage, "GET", "/v1/status").await.json()["mode"], "normal");
}

#[tokio::test]
async fn nothing_is_there_to_accept_in_a_database_that_is_as_it_was() {
    let face = Face::new().await;
    let answer = face.admin(post("/v1/restore/accept", &Value::Object(Default::default()))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "wrong_state".to_owned()));
}

//! The wire of the wrenn host agent, byte for byte as the unmodified program speaks it: every status that it acts on, and
//! the weaknesses of its own server, none of which is here.
//!
//! Which test shows it, by the number of the weakness (`S` is the scenario `wrenn`, `C` the scenario `callers`, `A` the scenario
//! `adopted_client`):
//!
//! | weakness | test |
//! |---|---|
//! | 1 a lost refresh answer bricks the host | `a_lost_refresh_answer_bricks_nobody`, `a_host_that_lost_its_credentials_comes_back_…` |
//! | 2 what passes is taken for the end | `trouble_with_the_store_is_503_and_never_401`, `an_older_database_ends_no_host`; S over a cut database |
//! | 3 a lost register answer strands the host | `a_lost_register_answer_…`, `a_register_that_fails_on_the_server_is_repeated`, `a_host_that_waits_for_a_person_…` |
//! | 4 a spent token in the unit file | `a_lost_register_answer_…`: 401 ends nothing of the host, whose file is good |
//! | 5 refreshes at once fork, a stolen token is not seen | `concurrent_refreshes_get_one_successor`, `a_stolen_refresh_token_…`; A for a copied file |
//! | 6 several tokens live, and in the clear | `another_token_ends_the_one_before_it`; the scenario `secrets` |
//! | 7 a file that was cut reads as none | `a_host_that_lost_its_credentials_comes_back_…` under its id; A: the agent's own files |
//! | 8 an empty answer erases what it has | `a_refresh_that_succeeds_always_carries_everything` |
//! | 9, 15 404 deletes, and is answered by accident | `a_heartbeat_is_answered_404_by_a_retired_host_alone`, `wires` |
//! | 10 an odd status pauses nothing | `a_suspended_host_is_never_told_to_give_up_…`; S: silence, by which it pauses |
//! | 11 certificate and JWT end together | `the_certificate_does_not_lapse_between_refreshes` |
//! | 12 the name in the certificate is the host's word | `the_address_in_a_certificate_is_the_operators_word`; C |
//! | 13 private keys are made for it and cross the wire | made for the answer, kept nowhere (`chain` of `shell/issuer`); A ends it |
//! | 14 no limits | `guesses_are_limited_and_hosts_behind_one_address_are_not` |
//! | 16 a JWT cannot be revoked | `a_revoked_host_is_told_at_once_to_give_up` |
//! | 17 its table of tokens is never tidied | at most two of a family are open (`refresh::tests`); ended ones are history, as certificates are |
//! | 18 a heartbeat says nothing | `a_host_is_online_while_it_beats_and_the_steady_state_costs_no_write` |
//!
//! What a server must do for it: 201, 200 and 204 exactly, all fields and the key in its form, `a_host_registers_beats_and_refreshes_…`;
//! 404, 401 and 403 for what they mean to it, `a_heartbeat_is_answered_404_…`, `a_suspended_host_…`, `a_revoked_host_…`; what passes is
//! 503, `trouble_with_the_store_…`; a refresh that is repeated, `a_lost_refresh_answer_…`; a token that is good until the first
//! heartbeat, `a_lost_register_answer_…`; no load while nothing changes, `a_host_is_online_while_it_beats_…`.
//!
//! Whom hosts let in: `a_host_is_given_the_authority_of_callers_and_no_other`; C. S on both stores.

use axum::body::Body;
use http::{Request, StatusCode};
use muster_app::Mark;
use muster_model::{AuditId, EntryPlace, SignedDuration};
use muster_testkit::world::machine_id;
use serde_json::{Value, json};

use crate::face::{Answer, Face, bare, get, post, post_as, with};

/// The body that the agent sends, with a token in its place.
const REGISTER: &str = r#"{"token":"TOK1","arch":"amd64","cpu_cores":2,"memory_mb":24105,"disk_gb":251,"address":"10.0.0.5:50051"}"#;

/// What the agent keeps of an answer.
#[derive(Debug, Clone)]
struct Held {
    id: String,
    jwt: String,
    refresh: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// As the agent reads it: the identifier from the payload of the JWT, whose signature it does not look at.
fn read(answer: &Answer, expected: StatusCode) -> Held {
    assert_eq!(answer.status, expected, "{answer:?}");
    let json = answer.json();
    let jwt = text(&json["token"]);
    let claims = claims(&jwt);
    for field in ["cert_pem", "key_pem", "ca_cert_pem"] {
        assert!(json[field].as_str().is_some_and(|pem| pem.starts_with("-----BEGIN ")), "{field}");
    }
    assert!(text(&json["key_pem"]).starts_with("-----BEGIN EC PRIVATE KEY-----"));
    Held { id: text(&claims["host_id"]), jwt, refresh: text(&json["refresh_token"]) }
}

fn claims(jwt: &str) -> Value {
    let parts: Vec<&str> = jwt.split('.').collect();
    assert_eq!(parts.len(), 3);
    let payload = data_encoding::BASE64URL_NOPAD.decode(parts[1].as_bytes()).expect("raw base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

async fn created(face: &Face) -> (String, String) {
    let answer = face.admin(post("/v1/hosts", &json!({"type": "regular"}))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    (text(&answer.json()["host"]["id"]), text(&answer.json()["registration_token"]))
}

async fn register(face: &Face, token: &str) -> Answer {
    let body = REGISTER.replace("TOK1", token);
    face.stranger(post_as("/v1/hosts/register", "application/json", body)).await
}

async fn refresh(face: &Face, token: &str) -> Answer {
    let body = format!(r#"{{"refresh_token":"{token}"}}"#);
    face.stranger(post_as("/v1/hosts/auth/refresh", "application/json", body)).await
}

fn beat(id: &str, jwt: &str) -> Request<Body> {
    with(bare(&format!("/v1/hosts/{id}/heartbeat")), "x-host-token", jwt)
}

async fn beats(face: &Face, held: &Held) -> StatusCode {
    face.stranger(beat(&held.id, &held.jwt)).await.status
}

async fn host(face: &Face, id: &str) -> Value {
    face.admin(get(&format!("/v1/hosts/{id}"))).await.json()
}

async fn enrolled(face: &Face) -> Held {
    let (_, token) = created(face).await;
    read(&register(face, &token).await, StatusCode::CREATED)
}

async fn in_use(face: &Face) -> Held {
    let held = enrolled(face).await;
    assert_eq!(beats(face, &held).await, StatusCode::NO_CONTENT);
    held
}

fn later(face: &Face, seconds: i64) {
    face.world.clock.advance(SignedDuration::from_secs(seconds));
}

const DAY: i64 = 24 * 3600;

/// 201 exactly, with all that the agent insists on, and a JWT that names the host.
#[tokio::test]
async fn a_host_registers_beats_and_refreshes_as_the_agent_expects_it() {
    let face = Face::new().await;
    let (id, token) = created(&face).await;
    assert_eq!(host(&face, &id).await["status"], "pending");
    let answer = register(&face, &token).await;
    let held = read(&answer, StatusCode::CREATED);
    let shown = &answer.json()["host"];
    assert_eq!(
        (&shown["arch"], &shown["cpu_cores"], &shown["status"]),
        (&json!("amd64"), &json!(2), &json!("online"))
    );
    assert_eq!((&shown["memory_mb"], &shown["disk_gb"]), (&json!(24105), &json!(251)));
    assert_eq!((&shown["address"], &shown["type"]), (&json!("10.0.0.5:50051"), &json!("regular")));
    assert_eq!(shown["created_at"], "2026-11-01T12:00:00Z", "RFC 3339 with seconds");
    let claims = claims(&held.jwt);
    assert_eq!((&claims["typ"], &claims["sub"], held.id.as_str()), (&json!("host"), &json!(id), id.as_str()));
    assert!(claims["exp"].is_i64() && claims["iat"].is_i64());

    let answer = face.stranger(beat(&held.id, &held.jwt)).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    later(&face, DAY);
    assert_eq!(beats(&face, &held).await, StatusCode::UNAUTHORIZED, "a refresh gets the next");
    let next = read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    assert_ne!((next.jwt.as_str(), next.refresh.as_str()), (held.jwt.as_str(), held.refresh.as_str()));
    assert_eq!(beats(&face, &next).await, StatusCode::NO_CONTENT);
}

/// Anybody can verify the JWT by the published keys.
#[tokio::test]
async fn the_token_of_a_host_is_signed_by_the_published_key_and_no_shared_secret() {
    let face = Face::new().await;
    let held = enrolled(&face).await;
    let head = data_encoding::BASE64URL_NOPAD.decode(held.jwt.split('.').next().expect("a head").as_bytes());
    let head: Value = serde_json::from_slice(&head.expect("base64url")).expect("JSON");
    let jwks = face.stranger(get("/.well-known/jwks.json")).await.json();
    assert_eq!((&head["alg"], &head["kid"]), (&json!("ES256"), &jwks["keys"][0]["kid"]));
}

/// Any prefix in WRENN_CP_URL is kept by the agent.
#[tokio::test]
async fn the_wire_stands_behind_any_prefix() {
    let face = Face::new().await;
    let (_, token) = created(&face).await;
    let body = REGISTER.replace("TOK1", &token);
    let answer = face.stranger(post_as("/cp/x/v1/hosts/register", "application/json", body)).await;
    let held = read(&answer, StatusCode::CREATED);
    let path = format!("/cp/x/v1/hosts/{}/heartbeat", held.id);
    assert_eq!(
        face.stranger(with(bare(&path), "x-host-token", &held.jwt)).await.status,
        StatusCode::NO_CONTENT
    );
}

/// Weakness 3, requirement 5: a lost register answer strands nobody. The same caller gets the same refresh token, until it
/// has shown that it has it.
#[tokio::test]
async fn a_lost_register_answer_is_given_again_until_the_first_heartbeat() {
    let face = Face::new().await;
    let (_, token) = created(&face).await;
    let lost = read(&register(&face, &token).await, StatusCode::CREATED);
    let held = read(&register(&face, &token).await, StatusCode::CREATED);
    assert_eq!((&held.refresh, &held.id), (&lost.refresh, &lost.id));
    let other = REGISTER.replace("TOK1", &token).replace("251", "500");
    let other = face.stranger(post_as("/v1/hosts/register", "application/json", other)).await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED, "other facts");
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT);
    let late = register(&face, &token).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT, "what its file holds is as good as before");
    let unknown = register(&face, "TOK1").await;
    assert_eq!((unknown.status, &unknown.body), (late.status, &late.body), "whatever is wrong with a token");
    assert_eq!(face.world.machines().await.len(), 1);
}

/// The host of somebody who asks at a site where a person decides, and its token.
async fn at_a_gate(face: &Face) -> (String, String) {
    let gate = json!({"code": "gate", "approval": true});
    assert_eq!(face.admin(post("/v1/sites", &gate)).await.status, StatusCode::CREATED);
    let host = muster_wire::machine::CreateMachine {
        name: "host-1".to_owned(),
        site: Some("gate".to_owned()),
        kind: Some("host".to_owned()),
        hardware_id: None,
        role: None,
        labels: Default::default(),
        expires_in: Some(3600),
    };
    let (machine, token) =
        face.world.app.create_invited(host, None, &face.world.admin()).await.expect("a machine made ahead");
    (machine.id, token.reveal())
}

/// Requirement 5: where a person must decide, the token is not lost by asking. The agent ends on whatever is not 201 and is
/// started again; 503 says that this helps, and once somebody approved the same call is answered.
#[tokio::test]
async fn a_host_that_waits_for_a_person_is_told_later_and_comes_in_by_the_same_token() {
    let face = Face::new().await;
    let (id, token) = at_a_gate(&face).await;
    for _ in 0..3 {
        let waits = register(&face, &token).await;
        assert_eq!((waits.status, waits.code()), (StatusCode::SERVICE_UNAVAILABLE, "held".to_owned()));
        assert!(waits.header("retry-after").is_some());
    }
    let holds = face.admin(get("/v1/holds")).await.json();
    assert_eq!(holds["items"].as_array().map(Vec::len), Some(1), "one line on the Desk: {holds}");
    let other = REGISTER.replace("TOK1", &token).replace("251", "500");
    let other = face.stranger(post_as("/v1/hosts/register", "application/json", other)).await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED, "the token is of whoever asked first");
    later(&face, 2 * 3600);
    let hold = text(&holds["items"][0]["id"]);
    assert_eq!(register(&face, &token).await.status, StatusCode::SERVICE_UNAVAILABLE, "a person takes time");
    let approved = face.admin(post(&format!("/v1/holds/{hold}/approve"), &json!({}))).await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
    let lost = read(&register(&face, &token).await, StatusCode::CREATED);
    let held = read(&register(&face, &token).await, StatusCode::CREATED);
    assert_eq!((&held.id, &held.refresh), (&id, &lost.refresh));
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT);
    assert_eq!(register(&face, &token).await.status, StatusCode::UNAUTHORIZED, "spent, as any other");
    assert_eq!(face.world.machines().await.len(), 1);
}

#[tokio::test]
async fn a_host_that_a_person_turned_away_is_told_so() {
    let face = Face::new().await;
    let (_, token) = at_a_gate(&face).await;
    assert_eq!(register(&face, &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let hold = text(&face.admin(get("/v1/holds")).await.json()["items"][0]["id"]);
    let reason = json!({"reason": "not ours"});
    let rejected = face.admin(post(&format!("/v1/holds/{hold}/reject"), &reason)).await;
    assert_eq!(rejected.status, StatusCode::OK);
    let told = register(&face, &token).await;
    assert_eq!((told.status, told.code()), (StatusCode::FORBIDDEN, "rejected".to_owned()));
}

/// Weakness 3: a failure after the commit, and one before it, spend nothing.
#[tokio::test]
async fn a_register_that_fails_on_the_server_is_repeated() {
    let face = Face::new().await;
    let (_, token) = created(&face).await;
    face.world.faults().before("machine.enroll");
    assert_eq!(register(&face, &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    face.world.faults().after("machine.enroll");
    let failed = register(&face, &token).await;
    assert!(failed.status.is_server_error(), "{failed:?}");
    let held = read(&register(&face, &token).await, StatusCode::CREATED);
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT);
}

/// Weakness 1, requirement 4: a lost refresh answer is given again with the same token.
#[tokio::test]
async fn a_lost_refresh_answer_bricks_nobody() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let lost = read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    let next = read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    assert_eq!(lost.refresh, next.refresh, "one successor");
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT, "what it has works meanwhile");
    assert_eq!(beats(&face, &next).await, StatusCode::NO_CONTENT);
}

/// Weakness 5: two at once get the same successor, and nothing forks.
#[tokio::test]
async fn concurrent_refreshes_get_one_successor() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let all = futures_util::future::join_all((0..4).map(|_| refresh(&face, &held.refresh))).await;
    let first = read(&all[0], StatusCode::OK);
    assert!(all.iter().all(|answer| read(answer, StatusCode::OK).refresh == first.refresh));
    let open = face.world.machine(&held.id).await.credentials;
    assert_eq!(open.iter().filter(|credential| credential.state == "issued").count(), 2, "{open:?}");
}

/// Weakness 5: a stolen token shows, and the family ends with an alarm.
#[tokio::test]
async fn a_stolen_refresh_token_ends_the_family_with_an_alarm() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let thief = read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    assert_eq!(beats(&face, &thief).await, StatusCode::NO_CONTENT);
    assert_eq!(beats(&face, &held).await, StatusCode::UNAUTHORIZED, "the owner comes for the next");
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::FORBIDDEN);
    assert_eq!(beats(&face, &thief).await, StatusCode::FORBIDDEN, "at once, for the thief too");
    assert_eq!(refresh(&face, &thief.refresh).await.status, StatusCode::FORBIDDEN);
    let told = face.world.audit().await;
    let alarm = told.iter().find(|entry| entry.action == "credential.copied").expect("an alarm");
    assert_eq!((alarm.reason.as_str(), alarm.object.contains(&held.id)), ("alarm", true));
}

/// Weakness 1: an operator brings such a host back, without deleting it.
#[tokio::test]
async fn a_host_that_lost_its_credentials_comes_back_by_another_token_under_the_same_id() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let answer = face.admin(bare(&format!("/v1/hosts/{}/token", held.id))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let token = text(&answer.json()["registration_token"]);
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT, "nothing ends before it is used");
    let back = read(&register(&face, &token).await, StatusCode::CREATED);
    assert_eq!(back.id, held.id);
    assert_eq!(beats(&face, &back).await, StatusCode::NO_CONTENT);
    assert_eq!(beats(&face, &held).await, StatusCode::FORBIDDEN);
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::FORBIDDEN);
}

/// Weakness 6: a token that is made anew ends those before it, and none is kept in the clear.
#[tokio::test]
async fn another_token_ends_the_one_before_it() {
    let face = Face::new().await;
    let (id, first) = created(&face).await;
    let second = face.admin(bare(&format!("/v1/hosts/{id}/token"))).await.json();
    assert_eq!(register(&face, &first).await.status, StatusCode::UNAUTHORIZED);
    read(&register(&face, &text(&second["registration_token"])).await, StatusCode::CREATED);
}

/// Weaknesses 9 and 15, requirement 3: 404 tells a retired host to end itself, and nothing else is answered so.
#[tokio::test]
async fn a_heartbeat_is_answered_404_by_a_retired_host_alone() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let other = in_use(&face).await;
    for (id, jwt, expected) in [
        ("host-0000000000000000000000000", held.jwt.as_str(), StatusCode::BAD_REQUEST),
        ("x", held.jwt.as_str(), StatusCode::BAD_REQUEST),
        (other.id.as_str(), held.jwt.as_str(), StatusCode::FORBIDDEN),
        (held.id.as_str(), "a.b.c", StatusCode::UNAUTHORIZED),
        (held.id.as_str(), "", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(face.stranger(beat(id, jwt)).await.status, expected, "{id} {jwt}");
    }
    let nothing = face.stranger(bare(&format!("/v1/hosts/{}/heartbeat", held.id))).await;
    assert_eq!(nothing.status, StatusCode::UNAUTHORIZED);
    let deleted = Request::delete(format!("/v1/hosts/{}?force=true", held.id)).body(Body::empty());
    assert_eq!(face.admin(deleted.expect("a request")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(beats(&face, &held).await, StatusCode::NOT_FOUND);
    later(&face, 30 * DAY);
    assert_eq!(beats(&face, &held).await, StatusCode::NOT_FOUND, "one that was away for long learns it too");
    assert_eq!(host(&face, &held.id).await["error"]["code"], "not_found");
}

/// Requirement 3: what the agent comes back from by itself is no answer. An operator's pause is 503 here, and the connection
/// ends before that is said; neither 401 nor 403, which it gives up by, also where its JWT is over.
#[tokio::test]
async fn a_suspended_host_is_never_told_to_give_up_and_goes_on_once_it_is_resumed() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let admin = face.world.admin();
    face.world.app.suspend(machine_id(&held.id), None, &admin).await.expect("suspended");
    let answer = face.stranger(beat(&held.id, &held.jwt)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "suspended".to_owned()));
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    later(&face, DAY);
    assert_eq!(beats(&face, &held).await, StatusCode::SERVICE_UNAVAILABLE, "it would refresh, and give up");
    let next = face.world.machine(&held.id).await;
    assert_eq!(next.credentials.iter().filter(|one| one.state == "issued").count(), 1, "nothing was issued");
    face.world.app.resume(machine_id(&held.id), None, &admin).await.expect("resumed");
    assert_eq!(beats(&face, &held).await, StatusCode::UNAUTHORIZED, "a day went by: it refreshes");
    let next = read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    assert_eq!(beats(&face, &next).await, StatusCode::NO_CONTENT);
}

/// Weakness 16: a revocation bites at the next heartbeat, whatever the JWT says of its life. 403 with a refresh that fails is
/// what ends the agent's heartbeats for good.
#[tokio::test]
async fn a_revoked_host_is_told_at_once_to_give_up() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let admin = face.world.admin();
    face.world.app.revoke(machine_id(&held.id), None, None, false, &admin).await.expect("revoked");
    assert_eq!(beats(&face, &held).await, StatusCode::FORBIDDEN);
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::FORBIDDEN);
}

/// Weakness 2, requirement 3: what passes is 503, and no host is sent to refresh while that cannot succeed.
#[tokio::test]
async fn trouble_with_the_store_is_503_and_never_401() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    face.world.faults().before("credential.refresh");
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let mark = face.world.app.look(None).await.expect("a look");
    later(&face, DAY);
    assert_eq!(
        beats(&face, &held).await,
        StatusCode::SERVICE_UNAVAILABLE,
        "over, and nothing can be changed"
    );
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    face.world.app.look(Some(&mark)).await.expect("a look");
    assert_eq!(beats(&face, &held).await, StatusCode::UNAUTHORIZED, "now it can succeed");
    read(&refresh(&face, &held.refresh).await, StatusCode::OK);
}

/// A database that was put back does not know the newest tokens: nothing is said of them until an operator accepts that.
#[tokio::test]
async fn an_older_database_ends_no_host() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    let mark = face.world.app.look(None).await.expect("a look");
    let newest = mark.newest.map(|place| EntryPlace { seq: place.seq + 30, id: AuditId::new(9, [9; 10]) });
    face.world.app.look(Some(&Mark { newest, ..mark })).await.expect("a look");
    later(&face, DAY);
    assert_eq!(beats(&face, &held).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refresh(&face, &held.refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(register(&face, "TOK1").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Weakness 8: both tokens are in every answer, because the agent overwrites what it has by what is missing.
#[tokio::test]
async fn a_refresh_that_succeeds_always_carries_everything() {
    let face = Face::new().await;
    let mut held = in_use(&face).await;
    for _ in 0..3 {
        for _ in 0..2 {
            let answer = refresh(&face, &held.refresh).await.json();
            for field in ["host", "token", "refresh_token", "cert_pem", "key_pem", "ca_cert_pem"] {
                assert!(answer.get(field).is_some_and(|value| value != "" && !value.is_null()), "{field}");
            }
        }
        held = read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    }
}

/// Weakness 11: the certificate outlives the JWT beside it by days.
#[tokio::test]
async fn the_certificate_does_not_lapse_between_refreshes() {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let face = Face::new().await;
    let (_, token) = created(&face).await;
    let answer = register(&face, &token).await;
    let der = muster_testkit::world::leaf(&text(&answer.json()["cert_pem"]));
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    let exp = claims(&text(&answer.json()["token"]))["exp"].as_i64().expect("a time");
    assert!(certificate.validity().not_after.timestamp() >= exp + 5 * DAY);
}

/// Whom a host lets in: callers, whose authority certifies no machine. What it shows itself is of the machines' authority.
#[tokio::test]
async fn a_host_is_given_the_authority_of_callers_and_no_other() {
    let face = Face::new().await;
    let (_, token) = created(&face).await;
    let answer = register(&face, &token).await;
    let held = read(&answer, StatusCode::CREATED);
    let next = refresh(&face, &held.refresh).await;
    let authority = face.world.app.authority();
    for answer in [&answer, &next] {
        assert_eq!(answer.json()["ca_cert_pem"], authority.callers_pem());
        assert!(text(&answer.json()["cert_pem"]).ends_with(&authority.chain_pem()));
    }
    let csr = data_encoding::BASE64.encode(&muster_testkit::world::Device::new("cp").csr());
    let ask = || post("/v1/callers", &json!({"name": "wrenn-cp", "csr": csr}));
    assert_eq!(face.stranger(ask()).await.status, StatusCode::UNAUTHORIZED);
    let made = face.admin(ask()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json()["authorities"], authority.roots_pem().concat());
}

/// Weakness 12: what the host says of its address stands in no certificate; what an operator gave it does.
#[tokio::test]
async fn the_address_in_a_certificate_is_the_operators_word() {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let names = |answer: &Answer| {
        let der = muster_testkit::world::leaf(&text(&answer.json()["cert_pem"]));
        let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
        let names = certificate.subject_alternative_name().expect("once").expect("there").value;
        names
            .general_names
            .iter()
            .map(|name| matches!(name, GeneralName::IPAddress([10, 0, 0, 5])))
            .collect::<Vec<_>>()
    };
    let face = Face::new().await;
    let (id, token) = created(&face).await;
    let answer = register(&face, &token).await;
    assert_eq!(names(&answer), [false], "our own name alone");
    let given = ("address", Some("10.0.0.5"));
    face.world.app.set_label(machine_id(&id), given, &face.world.admin()).await.expect("given");
    let held = read(&answer, StatusCode::CREATED);
    assert_eq!(names(&refresh(&face, &held.refresh).await), [false, true]);
}

/// Weakness 14: bodies are bounded, and whoever guesses pays; a token that holds is never refused for what others try.
#[tokio::test]
async fn guesses_are_limited_and_hosts_behind_one_address_are_not() {
    let few = std::num::NonZeroU32::new(1).expect("not zero");
    let face = Face::of(muster_testkit::world::World::new().await, |config| {
        (config.anonymous_per_second, config.anonymous_burst) = (few, few);
    });
    let held = in_use(&face).await;
    let guesses = [refresh(&face, "guess").await.status, refresh(&face, "guess").await.status];
    assert!(guesses.contains(&StatusCode::TOO_MANY_REQUESTS), "{guesses:?}");
    for _ in 0..3 {
        assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT);
        read(&refresh(&face, &held.refresh).await, StatusCode::OK);
    }
    let large = format!(r#"{{"refresh_token":"{}"}}"#, "x".repeat(100_000));
    let large = face.stranger(post_as("/v1/hosts/register", "application/json", large)).await;
    assert_eq!(large.status, StatusCode::TOO_MANY_REQUESTS);
    let (_, token) = created(&face).await;
    read(&register(&face, &token).await, StatusCode::CREATED);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_host_and_a_site_is_the_configured_one() {
    let world = muster_testkit::world::World::new().await;
    world.site("plant", |_| {}).await;
    let face = Face::of(world, |config| config.request_site = Some("plant".parse().expect("a code")));
    let ask = |key: &str| with(post("/v1/hosts", &json!({"type": "regular"})), "idempotency-key", key);
    let made = face.admin(ask("once")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(face.admin(ask("once")).await.json()["registration_token"], made.json()["registration_token"]);
    assert_ne!(face.admin(ask("twice")).await.json()["host"]["id"], made.json()["host"]["id"]);
    let machines = face.world.machines().await;
    assert_eq!(machines.len(), 2);
    assert!(machines.iter().all(|machine| machine.site == "plant"));
}

/// It would come back without its nick having been freed.
#[tokio::test]
async fn a_software_agent_is_no_host() {
    let face = Face::new().await;
    let agent = json!({"nick": "w-one", "channels": ["#general"]});
    assert_eq!(face.admin(post("/v1/agents/register", &agent)).await.status, StatusCode::CREATED);
    assert_eq!(face.admin(bare("/v1/agents/w-one/revoke")).await.status, StatusCode::NO_CONTENT);
    let id = text(&face.admin(get("/v1/machines")).await.json()["items"][0]["id"]);
    let refused = face.admin(bare(&format!("/v1/hosts/{id}/token"))).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "wrong_state"));
}

/// Every error is the envelope that the agent prints from.
#[tokio::test]
async fn errors_are_the_envelope_that_the_agent_prints() {
    let face = Face::new().await;
    let missing = face.stranger(post_as("/v1/hosts/register", "application/json", r#"{"token":"T"}"#)).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert!(text(&missing.json()["error"]["message"]).contains("address"));
    let broken = face.stranger(post_as("/v1/hosts/register", "application/json", "{")).await;
    assert_eq!((broken.status, broken.json()["error"]["code"].is_string()), (StatusCode::BAD_REQUEST, true));
    let (_, token) = created(&face).await;
    let more = REGISTER.replace("TOK1", &token).replace('}', r#","kernel":"6.1"}"#);
    let more = face.stranger(post_as("/v1/hosts/register", "application/json", more)).await;
    read(&more, StatusCode::CREATED);
    let nowhere = face.stranger(get("/v1/hosts/a/b/c")).await;
    assert_eq!((nowhere.status, nowhere.code()), (StatusCode::NOT_FOUND, "not_found".to_owned()));
}

/// Presence without a channel: online while heard of, no write while nothing changes.
#[tokio::test]
async fn a_host_is_online_while_it_beats_and_the_steady_state_costs_no_write() {
    let face = Face::new().await;
    let held = in_use(&face).await;
    face.world.app.flush_presence().await;
    let writes = face.world.writes();
    for _ in 0..100 {
        later(&face, 30);
        assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT);
        face.world.app.flush_presence().await;
        assert_eq!(host(&face, &held.id).await["status"], "online");
    }
    assert_eq!(face.world.writes(), writes);
    later(&face, 90);
    face.world.app.flush_presence().await;
    assert_eq!(
        (host(&face, &held.id).await["status"].clone(), face.world.writes()),
        (json!("unreachable"), writes + 1)
    );
    assert_eq!(beats(&face, &held).await, StatusCode::NO_CONTENT);
    assert_eq!(host(&face, &held.id).await["status"], "online", "a heartbeat brings it back");
}

/// What operators of this wire do.
#[tokio::test]
async fn operators_list_tag_preview_and_delete_hosts() {
    let face = Face::new().await;
    let body =
        json!({"type": "byoc", "team_id": "team-1", "provider": "hetzner", "availability_zone": "fsn1"});
    let made = face.admin(post("/v1/hosts", &body)).await.json();
    let id = text(&made["host"]["id"]);
    for (name, value) in body.as_object().expect("an object") {
        assert_eq!(&made["host"][name], value);
    }
    assert!(text(&made["host"]["created_by"]).starts_with("usr_"));
    let wrong = face.admin(post("/v1/hosts", &json!({"type": "other"}))).await;
    assert_eq!((wrong.status, wrong.json()["error"]["code"].is_string()), (StatusCode::BAD_REQUEST, true));
    let tags = format!("/v1/hosts/{id}/tags");
    for tag in ["gpu", "eu"] {
        assert_eq!(face.admin(post(&tags, &json!({"tag": tag}))).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(face.admin(get(&tags)).await.json(), json!(["eu", "gpu"]));
    let gone = Request::delete(format!("{tags}/eu")).body(Body::empty()).expect("a request");
    assert_eq!(face.admin(gone).await.status, StatusCode::NO_CONTENT);
    assert_eq!(face.admin(get(&tags)).await.json(), json!(["gpu"]));
    let list = face.admin(get("/v1/hosts")).await.json();
    assert_eq!((list.as_array().map(Vec::len), &list[0]["id"]), (Some(1), &json!(id)));
    let preview = face.admin(get(&format!("/v1/hosts/{id}/delete-preview"))).await.json();
    assert_eq!((&preview["host"]["id"], &preview["sandbox_ids"]), (&json!(id), &json!([])));
    let delete = || Request::delete(format!("/v1/hosts/{id}")).body(Body::empty()).expect("a request");
    assert_eq!(face.admin(delete()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(face.admin(delete()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(face.admin(get("/v1/hosts")).await.json(), json!([]));
}

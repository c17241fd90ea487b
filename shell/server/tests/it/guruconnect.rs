//! The wire of the GuruConnect agent, in the bytes that it sends and the statuses that it acts on.
//!
//! What is known to be weak in its own server, each with the test that shows it is not so here (in this file, where no other
//! is named):
//!
//! 1. The collision gate undoes itself: `a_collision_is_202_for_ever_and_no_column_of_the_machine_changes`.
//! 2. The same branch passes by the guard between sites: `a_key_of_another_site_takes_no_machine_and_learns_nothing_of_its_site`.
//! 3. Re-use revokes no older key: `a_re_image_by_policy_is_200_and_ends_every_older_key`.
//! 4. `pending` is enforced nowhere: `who_waits_holds_nothing_that_opens_anything`.
//! 5. Site codes are told by time: `q_09_every_wrong_site_or_key_is_one_401_byte_for_byte`; counted in `shell/app`,
//!    `enroll::imported::q_09_every_refusal_costs_the_same_number_of_runs`.
//! 6. Random codes get unlimited runs, inline: `q_10_random_codes_from_one_source_cost_a_bounded_number_of_password_hashes`; `shell/app`,
//!    `kdf::tests::one_runs_at_a_time_a_bounded_number_waits_and_the_rest_is_sent_away`.
//! 7. One client locks an office out: `q_10_who_guesses_is_slowed_down_and_a_key_that_holds_is_not`. There is no lock-out that a restart could lose.
//! 8. Enrolling makes a machine online: `a_machine_is_online_by_what_is_heard_of_it_and_not_by_enrolling`.
//! 9. What was removed comes back: `a_machine_that_an_operator_removed_does_not_come_back_by_itself`.
//! 10. Hardware ids drift and clones share them: `what_a_person_approves_admits_this_claimant_once`; `shell/app`,
//!     `enroll::keyless::another_machine_of_the_same_hardware_gets_a_key_of_its_own`. Of hardware that changed its id nobody knows: it is a new
//!     machine.
//! 11. Hardware in two tenants is a 500: `core/lifecycle`,
//!     `row_6_hardware_of_another_tenant_is_not_among_the_facts_and_changes_nothing`.
//! 12. A crash leaves a machine without a key: `shell/app`,
//!     `enroll::imported::whenever_the_server_dies_the_same_first_call_gets_one_machine_and_one_key`.
//! 13. A rotation whose answer is lost, or two at once: `a_sites_key_is_shown_by_generation_and_rotated_once_for_one_idempotency_key`,
//!     `two_rotations_at_once_are_two_generations`.
//! 14. No text is bounded, and refusals fill the log: `q_46_every_text_is_bounded_and_what_is_too_long_or_empty_is_400`; `shell/app`,
//!     `audit::refusals_are_told_at_once_and_coalesced_when_they_flood`.
//! 15. An empty credential file enrolls anew: a matter of its client; our agent's answer is in `shell/muster`,
//!     `adopted_client::what_is_no_credential_of_ours_is_told_with_what_to_do`.
//! 16. Keys in query strings: `q_27_a_key_in_a_query_is_not_read`. A site's key lets in hardware that is not known, and takes none
//!     that is: 1, 2 and 9.
//! 17. Nobody can confirm, and 429 says not when: `what_a_person_approves_admits_this_claimant_once`,
//!     `q_10_who_guesses_is_slowed_down_and_a_key_that_holds_is_not`.

use http::{Request, StatusCode};
use muster_model::{Secret, SecretForm, SecretKind, SignedDuration};
use muster_testkit::world::World;
use muster_wire::access::CreateToken;
use muster_wire::grant::CreateGrant;
use serde_json::{Value, json};

use crate::face::{Answer, Face, get, post_as, with};

/// The body of a real run, with the key and the names of the test.
fn recorded(key: &str, machine_uid: &str, hostname: &str) -> String {
    format!(
        r#"{{"site_code":"default","enrollment_key":"{key}","machine_uid":"{machine_uid}","hostname":"{hostname}","labels":{{"company":"Acme","tags":["prod","x"]}}}}"#
    )
}

async fn enroll(face: &Face, body: impl Into<String>) -> Answer {
    face.stranger(post_as("/api/enroll", "application/json", body.into())).await
}

async fn asks(face: &Face, key: &str, hostname: &str) -> Answer {
    enroll(face, recorded(key, "muid_test", hostname)).await
}

/// A key of the site, as this wire makes it.
async fn rotated(face: &Face) -> Value {
    rotated_at(face, "default").await
}

async fn rotated_at(face: &Face, site: &str) -> Value {
    let answer = face.admin(bare("POST", &format!("/api/sites/{site}/enrollment-key/rotate"))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

async fn site_key(face: &Face) -> String {
    text(&rotated(face).await["key"])
}

fn bare(method: &str, path: &str) -> Request<axum::body::Body> {
    Request::builder().method(method).uri(path).body(axum::body::Body::empty()).expect("a request")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Status and code of an error, in the envelope that its clients read.
fn error(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body["status_code"], answer.status.as_u16(), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    assert_eq!(body.as_object().map(|fields| fields.len()), Some(3), "{body}");
    (answer.status.as_u16(), text(&body["error_code"]))
}

async fn introspect(face: &Face, token: &str) -> Value {
    let body = format!("token={token}&token_type_hint=access_token");
    let asked = post_as("/api/introspect", "application/x-www-form-urlencoded", body);
    let answer = face.admin(asked).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

async fn is_active(face: &Face, token: &str) -> bool {
    introspect(face, token).await["active"] == json!(true)
}

async fn holds(face: &Face) -> Vec<Value> {
    face.admin(get("/v1/holds")).await.json()["items"].as_array().cloned().expect("items")
}

async fn approve(face: &Face, hold: &Value, choice: &str) {
    let path = format!("/v1/holds/{}/approve", text(&hold["id"]));
    let approved = face.admin(crate::face::post(&path, &json!({"as": choice}))).await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
}

async fn machine(face: &Face, id: &str) -> Value {
    face.admin(get(&format!("/v1/machines/{id}"))).await.json()
}

/// 200 and 201 carry the four fields that the client insists on.
#[tokio::test]
async fn a_new_machine_is_201_with_its_key_and_the_same_call_again_is_200_with_the_same() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await;
    let body = first.json();
    assert_eq!(first.status, StatusCode::CREATED, "{body}");
    assert_eq!((&body["enrollment_state"], &body["disposition"]), (&json!("active"), &json!("new")));
    let cak = text(&body["key"]);
    assert!(cak.len() == 68 && cak.starts_with("cak_"), "{cak}");
    let again = asks(&face, &key, "WS-01").await;
    assert_eq!((again.status, text(&again.json()["key"])), (StatusCode::OK, cak));
    assert_eq!(again.json()["disposition"], "reuse");

    let shown = machine(&face, &text(&body["machine_id"])).await;
    assert_eq!(shown["attributes"], json!({"company": "Acme", "tags": "prod,x"}));
    assert_eq!((&shown["hostname"], &shown["hardware_id"]), (&json!("WS-01"), &json!("muid_test")));
}

/// "The collision gate undoes itself", "the same branch bypasses the cross-site guard": decided before any write, and
/// pending until an operator confirms, however often the client asks.
#[tokio::test]
async fn a_collision_is_202_for_ever_and_no_column_of_the_machine_changes() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    let id = text(&first["machine_id"]);
    let before = machine(&face, &id).await;
    for minutes in [0, 5, 10, 15] {
        face.world.clock.advance(SignedDuration::from_mins(minutes));
        let held = asks(&face, &key, "WS-02").await;
        assert_eq!(held.status, StatusCode::ACCEPTED, "{held:?}");
        let body = held.json();
        assert_eq!(body["enrollment_state"], "pending");
        assert!(body.get("key").is_none() && body["machine_id"] != id.as_str(), "{body}");
    }
    assert_eq!(holds(&face).await.len(), 1, "one question is one hold");
    let mut now = machine(&face, &id).await;
    now["contested_by"] = before["contested_by"].clone();
    assert_eq!(now, before);
    assert!(is_active(&face, &text(&first["key"])).await, "its key works");
}

/// The hijack that 409 was added to stop: with a key for site B nobody takes a machine of site A.
#[tokio::test]
async fn a_key_of_another_site_takes_no_machine_and_learns_nothing_of_its_site() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    face.world.site("phx", |_| {}).await;
    let rotated = face.admin(bare("POST", "/api/sites/phx/enrollment-key/rotate")).await.json();
    for hostname in ["WS-01", "WS-01", "WS-99", "WS-99"] {
        let other = recorded(&text(&rotated["key"]), "muid_test", hostname).replace("default", "phx");
        let held = enroll(&face, other).await;
        assert_eq!(held.status, StatusCode::ACCEPTED);
        assert!(!held.text().contains("default") && !held.text().contains(&text(&first["machine_id"])));
    }
    assert_eq!(holds(&face).await[0]["reason"], "site_mismatch");
    assert_eq!(machine(&face, &text(&first["machine_id"])).await["site"], "default");
    assert!(is_active(&face, &text(&first["key"])).await);
}

/// "Reuse never revokes old keys": a re-use by the site's policy ends them in the same transaction.
#[tokio::test]
async fn a_re_image_by_policy_is_200_and_ends_every_older_key() {
    let face = Face::new().await;
    face.world.site("plant", |site| site.reimage = Some("same_name".to_owned())).await;
    let key = text(&rotated_at(&face, "plant").await["key"]);
    let asks = async |hostname: &str| {
        enroll(&face, recorded(&key, "muid_test", hostname).replace("default", "plant")).await
    };
    let first = asks("WS-01").await.json();
    face.world.clock.advance(SignedDuration::from_hours(2));
    let second = asks("WS-01").await;
    assert_eq!((second.status, &second.json()["disposition"]), (StatusCode::OK, &json!("reuse")));
    assert_eq!(second.json()["machine_id"], first["machine_id"]);
    assert!(!is_active(&face, &text(&first["key"])).await);
    assert!(is_active(&face, &text(&second.json()["key"])).await);
}

/// A relay may tell of a machine once a day: that nobody heard of it is no sign that it is gone. So a site's key alone
/// takes no machine, unless the site's policy says so.
#[tokio::test]
async fn a_site_key_takes_no_machine_that_nobody_heard_of_lately() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    assert!(is_active(&face, &text(&first["key"])).await);
    face.world.clock.advance(SignedDuration::from_hours(48));
    for hostname in ["WS-01", "pwn"] {
        assert_eq!(asks(&face, &key, hostname).await.status, StatusCode::ACCEPTED, "{hostname}");
    }
    assert!(is_active(&face, &text(&first["key"])).await);
}

#[tokio::test]
async fn what_a_person_approves_admits_this_claimant_once() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    asks(&face, &key, "WS-02").await;
    approve(&face, &holds(&face).await[0], "same").await;
    assert!(!is_active(&face, &text(&first["key"])).await, "older keys end with the approval");
    assert_eq!(asks(&face, &key, "WS-03").await.status, StatusCode::ACCEPTED, "it is not for anybody");
    face.world.clock.advance(SignedDuration::from_mins(5));
    let second = asks(&face, &key, "WS-02").await;
    assert_eq!((second.status, &second.json()["machine_id"]), (StatusCode::OK, &first["machine_id"]));
    face.world.clock.advance(SignedDuration::from_hours(1));
    let path = format!("/v1/machines/{}/revoke", text(&first["machine_id"]));
    face.admin(crate::face::post(&path, &json!({}))).await;
    assert_eq!(asks(&face, &key, "WS-02").await.status, StatusCode::ACCEPTED, "the approval is used up");
}

#[tokio::test]
async fn who_waits_holds_nothing_that_opens_anything() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    let held = asks(&face, &key, "WS-02").await;
    assert!(!held.text().contains("cak_"), "{held:?}");
    let keys = face.admin(get(&format!("/api/machines/{}/keys", text(&first["machine_id"])))).await.json();
    assert_eq!(
        keys["keys"].as_array().map(Vec::len),
        Some(1),
        "one key was ever made, and not for who waits"
    );
}

/// "A quick rename and a re-image look like a clone": whether it is online is what is heard of it.
#[tokio::test]
async fn a_machine_is_online_by_what_is_heard_of_it_and_not_by_enrolling() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    let id = text(&first["machine_id"]);
    assert_eq!(machine(&face, &id).await["online"], false);
    assert!(is_active(&face, &text(&first["key"])).await);
    assert_eq!(machine(&face, &id).await["online"], true, "its relay asked whose key it was shown");
}

/// What an installer says of a machine is what it says now: at re-use it takes the place of what was said before, also where
/// nothing is said any more. A hold changes none of it.
#[tokio::test]
async fn at_re_use_labels_are_those_of_the_new_call_also_where_it_has_none() {
    let face = Face::new().await;
    face.world.site("plant", |site| site.reimage = Some("same_name".to_owned())).await;
    let key = text(&rotated_at(&face, "plant").await["key"]);
    let labels = r#"{"company":"Acme","tags":["prod","x"]}"#;
    let says = |hostname: &str, said: &str| {
        recorded(&key, "muid_test", hostname).replace("default", "plant").replace(labels, said)
    };
    let id = text(&enroll(&face, says("WS-01", labels)).await.json()["machine_id"]);
    let attributes = async || machine(&face, &id).await["attributes"].clone();
    assert_eq!(attributes().await, json!({"company": "Acme", "tags": "prod,x"}));
    let other = r#"{"department":"lab","tags":["y"]}"#;
    for (said, expected) in [(other, json!({"department": "lab", "tags": "y"})), ("{}", json!({}))] {
        face.world.clock.advance(SignedDuration::from_hours(2));
        let again = enroll(&face, says("WS-01", said)).await;
        assert_eq!((again.status, &again.json()["machine_id"]), (StatusCode::OK, &json!(id)), "{again:?}");
        assert_eq!(attributes().await, expected, "{said}");
    }
    assert_eq!(enroll(&face, says("WS-02", other)).await.status, StatusCode::ACCEPTED);
    assert_eq!(attributes().await, json!({}), "who waits changes nothing");
}

#[tokio::test]
async fn two_rotations_at_once_are_two_generations() {
    let face = Face::new().await;
    let (one, other) = tokio::join!(rotated(&face), rotated(&face));
    let mut versions = [one["version"].clone(), other["version"].clone()].map(|version| version.as_u64());
    versions.sort_unstable();
    assert_eq!(versions, [Some(1), Some(2)]);
    let newest = if one["version"] == 2 { &one } else { &other };
    let oldest = if one["version"] == 2 { &other } else { &one };
    assert_eq!(asks(&face, &text(&oldest["key"]), "WS-01").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(asks(&face, &text(&newest["key"]), "WS-01").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn q_27_a_key_in_a_query_is_not_read() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let cak = text(&asks(&face, &key, "WS-01").await.json()["key"]);
    let path = format!("/api/introspect?token={cak}");
    let asked = post_as(&path, "application/x-www-form-urlencoded", String::new());
    assert_eq!(error(&face.admin(asked).await), (400, "INVALID_REQUEST".into()));
    let by_query = face.stranger(get(&format!("/v1/machines/self?api_key={cak}&access_token={cak}"))).await;
    assert_eq!(by_query.status, StatusCode::UNAUTHORIZED);
}

/// "Operator removal is not durable": what was retired stays retired.
#[tokio::test]
async fn a_machine_that_an_operator_removed_does_not_come_back_by_itself() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let first = asks(&face, &key, "WS-01").await.json();
    let id = text(&first["machine_id"]);
    face.admin(crate::face::post(&format!("/v1/machines/{id}/retire"), &json!({}))).await;
    assert!(!is_active(&face, &text(&first["key"])).await);
    face.world.clock.advance(SignedDuration::from_hours(30));
    assert_eq!(asks(&face, &key, "WS-01").await.status, StatusCode::ACCEPTED);
    assert_eq!(machine(&face, &id).await["state"], "retired");
    assert_eq!(holds(&face).await[0]["reason"], "was_removed");
}

/// 409: an operator must act, and there is no hold that says so.
#[tokio::test]
async fn whom_a_person_turned_away_and_who_finds_no_place_to_wait_is_409() {
    let mut settings_face = Face::of(World::with(|settings| settings.hold_cap = 1).await, |_| {});
    let face = &mut settings_face;
    let key = site_key(face).await;
    asks(face, &key, "WS-01").await;
    asks(face, &key, "WS-02").await;
    enroll(face, recorded(&key, "muid_other", "WS-05")).await;
    let full = enroll(face, recorded(&key, "muid_other", "WS-06")).await;
    assert_eq!(error(&full), (409, "ENROLL_TOO_MANY_PENDING".into()));
    let path = format!("/v1/holds/{}/reject", text(&holds(face).await[0]["id"]));
    face.admin(crate::face::post(&path, &json!({"reason": "not ours"}))).await;
    let rejected = asks(face, &key, "WS-02").await;
    assert_eq!(error(&rejected), (409, "ENROLL_REJECTED_BY_OPERATOR".into()));

    let grant = CreateGrant { machine_kind: Some("worker".into()), uses: Some(0), ..CreateGrant::default() };
    let token = face.world.token(grant).await;
    let wrong = enroll(face, recorded(&token, "muid_worker", "WS-09")).await;
    assert_eq!(error(&wrong), (409, "ENROLL_WRONG_KIND".into()));
}

/// "Timing oracle turned around": known or unknown site, un-prefixed or wrong key, rotated or of another site, all are
/// one answer, byte for byte; each took the same way, for the refusal is settled like every other.
#[tokio::test]
async fn q_09_every_wrong_site_or_key_is_one_401_byte_for_byte() {
    let face = Face::new().await;
    let old = site_key(&face).await;
    let key = site_key(&face).await;
    face.world.site("phx", |_| {}).await;
    let wrong = Secret::formed(SecretForm::Prefixed, SecretKind::Enroll, [0; 10], [9; 32]).reveal();
    let bodies = [
        recorded("cek_secret", "muid_test", "WS-01"),
        recorded("secret", "muid_test", "WS-01"),
        recorded(&wrong, "muid_test", "WS-01"),
        recorded(&old, "muid_test", "WS-01"),
        recorded(&key.to_uppercase(), "muid_test", "WS-01"),
        recorded(&key, "muid_test", "WS-01").replace("default", "phx"),
        recorded(&key, "muid_test", "WS-01").replace("default", "NOWHERE"),
        recorded("secret", "muid_test", "WS-01").replace("default", "NOWHERE"),
    ];
    let mut answers = Vec::new();
    for body in bodies {
        let answer = enroll(&face, body).await;
        assert_eq!(error(&answer), (401, "ENROLL_REJECTED".into()));
        assert_eq!(answer.json()["detail"], "Invalid site code or enrollment key");
        let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| *name != "x-request-id").collect();
        answers.push((format!("{headers:?}"), answer.body));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

/// "No length limits"; a NUL in a hardware id left no trace.
#[tokio::test]
async fn q_46_every_text_is_bounded_and_what_is_too_long_or_empty_is_400() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let long = "x".repeat(300);
    let good = recorded(&key, "muid_test", "WS-01");
    let bad = [
        good.replace("WS-01", &long),
        good.replace("muid_test", &long),
        good.replace("default", &long),
        good.replace("Acme", &long),
        good.replace("prod", &long),
        good.replace("muid_test", "muid_\\u0000"),
        good.replace("WS-01", "  "),
        good.replace("muid_test", ""),
        good.replace("default", ""),
        good.replace(&key, ""),
        good.replace("\"hostname\"", "\"host\""),
        "{}".to_owned(),
        "[".to_owned(),
    ];
    for body in bad {
        let answer = enroll(&face, body.clone()).await;
        assert_eq!(error(&answer), (400, "INVALID_REQUEST".into()), "{body}");
        assert!(!answer.text().contains(&key));
    }
    let media = face.stranger(post_as("/api/enroll", "text/plain", good)).await;
    assert_eq!(error(&media), (415, "INVALID_REQUEST".into()));
    assert!(face.world.machines().await.is_empty());
}

#[tokio::test]
async fn what_an_agent_says_beyond_its_contract_is_passed_over_and_names_are_trimmed() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let body = recorded(&key, " muid_test ", " WS-01 ")
        .replace("\"labels\"", "\"agent_version\":\"9.9\",\"labels\"")
        .replace("\"company\":\"Acme\"", "\"company\":\"\",\"rack\":7");
    assert_eq!(enroll(&face, body).await.status, StatusCode::CREATED);
    let none =
        recorded(&key, "muid_b", "WS-02").replace(r#","labels":{"company":"Acme","tags":["prod","x"]}"#, "");
    assert_eq!(enroll(&face, none).await.status, StatusCode::CREATED);
}

/// "Limiter buckets are per attacker-chosen site code", "one bad client behind a NAT locks out a whole office" (Q-10).
#[tokio::test]
async fn q_10_who_guesses_is_slowed_down_and_a_key_that_holds_is_not() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let mut last = asks(&face, "guess", "WS-01").await;
    for _ in 0..100 {
        last = asks(&face, "guess", "WS-01").await;
    }
    assert_eq!(error(&last), (429, "RATE_LIMITED".into()));
    assert!(last.header("retry-after").is_some(), "429 says when");
    assert_eq!(asks(&face, &key, "WS-01").await.status, StatusCode::CREATED);
}

/// A valid key is heard whatever the others behind its address have tried, with whatever sites and bodies.
#[tokio::test]
async fn q_10_an_office_whose_places_are_spent_still_enrolls_by_a_key_that_holds() {
    let few = std::num::NonZeroU32::new(1).expect("not zero");
    let face = Face::of(muster_testkit::world::World::new().await, |config| {
        (config.anonymous_per_second, config.anonymous_burst) = (few, few);
    });
    let key = site_key(&face).await;
    let mut said = Vec::new();
    for n in 0..4 {
        let guess = recorded("cek_guess", "muid_test", "WS-01").replace("default", &format!("code-{n}"));
        said.push(enroll(&face, guess).await.status);
    }
    assert_eq!(said[1..], [StatusCode::TOO_MANY_REQUESTS; 3], "guesses at many sites are counted together");
    assert_eq!(enroll(&face, "{").await.status, StatusCode::TOO_MANY_REQUESTS, "and so is nonsense");
    assert_eq!(asks(&face, &key, "WS-01").await.status, StatusCode::CREATED);
    assert_eq!(asks(&face, &key, "WS-01").await.status, StatusCode::OK);
}

/// A key of the other server, and the hash that it kept: all that an operator can bring along.
const BROUGHT: (&str, &str) = (
    "cek_0101010101010101010101010101010101010101010101010101010101010101",
    "$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$kVww0f9H9a0ESYzo2z81kmRp9IOavsCv6bRQiN2SEN0",
);

async fn bring(face: &Face, site: &str) -> Answer {
    let body = json!({"phc": BROUGHT.1, "version": 3});
    face.admin(crate::face::post(&format!("/v1/sites/{site}/import-key"), &body)).await
}

#[tokio::test]
async fn a_key_that_was_brought_along_lets_in_as_every_other_and_is_never_shown() {
    let face = Face::new().await;
    let brought = bring(&face, "default").await;
    assert_eq!(brought.status, StatusCode::CREATED, "{brought:?}");
    assert_eq!(brought.json()["generation"], "v3 (????)");
    let shown = face.admin(get("/api/sites/default/enrollment-key")).await.json();
    assert_eq!((&shown["version"], &shown["fingerprint"]), (&json!(3), &json!("????")));
    let first = asks(&face, BROUGHT.0, "WS-01").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert_eq!(asks(&face, BROUGHT.0, "WS-01").await.json()["key"], first.json()["key"]);
    assert_eq!(face.world.app.password_hashes_run(), 1);
    assert_eq!(bring(&face, "default").await.json()["shown"], true);
    let shown = face.admin(get("/api/sites/default/enrollment-key")).await.json();
    assert_ne!(shown["fingerprint"], "????");
    let log = face.admin(get("/v1/audit")).await.text();
    assert!(!log.contains("argon2") && !log.contains("cek_"), "{log}");
}

/// "Random codes get unlimited verifications, never a lockout": by source, whatever codes it draws.
#[tokio::test]
async fn q_10_random_codes_from_one_source_cost_a_bounded_number_of_password_hashes() {
    let face = Face::new().await;
    bring(&face, "default").await;
    let mut answers = Vec::new();
    for n in 0..30 {
        let body = recorded("cek_guess", "muid_test", "WS-01").replace("default", &format!("code-{n}"));
        answers.push(error(&enroll(&face, body).await).0);
    }
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 20);
    assert!(answers[20..].iter().all(|status| *status == 429), "{answers:?}");
    assert_eq!(face.world.app.password_hashes_run(), 20);
}

#[tokio::test]
async fn an_outage_is_503_and_never_an_answer() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    face.world.faults().before("machine.enroll");
    let answer = asks(&face, &key, "WS-01").await;
    assert_eq!(error(&answer), (503, "DATABASE_UNAVAILABLE".into()));
    assert_eq!(asks(&face, &key, "WS-01").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_sites_key_is_shown_by_generation_and_rotated_once_for_one_idempotency_key() {
    let face = Face::new().await;
    let path = "/api/sites/default/enrollment-key";
    assert_eq!(error(&face.admin(get(path)).await), (404, "NO_ENROLLMENT_KEY".into()));
    let nowhere = face.admin(get("/api/sites/nowhere/enrollment-key")).await;
    assert_eq!(error(&nowhere), (404, "SITE_NOT_FOUND".into()));

    let rotate = || with(bare("POST", &format!("{path}/rotate")), "idempotency-key", "once");
    let first = face.admin(rotate()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(face.admin(rotate()).await.json(), first.json(), "a lost answer is given again");
    let made = first.json();
    let shown = face.admin(get(path)).await.json();
    let label = format!("v1 ({})", text(&made["fingerprint"]));
    assert_eq!((&made["version"], &made["fingerprint_label"]), (&json!(1), &json!(label)));
    assert_eq!(shown["active"], true);
    for field in ["site_id", "version", "fingerprint", "fingerprint_label"] {
        assert_eq!(shown[field], made[field], "{field}");
    }
    assert!(shown.get("key").is_none(), "the key is answered once");
    let by_id = face.admin(get(&format!("/api/sites/{}/enrollment-key", text(&made["site_id"])))).await;
    assert_eq!(by_id.json(), shown);
    assert_eq!(rotated(&face).await["version"], 2);
    assert_eq!(error(&asks(&face, &text(&made["key"]), "WS-01").await).0, 401, "the old key lets nobody in");
}

#[tokio::test]
async fn a_key_of_a_machine_is_listed_and_ended() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let enrolled = asks(&face, &key, "WS-01").await.json();
    let path = format!("/api/machines/{}/keys", text(&enrolled["machine_id"]));
    let listed = face.admin(get(&path)).await.json();
    assert_eq!(
        (listed["keys"].as_array().map(Vec::len), &listed["keys"][0]["state"]),
        (Some(1), &json!("issued"))
    );
    assert!(!listed.to_string().contains(&text(&enrolled["key"])));
    let one = format!("{path}/{}", text(&listed["keys"][0]["key_id"]));
    assert_eq!(face.admin(bare("DELETE", &one)).await.status, StatusCode::NO_CONTENT);
    assert!(!is_active(&face, &text(&enrolled["key"])).await);
    assert_eq!(face.admin(get(&path)).await.json()["keys"][0]["state"], "ended");
    assert_eq!(error(&face.admin(bare("DELETE", "/api/machines/x/keys/y")).await).0, 404);
}

#[tokio::test]
async fn a_relay_learns_whose_key_is_good_and_of_all_others_nothing() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let enrolled = asks(&face, &key, "WS-01").await.json();
    let (cak, id) = (text(&enrolled["key"]), text(&enrolled["machine_id"]));
    let good = introspect(&face, &cak).await;
    for field in ["sub", "client_id", "machine_id", "agent_id"] {
        assert_eq!(good[field], id.as_str(), "{field} in {good}");
    }
    assert_eq!(
        (&good["active"], &good["username"], &good["scope"]),
        (&json!(true), &json!("WS-01"), &json!("machine"))
    );
    let life = good["exp"].as_i64().zip(good["iat"].as_i64()).map(|(exp, iat)| exp - iat);
    assert_eq!(life, Some(365 * 24 * 3600), "{good}");

    let unknown = Secret::formed(SecretForm::Prefixed, SecretKind::Bearer, [0; 10], [9; 32]).reveal();
    for token in [unknown.as_str(), &key, "", "x", "a.b.c"] {
        assert_eq!(introspect(&face, token).await, json!({"active": false}), "{token}");
    }
    let path = format!("/v1/machines/{id}");
    face.admin(crate::face::post(&format!("{path}/suspend"), &json!({}))).await;
    assert_eq!(introspect(&face, &cak).await, json!({"active": false}), "paused");
    face.admin(crate::face::post(&format!("{path}/resume"), &json!({}))).await;
    assert!(is_active(&face, &cak).await);
    face.world.clock.advance(SignedDuration::from_hours(24 * 365));
    face.world.app.look(None).await.expect("it looks as often as ever");
    assert_eq!(introspect(&face, &cak).await, json!({"active": false}), "past its life");
}

#[tokio::test]
async fn a_service_asks_by_a_token_and_a_stranger_or_a_machine_does_not() {
    let face = Face::new().await;
    let scopes = vec!["introspect".to_owned()];
    let token = CreateToken { name: "relay".into(), role: None, scopes, expires_in: None };
    let token = face.world.app.create_token(token, None, &face.world.admin()).await.expect("a token").secret;
    let key = site_key(&face).await;
    let cak = text(&asks(&face, &key, "WS-01").await.json()["key"]);
    let ask = |body: &str| post_as("/api/introspect", "application/x-www-form-urlencoded", body.to_owned());
    let by = |shown: &str| with(ask(&format!("token={cak}")), "authorization", &format!("Bearer {shown}"));
    assert_eq!(face.stranger(by(&token)).await.json()["active"], true);
    for path in ["/v1/machines", "/v1/status", "/api/sites/default/enrollment-key"] {
        let asked = face.stranger(with(get(path), "authorization", &format!("Bearer {token}"))).await;
        assert_eq!(asked.status, StatusCode::FORBIDDEN, "{path}: it may ask that and nothing else");
    }
    assert_eq!(face.stranger(by(&cak)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(face.stranger(ask(&format!("token={cak}"))).await.status, StatusCode::UNAUTHORIZED);
    for odd in ["", "token", "token_type_hint=x", "token=a&token=b"] {
        let status = face.admin(ask(odd)).await.status;
        assert!([StatusCode::BAD_REQUEST, StatusCode::OK].contains(&status), "{odd}: {status}");
    }
    assert_eq!(error(&face.admin(ask("token=a&token=b")).await), (400, "INVALID_REQUEST".into()));
    let json = post_as("/api/introspect", "application/json", "{}");
    assert_eq!(face.admin(json).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn any_prefix_before_the_wire_is_dropped() {
    let face = Face::new().await;
    let key = site_key(&face).await;
    let body = recorded(&key, "muid_test", "WS-01");
    let answer = face.stranger(post_as("/rmm/x/api/enroll", "application/json", body)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let lost = face.stranger(get("/api/enroll")).await;
    assert_eq!(lost.status, StatusCode::METHOD_NOT_ALLOWED);
}

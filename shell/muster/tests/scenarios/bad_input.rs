//! Bad input, over HTTP.
//!
//! 1. Every wrong field is listed with its path; unknown fields, odd characters and oversize bodies are refused.
//! 2. What was refused has changed nothing, and spent nothing.
//! 3. Row 9 is one and the same refusal, byte for byte, whatever is wrong with a token (Q-09).

use serde_json::{Value, json};

use crate::support::{Answer, Device, Http, Server, text};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn paths(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.problem(), (400, "malformed".into()), "{}", answer.text());
    let problem = answer.json();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    for error in &errors {
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    }
    errors.iter().map(|error| text(&error["path"])).collect()
}

/// What there is, as far as an operator can see.
fn everything(server: &Server) -> Vec<Vec<Value>> {
    let mut lists: Vec<Vec<Value>> = [["machine", "ls"], ["hold", "ls"], ["grant", "ls"], ["site", "ls"]]
        .map(|list| server.list(&list))
        .into();
    for machine in &mut lists[0] {
        machine.as_object_mut().expect("an object").remove("last_seen");
    }
    lists
}

fn enroll(http: &Http, change: impl FnOnce(&mut Value), token: &str) -> Answer {
    let mut request = Device::new().enrollment(token);
    change(&mut request);
    http.post("/v1/enroll", &request)
}

#[test]
fn every_wrong_field_is_named_and_nothing_is_spent() {
    let server = Server::up(&[]);
    let (http, token) = (server.http(), server.token());
    let before = everything(&server);
    let all = enroll(
        &http,
        |request| {
            request["csr"] = "?".into();
            request["kind"] = "toaster".into();
            request["hardware_id"] = "a\u{0}b".into();
            request["hostname"] = "web\u{202e}".into();
            request["attributes"] = json!({"os": "a\nb", "": "x"});
        },
        &token,
    );
    let mut found = paths(&all);
    found.sort();
    assert!(
        ["attributes.os", "csr", "hardware_id", "hostname", "kind"]
            .iter()
            .all(|path| found.contains(&(*path).to_owned())),
        "{found:?}"
    );

    for (field, value) in [
        ("hostname", json!("a".repeat(254))),
        ("hardware_id", json!("h".repeat(129))),
        ("hardware_id", json!("a b")),
        ("csr", json!("A".repeat(12_000))),
        ("csr", json!("AAAA")),
        ("kind", json!("")),
    ] {
        let answer = enroll(&http, |request| request[field] = value.clone(), &token);
        assert_eq!(paths(&answer), [field], "{value}");
    }
    assert_eq!(paths(&enroll(&http, |request| request["method"] = "magic".into(), &token)), ["method"]);
    assert_eq!(
        paths(&enroll(&http, |request| request["evidence"] = json!({"token": "x"}), &token)),
        ["evidence.token"]
    );
    let typo = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(
        paths(&enroll(&http, |_| {}, &typo)),
        ["evidence.token"],
        "a typo is caught before any look-up"
    );
    assert_eq!(everything(&server), before, "nothing changed");
    assert_eq!(Device::new().enroll(&http, &token).status, 201, "and the token is unspent");
}

#[test]
fn q_03_weak_keys_and_broken_requests_are_refused_before_anything_is_spent() {
    let server = Server::up(&[]);
    let (http, token) = (server.http(), server.token());
    let before = everything(&server);
    let mut signed_by_another = data_encoding::BASE64.decode(Device::new().csr().as_bytes()).expect("base64");
    let last = signed_by_another.len() - 1;
    signed_by_another[last] ^= 1;
    let p384 = {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        rcgen::CertificateParams::default().serialize_request(&pair).expect("signed").der().to_vec()
    };
    for (what, csr) in [("a broken signature", signed_by_another), ("another curve", p384)] {
        let csr = data_encoding::BASE64.encode(&csr);
        let answer = enroll(&http, |request| request["csr"] = csr.into(), &token);
        assert_eq!(paths(&answer), ["csr"], "{what}");
    }
    assert_eq!(everything(&server), before);
    assert_eq!(Device::new().enroll(&http, &token).status, 201);
}

#[test]
fn q_22_unknown_fields_are_refused_everywhere() {
    let server = Server::up(&[]);
    let (http, token) = (server.http(), server.token());
    let before = everything(&server);
    for field in ["id", "tenant_id", "site_id", "role", "state", "generation", "revoked", "created_at"] {
        let answer = enroll(&http, |request| request[field] = 1.into(), &token);
        assert_eq!(answer.problem(), (400, "malformed".into()), "{field}: {}", answer.text());
        assert!(answer.text().contains(field), "{field} is named: {}", answer.text());
    }
    let api = text(&server.muster(&["token", "create", "x", "--role", "admin"])["secret"]);
    let bearer = format!("Bearer {api}");
    let headers = [JSON[0], ("authorization", bearer.as_str())];
    for (path, body) in [
        ("/v1/machines", json!({"name": "m", "state": "active"})),
        ("/v1/grants", json!({"tenant_id": "x"})),
        ("/v1/sites", json!({"code": "s", "id": "x"})),
        ("/v1/tokens", json!({"name": "t", "operator": "x"})),
        ("/v1/invites", json!({"machine": "x"})),
    ] {
        let answer = http.send("POST", path, &headers, body.to_string().as_bytes());
        assert_eq!(answer.problem(), (400, "malformed".into()), "{path}: {}", answer.text());
    }
    let query = http.send("GET", "/v1/machines?colour=red", &headers, b"");
    assert_eq!(query.problem(), (400, "malformed".into()));
    assert_eq!(everything(&server), before);
}

#[test]
fn q_36_q_46_bodies_are_bounded_in_size_depth_and_form() {
    let server = Server::up(&[]);
    let (http, token) = (server.http(), server.token());
    let send = |headers: &[(&str, &str)], body: &[u8]| http.send("POST", "/v1/enroll", headers, body).status;
    let padded = |length: usize| {
        let request = Device::new().enrollment(&token).to_string();
        [request.as_bytes(), &vec![b' '; length - request.len()]].concat()
    };
    for length in [64 * 1024 + 1, 6_400 * 1024] {
        // Refused by what it says it is, before any of it is sent.
        assert_eq!(send(&[JSON[0], ("content-length", &length.to_string())], b""), 413, "{length}");
    }
    let nested = |depth: usize| {
        // The document and `evidence` are two levels of their own.
        let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
        format!(r#"{{"method": "token", "evidence": {{"deep": {open}1{close}}}}}"#)
    };
    let answer = |depth| http.send("POST", "/v1/enroll", &JSON, nested(depth).as_bytes());
    assert!(answer(33).text().contains("deeper than 32"), "{}", answer(33).text());
    assert!(!answer(32).text().contains("deeper"), "{}", answer(32).text());
    assert_eq!(answer(3_200).problem(), (400, "malformed".into()));
    let twice =
        format!(r#"{{"method":"token","method":"request","evidence":{{}},"csr":"{}"}}"#, Device::new().csr());
    assert_eq!(send(&JSON, twice.as_bytes()), 400, "a key twice");
    assert_eq!(send(&JSON, b"{\"method\": \"token\""), 400, "cut");
    assert_eq!(send(&JSON, b""), 400);
    assert_eq!(send(&JSON, &[0xff, 0xfe, b'{', b'}']), 400, "not UTF-8");
    let request = Device::new().enrollment(&token).to_string();
    assert_eq!(send(&[("content-type", "text/plain")], request.as_bytes()), 415);
    assert_eq!(send(&[JSON[0], ("content-encoding", "gzip")], request.as_bytes()), 415, "Q-35");
    assert_eq!(send(&JSON, &padded(64 * 1024)), 201, "the largest body that is taken");
}

#[test]
fn q_11_ids_that_are_paths_lead_nowhere() {
    let server = Server::up(&[]);
    let api = text(&server.muster(&["token", "create", "x", "--role", "admin"])["secret"]);
    let bearer = format!("Bearer {api}");
    for id in [
        "..",
        "%2e%2e",
        "..%2f..%2fpepper",
        "%252e%252e",
        "mch_%00",
        "mch_1",
        "..\\..\\pepper",
        "%c0%ae%c0%ae",
        "hld_06h032nrf1tsf9x050sqqa59f8",
        &"m".repeat(4_000),
    ] {
        for path in
            [format!("/v1/machines/{id}"), format!("/v1/holds/{id}"), format!("/v1/machines/{id}/audit")]
        {
            let answer = server.http().send("GET", &path, &[("authorization", &bearer)], b"");
            assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        }
    }
}

#[test]
fn q_09_every_token_that_opens_nothing_is_refused_alike() {
    let server = Server::up(&[]);
    let http = server.http();
    let spent = server.token();
    assert_eq!(Device::new().enroll(&http, &spent).status, 201);
    let revoked = server.muster(&["grant", "create"]);
    server.muster(&["grant", "revoke", &text(&revoked["grant"]["id"])]);
    let rotated = text(&server.muster(&["site", "rotate-key", "default"])["key"]);
    server.muster(&["site", "rotate-key", "default"]);
    let elsewhere = Server::up(&[]).token();
    let wrong_secret = with_the_id_of(&server.token(), &elsewhere);
    let tokens = [&spent, &text(&revoked["token"]), &rotated, &elsewhere, &wrong_secret];
    let refusals = tokens.map(|token| steady(Device::new().enroll(&http, token)));
    assert_eq!(refusals[0].problem(), (401, "not_entitled".into()));
    for refusal in &refusals[1..] {
        assert_eq!(refusal, &refusals[0]);
    }
}

/// The answer without the headers that differ between any two answers.
fn steady(mut answer: Answer) -> Answer {
    answer.headers.retain(|(name, _)| name != "date" && name != "x-request-id");
    answer
}

/// A well-formed token that has the id of one and the secret of another.
fn with_the_id_of(known: &str, other: &str) -> String {
    use muster_model::{Secret, SecretKind};
    let known: Secret = known.parse().expect("a token");
    // The secret half of another deployment is as good as random here.
    let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(other.as_bytes()).into();
    Secret::new(SecretKind::Enroll, known.id().0, hash).reveal()
}

#[test]
fn q_34_what_a_machine_calls_itself_cannot_drive_a_terminal_or_forge_a_log_line() {
    let server = Server::up(&[]);
    let (http, token) = (server.http(), server.token());
    for hostile in ["a\u{1b}[2J", "a\r\nb", "a\u{0}", "a\u{2028}b", "\u{9b}31m"] {
        let answer = enroll(&http, |request| request["hostname"] = hostile.into(), &token);
        assert_eq!(paths(&answer), ["hostname"], "{hostile:?}");
    }
    let before = server.log().lines().count();
    let agent = format!("muster\u{1b}[31m {}", "x".repeat(300));
    http.send("GET", "/v1/machines", &[("user-agent", &agent), ("x-request-id", "a\u{9b}b")], b"");
    let log = server.log();
    assert!(!log.contains('\u{1b}') && log.lines().skip(before).all(|line| line.len() < 1_000), "{log}");
}

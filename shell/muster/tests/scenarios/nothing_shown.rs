//! Somebody who shows nothing knocks at every door.
//!
//! 1. The server's own OpenAPI document names every route.
//! 2. Without credentials each of them refuses, but for a short list that was looked at by people (Q-01).
//! 3. The same with a credential of the wrong kind, and with headers that claim to come from elsewhere (Q-20).

use serde_json::{Value, json};

use crate::support::{Device, Http, Server, text};

/// What anybody may ask. Whatever is added here is reachable without any credential.
const OPEN: [&str; 14] = [
    "GET /.well-known/jwks.json",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/security.txt",
    "GET /healthz",
    "GET /readyz",
    "GET /v1/enroll/{hold}",
    "GET /v1/join-methods",
    "GET /v1/nonce",
    "GET /v1/trust",
    "GET /version",
    "POST /v1/enroll",
    "POST /v1/login",
    "POST /v1/session",
    "POST /v1/session/close",
];

/// Every route, as `METHOD /path/{parameter}`.
fn routes(http: &Http) -> Vec<String> {
    let document = http.get("/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths").clone();
    let methods = |path: &Value| path.as_object().expect("methods").keys().cloned().collect::<Vec<_>>();
    let mut routes: Vec<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            methods(item).into_iter().map(move |m| format!("{} {path}", m.to_uppercase()))
        })
        .collect();
    routes.sort();
    routes
}

/// The path with something in the place of each parameter.
fn filled(path: &str) -> String {
    let fill =
        |part: &str| if part.starts_with('{') { "mch_06h032nrf1tsf9x050sqqa59f8" } else { part }.to_owned();
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[test]
fn q_01_whoever_shows_nothing_gets_nothing() {
    let server = Server::up(&[]);
    let http = server.http();
    let routes = routes(&http);
    assert!(routes.len() > 35, "{routes:?}");
    for open in OPEN {
        assert!(routes.iter().any(|route| route == open), "{open} is gone");
    }
    let enroll = text(&server.muster(&["grant", "create"])["token"]);
    let wrong_kind = format!("Bearer {enroll}");
    let before = server.list(&["machine", "ls"]).len();
    for route in routes.iter().filter(|route| !OPEN.contains(&route.as_str())) {
        let (method, path) = route.split_once(' ').expect("a route");
        for headers in [
            vec![("content-type", "application/json")],
            vec![("content-type", "text/plain")],
            vec![("content-type", "application/json"), ("authorization", wrong_kind.as_str())],
            vec![
                ("content-type", "application/json"),
                ("cookie", "__Host-muster-session=x"),
                ("sec-fetch-site", "same-origin"),
            ],
        ] {
            let answer = http.send(method, &filled(path), &headers, b"{}");
            assert_eq!(answer.problem(), (401, "not_authenticated".into()), "{route} with {headers:?}");
        }
    }
    assert_eq!(server.list(&["machine", "ls"]).len(), before);
}

#[test]
fn q_20_headers_of_strangers_do_not_change_where_a_request_comes_from() {
    let server = Server::up(&[]);
    let request = json!({"method": "request", "evidence": {}, "csr": Device::new().csr()}).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x_forwarded_for", "192.0.2.7"),
        ("forwarded", "for=192.0.2.7"),
        ("x-real-ip", "192.0.2.7"),
    ];
    let held = server.http().send("POST", "/v1/enroll", &headers, request.as_bytes()).json();
    let hold = server.muster(&["hold", "show", &text(&held["hold"])]);
    assert_eq!(hold["claimant"]["source"], "127.0.0.1");
}

#[test]
fn q_30_a_session_counts_only_from_our_own_pages() {
    let server = Server::up(&[]);
    let http = server.http();
    let login = server.told("login_url").split_once('#').expect("a fragment").1;
    let opened = http.post("/v1/session", &json!({"login": login}));
    let session = opened
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .expect("a session")
        .to_owned();
    for foreign in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", "https://evil.example")],
    ] {
        let headers =
            [vec![("cookie", session.as_str()), ("content-type", "application/json")], foreign].concat();
        let answer = http.send("POST", "/v1/sites", &headers, br#"{"code": "evil"}"#);
        assert!([401, 403].contains(&answer.status), "{headers:?}: {}", answer.text());
    }
    assert_eq!(server.list(&["site", "ls"]).len(), 1);
}

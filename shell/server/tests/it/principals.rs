//! Who may do what, for every route and everybody (Q-01, Q-24).

use axum::body::Body;
use http::{Method, Request, StatusCode};
use muster_app::{Action, Caller, MachineCaller, OperatorCaller, Proof, Right};
use muster_model::{
    AccessTokenId, AccountId, CredentialId, GrantId, HoldId, MachineId, OperatorId, OperatorRole, Scope,
    TokenScope,
};
use muster_server::Mounted;
use muster_server::serve::Peer;
use muster_testkit::world::{Device, FaultyStore, leaf};
use muster_wire::access::CreateToken;
use muster_wire::enroll::Enrolled;

use crate::face::{Face, OWN_UID, browser, get, local, stranger, with, with_certificate};

/// Everything that anybody may ask without showing anything. Adding a line here is a decision: review it.
const PUBLIC: [&str; 19] = [
    "GET /.well-known/jwks.json",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/security.txt",
    "GET /graphics/api/workers/register-requests/{hold}",
    "GET /healthz",
    "GET /readyz",
    "GET /v1/enroll/{hold}",
    "GET /v1/join-methods",
    "GET /v1/nonce",
    "GET /v1/trust",
    "GET /version",
    "POST /api/enroll",
    "POST /graphics/api/workers/register-request",
    "POST /v1/enroll",
    "POST /v1/hosts/auth/refresh",
    "POST /v1/hosts/register",
    "POST /v1/login",
    "POST /v1/session",
    "POST /v1/session/close",
];

/// Files of ours that hold no data.
const FILES: [&str; 5] =
    ["/login", "/assets/act.js", "/assets/login.js", "/assets/console.css", "/openapi.json"];

/// Every route, those of existing clients among them.
pub(crate) fn mounted_with_wires() -> Vec<Mounted> {
    muster_server::openapi::<FaultyStore>().1
}

/// What the wire of software agents mounts.
fn mounted_by_wires() -> Vec<Mounted> {
    muster_server::openapi::<FaultyStore>()
        .1
        .into_iter()
        .filter(|route| route.wire == Some("scuttlebot"))
        .collect()
}

/// Every native route of the API.
pub(crate) fn mounted() -> Vec<Mounted> {
    mounted_with_wires().into_iter().filter(|route| route.wire.is_none() && !route.page).collect()
}

/// The path with identifiers of nothing in it.
pub(crate) fn filled(path: &str) -> String {
    path.replace("{machine}", &MachineId::new(1, [1; 10]).to_string())
        .replace("{hold}", &HoldId::new(1, [1; 10]).to_string())
        .replace("{grant}", &GrantId::new(1, [1; 10]).to_string())
        .replace("{token}", &AccessTokenId::new(1, [1; 10]).to_string())
        .replace("{operator}", &OperatorId::new(1, [1; 10]).to_string())
        .replace("{account}", &AccountId::new(1, [1; 10]).to_string())
        .replace("{site}", "no-such-site")
        .replace("{tag}", "no-such-tag")
        .replace("{key}", &CredentialId::new(1, [1; 10]).to_string())
        .replace("{entry}", "999999999999")
        .replace("{nick}", "nobody")
        .replace("{channel}", "general")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Principal {
    Stranger,
    AnotherUser,
    Viewer,
    Operator,
    Admin,
    /// An admin with one of our pages open.
    Browser,
    /// A relay, whose token may ask whose key it was shown.
    Relay,
    OwnUser,
    Root,
    ByCertificate,
    BySignature,
    Suspended,
    Expired,
    Bearer,
}

pub(crate) const EVERYBODY: [Principal; 14] = [
    Principal::Stranger,
    Principal::AnotherUser,
    Principal::Viewer,
    Principal::Operator,
    Principal::Admin,
    Principal::Browser,
    Principal::Relay,
    Principal::OwnUser,
    Principal::Root,
    Principal::ByCertificate,
    Principal::BySignature,
    Principal::Suspended,
    Principal::Expired,
    Principal::Bearer,
];

/// What a principal shows with one request.
pub(crate) struct Shown {
    pub(crate) peer: Peer,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) caller: Caller,
}

impl Shown {
    fn new(peer: Peer, caller: Caller) -> Self {
        Self { peer, headers: Vec::new(), caller }
    }
}

impl Principal {
    async fn shows(self, face: &Face, method: &str, path: &str) -> Shown {
        self.shows_with(face, method, path, body_of(method)).await
    }

    /// What it shows with a request of this body.
    pub(crate) async fn shows_with(self, face: &Face, method: &str, path: &str, body: &[u8]) -> Shown {
        match self {
            Self::Stranger => Shown::new(stranger(), Caller::Anonymous),
            Self::AnotherUser => Shown::new(local(OWN_UID + 1), Caller::Anonymous),
            Self::OwnUser => Shown::new(local(OWN_UID), operator(face, OperatorRole::Admin, true)),
            Self::Root => Shown::new(local(0), operator(face, OperatorRole::Admin, true)),
            Self::Viewer => by_token(face, OperatorRole::Viewer).await,
            Self::Operator => by_token(face, OperatorRole::Operator).await,
            Self::Admin => by_token(face, OperatorRole::Admin).await,
            Self::Browser => {
                let headers = browser(face).await;
                Shown { headers, ..Shown::new(stranger(), operator(face, OperatorRole::Admin, false)) }
            }
            Self::Relay => relay(face).await,
            Self::Bearer => bearer(face).await,
            Self::ByCertificate | Self::BySignature | Self::Suspended | Self::Expired => {
                self.machine(face, method, path, body).await
            }
        }
    }

    async fn machine(self, face: &Face, method: &str, path: &str, body: &[u8]) -> Shown {
        let device = Device::new("web-1");
        let device = Device { hardware_id: None, ..device };
        let enrolled = face.world.enroll(&device).await;
        let app = &face.world.app;
        let mut caller = face.world.caller(&enrolled).await.expect("known");
        match self {
            Self::Suspended => {
                app.suspend(caller.machine, None, &face.world.admin()).await.expect("suspended");
                caller.suspended = true;
            }
            Self::Expired => {
                face.world.clock.set(enrolled.credential.not_after);
                app.look(None).await.expect("it looks as often as ever");
                caller.expired = true;
            }
            _ => {}
        }
        let caller = Caller::Machine(caller);
        if self == Self::BySignature || self == Self::Expired {
            let signed = device.signs(&app.nonce().nonce, method, path, body);
            let header = ("muster-signature", signed.header.to_string());
            return Shown { headers: vec![header], ..Shown::new(stranger(), caller) };
        }
        Shown::new(with_certificate(der(&enrolled)), caller)
    }
}

/// A body that no route takes: what is asked here is whether a caller gets as far as that.
const BODY: &[u8] = br#"{"no_such_field":true}"#;

fn body_of(method: &str) -> &'static [u8] {
    if method == "GET" { b"" } else { BODY }
}

fn der(enrolled: &Enrolled) -> Vec<u8> {
    leaf(enrolled.credential.certificate.as_deref().expect("a certificate"))
}

fn operator(face: &Face, role: OperatorRole, local: bool) -> Caller {
    let founded = face.world.founded;
    Caller::Operator(OperatorCaller {
        tenant: founded.tenant,
        operator: founded.admin,
        token: None,
        role,
        local,
        scope: None,
    })
}

async fn by_token(face: &Face, role: OperatorRole) -> Shown {
    let token = CreateToken {
        name: "ci".to_owned(),
        role: Some(role.as_str().to_owned()),
        scopes: Vec::new(),
        expires_in: None,
    };
    let made = face.world.app.create_token(token, None, &face.world.admin()).await.expect("a token");
    let header = ("authorization", format!("Bearer {}", made.secret));
    Shown { headers: vec![header], ..Shown::new(stranger(), operator(face, role, false)) }
}

async fn relay(face: &Face) -> Shown {
    let token = CreateToken {
        name: "relay".to_owned(),
        role: None,
        scopes: vec!["introspect".to_owned()],
        expires_in: None,
    };
    let made = face.world.app.create_token(token, None, &face.world.admin()).await.expect("a token");
    let header = ("authorization", format!("Bearer {}", made.secret));
    let Caller::Operator(caller) = operator(face, OperatorRole::Viewer, false) else { panic!("an operator") };
    let scope = TokenScope { scopes: [Scope::Introspect].into_iter().collect(), team: None };
    let caller = Caller::Operator(OperatorCaller { scope: Some(scope), ..caller });
    Shown { headers: vec![header], ..Shown::new(stranger(), caller) }
}

async fn bearer(face: &Face) -> Shown {
    let token = face.world.one_time().await;
    let device = Device { hardware_id: None, ..Device::new("legacy") };
    let enrolled = face.world.ask(device.keyless(&token)).await.expect("let in");
    let enrolled = muster_testkit::world::enrolled(enrolled);
    let header = ("authorization", format!("Bearer {}", enrolled.credential.bearer.expect("a bearer key")));
    let machine = enrolled.machine.id.parse().expect("an identifier");
    let tenant = face.world.founded.tenant;
    let proof = Proof::Secret(enrolled.credential.id.parse().expect("an identifier"));
    let caller = MachineCaller {
        tenant,
        machine,
        proof,
        right: Right::Everything,
        slot: None,
        nonce: None,
        expired: false,
        suspended: false,
    };
    Shown { headers: vec![header], ..Shown::new(stranger(), Caller::Machine(caller)) }
}

fn request(method: &str, path: &str, shown: &Shown) -> Request<Body> {
    let body = Body::from(body_of(method));
    let mut request = Request::builder().method(method).uri(path).body(body).expect("a request");
    if method != "GET" {
        request = with(request, "content-type", "application/json");
    }
    shown.headers.iter().fold(request, |request, (name, value)| with(request, name, value))
}

#[test]
fn q_01_the_routes_open_to_all_are_those_that_were_reviewed() {
    let mut open: Vec<String> = mounted_with_wires()
        .into_iter()
        .filter(|route| route.action == Action::Public)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    open.sort_unstable();
    assert_eq!(open, PUBLIC);
}

#[tokio::test]
async fn q_24_every_route_answers_everybody_exactly_as_its_action_permits() {
    for principal in EVERYBODY {
        let face = Face::new().await;
        // The codes of that wire are its own: the next test holds its statuses.
        for route in mounted_with_wires()
            .into_iter()
            .filter(|route| !matches!(route.wire, Some("guruconnect" | "scuttlebot")))
        {
            let path = filled(&route.path);
            let shown = principal.shows(&face, &route.method, &path).await;
            let answer = face.send(shown.peer.clone(), request(&route.method, &path, &shown)).await;
            let what = format!("{principal:?} {} {}", route.method, route.path);
            if route.page {
                // A page is opened by a browser's session alone, and says how to log in where there is none.
                let is_shut = answer.status == StatusCode::UNAUTHORIZED;
                assert_eq!(is_shut, principal != Principal::Browser, "{what}");
                assert_eq!(answer.header("hx-redirect").is_some(), is_shut, "{what}");
                continue;
            }
            match route.action.permit(&shown.caller) {
                Ok(()) => {
                    let code = answer.code_if_any();
                    let refused =
                        ["not_authenticated", "forbidden", "credential_expired", "suspended", "revoked"];
                    assert!(!refused.iter().any(|no| code.as_deref() == Some(no)), "{what}: {answer:?}");
                }
                Err(refusal) => {
                    if route.wire.is_none() {
                        assert_eq!(answer.code(), refusal.code(), "{what}");
                    }
                    let expected = match refusal.code() {
                        "not_authenticated" | "credential_expired" => StatusCode::UNAUTHORIZED,
                        // Its client gives up for good by 403: it is not answered at all.
                        "suspended" if route.wire == Some("wrenn") => StatusCode::SERVICE_UNAVAILABLE,
                        _ => StatusCode::FORBIDDEN,
                    };
                    assert_eq!(answer.status, expected, "{what}");
                    assert!(
                        route.wire.is_some()
                            || answer.header("www-authenticate").is_some()
                                == (expected == StatusCode::UNAUTHORIZED)
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn q_24_every_route_of_an_existing_clients_wire_answers_everybody_exactly_as_its_action_permits() {
    for principal in EVERYBODY {
        let face = Face::new().await;
        for route in mounted_by_wires().into_iter().filter(|route| route.action != Action::Public) {
            let path = format!("/x{}", filled(&route.path));
            // A signature is made over the path of the wire: what is before it is nobody's.
            let shown = principal.shows(&face, &route.method, &filled(&route.path)).await;
            let answer = face.send(shown.peer.clone(), request(&route.method, &path, &shown)).await;
            let what = format!("{principal:?} {} {}: {answer:?}", route.method, route.path);
            let shut = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            assert_eq!(shut.contains(&answer.status), route.action.permit(&shown.caller).is_err(), "{what}");
            assert!(!answer.is_problem(), "{what}");
        }
    }
}

#[tokio::test]
async fn q_24_the_wires_of_existing_clients_answer_everybody_as_their_actions_permit() {
    for principal in EVERYBODY {
        let face = Face::new().await;
        for route in mounted_with_wires().into_iter().filter(|route| route.wire == Some("guruconnect")) {
            let path = filled(&route.path);
            let shown = principal.shows(&face, &route.method, &path).await;
            let answer = face.send(shown.peer.clone(), request(&route.method, &path, &shown)).await;
            let what = format!("{principal:?} {} {}: {answer:?}", route.method, route.path);
            let expected = match route.action.permit(&shown.caller).map_err(|refusal| refusal.code()) {
                Ok(()) => None,
                Err("not_authenticated" | "credential_expired") => Some(StatusCode::UNAUTHORIZED),
                Err(_) => Some(StatusCode::FORBIDDEN),
            };
            let shut = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status);
            assert_eq!(shut.then_some(answer.status), expected, "{what}");
            assert!(!answer.is_problem(), "{what}");
        }
    }
}

#[tokio::test]
async fn q_01_no_method_and_no_media_type_opens_what_is_not_open() {
    let face = Face::new().await;
    let mut paths: Vec<String> = mounted_with_wires().into_iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "MADEUP"];
    let types = ["", "application/json", "text/plain", "application/x-www-form-urlencoded", "*/*"];
    for path in &paths {
        for method in methods {
            let is_open = |open: &&str| {
                let (name, open) = open.split_once(' ').expect("a method and a path");
                open == path && (name == method || (name == "GET" && method == "HEAD"))
            };
            if PUBLIC.iter().any(is_open) {
                continue;
            }
            for media_type in types {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let request = Request::builder().method(method.clone()).uri(filled(path));
                let request = request.body(Body::from("{}")).expect("a request");
                let request =
                    if media_type.is_empty() { request } else { with(request, "content-type", media_type) };
                let answer = face.stranger(request).await;
                let shut = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
                assert!(shut.contains(&answer.status), "{method} {path} {media_type}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn files_are_open_to_all_and_hold_no_data() {
    let face = Face::new().await;
    face.world.enroll(&Device::new("zqx-web-1")).await;
    for path in FILES {
        let answer = face.stranger(get(path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.text().contains("zqx"), "{path}");
    }
}

#[tokio::test]
async fn q_01_a_secret_that_does_not_hold_is_worth_less_than_none() {
    let face = Face::new().await;
    let wrong = [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "bearer mst_api_x",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer mst_api_0000000000000000_0000000000000000000000000000000000000000000000000000",
    ];
    for value in wrong {
        // Even at the local socket, where showing nothing would do.
        for peer in [stranger(), local(OWN_UID)] {
            let answer = face.send(peer, with(get("/v1/status"), "authorization", value)).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::UNAUTHORIZED, "not_authenticated".into())
            );
        }
    }
    let signature = with(get("/v1/machines/self"), "muster-signature", "v1;key=x");
    assert_eq!(face.stranger(signature).await.code(), "not_authenticated");
}

#[tokio::test]
async fn q_02_a_certificate_counts_before_whatever_else_is_shown() {
    let face = Face::new().await;
    let enrolled = face.world.enroll(&Device::new("web-1")).await;
    let admin = by_token(&face, OperatorRole::Admin).await;
    let (name, value) = &admin.headers[0];
    let answer = face.send(with_certificate(der(&enrolled)), with(get("/v1/status"), name, value)).await;
    assert_eq!(answer.code(), "forbidden", "who came as a machine is a machine");
    let itself = face.send(with_certificate(der(&enrolled)), get("/v1/machines/self")).await;
    assert_eq!(itself.json()["id"], enrolled.machine.id);
}

#[tokio::test]
async fn refused_callers_are_told_in_the_audit_log() {
    let face = Face::new().await;
    let end = face.world.audit_end().await;
    face.stranger(get("/v1/status")).await;
    face.stranger(with(get("/v1/machines/self"), "muster-signature", "nonsense")).await;
    face.stranger(with(bare_with_cookie(), "sec-fetch-site", "cross-site")).await;
    let hold = format!("/v1/enroll/{}", HoldId::new(1, [1; 10]));
    face.stranger(get(&hold)).await;
    face.world.app.flush_refusals().await;
    let told = face.world.audit_since(end).await;
    let reasons: Vec<&str> = told.iter().map(|entry| entry.reason.as_str()).collect();
    for reason in ["not_authenticated", "forbidden", "nonce_needed"] {
        assert!(reasons.contains(&reason), "{reason}: {told:?}");
    }
    assert!(told.iter().all(|entry| entry.source.as_deref() == Some("192.0.2.7")), "{told:?}");
}

fn bare_with_cookie() -> Request<Body> {
    with(crate::face::bare("/v1/invites"), "cookie", "__Host-muster-session=mst_session_x")
}

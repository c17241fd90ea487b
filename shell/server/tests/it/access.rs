//! Login links, cookies, and what other sites may do with them.

use axum::body::Body;
use http::{Request, StatusCode};
use muster_server::limits::TrustedProxies;
use muster_server::serve::Peer;
use muster_testkit::authenticator;
use muster_testkit::world::{URL, World};
use serde_json::json;

use crate::face::{Answer, Face, bare, get, post, stranger, with};

async fn link(face: &Face) -> String {
    let answer = face.admin(bare("/v1/login-links")).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let url = answer.json()["login_url"].as_str().expect("an address").to_owned();
    let (page, secret) = url.split_once('#').expect("the secret is in the fragment");
    assert_eq!(page, format!("{URL}/login"));
    secret.to_owned()
}

async fn login(face: &Face, secret: &str) -> Answer {
    face.stranger(post("/v1/session", &json!({ "login": secret }))).await
}

/// The cookie as a browser sends it back.
async fn cookie(face: &Face) -> String {
    let answer = login(face, &link(face).await).await;
    let set = answer.header("set-cookie").expect("a cookie").to_owned();
    set.split(';').next().expect("a pair").to_owned()
}

/// What a page of ours shows beside the cookie.
const CSRF: &str = "muster-csrf";

fn from(request: Request<Body>, cookie: &str, site: Option<&str>) -> Request<Body> {
    let request = with(request, "cookie", cookie);
    match site {
        Some(site) => with(request, "sec-fetch-site", site),
        None => request,
    }
}

#[tokio::test]
async fn a_login_link_becomes_a_cookie_once() {
    let face = Face::new().await;
    let secret = link(&face).await;
    let answer = login(&face, &secret).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    let set = answer.header("set-cookie").expect("a cookie");
    assert!(set.starts_with("__Host-muster-session=mst_session_"), "{set}");
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.contains(&attribute), "{attribute} in {set}");
    }
    assert!(!attributes.iter().any(|a| a.starts_with("Domain")), "a __Host- cookie has none");
    let again = login(&face, &secret).await;
    assert_eq!((again.status, again.header("set-cookie")), (StatusCode::UNAUTHORIZED, None));
    for other in ["", "x", "mst_login_x", &secret.replace("login", "session")] {
        let refused = login(&face, other).await;
        assert_eq!(refused.without_id(), again.without_id(), "{other}");
    }
}

#[tokio::test]
async fn q_30_a_cookie_changes_something_only_for_our_own_pages() {
    let face = Face::new().await;
    let cookie = cookie(&face).await;
    let make = || post("/v1/grants", &json!({}));
    for site in [None, Some("cross-site"), Some("same-site"), Some("none"), Some(""), Some("Same-Origin")] {
        let writes = face.world.writes();
        let answer = face.stranger(from(make(), &cookie, site)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::FORBIDDEN, "forbidden".to_owned()),
            "{site:?}"
        );
        assert!(face.world.writes() <= writes + 1, "but for the refusal's own entry");
    }
    assert!(face.admin(get("/v1/grants")).await.json()["items"].as_array().expect("a list").is_empty());
    let session = cookie.split_once('=').expect("a pair").1;
    let shown = face.world.app.csrf(session);
    for wrong in [None, Some(""), Some("x"), Some(&*face.world.app.csrf("another"))] {
        let request = from(make(), &cookie, Some("same-origin"));
        let request =
            wrong.map_or_else(|| from(make(), &cookie, Some("same-origin")), |w| with(request, CSRF, w));
        assert_eq!(face.stranger(request).await.status, StatusCode::FORBIDDEN, "{wrong:?}");
    }
    let ours = with(from(make(), &cookie, Some("same-origin")), CSRF, &shown);
    assert_eq!(face.stranger(ours).await.status, StatusCode::CREATED);
    let foreign = with(from(make(), &cookie, Some("cross-site")), CSRF, &shown);
    assert_eq!(face.stranger(foreign).await.status, StatusCode::FORBIDDEN, "one of both is not enough");
    assert_eq!(face.stranger(from(get("/v1/machines"), &cookie, None)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn q_30_no_get_changes_anything() {
    let face = Face::new().await;
    let cookie = cookie(&face).await;
    face.stranger(from(get("/v1/status"), &cookie, None)).await;
    let writes = face.world.writes();
    for route in crate::principals::mounted().into_iter().filter(|route| route.method == "GET") {
        face.stranger(from(get(&crate::principals::filled(&route.path)), &cookie, Some("cross-site"))).await;
    }
    face.world.app.flush_refusals().await;
    let told = face.world.audit().await.into_iter().rev().take_while(|entry| entry.action != "session.open");
    let told: Vec<_> = told.collect();
    assert!(told.iter().all(|entry| entry.detail.get("outcome").is_some_and(|o| o == "refused")), "{told:?}");
    assert!(face.world.writes() - writes <= told.len() as u64, "nothing but refusals was written");
}

#[tokio::test]
async fn a_session_is_closed_by_its_own_page_alone() {
    let face = Face::new().await;
    let cookie = cookie(&face).await;
    let close = || bare("/v1/session/close");
    for site in [None, Some("cross-site"), Some("same-site")] {
        let answer = face.stranger(from(close(), &cookie, site)).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, None), "{site:?}");
    }
    assert_eq!(face.stranger(from(get("/v1/status"), &cookie, None)).await.status, StatusCode::OK);
    let closed = face.stranger(from(close(), &cookie, Some("same-origin"))).await;
    assert_eq!(closed.status, StatusCode::NO_CONTENT);
    let set = closed.header("set-cookie").expect("it is taken back");
    assert!(set.starts_with("__Host-muster-session=;") && set.contains("Max-Age=0"), "{set}");
    let after = face.stranger(from(get("/v1/status"), &cookie, None)).await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "the cookie is worth nothing any more");
}

#[tokio::test]
async fn a_cookie_of_another_name_or_kind_opens_nothing() {
    let face = Face::new().await;
    let cookie = cookie(&face).await;
    let (_, secret) = cookie.split_once('=').expect("a pair");
    let link = link(&face).await;
    for wrong in [
        format!("muster-session={secret}"),
        format!("__host-muster-session={secret}"),
        format!("__Host-muster-session={link}"),
        "__Host-muster-session=".to_owned(),
    ] {
        let answer = face.stranger(from(get("/v1/status"), &wrong, Some("same-origin"))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let among = format!("a=b; {cookie}; c=d");
    assert_eq!(face.stranger(from(get("/v1/status"), &among, None)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_lets_other_origins_read_it() {
    let face = Face::new().await;
    for path in ["/v1/trust", "/.well-known/jwks.json", "/v1/status", "/"] {
        let answer = face.stranger(with(get(path), "origin", "https://evil.example")).await;
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{path}");
    }
    let preflight = Request::options("/v1/grants")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .expect("a request");
    let answer = face.stranger(preflight).await;
    assert!(!answer.status.is_success() && answer.header("access-control-allow-origin").is_none());
}

const PASSWORD: &str = "correct horse battery";

/// The admin has a password; the cookie of the session that set it.
async fn with_password(face: &Face) -> String {
    let cookie = cookie(face).await;
    let csrf = face.world.app.csrf(cookie.split_once('=').expect("a pair").1);
    let set = from(post("/v1/me/password", &json!({ "password": PASSWORD })), &cookie, Some("same-origin"));
    let answer = face.stranger(with(set, CSRF, &csrf)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let renewed = answer.header("set-cookie").expect("a cookie");
    assert!(!renewed.starts_with(&cookie) && renewed.contains("SameSite=Strict"), "{renewed}");
    renewed.split(';').next().expect("a pair").to_owned()
}

fn by_password(password: &str) -> Request<Body> {
    post("/v1/login", &json!({ "name": "ADMIN", "password": password }))
}

#[tokio::test]
async fn q_33_a_name_and_its_password_become_a_new_cookie_each_time() {
    let face = Face::new().await;
    let renewed = with_password(&face).await;
    let mut seen = vec![renewed];
    for _ in 0..2 {
        let answer = face.stranger(with(by_password(PASSWORD), "sec-fetch-site", "same-origin")).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
        let set = answer.header("set-cookie").expect("a cookie");
        let cookie = set.split(';').next().expect("a pair").to_owned();
        assert!(!seen.contains(&cookie), "{cookie}");
        seen.push(cookie);
    }
}

#[tokio::test]
async fn q_30_no_page_of_another_origin_logs_anybody_in() {
    let face = Face::new().await;
    with_password(&face).await;
    for site in ["cross-site", "same-site", "none", "", "Same-Origin"] {
        let answer = face.stranger(with(by_password(PASSWORD), "sec-fetch-site", site)).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, None), "{site}");
    }
    let answer = face.stranger(with(by_password(PASSWORD), "origin", "https://elsewhere.example")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "an older browser says the origin alone");
    assert_eq!(face.stranger(by_password(PASSWORD)).await.status, StatusCode::NO_CONTENT, "a program");
}

#[tokio::test]
async fn q_10_who_failed_often_is_told_when_to_come_again() {
    let face = Face::new().await;
    with_password(&face).await;
    let first = face.stranger(by_password("wrong horse battery")).await;
    assert_eq!((first.status, first.header("set-cookie")), (StatusCode::UNAUTHORIZED, None));
    let nobody = post("/v1/login", &json!({ "name": "nobody", "password": PASSWORD }));
    assert_eq!(face.stranger(nobody).await.without_id(), first.without_id());
    for _ in 0..4 {
        face.stranger(by_password("wrong horse battery")).await;
    }
    let slow = face.stranger(by_password(PASSWORD)).await;
    assert_eq!((slow.status, slow.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("5")));
}

/// A change by a page that has this cookie.
async fn by_page(face: &Face, cookie: &str, path: &str, body: &serde_json::Value) -> Answer {
    let csrf = face.world.app.csrf(cookie.split_once('=').expect("a pair").1);
    face.stranger(with(from(post(path, body), cookie, Some("same-origin")), CSRF, &csrf)).await
}

fn set_cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    set.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_second_factor_is_set_up_shown_and_removed() {
    const PATH: &str = "/v1/me/second-factor";
    let face = Face::new().await;
    let cookie = with_password(&face).await;
    let proposed = by_page(&face, &cookie, PATH, &json!({ "present": PASSWORD })).await;
    assert_eq!((proposed.status, proposed.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let key = proposed.json()["key"].as_str().expect("a key").to_owned();
    let code = || authenticator::code(&key, face.world.clock.now());
    let confirm = format!("{PATH}/confirm");
    let wrong = by_page(&face, &cookie, &confirm, &json!({ "code": "12345" })).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::BAD_REQUEST, "malformed".to_owned()));
    let confirmed = by_page(&face, &cookie, &confirm, &json!({ "code": code() })).await;
    assert_eq!((confirmed.status, confirmed.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let renewed = set_cookie(&confirmed);
    assert_ne!(renewed, cookie);
    let recovery = confirmed.json()["recovery_codes"].as_array().expect("codes").clone();
    assert_eq!(recovery.len(), 10);

    let needed = face.stranger(by_password(PASSWORD)).await;
    assert_eq!((needed.status, needed.code()), (StatusCode::UNAUTHORIZED, "code_needed".to_owned()));
    assert_eq!(needed.header("set-cookie"), None);
    let with_code = |code: &serde_json::Value| {
        post("/v1/login", &json!({ "name": "admin", "password": PASSWORD, "code": code }))
    };
    let used = face.stranger(with_code(&json!(code()))).await;
    let nobody = face.stranger(post("/v1/login", &json!({ "name": "nobody", "password": PASSWORD }))).await;
    assert_eq!(used.without_id(), nobody.without_id(), "it was used to confirm");
    face.world.clock.advance(muster_model::SignedDuration::from_secs(30));
    for right in [json!(code()), recovery[0].clone()] {
        assert_eq!(face.stranger(with_code(&right)).await.status, StatusCode::NO_CONTENT);
        assert_eq!(face.stranger(with_code(&right)).await.status, StatusCode::UNAUTHORIZED);
    }
    let remove = json!({ "present": PASSWORD, "code": recovery[1] });
    let ended = by_page(&face, &cookie, &format!("{PATH}/remove"), &remove).await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED, "that session went on under another cookie");
    let removed = by_page(&face, &renewed, &format!("{PATH}/remove"), &remove).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_ne!(set_cookie(&removed), renewed);
    assert_eq!(face.stranger(by_password(PASSWORD)).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn q_20_behind_a_trusted_proxy_on_the_host_the_caller_is_counted_and_not_the_proxy() {
    let trusted = vec!["127.0.0.0/8".parse().expect("a range")];
    let face = Face::of(World::new().await, |config| config.trusted_proxies = TrustedProxies::new(trusted));
    with_password(&face).await;
    let proxy = || Peer { address: Some("127.0.0.1:40000".parse().expect("an address")), ..stranger() };
    let asks = async |password: &str, hops: &str| {
        face.send(proxy(), with(by_password(password), "x-forwarded-for", hops)).await.status
    };
    for n in 0..5 {
        // What stands left of the last hop was written by the caller.
        let status = asks("wrong horse battery", &format!("198.51.100.{n}, 203.0.113.7")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asks(PASSWORD, "203.0.113.8, 203.0.113.7").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        asks(PASSWORD, "203.0.113.7, 203.0.113.8").await,
        StatusCode::NO_CONTENT,
        "the owner, elsewhere"
    );
    assert_eq!(face.send(proxy(), by_password(PASSWORD)).await.status, StatusCode::NO_CONTENT, "the host");
}

//! The pages, without a browser: who gets them, that nothing of a machine's own is markup in them, and what open ones are told.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use muster_server::console::look;
use muster_testkit::world::{Device, held};
use muster_wire::access::Token;
use tower::ServiceExt;

use crate::face::{Answer, Face, browser, get, post, stranger, with};

async fn opened(face: &Face, path: &str) -> Answer {
    let shown = browser(face).await;
    face.stranger(shown.iter().fold(get(path), |request, (name, value)| with(request, name, value))).await
}

#[tokio::test]
async fn a_page_shows_the_fleet_to_whoever_is_logged_in_and_the_way_in_to_everybody_else() {
    let face = Face::new().await;
    let machine = face.world.enroll(&Device::new("zqx-web-1")).await.machine.id;
    for path in ["/machines", "/audit", &format!("/machines/{machine}")] {
        let page = opened(&face, path).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (StatusCode::OK, Some("text/html; charset=utf-8"))
        );
        assert!(page.text().contains("zqx-web-1"), "{path}: {}", page.text());
        let shut = face.stranger(get(path)).await;
        assert_eq!((shut.status, shut.header("hx-redirect")), (StatusCode::UNAUTHORIZED, Some("/login")));
        assert!(!shut.text().contains("zqx") && shut.text().contains("Log in"), "{}", shut.text());
    }
    let admin = face.admin(get("/machines")).await;
    assert_eq!(admin.status, StatusCode::UNAUTHORIZED, "a page is for browsers, whoever asks (Q-30)");
}

#[tokio::test]
async fn each_place_of_the_navigation_is_a_page_that_says_where_it_is() {
    let face = Face::new().await;
    for place in muster_console::Place::ALL {
        let page = opened(&face, place.path()).await;
        assert_eq!(page.status, StatusCode::OK, "{place:?}");
        let here = format!("href=\"{}\" data-key=\"{}\" aria-current=\"page\"", place.path(), place.key());
        assert!(page.text().contains(&here), "{place:?}: {}", page.text());
    }
}

#[tokio::test]
async fn the_overview_teaches_the_first_step_and_then_holds_every_number_it_draws() {
    let face = Face::new().await;
    let empty = opened(&face, "/overview").await.text();
    assert!(empty.contains("muster invite create") && !empty.contains("data-chart"), "{empty}");
    let mut request = Device::new("web-1").by_token(&face.world.one_time().await);
    request.attributes = [("agent_version".to_owned(), "<b>0.9</b>".to_owned())].into();
    face.world.ask(request).await.expect("in");
    face.world.app.note_pulse().await.expect("noted");
    let page = opened(&face, "/overview?hours=168").await.text();
    for part in [
        "data-chart=\"presence\"",
        "data-in=\"1\"",
        "data-step=\"3600\"",
        "hours=168\" title=\"7 days\" aria-current",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(page.contains("0.9") && !page.contains("<b>0.9"), "{page}");
    assert!(!page.contains("style="), "the policy allows no style in a page");
    for wrong in ["/overview?hours=0", "/overview?hours=many", "/overview?days=1"] {
        assert_eq!(opened(&face, wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_code_is_drawn_of_what_is_in_the_body_and_of_nothing_too_long() {
    let face = Face::new().await;
    let shown = browser(&face).await;
    for (text, status) in
        [("muster1:abc".to_owned(), StatusCode::OK), ("x".repeat(2000), StatusCode::BAD_REQUEST)]
    {
        let request = post("/qr", &serde_json::json!({ "text": text }));
        let request = shown.iter().fold(request, |request, (name, value)| with(request, name, value));
        assert_eq!(face.stranger(request).await.status, status);
    }
}

#[tokio::test]
async fn what_goes_wrong_on_a_page_is_told_as_one() {
    let face = Face::new().await;
    let missing = opened(&face, "/machines/mch_00000000000000000000000000").await;
    assert_eq!((missing.status, missing.is_problem()), (StatusCode::NOT_FOUND, false));
    assert!(missing.text().contains("not_found") && missing.text().contains("request"), "{}", missing.text());
    let wrong = opened(&face, "/machines?state=happy").await;
    assert_eq!((wrong.status, wrong.is_problem()), (StatusCode::BAD_REQUEST, false));
}

#[tokio::test]
async fn a_search_names_fields_the_page_teaches_them_and_what_is_none_is_told_with_those_there_are() {
    let face = Face::new().await;
    for name in ["zqx-web-1", "zqx-db-1"] {
        face.world.enroll(&Device::new(name)).await;
    }
    let plain = opened(&face, "/machines").await.text();
    for field in muster_model::search::FIELDS.split(", ") {
        assert!(plain.contains(&format!("data-term=\"{field}:")), "{field} is taught: {plain}");
    }
    let page = opened(&face, "/machines?search=kind%3Ahost+online%3Ano+zqx-db&state=&site=").await;
    assert!(page.text().contains("zqx-db-1") && !page.text().contains("zqx-web-1"), "{}", page.text());
    let none = opened(&face, "/machines?search=kind%3Aworker").await;
    assert!(none.text().contains("Nothing fits"), "{}", none.text());
    for (search, told) in [
        ("stat%3Aactive", "<code>stat:</code> is no field: there are state, site, online, label"),
        ("label%3A", "<code>label:</code> names no value"),
        ("site%3Anowhere", "Not a search yet"),
        ("state%3Ahappy", "<code>state</code> is not one of pending, active"),
    ] {
        let page = opened(&face, &format!("/machines?search={search}")).await;
        assert_eq!(page.status, StatusCode::OK, "what is being typed need not be a search yet");
        assert!(page.text().contains(told) && !page.text().contains("zqx-"), "{search}: {}", page.text());
    }
}

#[tokio::test]
async fn whoever_asks_is_on_the_desk_and_a_collision_is_a_case_with_both_sides() {
    let face = Face::new().await;
    assert!(opened(&face, "/").await.text().contains("Nothing waits for you"));
    let device = Device::new("web-1");
    face.world.enroll(&device).await;
    let token = face.world.one_time().await;
    let hold = held(face.world.ask(device.reinstalled().by_token(&token)).await.expect("held")).hold;
    let page = opened(&face, "/").await.text();
    for part in [hold.as_str(), "The same machine", "Another machine", "Reject", "--as-same", "differs"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

/// A hundred payloads in a field of a machine's own: browsers show that none runs, this that none is markup.
#[tokio::test]
async fn q_31_what_a_machine_says_of_itself_is_never_markup() {
    let face = Face::new().await;
    let marked = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{7*7}}",
        "'-alert(1)-'",
        "</title><svg/onload=1>",
    ];
    let attributes: BTreeMap<String, String> =
        marked.iter().enumerate().map(|(at, text)| (format!("a{at}"), (*text).to_owned())).collect();
    let mut request = Device::new("web-1").by_token(&face.world.one_time().await);
    request.attributes = attributes;
    let machine = muster_testkit::world::enrolled(face.world.ask(request).await.expect("in")).machine.id;
    let page = opened(&face, &format!("/machines/{machine}")).await.text();
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"), "{page}");
    for text in marked.iter().filter(|text| text.contains('<')) {
        assert!(!page.contains(text), "{text} in {page}");
    }
}

struct Stream {
    body: Body,
}

impl Stream {
    async fn opened(face: &Face, shown: &[(&'static str, String)]) -> Self {
        Self::after(face, shown, face.world.audit_end().await).await
    }

    async fn after(face: &Face, shown: &[(&'static str, String)], seen: u64) -> Self {
        let request = Request::get(format!("/events?after={seen}")).body(Body::empty()).expect("a request");
        let mut request = shown.iter().fold(request, |request, (name, value)| with(request, name, value));
        request.extensions_mut().insert(stranger());
        request.extensions_mut().insert(face.draining.clone());
        let answer = face.router.clone().oneshot(request).await.expect("a router always answers");
        assert_eq!(answer.status(), StatusCode::OK);
        Self { body: answer.into_body() }
    }

    /// The next frame that tells of something; `None` where the stream is over.
    async fn hears(&mut self) -> Option<String> {
        loop {
            let frame = self.body.frame().await?.expect("a frame");
            let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
            // A line that says that the stream is alive tells of nothing.
            if !text.starts_with(':') {
                return Some(text);
            }
        }
    }

    /// What it hears up to a word of this.
    async fn hears_of(&mut self, topic: &str) -> String {
        let mut heard = String::new();
        while let Some(text) = self.hears().await {
            heard.push_str(&text);
            if text.contains(&format!("event: {topic}\n")) {
                return heard;
            }
        }
        panic!("the stream ended without a word of {topic}: {heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_page_is_told_of_what_changes_and_of_nothing_that_was_before() {
    let face = Face::new().await;
    let before = face.world.enroll(&Device::new("before")).await.machine.id;
    let mut stream = Stream::opened(&face, &browser(&face).await).await;
    look(&face.state).await;
    let machine = face.world.enroll(&Device::new("web-1")).await.machine.id;
    look(&face.state).await;
    let heard = stream.hears_of(&machine).await;
    assert!(!heard.contains(&before), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn what_changed_between_the_making_of_a_page_and_its_stream_is_told_first() {
    let face = Face::new().await;
    let shown = browser(&face).await;
    let seen = face.world.audit_end().await;
    let machine = face.world.enroll(&Device::new("web-1")).await.machine.id;
    let mut stream = Stream::after(&face, &shown, seen).await;
    stream.hears_of(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn q_33_a_stream_ends_with_its_session_within_five_seconds() {
    let face = Face::new().await;
    let shown = browser(&face).await;
    let mut stream = Stream::opened(&face, &shown).await;
    look(&face.state).await;
    let began = tokio::time::Instant::now();
    let sessions: Vec<Token> =
        face.world.app.tokens(&Default::default(), &face.world.admin()).await.expect("a list").items;
    let session = sessions.into_iter().find(|token| token.kind == "session").expect("one");
    let id = session.id.parse().expect("an identifier");
    face.world.app.revoke_token(id, &face.world.admin()).await.expect("ended");
    stream.hears_of("ended").await;
    assert!(stream.hears().await.is_none(), "nothing comes after that");
    assert!(began.elapsed().as_secs() <= 5, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_page_is_told_how_many_wait_when_one_more_asks() {
    let face = Face::new().await;
    let mut stream = Stream::opened(&face, &browser(&face).await).await;
    look(&face.state).await;
    let device = Device::new("web-1");
    face.world.enroll(&device).await;
    let token = face.world.one_time().await;
    held(face.world.ask(device.reinstalled().by_token(&token)).await.expect("held"));
    look(&face.state).await;
    let heard = stream.hears_of("waiting").await;
    assert!(heard.contains("data: 1"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn q_33_what_an_operator_has_open_ends_when_it_is_disabled_or_lowered() {
    for act in ["disable", "edit"] {
        let face = Face::new().await;
        let app = &face.world.app;
        let admin = face.world.admin();
        let shown = browser(&face).await;
        let mut stream = Stream::opened(&face, &shown).await;
        look(&face.state).await;
        let wish = serde_json::json!({"name": "ada", "role": "admin"});
        let wish = serde_json::from_value(wish).expect("a request");
        app.create_operator(wish, None, &admin).await.expect("another admin");
        let began = tokio::time::Instant::now();
        let first = face.world.founded.admin;
        match act {
            "disable" => app.disable_operator(first, &Default::default(), &admin).await.expect("disabled"),
            _ => {
                let wish = serde_json::json!({"role": "viewer"});
                let wish = serde_json::from_value(wish).expect("a request");
                app.edit_operator(first, wish, &admin).await.expect("lowered")
            }
        };
        stream.hears_of("ended").await;
        assert!(stream.hears().await.is_none(), "nothing comes after that");
        assert!(began.elapsed().as_secs() <= 5, "{act}: {:?}", began.elapsed());
    }
}

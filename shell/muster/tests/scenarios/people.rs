//! The people who work here.
//!
//! 1. An operator is added, gets in by a link, may what its role may, and nothing once it is disabled.
//! 2. The last admin stays.
//! 3. In a browser a viewer sees everything and can change nothing. (Needs what `browser` needs.)

use serde_json::{Value, json};

use crate::support::{Answer, Browser, Http, Server, text};

/// The session that a link opens.
fn session(http: &Http, link: &Value) -> String {
    let link = text(&link["login_url"]);
    let secret = link.split_once('#').expect("a fragment").1;
    let opened = http.post("/v1/session", &json!({"login": secret}));
    assert_eq!(opened.status, 204, "{}", opened.text());
    let cookie = opened.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    cookie.expect("a session").to_owned()
}

fn looks(http: &Http, cookie: &str) -> Answer {
    http.send("GET", "/v1/machines", &[("cookie", cookie)], b"")
}

#[test]
fn q_33_an_operator_gets_in_by_a_link_and_is_nobody_once_it_is_disabled() {
    let server = Server::up(&[]);
    let http = server.http();
    let added = server.muster(&["operator", "add", "Ada", "--role", "operator"]);
    assert_eq!((text(&added["name"]), text(&added["role"])), ("Ada".to_owned(), "operator".to_owned()));
    let (code, said) = server.fails(&["operator", "add", "ADA"]);
    assert_eq!(code, 5, "{said}");
    let cookie = session(&http, &server.muster(&["operator", "link", "ada"]));
    assert_eq!(looks(&http, &cookie).status, 200);
    let told = server.muster(&["operator", "disable", "ada", "--dry-run"]);
    assert_eq!((&told["sessions"], &told["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(looks(&http, &cookie).status, 200);
    server.muster(&["operator", "disable", "ada"]);
    assert_eq!(looks(&http, &cookie).status, 401);
    assert_eq!(server.fails(&["operator", "link", "ada"]).0, 5);
    assert_eq!(server.muster(&["operator", "show", "ada"])["state"], "disabled");
    server.muster(&["operator", "enable", "ada"]);
    assert_eq!(looks(&http, &cookie).status, 401, "what it had stays ended");
    let edited = server.muster(&["operator", "edit", "ada", "--name", "Ada L.", "--role", "viewer"]);
    assert_eq!(edited["operator"]["name"], "Ada L.");
    let names: Vec<String> = server.list(&["operator", "ls"]).iter().map(|one| text(&one["name"])).collect();
    assert_eq!(names, ["Ada L.", "admin"]);
    assert_eq!(server.fails(&["operator", "show", "nobody"]).0, 3);
}

#[test]
fn the_last_admin_stays_one_and_is_told_what_to_do() {
    let server = Server::up(&[]);
    for act in [vec!["operator", "disable", "admin"], vec!["operator", "edit", "admin", "--role", "viewer"]] {
        let (code, said) = server.fails(&act);
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("muster operator edit NAME --role admin"), "{said}");
    }
}

#[test]
fn q_24_a_viewer_sees_everything_in_the_browser_and_can_change_nothing() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::start() else { return };
    server.muster(&["operator", "add", "eve"]);
    let machine = server.machine();
    browser.open(&text(&server.muster(&["operator", "link", "eve"])["login_url"]));
    browser.until("#desk", "Nothing waits for you");
    for page in ["/", "/machines", &format!("/machines/{machine}"), "/doors", "/settings", "/audit"] {
        browser.open(&format!("{}{page}", server.url()));
        browser.until("main h1", "");
        let acts = browser.script(
            "return document.querySelectorAll('main [data-opens], main dialog form').length",
            Vec::new(),
        );
        assert_eq!(acts, 0, "{page} offers nothing that a viewer may not do");
    }
    let send = "const done = arguments[arguments.length - 1];
        const csrf = document.querySelector('meta[name=csrf]')?.content ?? '';
        return fetch(arguments[0], {method: 'POST', headers: {'content-type': 'application/json',
            'muster-csrf': csrf}, body: arguments[1]}).then((answer) => answer.status);";
    for (path, body) in [
        (format!("/v1/machines/{machine}/suspend"), "{}"),
        ("/v1/operators".to_owned(), r#"{"name": "mallory", "role": "admin"}"#),
        ("/v1/invites".to_owned(), "{}"),
    ] {
        assert_eq!(browser.script(send, vec![json!(path), json!(body)]), 403, "{path}");
    }
    assert_eq!(server.show(machine)["state"], "active");
    assert_eq!(server.list(&["operator", "ls"]).len(), 2);
}

#[test]
fn an_admin_adds_lowers_and_disables_an_operator_in_the_console() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let act = |id: &str, verb: &str| browser.click(&format!("[data-opens='{id}-{verb}']"));
    let does = || browser.click("dialog[open] button[type='submit']");
    browser.open(&format!("{}/settings", server.url()));
    act("operators", "add");
    browser.fill("dialog[open] [name='name']", "Ada");
    browser.script(
        "const role = document.querySelector(`dialog[open] [name='role']`);
        role.value = 'operator'; role.dispatchEvent(new Event('input', {bubbles: true}));",
        Vec::new(),
    );
    browser.until("dialog[open] details", "");
    does();
    browser.until("#settings", "Ada");
    let ada = server.muster(&["operator", "show", "ada"]);
    assert_eq!(ada["role"], "operator");
    let id = text(&ada["id"]);
    act(&id, "link");
    does();
    browser.until("dialog[open] [data-secret]", "/login#");
    let link = browser.text("dialog[open] [data-secret]").expect("the link is shown");
    let cookie = session(&server.http(), &json!({"login_url": link.trim()}));
    browser.click("dialog[open] [data-reloads]");
    browser.until("#settings", "Ada");
    act(&id, "edit");
    browser.fill("dialog[open] [name='name']", "Ada L.");
    does();
    browser.until(&format!("#{id}"), "Ada L.");
    assert_eq!(server.muster(&["operator", "show", &id])["role"], "operator", "what was not chosen stays");
    assert_eq!(looks(&server.http(), &cookie).status, 200);
    act(&id, "disable");
    does();
    browser.until(&format!("#{id} .tag"), "disabled");
    assert_eq!(looks(&server.http(), &cookie).status, 401);
}

//! A person at the console, in a real browser.
//!
//! 1. The login link of `muster up` leads to the desk, once; the secret leaves the page. Everything is reached by keys, and the
//!    machines are searched by their fields.
//! 2. A second machine is added through the wizard, which turns green when it is in.
//! 3. Who asks without a secret appears by itself and is approved.
//! 4. A collision is decided both ways.
//! 5. A machine is suspended and resumed, and its agent obeys; its key is rotated.
//! 6. Many are chosen and suspended at once, after it was told what ends by it.
//! 7. An engagement is changed: what is wrong is told while it is written, and what would be different before anything is.
//! 8. A hundred payloads in what machines say of themselves: none runs.
//! 9. The overview draws what its tables say, in both looks, and keeps to the policy of the pages.
//! 10. A password and a second factor: the page asks for a code once the password is right, and each code counts once.
//!
//! Needs `MUSTER_TEST_CHROMIUM`, the path of a Chromium, and chromedriver.

use muster_testkit::authenticator;
use serde_json::{Value, json};

use crate::support::{Agent, Browser, Program, SOON, Server, eventually, text};

#[test]
fn the_login_link_leads_to_the_desk_once_and_keys_lead_on() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    browser.until("#desk", "Nothing waits for you");
    let address = text(&browser.script("return location.href", Vec::new()));
    assert!(!address.contains("mst_"), "the secret has left the page: {address}");
    browser.press("gm");
    browser.until("h1", "Machines");
    browser.press("/");
    browser.press("no such machine");
    browser.until("#list", "Nothing fits");
    browser.open(&format!("{}/machines", server.url()));
    browser.press("j");
    browser.press("\u{e007}");
    browser.until("#machine h1", &text(&server.show(server.machine())["name"]));
    browser.until(".timeline", "machine.enroll");
    browser.press("?");
    browser.until("#keys", "search");

    let Some(other) = Browser::start() else { return };
    other.open(server.told("login_url"));
    other.until("#message", "was used before");
}

#[test]
fn the_fields_of_a_search_are_taught_and_a_click_asks_for_one() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let name = text(&server.show(server.machine())["name"]);
    browser.open(&format!("{}/machines", server.url()));
    browser.until("#rows", &name);
    browser.click(".fields summary");
    browser.click("[data-term='online:no']");
    browser.until("#list", "Nothing fits");
    browser.press("yes");
    browser.until("#rows", &name);
    browser.click("[data-term='kind:worker']");
    browser.until("#list", "Nothing fits");
    assert_eq!(
        browser.script("return location.search", Vec::new()),
        "?search=online%3Ayes+kind%3Aworker&state=&site="
    );
    browser.fill("[data-search]", "stat:active");
    browser.until("#list [role='alert']", "stat: is no field: there are state, site, online");
}

#[test]
fn a_machine_that_is_added_through_the_wizard_turns_it_green() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    browser.open(&format!("{}/doors", server.url()));
    browser.click("[data-opens='new-invite']");
    browser.fill("#new-invite [name='labels']", "env=prod");
    browser.until("#new-invite", "Add machines");
    browser.click("#new-invite button[type='submit']");
    browser.until("#new-invite [data-waits]", "Waiting for the machine");
    let invite = browser.text("#new-invite [data-secret]").expect("the invite is shown");
    let agent = Agent::enrolled(invite.trim());
    browser.until("#new-invite .waits.good", "is in.");
    let machine = server.show(&agent.machine());
    assert_eq!(machine["labels"]["env"], "prod");
    browser.click("#new-invite [data-waits] a");
    browser.until("#machine h1", &text(&machine["name"]));
}

#[test]
fn who_asks_appears_on_the_desk_by_itself_and_is_let_in() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let agent = Agent::new();
    let mut command = agent.command(&["enroll", "--output", "json", "--request", "--hardware-id", "none"]);
    command.args(["--name", "lab-3", "--server", server.url(), "--ca-pin", server.told("ca_pin")]);
    let mut enrolling = Program::start("enrolling", &mut command);
    browser.until("#desk", "lab-3");
    browser.until("#waiting", "1");
    browser.click("[data-opens$='-new']");
    browser.click("dialog[open] button[type='submit']");
    browser.until("#desk", "Nothing waits for you");
    assert_eq!(enrolling.exit_code(), 0, "{}", enrolling.log());
    assert_eq!(server.show(&agent.machine())["name"], "lab-3");
}

/// A machine of this hardware, and another that claims to be it and waits.
fn collision(server: &Server, hardware: &str) -> (Agent, Agent, Program) {
    let first = Agent::new();
    first.enroll(&server.invite(), &["--hardware-id", hardware]);
    let second = Agent::new();
    let file = second.home().write("invite", &server.invite());
    let mut command =
        second.command(&["enroll", "--output", "json", "--hardware-id", hardware, "--invite-file"]);
    let waiting = Program::start("the claimant", command.arg(&file));
    (first, second, waiting)
}

#[test]
fn a_collision_is_decided_both_ways() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    for (choice, machines) in [("same", 2), ("new", 4)] {
        let (first, second, mut waiting) = collision(&server, &format!("board-{choice}"));
        browser.until(".case", "claims to be");
        browser.until(".case .signals .differs", "Words of the key");
        browser.click(&format!(".case [data-opens$='-{choice}']"));
        browser.click("dialog[open] button[type='submit']");
        browser.until_gone(".case");
        assert_eq!(waiting.exit_code(), 0, "{}", waiting.log());
        assert_eq!(first.machine() == second.machine(), choice == "same");
        assert_eq!(server.list(&["machine", "ls"]).len(), machines);
    }
}

#[test]
fn a_machine_is_suspended_and_its_agent_obeys_and_its_key_is_rotated() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let mut agent = Agent::online(&server.invite());
    let machine = agent.machine();
    let key = server.show(&machine)["key"].clone();
    let act = |verb: &str| {
        browser.click(&format!("[data-opens='{machine}-{verb}']"));
        browser.click("dialog[open] button[type='submit']");
    };
    browser.open(&format!("{}/machines/{machine}", server.url()));
    act("rotate");
    eventually("another key", SOON, || (server.show(&machine)["key"] != key).then_some(()));
    browser.until(".timeline", "key.activate");
    act("suspend");
    assert_eq!(agent.standing(), "suspended");
    browser.until(".title", "suspended");
    act("resume");
    assert_eq!(agent.standing(), "active");
    browser.until(".title", "active");
}

#[test]
fn an_engagement_is_changed_after_it_was_told_what_would_be_different() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let made = server.muster(&["machine", "create", "scout", "--kind", "software_agent"]);
    let machine = text(&made["machine"]["id"]);
    let file =
        server.home().write("first.json", r##"{"nick":"scout","engagement":{"channels":["#a","#b"]}}"##);
    server.muster(&["engagement", "set", &machine, "--file", file.to_str().expect("a plain name")]);
    browser.open(&format!("{}/registry", server.url()));
    browser.click("#agents a");
    browser.until("h1", "scout");
    let channels = "[name='engagement.channels']";
    browser.fill(channels, "nohash");
    browser.until("#engage .problem", "engagement.channels[0]");
    assert!(browser.text(&format!("{channels}[aria-invalid]")).is_some(), "it is marked where it is wrong");
    browser.fill(channels, "#b\n#c");
    browser.until("#differs", "engagement.channels");
    assert_eq!(browser.text("#differs del").as_deref(), Some("#a"));
    assert_eq!(browser.text("#differs ins").as_deref(), Some("#c"));
    assert_eq!(server.muster(&["engagement", "show", &machine])["version"], 1, "nothing is changed yet");
    browser.click("#engage button[type='submit']");
    browser.until(".timeline", "v2");
    let set = server.muster(&["engagement", "show", &machine]);
    assert_eq!((&set["version"], &set["engagement"]["channels"]), (&json!(2), &json!(["#b", "#c"])));
}

#[test]
fn many_are_suspended_at_once_after_it_was_told_what_ends() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let agents = [Agent::enrolled(&server.invite()), Agent::enrolled(&server.invite())];
    browser.open(&format!("{}/machines", server.url()));
    for agent in &agents {
        browser.click(&format!("#{} [name='pick']", agent.machine()));
    }
    browser.until("#chosen [data-count]", "2 chosen");
    browser.click("#chosen [data-verb='suspend']");
    browser.until("#bulk [data-effect]", "2 machines");
    browser.fill("#bulk [name='reason']", "moved to another rack");
    browser.click("#bulk [data-does]");
    for agent in &agents {
        browser.until(&format!("#{} .tag", agent.machine()), "suspended");
        assert_eq!(server.show(&agent.machine())["state_reason"], "moved to another rack");
    }
    browser.until_gone("#chosen");
    assert_eq!(server.show(server.machine())["state"], "active", "who was not chosen is left alone");
}

/// Sends something to the API as the page does, and loads the page anew: its session may be another one now.
fn sent(browser: &Browser, server: &Server, path: &str, body: &Value) -> Value {
    let told = browser
        .script("return await muster.send(arguments[0], arguments[1])", vec![json!(path), body.clone()]);
    browser.open(server.url());
    browser.until("h1", "Desk");
    told
}

#[test]
fn q_10_who_has_a_second_factor_is_asked_for_a_code_and_each_counts_once() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let password = "correct horse battery";
    sent(&browser, &server, "/v1/me/password", &json!({ "password": password }));
    let shown = sent(&browser, &server, "/v1/me/second-factor", &json!({ "present": password }));
    let code = |later: i64| {
        let now: jiff::Timestamp =
            text(&server.http().get("/v1/nonce").json()["server_time"]).parse().expect("RFC 3339");
        authenticator::code(&text(&shown["key"]), now + jiff::SignedDuration::from_secs(later))
    };
    let confirmed = sent(&browser, &server, "/v1/me/second-factor/confirm", &json!({ "code": code(0) }));
    let recovery = text(&confirmed["recovery_codes"][0]);
    // Of the codes of two moments one was used; that of the next one is good a little early (RFC 6238, section 5.2).
    for (typed, gets_in) in [(recovery.clone(), true), (recovery, false), (code(30), true)] {
        browser.open(&format!("{}/login", server.url()));
        browser.until("#message", "Log in");
        browser.fill("[name='name']", "admin");
        browser.fill("[name='password']", password);
        browser.click("#login button");
        browser.until("#message", "the code of your authenticator");
        browser.fill("[name='code']", &typed);
        browser.click("#login button");
        match gets_in {
            true => browser.until("h1", "Desk"),
            false => browser.until("#message", "A code counts once"),
        }
    }
}

const PAYLOADS: &str = include_str!("support/payloads.txt");

#[test]
fn q_31_of_a_hundred_payloads_in_what_machines_say_none_runs() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    let payloads: Vec<&str> = PAYLOADS.lines().filter(|line| !line.is_empty()).collect();
    assert!(payloads.len() >= 100, "{}", payloads.len());
    let http = server.http();
    let mut pages = vec!["/".to_owned(), "/machines".to_owned(), "/audit".to_owned(), "/doors".to_owned()];
    for ten in payloads.chunks(10) {
        let device = crate::support::Device::new();
        let mut request = device.enrollment(&server.token());
        let attributes = ten.iter().enumerate().map(|(at, text)| (format!("a{at}"), json!(text)));
        request["attributes"] = Value::Object(attributes.collect());
        let answer = http.post("/v1/enroll", &request);
        assert_eq!(answer.status, 201, "{}", answer.text());
        pages.push(format!("/machines/{}", text(&answer.json()["machine"]["id"])));
    }
    for page in pages {
        browser.open(&format!("{}{page}", server.url()));
        browser.until("#link", "live");
        let ran = browser.script("return window.ran ?? null", Vec::new());
        assert_eq!(ran, Value::Null, "{page}");
        let foreign = "return [...document.querySelectorAll('main script, main iframe, main object, main embed, main [onerror], main [onload], main [onclick], main [srcdoc]')].map(e => e.outerHTML)";
        assert_eq!(browser.script(foreign, Vec::new()), json!([]), "{page}");
    }
    let shown = browser.text("#machine .facts").expect("the last machine");
    assert!(shown.contains(payloads[payloads.len() - 1]), "it is shown as text: {shown}");
}

const GROUND: &str = "return getComputedStyle(document.body).backgroundColor";
const PICTURE: &str = "return document.querySelector('[data-chart] canvas').toDataURL()";
/// What the page did against the policy since it was loaded.
const VIOLATIONS: &str = "window.violations ??= (() => {
    const seen = [];
    const told = (reports) => reports.forEach(({ body }) => seen.push(`${body.effectiveDirective} ${body.blockedURL}`));
    new ReportingObserver(told, { types: ['csp-violation'], buffered: true }).observe();
    return seen;
})(); return window.violations";
/// How much is drawn on the canvas of each chart.
const DRAWN: &str = "return [...document.querySelectorAll('[data-chart] canvas')].map(canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let seen = 0;
    for (let at = 3; at < data.length; at += 4) seen += data[at] > 0;
    return seen;
})";

#[test]
fn the_overview_draws_what_its_tables_say_and_keeps_to_the_policy() {
    let server = Server::up(&[]);
    let Some(browser) = Browser::logged_in(&server) else { return };
    browser.press("gv");
    browser.until("h1", "Overview");
    browser.until(".figures", "of 1");
    // The server notes what it sees soon after its start.
    eventually("the first note is drawn", SOON, || {
        browser.open(&format!("{}/overview?hours=24", server.url()));
        let drawn = browser.script(DRAWN, Vec::new());
        let drawn = drawn.as_array().cloned().unwrap_or_default();
        (drawn.len() == 3 && drawn.iter().all(|seen| seen.as_u64() > Some(100))).then_some(())
    });
    browser.script(VIOLATIONS, Vec::new());
    let look = || (browser.script(GROUND, Vec::new()), browser.script(PICTURE, Vec::new()));
    let before = look();
    browser.click("#theme");
    eventually("it is drawn in the other look", SOON, || {
        let now = look();
        (now.0 != before.0 && now.1 != before.1).then_some(())
    });
    browser.click(".numbers summary");
    browser.until("#pulses", "Refused");
    browser.until(".calendar", "Mon");
    browser.until(".bars", env!("CARGO_PKG_VERSION"));
    // Reports come in their order: one that is provoked is the first and only one.
    browser.script("document.body.setAttribute('style', 'color: red')", Vec::new());
    let seen = eventually("the policy is kept", SOON, || {
        let seen = browser.script(VIOLATIONS, Vec::new());
        (seen != json!([])).then_some(seen)
    });
    assert_eq!(seen, json!(["style-src-attr inline"]));
    browser.click("[title='7 days']");
    browser.until(".spans [aria-current]", "7 d");
}

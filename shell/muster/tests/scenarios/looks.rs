//! How the console looks: every page of a fleet in light and dark, on a desk and on a telephone.
//!
//! 1. axe-core finds nothing against WCAG 2.2 AA on any page, in either look.
//! 2. No page is wider than the window, from 320 pixels to 3840.
//! 3. A page with everything that it loads, but for charts, is at most 250 KiB.
//! 4. Nothing moves when a page that is open is told of something new.
//! 5. What a page says to type is a command, and what it sends is a call of the API.
//! 6. With `MUSTER_SCREENSHOTS=DIR` (`cargo xtask screenshots`) each is kept as a picture.
//!
//! Needs `MUSTER_TEST_CHROMIUM`, the path of a Chromium, and chromedriver.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Agent, Browser, Device, Program, SOON, Server, eventually, text};

const AXE: &str = include_str!("vendor/axe.min.js");
const SCHEMES: [&str; 2] = ["light", "dark"];
/// A desk and a telephone, as they are kept.
const WINDOWS: [(u32, u32); 2] = [(1440, 900), (390, 844)];
/// From the narrowest telephone to the widest desk.
const WIDTHS: [u32; 4] = [320, 768, 1920, 3840];
const BUDGET: u64 = 250 * 1024;

/// What axe-core has against the page: each rule, with the first element that breaks it.
const COMPLAINTS: &str = "const { violations, passes } = await axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
});
const told = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
return passes.length > 15 ? told : [`only ${passes.length} rules were tried`, ...told];";
const OVERFLOW: &str = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
/// The bytes of a page and of its styles and scripts; charts are drawn by a library that counts apart.
const WEIGHT: &str = "const loaded = performance.getEntriesByType('resource')
    .filter(({ name }) => /\\.(css|js)\\?/.test(name) && !/uPlot|uplot|chart/.test(name));
const [page] = performance.getEntriesByType('navigation');
return loaded.reduce((sum, one) => sum + one.decodedBodySize, page.decodedBodySize);";
/// How far anything has moved by itself since the page was made.
const SHIFTS: &str = "window.shifts ??= (() => {
    const seen = { sum: 0 };
    const told = (list) => list.getEntries().forEach((one) => { if (!one.hadRecentInput) seen.sum += one.value; });
    new PerformanceObserver(told).observe({ type: 'layout-shift', buffered: true });
    return seen;
})(); return window.shifts.sum";

/// A fleet with something of everything, and what must stay alive while it is looked at.
struct Fleet {
    server: Server,
    agent: String,
    machine: String,
    /// Each ends before its directory goes.
    _waiting: [(Program, Agent); 2],
    _agents: [Agent; 2],
}

impl Fleet {
    fn new() -> Self {
        let server = Server::up(&[]);
        server.muster(&["operator", "add", "Grace", "--role", "operator"]);
        server.muster(&["token", "create", "ci", "--role", "viewer"]);
        for (name, os, version) in [
            ("render-01", "Debian GNU/Linux 12", "1.4.2"),
            ("render-02", "Debian GNU/Linux 12", "1.4.2"),
            ("render-03", "Debian GNU/Linux 12", "1.4.1"),
            ("sandbox-a7", "Ubuntu 24.04", "1.4.2"),
            ("till-front", "Windows 11", "1.3.9"),
            ("till-back", "Windows 11", "1.3.9"),
        ] {
            joined(&server, name, os, version);
        }
        let agent = software_agent(&server);
        let mut online = Agent::new();
        online.start_with(&server.invite(), &["--name", "gpu-01"]);
        online.event("online");
        let machine = online.machine();
        server.muster(&[
            "machine",
            "suspend",
            &id_of(&server, "till-back"),
            "--reason",
            "moved to another shop",
        ]);
        server.muster(&["machine", "retire", &id_of(&server, "render-03"), "--reason", "sold"]);
        let first = Agent::new();
        first.enroll(&server.invite(), &["--name", "board-7", "--hardware-id", "board-7"]);
        let waiting = [claims(&server, "board-7"), asks(&server, "lab-3")];
        eventually("both wait", SOON, || (server.list(&["hold", "ls"]).len() == 2).then_some(()));
        // A second site: from here on each grant would have to say which.
        server.muster(&["site", "create", "berlin"]);
        Self { server, agent, machine, _waiting: waiting, _agents: [online, first] }
    }

    /// Every page, with the name under which it is kept.
    fn pages(&self) -> Vec<(String, String)> {
        let of_place = |place: muster_console::Place| (place.name().to_lowercase(), place.path().to_owned());
        let mut pages: Vec<_> = muster_console::Place::ALL.into_iter().map(of_place).collect();
        let entry = self.server.audit().into_iter().rev().find(|entry| entry["action"] == "machine.suspend");
        let seq = entry.expect("told")["seq"].clone();
        pages.extend([
            ("machine".to_owned(), format!("/machines/{}", self.machine)),
            ("agent".to_owned(), format!("/registry/{}", self.agent)),
            ("entry".to_owned(), format!("/audit/{seq}")),
        ]);
        pages
    }
}

fn joined(server: &Server, name: &str, os: &str, version: &str) {
    let mut request = Device::new().enrollment(&server.token());
    request["hostname"] = name.into();
    request["attributes"] = json!({"os": os, "agent_version": version});
    let answer = server.http().post("/v1/enroll", &request);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn id_of(server: &Server, name: &str) -> String {
    let found = server.list(&["machine", "ls", "--search", name]);
    text(&found[0]["id"])
}

fn software_agent(server: &Server) -> String {
    let made = server.muster(&["machine", "create", "scout", "--kind", "software_agent"]);
    let machine = text(&made["machine"]["id"]);
    for channels in [r##"["#ops"]"##, r##"["#ops","#fleet"]"##] {
        let written = format!(r#"{{"nick":"scout","engagement":{{"channels":{channels}}}}}"#);
        let file = server.home().write("engagement.json", &written);
        server.muster(&["engagement", "set", &machine, "--file", file.to_str().expect("a plain name")]);
    }
    machine
}

/// Somebody on known hardware with another key.
fn claims(server: &Server, hardware: &str) -> (Program, Agent) {
    let agent = Agent::new();
    let file = agent.home().write("invite", &server.invite());
    let args =
        ["enroll", "--output", "json", "--name", "board-7", "--hardware-id", hardware, "--invite-file"];
    (Program::start("the claimant", agent.command(&args).arg(&file)), agent)
}

/// Somebody without any secret.
fn asks(server: &Server, name: &str) -> (Program, Agent) {
    let args = ["enroll", "--output", "json", "--request", "--hardware-id", "none", "--name", name];
    let agent = Agent::new();
    let mut command = agent.command(&args);
    command.args(["--server", server.url(), "--ca-pin", server.told("ca_pin")]);
    (Program::start("asking", &mut command), agent)
}

fn complaints(browser: &Browser, page: &str) {
    let has_axe = browser.script("return typeof axe !== 'undefined'", Vec::new());
    if has_axe == json!(false) {
        browser.script(AXE, Vec::new());
    }
    assert_eq!(browser.script(COMPLAINTS, Vec::new()), json!([]), "{page}");
}

fn kept(browser: &Browser, name: &str) {
    let Some(dir) = std::env::var_os("MUSTER_SCREENSHOTS").map(PathBuf::from) else { return };
    std::fs::write(dir.join(format!("{name}.png")), browser.picture()).expect("a picture is written");
}

#[test]
fn every_page_is_for_everybody_in_both_looks_on_a_desk_and_on_a_telephone() {
    let Some(browser) = Browser::start() else { return };
    let fleet = Fleet::new();
    let server = &fleet.server;
    browser.open(&format!("{}/login", server.url()));
    complaints(&browser, "login");
    browser.open(server.told("login_url"));
    browser.until("h1", "Desk");
    for (name, path) in fleet.pages() {
        for scheme in SCHEMES {
            for (width, height) in WINDOWS {
                browser.looks(width, height, scheme);
                browser.open(&format!("{}{path}", server.url()));
                browser.until("#link", "live");
                kept(&browser, &format!("{name}-{scheme}-{width}"));
                complaints(&browser, &format!("{name}, {scheme}, {width}"));
                assert!(browser.script(OVERFLOW, Vec::new()).as_i64() <= Some(0), "{name} at {width}");
            }
        }
        for width in WIDTHS {
            browser.looks(width, 900, "light");
            // Charts follow the window a moment later.
            eventually(&format!("{name} fits into {width}"), SOON, || {
                (browser.script(OVERFLOW, Vec::new()).as_i64() <= Some(0)).then_some(())
            });
        }
        let weight = browser.script(WEIGHT, Vec::new()).as_u64().expect("a number");
        assert!((1..=BUDGET).contains(&weight), "{name} weighs {weight}");
    }
}

/// Every act of the page as it stands once everything is filled in: the command, and the call of the API.
const ACTS: &str = "const said = { text: 'x1', number: '3', pairs: 'a=b' };
return [...document.querySelectorAll('form[data-path]')].map((form) => {
    for (const field of form.elements) {
        if (field.type === 'checkbox') field.checked = true;
        else if (field.tagName === 'SELECT') field.selectedIndex = field.options.length - 1;
        else if (field.name) field.value = said[field.dataset.type] ?? '';
    }
    form.dispatchEvent(new Event('input', { bubbles: true }));
    return [form.querySelector('[data-cli]').textContent, form.dataset.method, form.dataset.path];
});";

/// The words of a command, as a shell takes them.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    let plain = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut words = vec![String::new()];
    for (at, part) in parts {
        let pieces = if at % 2 == 0 { plain(part) } else { vec![part.to_owned()] };
        let mut pieces = pieces.into_iter();
        words.last_mut().expect("there is one").push_str(&pieces.next().unwrap_or_default());
        words.extend(pieces);
    }
    words
}

/// Whether the API has such a call.
fn is_called(api: &Value, method: &str, path: &str) -> bool {
    let fits = |known: &str| {
        let (known, path): (Vec<_>, Vec<_>) = (known.split('/').collect(), path.split('/').collect());
        known.len() == path.len()
            && known.iter().zip(path).all(|(known, part)| known.starts_with('{') || *known == part)
    };
    let paths = api["paths"].as_object().expect("paths");
    paths.iter().any(|(known, calls)| fits(known) && calls.get(method.to_lowercase()).is_some())
}

#[test]
fn what_a_page_says_to_type_is_a_command_and_what_it_sends_is_a_call_of_the_api() {
    let Some(browser) = Browser::start() else { return };
    let fleet = Fleet::new();
    let server = &fleet.server;
    let api = server.http().get("/openapi.json").json();
    browser.open(server.told("login_url"));
    browser.until("h1", "Desk");
    let nobody = Agent::new();
    let mut seen = 0;
    for (name, path) in fleet.pages() {
        browser.open(&format!("{}{path}", server.url()));
        browser.until("#link", "live");
        let acts: Vec<[String; 3]> =
            serde_json::from_value(browser.script(ACTS, Vec::new())).expect("three texts each");
        for [command, method, path] in acts {
            seen += 1;
            let words = words(&command);
            let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            // Nobody answers there: a command that can be read ends because of that.
            let output = nobody.run(&[&args, ["--server", "https://127.0.0.1:1"].as_slice()].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_ne!(output.status.code(), Some(2), "{name}: {command}: {said}");
            assert!(is_called(&api, &method, &path), "{name}: {method} {path}");
        }
    }
    assert!(seen >= 15, "{seen} acts");
}

#[test]
fn nothing_moves_when_somebody_comes() {
    let Some(browser) = Browser::start() else { return };
    let server = Server::up(&[]);
    joined(&server, "render-01", "Debian GNU/Linux 12", "1.4.2");
    browser.open(server.told("login_url"));
    browser.until("h1", "Desk");
    browser.open(&format!("{}/machines", server.url()));
    browser.until("#link", "live");
    browser.script(SHIFTS, Vec::new());
    joined(&server, "render-02", "Debian GNU/Linux 12", "1.4.2");
    browser.until("#rows", "render-02");
    let moved = browser.script(SHIFTS, Vec::new()).as_f64().expect("a number");
    // Below 0.1 is what the web's own measure calls good.
    assert!(moved < 0.1, "{moved}");
}

/// What is not ours is what its makers published, byte for byte.
#[test]
fn files_of_others_are_what_their_makers_published() {
    let vendor: Value = toml::from_str(include_str!("vendor/VENDOR.toml")).expect("TOML");
    let files = vendor["file"].as_array().expect("files");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0]["sha256"], HEXLOWER.encode(&Sha256::digest(AXE)));
}

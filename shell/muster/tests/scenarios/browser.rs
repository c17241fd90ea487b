//! A person opens the login link in a browser.
//!
//! 1. A headless browser opens the one-time login link of `muster up`.
//! 2. It lands on the status page, logged in, and sees this machine; nobody asked it for a certificate.
//!
//! Needs `MUSTER_TEST_CHROMIUM`, the path of a Chromium.

use std::process::Command;

use crate::support::{Home, SOON, Server, skipped, text, within};

#[test]
fn the_login_link_shows_this_machine_in_a_real_browser() {
    let Some(chromium) = std::env::var_os("MUSTER_TEST_CHROMIUM") else {
        skipped("MUSTER_TEST_CHROMIUM names no browser");
        return;
    };
    let server = Server::up(&[]);
    let name = text(&server.show(server.machine())["name"]);
    let profile = Home::new();
    let mut command = Command::new(chromium);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--ignore-certificate-errors",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=8000", "--dump-dom"])
        .arg(server.told("login_url"));
    let page = within(SOON, || command.output().ok()).expect("the browser runs");
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains("online") && page.contains(&name), "{page}");
    assert!(page.contains(server.told("ca_pin")), "the status page: {page}");
    assert!(!page.contains("mst_"), "the secret has left the page");
}

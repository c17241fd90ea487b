//! A headless Chromium, driven over WebDriver (W3C) by a chromedriver of its own on a port of its own.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities};
use tokio::runtime::Runtime;

use super::process::Program;
use super::{Home, SOON, Server, eventually, skipped};

/// A browser with one window.
pub(crate) struct Browser {
    runtime: Runtime,
    driver: Option<WebDriver>,
    /// Ends after the window is closed.
    _chromedriver: Program,
    _profile: Home,
}

const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--ignore-certificate-errors",
    "--window-size=1440,900",
];

impl Browser {
    /// A browser; `None` where there is none, which is told.
    pub(crate) fn start() -> Option<Self> {
        let Some(chromium) = std::env::var_os("MUSTER_TEST_CHROMIUM") else {
            skipped("MUSTER_TEST_CHROMIUM names no browser");
            return None;
        };
        // A test beside this one may have done so: one provider is as good as the other.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let profile = Home::new();
        // It wants its port at both loopback addresses, and ends where one of them is taken.
        let started = (0..3).find_map(|_| chromedriver(profile.path()));
        let (chromedriver, port) = started.expect("chromedriver tells its port");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let capabilities = capabilities(Path::new(&chromium), profile.path()).expect("they are JSON");
        let opened = runtime.block_on(WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities));
        let driver = Some(opened.expect("the browser starts"));
        Some(Self { runtime, driver, _chromedriver: chromedriver, _profile: profile })
    }

    /// A browser whose person came by the login link of a server.
    pub(crate) fn logged_in(server: &Server) -> Option<Self> {
        let browser = Self::start()?;
        browser.open(server.told("login_url"));
        browser.until("h1", "Desk");
        Some(browser)
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it is closed at the end alone")
    }

    pub(crate) fn open(&self, url: &str) {
        self.runtime.block_on(self.driver().goto(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// What a script in the page gives.
    pub(crate) fn script(&self, script: &str, args: Vec<Value>) -> Value {
        let ran = self.runtime.block_on(self.driver().execute(script, args));
        ran.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// What the first such element says; `None` where there is none, or where it is not seen.
    pub(crate) fn text(&self, css: &str) -> Option<String> {
        let script = "const e = document.querySelector(arguments[0]); return e && e.checkVisibility() ? e.innerText : null";
        self.script(script, vec![json!(css)]).as_str().map(ToOwned::to_owned)
    }

    /// Waits until the first such element says this.
    pub(crate) fn until(&self, css: &str, says: &str) {
        let mut seen = None;
        eventually(&format!("{css} says {says:?}"), SOON, || {
            seen = self.text(css);
            seen.as_ref().filter(|text| text.contains(says)).map(|_| ())
        });
    }

    /// Waits until there is no such element.
    pub(crate) fn until_gone(&self, css: &str) {
        eventually(&format!("{css} is gone"), SOON, || self.text(css).is_none().then_some(()));
    }

    /// Clicks as a person does: on what is seen, once it is.
    pub(crate) fn click(&self, css: &str) {
        let mut last = String::new();
        let clicked = super::within(SOON, || {
            let clicked = self.runtime.block_on(async {
                let element = self.driver().find(By::Css(css)).await?;
                element.scroll_into_view().await?;
                element.click().await
            });
            clicked.inspect_err(|error| last = error.to_string()).ok()
        });
        clicked.unwrap_or_else(|| panic!("{css} cannot be clicked: {last}"));
    }

    pub(crate) fn fill(&self, css: &str, text: &str) {
        let filled = self.runtime.block_on(async {
            let field = self.driver().find(By::Css(css)).await?;
            field.clear().await?;
            field.send_keys(text).await
        });
        filled.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Tells the browser something that no person can: a command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, params: Value) {
        let told = self.runtime.block_on(self.driver().cdp().send_raw(command, params));
        told.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// Pages have so many pixels of width from now on, and this look.
    pub(crate) fn looks(&self, width: u32, height: u32, scheme: &str) {
        // Bars to scroll by lie over a page on what is mobile, and are in no picture.
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}
        ]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// What is seen, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.driver().screenshot_as_png()).expect("a picture")
    }

    /// Presses keys where the focus is.
    pub(crate) fn press(&self, keys: &str) {
        let pressed = self.runtime.block_on(self.driver().action_chain().send_keys(keys).perform());
        pressed.unwrap_or_else(|error| panic!("{keys}: {error}"));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            // It ends with its driver at the latest.
            self.runtime.block_on(driver.quit()).ok();
        }
    }
}

fn chromedriver(home: &Path) -> Option<(Program, u16)> {
    let mut command = Command::new("chromedriver");
    let program = Program::start("chromedriver", command.arg("--port=0").env("HOME", home));
    let told = "started successfully on port ";
    let line = std::iter::from_fn(|| program.line(SOON)).find(|line| line.contains(told))?;
    let port = line.split(told).nth(1)?.trim_end_matches('.').parse().ok()?;
    Some((program, port))
}

fn capabilities(chromium: &Path, profile: &Path) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    capabilities.set_binary(&chromium.to_string_lossy())?;
    for flag in FLAGS {
        capabilities.add_arg(flag)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", profile.join("profile").display()))?;
    Ok(capabilities)
}

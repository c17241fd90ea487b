//! What the scenarios stand on: processes with clean environments, a small HTTP client, keys, and bounded waits.

mod agent;
mod browser;
pub(crate) mod channel;
mod device;
mod disk;
mod http;
pub(crate) mod impostor;
mod process;
mod replicas;
mod server;
pub(crate) mod storm;
pub(crate) mod strace;
mod wait;

pub(crate) use agent::{Agent, Home};
pub(crate) use browser::Browser;
pub(crate) use channel::Channel;
pub(crate) use device::Device;
pub(crate) use disk::{SmallDisk, is_root};
pub(crate) use http::{Answer, Http, host_of};
pub(crate) use process::{Program, muster};
pub(crate) use replicas::{Door, Insistent, Member, Replicas, database};
pub(crate) use server::{Server, json, text, token_in};
pub(crate) use wait::{SOON, Stopwatch, eventually, within};

/// Tells, past the capture of tests that pass, that something was not tested here.
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    // Nobody is left to tell when standard error is closed.
    writeln!(std::io::stderr().lock(), "SKIPPED: {why}").ok();
}

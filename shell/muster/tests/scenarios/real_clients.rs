//! Existing clients themselves, unmodified, where they can be had: `MUSTER_TEST_REAL=studio-worker`.
//!
//! studio-worker 0.4.35, from the registry:
//! 1. It asks, and waits on the Desk; a person approves; at its next poll (30 s, which nothing shortens) it is in, and online.
//! 2. The server stops and starts; the worker is online again by itself.
//! 3. A pause takes it offline, and it comes back once it is resumed.
//! 4. It is retired, forgets who it was, and asks anew under another name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_testkit::free_address;
use serde_json::{Value, json};

use crate::support::{Home, Program, SOON, Server, eventually, skipped, text};

const VERSION: &str = "0.4.35";
/// Its poll, and something for a machine that is busy.
const POLL: Duration = Duration::from_secs(75);

/// The program, built where it is not there yet; nothing where nobody asked for it.
fn studio_worker() -> Option<PathBuf> {
    let asked = std::env::var("MUSTER_TEST_REAL").unwrap_or_default();
    if !asked.split(',').any(|client| client.trim() == "studio-worker") {
        skipped("the real studio-worker (MUSTER_TEST_REAL=studio-worker builds and runs it)");
        return None;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("real");
    let program = root.join("bin/studio-worker");
    if !program.exists() {
        // Not by its lock file, which does not build.
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "studio-worker", "--version", VERSION, "--no-default-features", "--root"]);
        let built =
            cargo.arg(&root).env("CARGO_TARGET_DIR", root.join("build")).output().expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    Some(program)
}

/// The program in a home of its own, with nothing of this process's environment but the search path.
fn command(program: &Path, home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new("nice");
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(["-n", "10"]).arg(program).env_clear().env("PATH", path).env("HOME", home.path());
    command.env("STUDIO_WORKER_LOCAL_API_PORT", "0").env("STUDIO_WORKER_STREAM_PORT", "0");
    command.arg("--config").arg(home.path().join("worker/config.toml")).args(args);
    command
}

/// Points it at a server, and has it look for no newer version of itself.
fn configured(program: &Path, home: &Home, url: &str) {
    std::fs::create_dir(home.path().join("worker")).expect("our own directory");
    let told = command(program, home, &["register", "--api-base-url", url]).output().expect("it runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let config = home.path().join("worker/config.toml");
    let text = std::fs::read_to_string(&config).expect("it wrote its configuration");
    let quiet = text
        .replace("auto_update_enabled = true", "auto_update_enabled = false")
        .replace("auto_start = true", "auto_start = false");
    std::fs::write(&config, quiet).expect("our own file");
}

/// The hold of an install that is not one of these.
fn asked(server: &Server, known: &[String], limit: Duration) -> Value {
    eventually("it asks", limit, || {
        server
            .list(&["hold", "ls"])
            .into_iter()
            .find(|hold| hold["state"] == "open" && !known.contains(&text(&hold["claimant"]["hardware_id"])))
    })
}

fn is_online(server: &Server, worker: &str, online: bool, limit: Duration) {
    eventually(&format!("online: {online}"), limit, || {
        (server.show(worker)["online"] == json!(online)).then_some(())
    });
}

#[test]
fn the_real_studio_worker_lives_from_its_request_to_its_end() {
    let Some(program) = studio_worker() else { return };
    let mut server = Server::up(&["--compat-listen", &free_address().to_string()]);
    let home = Home::new();
    configured(&program, &home, &format!("{}/behind/a/prefix", server.told("compat_url")));
    let mut daemon = Program::start("studio-worker", &mut command(&program, &home, &["run"]));

    let hold = asked(&server, &[], SOON);
    let install = text(&hold["claimant"]["hardware_id"]);
    assert_eq!(hold["claimant"]["attributes"]["agent_version"], VERSION);
    server.muster(&["hold", "approve", &text(&hold["id"])]);
    let worker = eventually("it is in and online", POLL, || {
        let machines = server.list(&["machine", "ls"]);
        let found = machines.iter().find(|machine| machine["kind"] == "worker" && machine["online"] == true);
        found.map(|machine| text(&machine["id"]))
    });
    assert_eq!(server.show(&worker)["hardware_id"], install);

    server.stop();
    server.start();
    is_online(&server, &worker, true, POLL);

    server.muster(&["machine", "suspend", &worker]);
    is_online(&server, &worker, false, SOON);
    server.muster(&["machine", "resume", &worker]);
    is_online(&server, &worker, true, POLL);
    assert!(daemon.is_running());

    server.muster(&["machine", "retire", &worker]);
    let anew = asked(&server, std::slice::from_ref(&install), POLL);
    assert_eq!(anew["reason"], "approval", "an install that nobody knows");
    assert!(daemon.is_running(), "it started over by itself");
    assert_eq!(server.show(&worker)["state"], "retired");
    let log = server.log();
    assert!(!log.contains("mst_bearer_"), "no key in the log");
    daemon.end(rustix::process::Signal::TERM);
}

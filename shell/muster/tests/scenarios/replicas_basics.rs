//! A deployment on PostgreSQL: how it is founded, what it refuses, and how a second server comes to it.
//!
//! 1. `muster up` with an address founds a deployment in an empty database; this machine and another one enroll.
//! 2. A database that is empty, somebody else's, another deployment's, or a directory that is not this one's: refused, and
//!    left as it was.
//! 3. A second server is made of a bundle. Both serve one fleet; what one gave out counts at the other.
//! 4. The password of the database is shown nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::support::{Agent, Home, Replicas, Server, database, muster, text};

fn on(url: &str) -> String {
    format!("database = '{url}'\n")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is in a database, by the names of its tables.
fn tables(database: &muster_testkit::postgres::Database) -> Vec<Vec<Option<String>>> {
    database.run_sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("plain names");
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("readable"))).collect();
    names.sort();
    names
}

#[test]
fn up_founds_a_deployment_in_an_empty_database_and_finds_it_again() {
    let Some(database) = database() else { return };
    let mut server = Server::configured(&on(&database.url()), &[]);
    let machine = server.machine().to_owned();
    let agent = Agent::online(&server.invite());
    assert!(!names(server.dir()).contains(&"muster.db".to_owned()));
    let status = server.muster(&["db", "status"]);
    assert_eq!((&status["database"], &status["found"]), (&"postgres".into(), &"muster".into()));
    assert_eq!(status["deployment"], status["directory_belongs_to"]);
    assert_eq!(server.stop(), 0);
    server.start();
    assert_eq!(server.machine(), machine);
    assert_eq!(server.show(&agent.machine())["state"], "active");
    assert_eq!(server.list(&["machine", "ls"]).len(), 2);
    assert_eq!(server.list(&["replica", "ls"]).iter().filter(|replica| replica["this"] == true).count(), 1);
}

#[test]
fn a_database_that_is_not_this_directorys_is_refused_and_left_as_it_was() {
    let (Some(ours), Some(empty), Some(foreign), Some(others)) =
        (database(), database(), database(), database())
    else {
        return;
    };
    let mut server = Server::configured(&on(&ours.url()), &[]);
    let mut other = Server::configured(&on(&others.url()), &[]);
    server.stop();
    other.stop();
    foreign.run_sql("CREATE TABLE customers (id int)");
    for (database, what) in
        [(&empty, "is empty"), (&foreign, "not Muster's"), (&others, "another deployment")]
    {
        let before = tables(database);
        server.home().write("muster.toml", &on(&database.url()));
        let (code, text) = server.refuses_to_start("127.0.0.1:0");
        assert_eq!(code, 78, "{text}");
        assert!(text.contains(what) && text.contains("hint:"), "{what}: {text}");
        assert_eq!(tables(database), before, "{what}: something was changed");
    }
    server.home().write("muster.toml", "");
    let (code, text) = server.refuses_to_start("127.0.0.1:0");
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("on a PostgreSQL server now"), "{text}");
    assert!(!names(server.dir()).contains(&"muster.db".to_owned()), "nothing was founded beside it");
    server.home().write("muster.toml", &on(&ours.url()));
    server.start();
    assert_eq!(server.list(&["machine", "ls"]).len(), 1);
}

#[test]
fn a_directory_that_does_not_belong_to_a_database_does_not_get_it() {
    let Some(database) = database() else { return };
    let _server = Server::configured(&on(&database.url()), &[]);
    let start = |home: &Home| {
        let mut command = muster(home.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(home.path().join("server"));
        command.output().expect("the binary runs")
    };
    let home = Home::new();
    home.write("muster.toml", &on(&database.url()));
    let refused = start(&home);
    assert_eq!(refused.status.code(), Some(78), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("muster replica import"), "{}", stderr(&refused));
    assert_eq!(names(&home.path().join("server")), ["muster.lock"], "no keys were made");

    let mut file = Server::up(&[]);
    file.stop();
    file.home().write("muster.toml", &on(&database.url()));
    let refused = start(file.home());
    assert_eq!(refused.status.code(), Some(78), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("muster db migrate-to"), "{}", stderr(&refused));

    // Keys of another deployment and no note: the proof tells.
    fs::remove_file(file.dir().join("founded")).expect("ours");
    fs::remove_file(file.dir().join("muster.db")).expect("ours");
    let refused = start(file.home());
    assert_eq!(refused.status.code(), Some(78), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("muster replica import"), "{}", stderr(&refused));
}

#[test]
fn what_one_server_gave_out_counts_at_the_other() {
    let Some(database) = database() else { return };
    let replicas = Replicas::on(&database.url());
    let (first, second) = (&replicas[0], &replicas[1]);
    assert_ne!(first.listens(), second.listens());
    let listed = second.list(&["replica", "ls"]);
    assert_eq!(listed.len(), replicas.len());
    assert_eq!(listed.iter().filter(|replica| replica["this"] == true).count(), 1);
    assert!(listed.iter().all(|replica| replica["alive"] == true), "{listed:?}");
    assert_eq!(second.muster(&["status"])["replicas"], replicas.len());

    let secret = text(&first.muster(&["token", "create", "ci", "--role", "viewer"])["secret"]);
    let bearer = format!("Bearer {secret}");
    let answer = replicas.http_of(1).send("GET", "/v1/machines", &[("authorization", &bearer)], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let link = text(&first.muster(&["login-link"])["login_url"]);
    let login = link.split_once('#').expect("a fragment").1;
    let session = |at: usize| replicas.http_of(at).post("/v1/session", &json!({"login": login})).status;
    assert_eq!((session(1), session(0)), (204, 401), "once, at whichever server");

    let member = replicas.member(&first.token());
    for server in [first, second] {
        assert_eq!(server.show(&member.id)["state"], "active");
        let me = member.mutual(server.listens(), &replicas).get("/v1/machines/self");
        assert_eq!(me.status, 200, "{}", me.text());
    }
}

#[test]
fn a_bundle_is_private_is_written_once_and_makes_one_directory() {
    let Some(database) = database() else { return };
    let server = Server::configured(&on(&database.url()), &[]);
    let home = Home::new();
    let bundle = home.path().join("bundle");
    let path = bundle.to_str().expect("plain");
    let told = server.muster(&["replica", "export", "--out", path]);
    assert_eq!(told["deployment"], server.muster(&["db", "status"])["deployment"]);
    assert_eq!(fs::metadata(&bundle).expect("there").permissions().mode() & 0o777, 0o600);
    let (code, text) = server.fails(&["replica", "export", "--out", path]);
    assert!(code == 78 && text.contains("there already"), "{code} {text}");
    let (code, text) = server.fails(&["replica", "import", path]);
    assert!(code == 5 && text.contains("runs in"), "{code} {text}");
    let file = Server::up(&[]);
    let (code, text) = file.fails(&["replica", "export", "--out", path]);
    assert!(code == 5 && text.contains("migrate-to"), "{code} {text}");
}

#[test]
fn q_27_the_password_of_the_database_is_shown_nowhere() {
    const CANARY: &str = "canary-5f0c9d";
    let Some(database) = database() else { return };
    let with_password = |url: &str| url.replacen('@', &format!(":{CANARY}@"), 1);
    let url = with_password(&database.url());
    assert!(url.contains(CANARY), "the address names a user: {url}");
    let config = format!("{}\n[log]\nlevel = 'trace'\n", on(&url));
    let mut server = Server::configured(&config, &["-vv"]);
    let mut seen = Vec::new();
    let show = |seen: &mut Vec<String>, output: Output| {
        seen.push(String::from_utf8_lossy(&output.stdout).into_owned());
        seen.push(stderr(&output));
    };
    for args in [
        &["config", "show"][..],
        &["config", "show", "--origin"],
        &["config", "show", "--output", "json"],
        &["config", "show", "--output", "yaml"],
        &["config", "check"],
        &["db", "status"],
        &["db", "status", "--output", "json", "-vv"],
        &["doctor", "-vv"],
        &["status", "-vv"],
        &["replica", "ls", "-vv"],
    ] {
        let output = server.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        show(&mut seen, output);
    }
    server.stop();
    seen.push(server.log());
    // Nobody is there, and what is no address.
    let nobody = with_password("postgres://muster@127.0.0.1:1/m");
    let unclear = format!("postgres://muster:{CANARY}@x@127.0.0.1/m");
    for (url, found, code) in [(&nobody, "127.0.0.1", 69), (&unclear, "%40", 78)] {
        server.home().write("muster.toml", &on(url));
        let (exit, text) = server.refuses_to_start("127.0.0.1:0");
        assert!(exit == code && text.contains(found), "{exit}: {text}");
        seen.push(text);
        show(&mut seen, server.run(&["doctor", "-vv"]));
        show(&mut seen, server.run(&["db", "status", "-vv"]));
        let mut by_variable = muster(server.home().path());
        by_variable.env("MUSTER_DATABASE", url).args(["config", "show", "--origin"]);
        show(&mut seen, by_variable.output().expect("the binary runs"));
        show(&mut seen, server.run(&["db", "migrate-to", url]));
    }
    for (n, text) in seen.iter().enumerate() {
        assert!(!text.contains(CANARY), "{n}: {text}");
    }
    let kept = fs::read_to_string(server.dir().join("founded")).expect("it is noted");
    assert!(!kept.contains(CANARY), "{kept}");
}

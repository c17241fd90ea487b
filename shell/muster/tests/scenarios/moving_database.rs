//! A deployment outgrows its file and moves to PostgreSQL, and back.
//!
//! 1. A server on a file has machines, holds, tokens and a log. It is stopped and moved. Its agents go on with a mere
//!    reconnect, and every list is as it was.
//! 2. The old configuration is refused with the new address.
//! 3. Moving is interrupted with -9 at its worst moments, and repeated.
//! 4. Out into a file and in again: the same. A file that was cut or changed is refused with the line.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Agent, Home, Program, SOON, Server, database, eventually, muster, text, within};

fn on(url: &str) -> String {
    format!("database = '{url}'\n")
}

/// A server on a file, with one of everything.
fn server() -> Server {
    let home = Home::new();
    let dir = home.path().join("server");
    let server = Server::serve(home, dir, "");
    server.muster(&["site", "create", "berlin", "--seats", "9"]);
    server.muster(&["site", "rotate-key", "berlin"]);
    server.muster(&["machine", "create", "made ahead", "--site", "berlin", "--label", "umlaut=ä\u{2028}"]);
    server.muster(&["token", "create", "ci", "--role", "viewer"]);
    server
}

/// Everything that operators can list. Who is online when, the move may change.
fn everything(server: &Server) -> Vec<(&'static str, Vec<Value>)> {
    let lists: [&[&'static str]; 6] = [
        &["machine", "ls"],
        &["hold", "ls", "--all"],
        &["site", "ls"],
        &["grant", "ls"],
        &["token", "ls"],
        &["audit", "ls", "--limit", "100000"],
    ];
    let plain = |mut item: Value| {
        if let Some(object) = item.as_object_mut() {
            object.remove("online");
            object.remove("last_seen");
        }
        item
    };
    lists.map(|list| (list[0], server.list(list).into_iter().map(plain).collect())).into()
}

/// A server that has machines, among them one that waits and one that was revoked.
fn inhabited() -> (Server, Agent) {
    let server = server();
    let agent = Agent::online(&text(&server.muster(&["invite", "create", "--site", "default"])["invite"]));
    let revoked =
        Agent::enrolled(&text(&server.muster(&["invite", "create", "--site", "default"])["invite"]));
    server.muster(&["machine", "revoke", &revoked.machine(), "--reason", "lost"]);
    let mut waits = Agent::new();
    waits.start_with(
        &text(&server.muster(&["invite", "create", "--approve", "--site", "berlin"])["invite"]),
        &[],
    );
    waits.event("held");
    waits.stop();
    (server, agent)
}

fn migrate(server: &Server, url: &str) -> Value {
    server.muster(&["db", "migrate-to", url])
}

#[test]
fn a_fleet_moves_to_postgresql_and_its_agents_notice_no_more_than_a_reconnect() {
    let Some(database) = database() else { return };
    let (mut server, mut agent) = inhabited();
    let (code, refused) = server.fails(&["db", "migrate-to", &database.url()]);
    assert!(code == 5 && refused.contains("stop it first"), "{code} {refused}");
    let before = everything(&server);
    let detail = server.show(&agent.machine());
    server.stop();
    agent.event("offline");

    let moved = migrate(&server, &database.url());
    assert_eq!(moved["was_there"], false);
    assert!(moved["rows"].as_u64().is_some_and(|rows| rows > 20), "{moved}");
    assert!(server.dir().join("muster.db.moved").exists() && !server.dir().join("muster.db").exists());
    let (code, refused) = server.refuses_to_start("127.0.0.1:0");
    assert_eq!(code, 78, "{refused}");
    assert!(refused.contains(&database.url()), "the new address is told: {refused}");

    server.home().write("muster.toml", &on(&database.url()));
    server.start();
    agent.event("online");
    for ((name, before), (_, after)) in before.iter().zip(everything(&server)) {
        assert_eq!(before, &after, "{name}");
    }
    let after = server.show(&agent.machine());
    assert_eq!(after["credentials"], detail["credentials"], "no new certificate was needed");
    assert_eq!(after["key"], detail["key"]);
    // And it lives: found by its name, suspended, renewed, joined by another one.
    let found = server.list(&["machine", "ls", "--search", "ahead"]);
    assert_eq!(found.len(), 1);
    server.muster(&["machine", "suspend", &agent.machine()]);
    assert_eq!(agent.standing(), "suspended");
    server.muster(&["machine", "resume", &agent.machine()]);
    server.muster(&["machine", "renew", &agent.machine()]);
    agent.event("renewed");
    Agent::online(&text(&server.muster(&["invite", "create", "--site", "berlin"])["invite"]));
    assert_eq!(server.muster(&["status"])["machines"]["active"], 2);
    let log = server.audit();
    let numbers: Vec<u64> = log.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "the log goes on: {numbers:?}");
    // Once more is no mistake.
    server.stop();
    assert_eq!(migrate(&server, &database.url())["was_there"], true);
}

#[test]
fn q_54_a_move_that_was_killed_in_the_middle_left_nothing_and_is_repeated() {
    const SLOW: &str = "
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
        CREATE FUNCTION slow_audit() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF to_regclass('audit') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'slow') THEN
                CREATE TRIGGER slow BEFORE INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION slow();
            END IF; END $$;
        CREATE EVENT TRIGGER slow_audit ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION slow_audit()";
    const ASLEEP: &str =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    let Some(database) = database() else { return };
    let mut server = server();
    let before = everything(&server);
    server.stop();
    let file = fs::read(server.dir().join("muster.db")).expect("there");
    database.run_sql(SLOW);

    let mut command = muster(server.home().path());
    command.args(["db", "migrate-to", &database.url(), "--data-dir"]).arg(server.dir());
    let mut moving = Program::start("the move", &mut command);
    eventually("the move is in the middle", SOON, || (!database.run_sql(ASLEEP).is_empty()).then_some(()));
    moving.end(rustix::process::Signal::KILL);
    database.run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    within(SOON, || database.run_sql(ASLEEP).is_empty().then_some(()));
    let rows = database.run_sql("SELECT count(*) FROM tenants");
    assert_eq!(rows, [[Some("0".to_owned())]], "nothing arrived");
    // The server goes on where it was.
    assert_eq!(fs::read(server.dir().join("muster.db")).expect("there"), file);
    server.start();
    assert_eq!(everything(&server), before);
    server.stop();

    database.run_sql("DROP EVENT TRIGGER slow_audit; DROP TRIGGER slow ON audit");
    assert_eq!(migrate(&server, &database.url())["was_there"], false);
    server.home().write("muster.toml", &on(&database.url()));
    server.start();
    assert_eq!(everything(&server), before);
}

#[test]
fn a_move_that_was_killed_before_it_was_noted_is_recognised_and_finished() {
    let Some(database) = database() else { return };
    let mut server = server();
    let before = everything(&server);
    server.stop();
    let kept = ["muster.db", "founded"].map(|name| {
        let path = server.dir().join(name);
        let bytes = fs::read(&path).expect("there");
        (path, bytes)
    });
    migrate(&server, &database.url());
    for (path, bytes) in kept {
        fs::write(path, bytes).expect("ours");
    }
    fs::remove_file(server.dir().join("muster.db.moved")).expect("ours");
    server.home().write("muster.toml", &on(&database.url()));
    let (code, refused) = server.refuses_to_start("127.0.0.1:0");
    assert!(code == 78 && refused.contains("migrate-to"), "{code} {refused}");

    let again = migrate(&server, &database.url());
    assert_eq!((&again["was_there"], &again["rows"]), (&true.into(), &0.into()));
    assert!(server.dir().join("muster.db.moved").exists() && !server.dir().join("muster.db").exists());
    server.start();
    assert_eq!(everything(&server), before);
}

#[test]
fn a_database_that_is_not_empty_is_not_moved_to() {
    let (Some(foreign), Some(others)) = (database(), database()) else { return };
    foreign.run_sql("CREATE TABLE customers (id int)");
    let mut other = Server::configured(&on(&others.url()), &[]);
    other.stop();
    let mut server = server();
    server.stop();
    for (database, what) in [(&foreign, "not Muster's"), (&others, "is taken")] {
        let (_, refused) = server.fails(&["db", "migrate-to", &database.url()]);
        assert!(refused.contains(what), "{refused}");
    }
    other.start();
    assert_eq!(other.list(&["machine", "ls"]).len(), 1);
    server.start();
    assert_eq!(server.list(&["site", "ls"]).len(), 2, "it stays where it was");
}

fn export(server: &Server, to: &Path) -> Value {
    server.muster(&["db", "export", to.to_str().expect("plain")])
}

#[test]
fn out_into_a_file_and_in_again_is_the_same_on_either_database() {
    let Some(database) = database() else { return };
    let (mut server, mut agent) = inhabited();
    let before = everything(&server);
    server.stop();
    let out = Home::new();
    let (first, second, third) =
        (out.path().join("first"), out.path().join("second"), out.path().join("third"));
    let told = export(&server, &first);
    let (code, refused) = server.fails(&["db", "export", first.to_str().expect("plain")]);
    assert!(code != 0 && refused.contains("exists"), "{refused}");

    // To PostgreSQL, and from there.
    server.home().write("muster.toml", &on(&database.url()));
    let came = server.muster(&["db", "import", first.to_str().expect("plain")]);
    assert_eq!((&came["rows"], &came["deployment"]), (&told["rows"], &told["deployment"]));
    assert_eq!(server.muster(&["db", "import", first.to_str().expect("plain")])["was_there"], true);
    export(&server, &second);
    assert_eq!(fs::read(&first).expect("there"), fs::read(&second).expect("there"), "byte by byte");
    server.start();
    agent.event("online");
    assert_eq!(everything(&server), before);
    server.stop();

    // And back into a file, in the place of the one that was left behind.
    server.home().write("muster.toml", "");
    export_fails_where_the_configuration_is_old(&server);
    server.home().write("muster.toml", &on(&database.url()));
    export(&server, &third);
    server.home().write("muster.toml", "");
    fs::rename(server.dir().join("muster.db"), server.dir().join("muster.db.old")).expect("ours");
    server.muster(&["db", "import", third.to_str().expect("plain")]);
    server.start();
    agent.event("online");
    assert_eq!(everything(&server), before);
}

fn export_fails_where_the_configuration_is_old(server: &Server) {
    let (code, refused) = server.fails(&["db", "export", "/nonexistent/export"]);
    assert!(code == 78 && refused.contains("on a PostgreSQL server now"), "{code} {refused}");
}

#[test]
fn an_export_that_was_cut_or_changed_is_refused_with_its_line_and_changes_nothing() {
    let mut server = server();
    server.stop();
    let out = Home::new();
    let whole = out.path().join("whole");
    export(&server, &whole);
    fs::rename(server.dir().join("muster.db"), server.dir().join("aside")).expect("ours");
    let text = fs::read_to_string(&whole).expect("text");
    let lines = text.lines().count();
    let cut = text.lines().take(lines / 2).map(|line| format!("{line}\n")).collect::<String>();
    let changed = text.replacen("\"berlin\"", "\"berlim\"", 1);
    assert_ne!(changed, text);
    for (name, text, line) in [
        ("cut", &cut, format!("line {}", lines / 2 + 1)),
        ("torn", &text[..text.len() - 1].to_owned(), format!("line {lines}")),
        ("changed", &changed, format!("line {lines}")),
        ("empty", &String::new(), "line 1".to_owned()),
    ] {
        let path = out.write(name, text);
        let (code, refused) = server.fails(&["db", "import", path.to_str().expect("plain")]);
        assert!(code == 78 && refused.contains(&line), "{name}: {code} {refused}");
        assert!(!server.dir().join("muster.db").exists(), "{name}");
    }
    // Another deployment's directory does not take it either.
    let mut other = Server::up(&[]);
    other.stop();
    fs::remove_file(other.dir().join("muster.db")).expect("ours");
    let (code, refused) = other.fails(&["db", "import", whole.to_str().expect("plain")]);
    assert!(code == 78 && refused.contains("another deployment"), "{code} {refused}");
    server.muster(&["db", "import", whole.to_str().expect("plain")]);
    server.start();
    assert_eq!(server.list(&["site", "ls"]).len(), 2);
}

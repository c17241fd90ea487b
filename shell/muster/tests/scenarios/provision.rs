//! Accounts on an IRC server (Ergo, as its API was recorded) follow machines, whatever goes wrong on the way.
//!
//! 1. A relay agent registers: its passphrase is the account's. It rotates, is paused, let in, revoked, deletes itself and
//!    comes back; its account follows each time, and live sessions end where it is locked.
//! 2. Somebody else's account is a conflict that nothing changes before an admin adopts it.
//! 3. The server is killed between what it does there and noting it: one account, and it is ours.
//! 4. What fails too often waits for an operator, who has it tried again.
//! 5. Drift is told by a dry run, and brought back by the run that is none.
//! 6. Nobody waits for a server that keeps silent; a machine that is no software agent has its account from the start.

use std::fs;
use std::time::Duration;

use muster_testkit::ergo::{FakeErgo, Fault, OPER, TOKEN};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::scuttlebot::{PLAIN, Wire, admin, agents_key};
use crate::support::{Home, SOON, Server, Stopwatch, database, eventually, text};

/// An Ergo, and the files that open it.
struct Downstream {
    fake: FakeErgo,
    files: Home,
    /// The fake lives in it.
    _runtime: tokio::runtime::Runtime,
}

impl Downstream {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (fake, files) = (runtime.block_on(FakeErgo::start()), Home::new());
        files.write("token", TOKEN);
        files.write("oper", OPER);
        Self { fake, files, _runtime: runtime }
    }

    /// The configuration of a server that makes accounts here for these machines.
    fn config(&self, serves: &str) -> String {
        let (dir, url, irc) = (self.files.path().display(), self.fake.url(), self.fake.irc());
        format!(
            "[provisioners.irc]\nkind = 'ergo'\nurl = '{url}'\ntoken_file = '{dir}/token'\nattempts = 3\n\
             operator = {{ address = '{irc}', name = 'muster', password_file = '{dir}/oper' }}\nfor = {serves}\n"
        )
    }

    fn serving_workers(&self) -> Server {
        Server::configured(&self.config("{ roles = ['worker'] }"), &PLAIN)
    }

    fn let_in(&self, name: &str, passphrase: &str) {
        eventually("the passphrase opens the account", SOON, || {
            self.fake.lets_in(name, passphrase).then_some(())
        });
    }

    fn shut_out(&self, name: &str, passphrase: &str) {
        eventually("the passphrase opens nothing", SOON, || {
            (!self.fake.lets_in(name, passphrase)).then_some(())
        });
    }
}

fn register(relay: &Wire, nick: &str) -> String {
    let asked = json!({"channels": ["#general"], "nick": nick, "type": "worker"}).to_string();
    let made = relay.post("/v1/agents/register", &asked);
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json()["credentials"]["passphrase"])
}

fn rotate(relay: &Wire, nick: &str) -> String {
    let rotated = relay.bare("POST", &format!("/v1/agents/{nick}/rotate"));
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    text(&rotated.json()["passphrase"])
}

fn account(server: &Server, name: &str) -> Value {
    server.muster(&["provision", "show", name])
}

fn stands(server: &Server, name: &str, state: &str) -> Value {
    eventually(state, SOON, || Some(account(server, name)).filter(|account| account["state"] == state))
}

fn follows(server: &mut Server, irc: &Downstream) {
    let relay = agents_key(&admin(server));
    let first = register(&relay, "w-two");
    assert!(
        irc.fake.lets_in("w-two", &first),
        "a relay logs in as soon as it is told, and gives up where it may not"
    );
    assert_eq!(Wire::shown(server, &first), 401, "it opens the account there and nothing here");
    let shown = stands(server, "W-Two", "live");
    assert_eq!((&shown["provisioner"], &shown["provenance"]), (&json!("irc"), &json!("made")));
    let machine = server.muster(&["machine", "show", "w-two"]);
    assert_eq!(machine["accounts"][0]["id"], shown["id"], "a machine names its accounts");

    let second = rotate(&relay, "w-two");
    assert!(irc.fake.lets_in("w-two", &second), "at once as well");
    assert!(!irc.fake.lets_in("w-two", &first), "what it had before is dead");

    irc.fake.connect("w-two");
    server.muster(&["machine", "suspend", "w-two"]);
    irc.shut_out("w-two", &second);
    eventually("the session ends", SOON, || irc.fake.sessions().is_empty().then_some(()));
    server.muster(&["machine", "resume", "w-two"]);
    irc.let_in("w-two", &second);

    assert_eq!(relay.bare("DELETE", "/v1/agents/w-two").status, 204);
    irc.shut_out("w-two", &second);
    let third = register(&relay, "w-two");
    irc.let_in("w-two", &third);
    assert_eq!(stands(server, "w-two", "live")["id"], shown["id"], "whoever has the nick has its account");

    irc.fake.connect("w-two");
    assert_eq!(relay.bare("POST", "/v1/agents/w-two/revoke").status, 204);
    irc.shut_out("w-two", &third);
    eventually("the session ends", SOON, || irc.fake.sessions().is_empty().then_some(()));
    stands(server, "w-two", "locked");
    for passphrase in [first, second, third] {
        assert!(!irc.fake.lets_in("w-two", &passphrase));
        assert!(!server.log().contains(&passphrase), "it is in the log");
    }
    assert_eq!(irc.fake.accounts().len(), 1, "one account, whatever happened to it");
}

#[test]
fn a_relay_agents_account_follows_it_wherever_it_goes() {
    let irc = Downstream::new();
    follows(&mut irc.serving_workers(), &irc);
    let Some(database) = database() else { return };
    let irc = Downstream::new();
    let config = format!("database = '{}'\n{}", database.url(), irc.config("{ roles = ['worker'] }"));
    follows(&mut Server::configured(&config, &PLAIN), &irc);
}

/// Weakness 1 of the server that these clients come from: registering reset the password of any account.
#[test]
fn somebody_elses_account_is_left_alone_until_an_admin_adopts_it() {
    let irc = Downstream::new();
    irc.fake.make("Bridge", "hers");
    let server = irc.serving_workers();
    let relay = agents_key(&admin(&server));
    let given = register(&relay, "bridge");
    stands(&server, "bridge", "conflict");
    let sentence = "the account of that nick is somebody else's; an admin may adopt it".to_owned();
    assert_eq!(relay.refused("POST", "/v1/agents/bridge/rotate", ""), (409, sentence));
    assert_eq!(relay.bare("POST", "/v1/agents/bridge/revoke").status, 204);
    server.muster(&["provision", "retry", "bridge"]);
    stands(&server, "bridge", "conflict");
    assert!(irc.fake.lets_in("bridge", "hers") && !irc.fake.lets_in("bridge", &given));

    server.muster(&["engagement", "free", "bridge"]);
    let asked = json!({"nick": "bridge", "type": "worker"}).to_string();
    assert_eq!(relay.refused("POST", "/v1/agents/register", &asked).0, 409, "still hers");
    server.muster(&["provision", "adopt", "bridge"]);
    irc.shut_out("bridge", "hers");
    let given = register(&relay, "bridge");
    irc.let_in("bridge", &given);
    assert_eq!(irc.fake.accounts().len(), 1);
}

/// An agent that is adopted has its account from elsewhere.
#[test]
fn an_adopted_agents_account_is_not_asked_for_before_an_admin_says_so() {
    let irc = Downstream::new();
    irc.fake.make("old", "known-to-it");
    let server = irc.serving_workers();
    let relay = agents_key(&admin(&server));
    let adopted = relay.post("/v1/agents/old/adopt", r#"{"type":"worker"}"#);
    assert_eq!(adopted.status, 200, "{}", adopted.text());
    stands(&server, "old", "conflict");
    assert!(irc.fake.calls().is_empty() && irc.fake.lets_in("old", "known-to-it"));
    let passphrase = text(&server.muster(&["provision", "adopt", "old"])["passphrase"]);
    irc.let_in("old", &passphrase);
    let rotated = rotate(&relay, "old");
    irc.let_in("old", &rotated);
}

#[test]
fn a_server_that_is_killed_between_doing_and_noting_makes_no_second_account() {
    let irc = Downstream::new();
    irc.fake.fail([Fault::AnswerNever]);
    let mut server = irc.serving_workers();
    let relay = agents_key(&admin(&server));
    let passphrase = register(&relay, "w-two");
    eventually("it is done there", SOON, || (!irc.fake.accounts().is_empty()).then_some(()));
    assert_eq!(account(&server, "w-two")["state"], "pending", "and not noted here");
    server.end(Signal::KILL);
    server.start();
    let shown = stands(&server, "w-two", "live");
    assert_eq!(shown["provenance"], "made", "it was recognised as ours");
    assert!(irc.fake.lets_in("w-two", &passphrase));
    assert_eq!(irc.fake.accounts().len(), 1);
}

#[test]
fn what_fails_too_often_waits_for_an_operator() {
    let irc = Downstream::new();
    irc.fake.fail([Fault::Broken, Fault::Broken, Fault::Broken]);
    let server = irc.serving_workers();
    let relay = agents_key(&admin(&server));
    let passphrase = register(&relay, "w-two");
    let dead = stands(&server, "w-two", "dead");
    assert_eq!(
        (&dead["attempts"], &dead["error"], &dead["error_text"]),
        (&json!(3), &json!("failed"), &json!("HTTP 500"))
    );
    let listed = server.list(&["provision", "ls", "--state", "dead"]);
    assert_eq!(listed.len(), 1);
    server.muster(&["provision", "retry", "--all"]);
    irc.let_in("w-two", &passphrase);
    stands(&server, "w-two", "live");
    let actions: Vec<Value> = server.audit().into_iter().map(|mut entry| entry["action"].take()).collect();
    for action in ["account.fail", "account.dead", "account.retry", "account.deliver"] {
        assert!(actions.contains(&json!(action)), "{action} in {actions:?}");
    }
}

#[test]
fn drift_is_told_before_it_is_brought_back() {
    let irc = Downstream::new();
    let server = irc.serving_workers();
    let relay = agents_key(&admin(&server));
    let passphrase = register(&relay, "w-two");
    register(&relay, "w-three");
    stands(&server, "w-two", "live");
    stands(&server, "w-three", "live");
    irc.fake.forget("w-two");
    let told = server.muster(&["provision", "reconcile", "--dry-run"]);
    assert_eq!((&told["looked_at"], &told["drifted"][0]["found"]), (&json!(2), &json!("missing")));
    assert_eq!(told["drifted"][0]["mended"], false);
    assert_eq!(irc.fake.accounts().len(), 1, "nothing was changed");
    let done = server.muster(&["provision", "reconcile"]);
    assert_eq!(done["drifted"][0]["mended"], true);
    irc.let_in("w-two", &passphrase);
    stands(&server, "w-two", "live");
    assert_eq!(server.muster(&["provision", "reconcile", "--dry-run"])["drifted"], json!([]));
}

#[test]
fn nobody_waits_for_a_server_that_keeps_silent() {
    let irc = Downstream::new();
    irc.fake.fail([Fault::Silent, Fault::Silent]);
    let server = irc.serving_workers();
    let relay = agents_key(&admin(&server));
    register(&relay, "w-one");
    eventually("it is asked", SOON, || (!irc.fake.calls().is_empty()).then_some(()));
    let watch = Stopwatch::start();
    let passphrase = register(&relay, "w-two");
    server.muster(&["machine", "suspend", "w-one"]);
    assert!(watch.elapsed() < Duration::from_secs(3), "{:?}", watch.elapsed());
    irc.let_in("w-two", &passphrase);
    stands(&server, "w-one", "locked");
}

#[test]
fn every_machine_of_a_site_has_its_account_from_the_start_and_what_is_wrong_is_told() {
    let irc = Downstream::new();
    let server = Server::configured(&irc.config("{ sites = ['default'] }"), &PLAIN);
    let machine = server.machine().to_owned();
    let shown = stands(&server, &machine, "live");
    assert_eq!(shown["machine"], json!(machine), "it is called as its identifier");
    let made = server.muster(&["provision", "create", &machine, "--at", "irc", "--name", "web-1"]);
    irc.let_in("web-1", &text(&made["passphrase"]));
    let (code, said) = server.fails(&["provision", "create", &machine, "--at", "nowhere", "--name", "x"]);
    assert!(code == 2 && said.contains("provisioner"), "{code} {said}");
    server.muster(&["provision", "remove", "web-1"]);
    irc.shut_out("web-1", &text(&made["passphrase"]));

    fs::remove_file(irc.files.path().join("token")).expect("ours");
    let doctor = server.run(&["doctor", "--output", "json"]);
    let report = crate::support::json(&doctor);
    let checks: Vec<Value> = serde_json::from_value(report["checks"].clone()).expect("a list");
    let found = checks.iter().find(|check| check["name"] == "provisioners").expect("it is looked at");
    assert!(found["status"] == "fail" && found["message"].to_string().contains("token file"), "{found}");
}

//! The server is killed (-9) again and again while machines come, wait, renew and are ended.
//!
//! 1. Six clients enroll machines by tokens for all and for one, ask without a secret and are decided on, renew,
//!    suspend, resume, revoke and retire. Whoever gets no answer asks again.
//! 2. At a random moment the server is killed, and started again; how long it takes until it serves is measured.
//! 3. After each start everything that was acknowledged since the last one is looked at: by its own credential and by
//!    an operator. At the end of a round all of it is, and the log, from which the present state must follow.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Dice, Tally, size, spread};
use crate::support::{Answer, Device, Home, Http, Insistent, Server, Stopwatch, database, text};

const CLIENTS: u64 = 6;
/// Kills at one deployment; then there is another one, so that looking at everything stays cheap.
const ROUND: u64 = 250;
/// Nobody is killed before so many acts were acknowledged, or later than this after the start.
const ACTS: usize = 12;
const LATEST: Duration = Duration::from_millis(1500);
/// Of what was acknowledged before the last start, so many are looked at again each time.
const OLDER: usize = 4;
/// The start that is promised.
const READY: Duration = Duration::from_secs(2);

/// How a machine must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    Suspended,
    Revoked,
    Retired,
}

/// A machine that was promised to its owner, and what was promised about it.
struct Promise {
    device: Device,
    id: String,
    certificate: Mutex<String>,
    stands: Mutex<Standing>,
    /// What was asked for and not yet acknowledged: either may be so.
    asked: Mutex<Option<Standing>>,
    /// The token that let in this machine alone.
    once: Option<String>,
}

/// Everybody who asks, and everything they were told.
struct Crowd<'a> {
    tally: &'a Tally,
    asker: Insistent,
    /// Held by whoever asks, for one attempt; by whoever looks, for as long as nothing may change.
    quiet: RwLock<()>,
    over: AtomicBool,
    promises: Mutex<Vec<Arc<Promise>>>,
    rejected: Mutex<Vec<(Device, String)>>,
    /// Acknowledgements since the last start.
    touched: Mutex<Vec<Arc<Promise>>>,
    acts: AtomicU64,
    acted: Sender<()>,
    token: String,
    bearer: String,
    address: String,
    server_dir: std::path::PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Standing {
    /// The state of a machine that stands so. Who was revoked is suspended until a person has decided.
    fn state(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended | Self::Revoked => "suspended",
            Self::Retired => "retired",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Revoked | Self::Retired)
    }
}

impl Crowd<'_> {
    /// Asks until there is an answer, and lets whoever looks look in between.
    fn ask(&self, mut attempt: impl FnMut(&Http) -> io::Result<Answer>) -> Answer {
        self.asker.until_answered(|http| {
            let _mine = self.quiet.read().unwrap_or_else(PoisonError::into_inner);
            attempt(http)
        })
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.ask(|http| http.try_send("POST", path, &headers, body.to_string().as_bytes()))
    }

    fn manage(&self, path: &str, body: &Value) -> Answer {
        self.post(path, &[("authorization", &self.bearer)], body)
    }

    /// An operator reads. Nobody else asks meanwhile.
    fn read(&self, path: &str) -> Answer {
        let headers = [("authorization", self.bearer.as_str())];
        self.asker.until_answered(|http| http.try_send("GET", path, &headers, b""))
    }

    fn acknowledged(&self, promise: &Arc<Promise>) {
        lock(&self.touched).push(Arc::clone(promise));
        self.acts.fetch_add(1, Ordering::Relaxed);
        // Nobody waits for it once the round is over.
        self.acted.send(()).ok();
    }

    /// One client, until the round is over.
    fn client(&self, mut dice: Dice) {
        let mut mine: Vec<Arc<Promise>> = Vec::new();
        let mut number = 0;
        while !self.over.load(Ordering::Relaxed) {
            number += 1;
            match dice.below(10) {
                0 | 1 => mine.push(self.arrive(&self.token, None)),
                2 => mine.push(self.arrive_once(&format!("{}-{number}", dice.below(1 << 40)))),
                3 => mine.extend(self.be_decided_on(dice.below(4) > 0)),
                _ if mine.is_empty() => {}
                4..=6 => self.renew(&mine[dice.below(mine.len())]),
                other => {
                    let verbs = [Standing::Suspended, Standing::Active, Standing::Revoked, Standing::Retired];
                    let verb = if other < 9 { verbs[dice.below(2)] } else { verbs[2 + dice.below(2)] };
                    self.end(&mine[dice.below(mine.len())], verb);
                }
            }
        }
    }

    fn promise(&self, device: Device, answer: &Answer, once: Option<String>) -> Arc<Promise> {
        let body = answer.json();
        let promise = Arc::new(Promise {
            device,
            id: text(&body["machine"]["id"]),
            certificate: Mutex::new(text(&body["credential"]["certificate"])),
            stands: Mutex::new(Standing::Active),
            asked: Mutex::default(),
            once,
        });
        lock(&self.promises).push(Arc::clone(&promise));
        self.acknowledged(&promise);
        promise
    }

    fn arrive(&self, token: &str, once: Option<String>) -> Arc<Promise> {
        let device = Device::new();
        let answer = self.post("/v1/enroll", &[], &device.enrollment(token));
        assert!([200, 201].contains(&answer.status), "enrolling: {}", answer.text());
        self.promise(device, &answer, once)
    }

    fn arrive_once(&self, key: &str) -> Arc<Promise> {
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key)];
        let created = self.post("/v1/grants", &headers, &json!({}));
        assert_eq!(created.status, 201, "{}", created.text());
        let (grant, token) = (text(&created.json()["grant"]["id"]), text(&created.json()["token"]));
        self.arrive(&token, Some(grant))
    }

    fn be_decided_on(&self, is_wanted: bool) -> Option<Arc<Promise>> {
        let device = Device::new();
        let request = json!({"method": "request", "evidence": {}, "csr": device.csr()});
        let held = self.post("/v1/enroll", &[], &request);
        assert_eq!(held.status, 202, "{}", held.text());
        let hold = text(&held.json()["hold"]);
        let verb = if is_wanted { "approve" } else { "reject" };
        let decided = self.manage(&format!("/v1/holds/{hold}/{verb}"), &json!({}));
        assert_eq!(decided.status, 200, "{}", decided.text());
        let path = format!("/v1/enroll/{hold}");
        let collected = self.signed(&device, "GET", &path);
        match is_wanted {
            true => {
                assert!([200, 201].contains(&collected.status), "collecting: {}", collected.text());
                Some(self.promise(device, &collected, None))
            }
            false => {
                assert_eq!(collected.problem().1, "rejected", "{}", collected.text());
                lock(&self.rejected).push((device, hold));
                None
            }
        }
    }

    fn signed(&self, device: &Device, method: &str, path: &str) -> Answer {
        self.ask(|http| {
            let nonce = http.try_send("GET", "/v1/nonce", &[], b"")?;
            if nonce.status != 200 {
                return Ok(nonce);
            }
            let header = device.signature_over(&nonce.json(), method, path, b"");
            let headers = [(muster_wire::signature::HEADER, header.as_str())];
            http.try_send(method, path, &headers, b"")
        })
    }

    fn renew(&self, promise: &Arc<Promise>) {
        let answer = self.signed(&promise.device, "POST", "/v1/machines/self/renew");
        let stands = *lock(&promise.stands);
        match stands.is_over() {
            true => {
                self.tally.hold(answer.status == 403, format!("{} is {stands:?}: {answer:?}", promise.id));
            }
            false => {
                assert_eq!(answer.status, 200, "renewing: {}", answer.text());
                *lock(&promise.certificate) = text(&answer.json()["credential"]["certificate"]);
            }
        }
        self.acknowledged(promise);
    }

    /// Suspends, resumes, revokes or retires; who is over stays so.
    fn end(&self, promise: &Arc<Promise>, wanted: Standing) {
        let stands = *lock(&promise.stands);
        if stands.is_over() {
            return;
        }
        *lock(&promise.asked) = Some(wanted);
        let verb = match wanted {
            Standing::Active => "resume",
            Standing::Suspended => "suspend",
            Standing::Revoked => "revoke",
            Standing::Retired => "retire",
        };
        let answer = self.manage(&format!("/v1/machines/{}/{verb}", promise.id), &json!({}));
        assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
        *lock(&promise.stands) = wanted;
        *lock(&promise.asked) = None;
        self.acknowledged(promise);
    }

    /// What was acknowledged since the last start, and some of what was before, is still so.
    fn look(&self, dice: &mut Dice) {
        let mut some: BTreeMap<String, Arc<Promise>> =
            lock(&self.touched).drain(..).map(|promise| (promise.id.clone(), promise)).collect();
        let all = lock(&self.promises);
        for _ in 0..OLDER.min(all.len()) {
            let older = &all[dice.below(all.len())];
            some.insert(older.id.clone(), Arc::clone(older));
        }
        drop(all);
        for promise in some.values() {
            self.look_at(promise);
        }
    }

    fn look_at(&self, promise: &Promise) {
        let (stands, asked) = (*lock(&promise.stands), *lock(&promise.asked));
        let id = &promise.id;
        let shown = self.read(&format!("/v1/machines/{id}"));
        self.tally.hold(shown.status == 200, format!("{id} is lost: {}", shown.text()));
        if shown.status != 200 {
            return;
        }
        let machine = shown.json();
        let states: Vec<&str> = std::iter::once(stands).chain(asked).map(Standing::state).collect();
        let state = text(&machine["state"]);
        self.tally.hold(states.contains(&state.as_str()), format!("{id} is {state} and not {states:?}"));
        let key = promise.device.fingerprint().to_string();
        self.tally.hold(machine["key"] == key.as_str(), format!("{id} has another key: {machine}"));
        // By its own credential: what was ended is over, what was not is good.
        let http = self.mutual(promise);
        let itself = self.asker.until_answered(|_| http.try_send("GET", "/v1/machines/self", &[], b""));
        if asked.is_none_or(|asked| !asked.is_over()) {
            let is_in = itself.status == 200 || stands == Standing::Suspended && itself.status == 403;
            let is_out = itself.status == 403 && itself.problem().1 == "revoked";
            let fits = if stands.is_over() { is_out } else { is_in && !is_out };
            self.tally.hold(fits, format!("{id} is {stands:?} and is told {}", itself.text()));
        }
    }

    fn mutual(&self, promise: &Promise) -> Http {
        let certificate = lock(&promise.certificate).clone();
        Http::mutual(&self.address, &self.server_dir, &certificate, &promise.device.key_pem())
    }

    /// Everything, once nobody asks any more.
    fn look_at_all(&self, server: &Server) {
        let promises = lock(&self.promises);
        let machines = server.list(&["machine", "ls", "--limit", "100000"]);
        let listed: BTreeMap<String, &Value> = machines.iter().map(|one| (text(&one["id"]), one)).collect();
        let owned: BTreeSet<&String> = promises.iter().map(|promise| &promise.id).collect();
        let told: BTreeSet<&String> = listed.keys().collect();
        self.tally.hold(told == owned, format!("not as promised: {:?}", told.symmetric_difference(&owned)));
        let keys: BTreeSet<&str> = machines.iter().filter_map(|machine| machine["key"].as_str()).collect();
        self.tally.hold(keys.len() == machines.len(), "two machines of one key, or one without");
        for promise in promises.iter() {
            let state = listed.get(&promise.id).map_or("nowhere", |one| one["state"].as_str().unwrap_or("?"));
            let wanted = lock(&promise.stands).state();
            self.tally.hold(state == wanted, format!("{} is {state} and not {wanted}", promise.id));
        }
        self.spent_once(&promises, server);
        for (device, hold) in lock(&self.rejected).iter() {
            let again = self.signed(device, "GET", &format!("/v1/enroll/{hold}"));
            self.tally.hold(again.problem().1 == "rejected", format!("{hold}: {}", again.text()));
        }
        let audit = server.audit();
        let details =
            promises.iter().map(|promise| self.read(&format!("/v1/machines/{}", promise.id)).json());
        for broken in folded(&audit).differences(details) {
            self.tally.hold(false, broken);
        }
    }

    fn spent_once(&self, promises: &[Arc<Promise>], server: &Server) {
        let once: Vec<&str> = promises.iter().filter_map(|promise| promise.once.as_deref()).collect();
        let distinct: BTreeSet<&str> = once.iter().copied().collect();
        self.tally.hold(distinct.len() == once.len(), "a token for one machine let in two");
        let grants = server.list(&["grant", "ls", "--limit", "100000"]);
        for grant in grants.iter().filter(|grant| distinct.contains(grant["id"].as_str().unwrap_or_default()))
        {
            self.tally.hold(grant["used"] == 1, format!("not spent once: {grant}"));
        }
    }
}

/// The present state as it follows from the log alone.
#[derive(Default)]
struct Folded {
    machines: BTreeMap<String, &'static str>,
    issued: BTreeSet<String>,
    twice: Vec<String>,
}

fn folded(audit: &[Value]) -> Folded {
    let mut folded = Folded::default();
    let numbers: Vec<u64> = audit.iter().map(|entry| entry["seq"].as_u64().expect("a number")).collect();
    if !numbers.is_sorted_by(|a, b| a < b) {
        folded.twice.push("the log has no one order".to_owned());
    }
    for entry in audit {
        let object = text(&entry["object"]);
        let state = match (text(&entry["action"]).as_str(), text(&entry["reason"]).as_str()) {
            ("machine.enroll", "admitted") | ("hold.approve", _) => "active",
            ("machine.resume", _) => "active",
            ("machine.suspend" | "machine.revoke", _) => "suspended",
            ("machine.retire", _) => "retired",
            ("credential.issue", "minted") => {
                if !folded.issued.insert(object.clone()) {
                    folded.twice.push(format!("{object} was issued twice"));
                }
                continue;
            }
            _ => continue,
        };
        // A hold's entry is about the hold, and names its machine.
        let machine = match entry["detail"]["machine"].as_str() {
            Some(machine) if !object.starts_with("mch_") => machine.to_owned(),
            _ => object,
        };
        folded.machines.insert(machine, state);
    }
    folded
}

impl Folded {
    fn differences(mut self, machines: impl Iterator<Item = Value>) -> Vec<String> {
        let mut found = std::mem::take(&mut self.twice);
        for machine in machines {
            let id = text(&machine["id"]);
            let told = self.machines.remove(&id).unwrap_or("of no entry");
            if machine["state"] != told {
                found.push(format!("by the log {id} is {told}, and it is {}", machine["state"]));
            }
            for credential in machine["credentials"].as_array().into_iter().flatten() {
                let is_live = credential["state"] == "issued";
                let is_told = self.issued.contains(&text(&credential["id"]));
                if is_live && (!is_told || machine["state"] == "retired") {
                    found.push(format!("a credential that no entry speaks of, or of nobody: {credential}"));
                }
            }
        }
        found.extend(self.machines.keys().map(|id| format!("the log speaks of {id}, and it is not there")));
        found
    }
}

/// Waits for some acts, and a random moment longer.
fn moment(acted: &Receiver<()>, dice: &mut Dice) {
    let acts = 1 + dice.below(ACTS);
    let watch = Stopwatch::start();
    for _ in 0..acts {
        if acted.recv_timeout(LATEST.saturating_sub(watch.elapsed())).is_err() {
            break;
        }
    }
    let longer = Duration::from_micros(u64::try_from(dice.below(20_000)).expect("small"));
    let watch = Stopwatch::start();
    while acted.recv_timeout(longer.saturating_sub(watch.elapsed())).is_ok() {}
}

/// One deployment that is killed so often.
fn round(tally: &Tally, config: &str, kills: u64, number: u64, ready: &mut Vec<u64>) -> u64 {
    let home = Home::new();
    let dir = home.path().join("server");
    let mut server = Server::serve(home, dir, config);
    let (acted, acts) = mpsc::channel();
    let crowd = Crowd {
        tally,
        asker: Insistent::through(server.http()),
        quiet: RwLock::default(),
        over: AtomicBool::new(false),
        promises: Mutex::default(),
        rejected: Mutex::default(),
        touched: Mutex::default(),
        acts: AtomicU64::new(0),
        acted,
        token: text(&server.muster(&["grant", "create", "--uses", "0"])["token"]),
        bearer: format!(
            "Bearer {}",
            text(&server.muster(&["token", "create", "--role", "operator"])["secret"])
        ),
        address: server.address().to_owned(),
        server_dir: server.dir().to_owned(),
    };
    let mut dice = Dice::part(tally.seed, number);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (crowd, dice) = (&crowd, Dice::part(tally.seed, number * 1000 + client + 1));
            scope.spawn(move || crowd.client(dice));
        }
        // Whatever goes wrong here, the clients must hear that it is over.
        let _over = Over(&crowd.over);
        for _ in 0..kills {
            moment(&acts, &mut dice);
            server.end(Signal::KILL);
            let watch = Stopwatch::start();
            server.start();
            ready.push(u64::try_from(watch.elapsed().as_millis()).expect("short"));
            let quiet = crowd.quiet.write().unwrap_or_else(PoisonError::into_inner);
            crowd.look(&mut dice);
            drop(quiet);
            tally.did(1);
        }
    });
    crowd.look_at_all(&server);
    let log = server.log();
    tally.hold(!log.contains("panicked"), format!("a server panicked: {log}"));
    crowd.acts.into_inner()
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn kill(kind: &'static str, config: impl Fn() -> Option<(String, Box<dyn std::any::Any>)>) {
    let tally = Tally::new(kind, size(50, 5_000));
    let (mut left, mut acts, mut ready) = (size(50, 5_000), 0, Vec::new());
    for number in 0.. {
        let kills = left.min(ROUND);
        let Some((config, _database)) = config().filter(|_| kills > 0) else { break };
        acts += round(&tally, &config, kills, number, &mut ready);
        left -= kills;
    }
    // Told and not held against anybody: what else a machine does is not known here.
    tally.figure(
        "not_ready_in_2_s",
        ready.iter().filter(|took| u128::from(**took) > READY.as_millis()).count(),
    );
    tally.figure("acknowledged", acts);
    tally.figure("ready_ms", spread(ready));
    tally.tell();
}

#[test]
fn i_3_nothing_acknowledged_is_lost_however_often_the_server_is_killed_sqlite() {
    kill("kill-server-sqlite", || Some((String::new(), Box::new(()))));
}

#[test]
fn i_3_nothing_acknowledged_is_lost_however_often_the_server_is_killed_postgres() {
    if database().is_none() {
        return;
    }
    kill("kill-server-postgres", || {
        let database = database()?;
        Some((format!("database = '{}'\n", database.url()), Box::new(database)))
    });
}

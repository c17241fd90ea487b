//! Many machines that enroll and renew at once, insisting, while servers and databases are killed under them; and the
//! count afterwards: nothing that was acknowledged is lost, nothing is doubled, nobody is stranded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Device, Http, Insistent, Member, Replicas, SOON, eventually, text};

const RENEW: &str = "/v1/machines/self/renew";
const SELF: &str = "/v1/machines/self";
/// Of so many machines, one comes by a one-time token, one asks twice at once, one renews.
const ONE_TIME: usize = 5;
const DOUBLED: usize = 8;
const RENEWING: usize = 4;
/// Of so many machines, one is looked at as an operator sees it.
const LOOKED_AT: usize = 20;

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) clients: usize,
    /// Machines of each client.
    pub(crate) each: usize,
}

/// What goes on.
pub(crate) struct Storm {
    size: Size,
    asker: Insistent,
    replicas_dir: std::path::PathBuf,
    front: String,
    /// A token for as many machines as like.
    token: String,
    /// An operator's.
    api_token: String,
    done: AtomicUsize,
}

/// A machine that was promised to its owner.
pub(crate) struct Promised {
    pub(crate) member: Member,
    /// The grant it came by, if that was good once.
    once: Option<String>,
    renewed: bool,
}

impl Size {
    pub(crate) fn all(self) -> usize {
        self.clients * self.each
    }
}

impl Storm {
    pub(crate) fn over(replicas: &Replicas, size: Size) -> Self {
        Self {
            size,
            asker: Insistent::through(replicas.http()),
            replicas_dir: replicas[0].dir().to_owned(),
            front: replicas.front.address().to_string(),
            token: replicas.token(),
            api_token: replicas.api_token(),
            done: AtomicUsize::new(0),
        }
    }

    /// Lets the clients loose, and something else beside them. Ends when every machine has what it asked for.
    pub(crate) fn rage(&self, beside: impl FnOnce()) -> Vec<Promised> {
        let promised = std::thread::scope(|scope| {
            let client = |number: usize| {
                let mine = (0..self.size.each).map(move |n| number * self.size.each + n);
                mine.map(|n| self.machine(n)).collect::<Vec<_>>()
            };
            let clients: Vec<_> = (0..self.size.clients).map(|n| scope.spawn(move || client(n))).collect();
            beside();
            clients
                .into_iter()
                .flat_map(|client| client.join().expect("no client gave up"))
                .collect::<Vec<_>>()
        });
        let (unanswered, put_off) = self.asker.setbacks();
        eprintln!("{unanswered} times no answer, {put_off} times later");
        assert_eq!(promised.len(), self.size.all());
        promised
    }

    /// How often somebody had to ask again.
    pub(crate) fn setbacks(&self) -> usize {
        let (unanswered, put_off) = self.asker.setbacks();
        unanswered + put_off
    }

    /// Whether machines are still to come.
    pub(crate) fn is_under_way(&self) -> bool {
        self.done.load(Ordering::Relaxed) < self.size.all()
    }

    /// Waits until this share of the machines has what it asked for.
    pub(crate) fn has_come(&self, percent: usize) {
        let enough = self.size.all() * percent / 100;
        let done = || self.done.load(Ordering::Relaxed);
        eventually(&format!("{percent} % of the machines"), SOON * 4, || (done() >= enough).then_some(()));
    }

    fn machine(&self, n: usize) -> Promised {
        let once = n.is_multiple_of(ONE_TIME).then(|| self.one_time(n));
        let token = once.as_ref().map_or(&self.token, |(_, token)| token);
        let mut member = self.enroll(token, n % DOUBLED == 1);
        let renewed = n % RENEWING == 3;
        if renewed {
            member.certificate = self.renew(&member, n % (2 * RENEWING) == RENEWING - 1);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Promised { member, once: once.map(|(grant, _)| grant), renewed }
    }

    /// A one-time token, asked for by a key that makes repeating safe: the grant and the token.
    fn one_time(&self, n: usize) -> (String, String) {
        let bearer = format!("Bearer {}", self.api_token);
        let key = format!("grant-{n}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key.as_str())];
        let created = self.asker.post("/v1/grants", &headers, "{}");
        assert_eq!(created.status, 201, "{}", created.text());
        (text(&created.json()["grant"]["id"]), text(&created.json()["token"]))
    }

    fn enroll(&self, token: &str, twice: bool) -> Member {
        let device = Device::new();
        let body = device.enrollment(token).to_string();
        let ask = || self.asker.post("/v1/enroll", &[], &body);
        let (one, other) = std::thread::scope(|scope| {
            let other = twice.then(|| scope.spawn(ask));
            (ask(), other.map(|other| other.join().expect("an answer")))
        });
        for answer in std::iter::once(&one).chain(&other) {
            assert!([200, 201].contains(&answer.status), "{}", answer.text());
        }
        let member = Member::of(device, &one);
        if let Some(other) = other {
            assert_eq!(other.json()["machine"]["id"], member.id.as_str(), "one machine of one key");
        }
        member
    }

    /// The next certificate, asked for by the present one or by a signature.
    fn renew(&self, member: &Member, by_signature: bool) -> String {
        let answer = match by_signature {
            true => self.asker.signed(&member.device, "POST", RENEW),
            false => {
                let http = self.mutual(member);
                let headers = [("content-type", "application/json")];
                self.asker.until_answered(|_| http.try_send("POST", RENEW, &headers, b""))
            }
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        text(&answer.json()["credential"]["certificate"])
    }

    fn mutual(&self, member: &Member) -> Http {
        Http::mutual(&self.front, &self.replicas_dir, &member.certificate, &member.device.key_pem())
    }

    /// What must be true afterwards, whatever happened.
    pub(crate) fn count(&self, replicas: &Replicas, promised: &[Promised]) {
        no_mistakes(&replicas.logs());
        let listed = machines_by_key(replicas, replicas.len() - 1);
        let of_key = |one: &Promised| (one.member.device.fingerprint().to_string(), one.member.id.clone());
        let owned: BTreeMap<String, String> = promised.iter().map(of_key).collect();
        assert!(
            listed == owned,
            "listed and not promised, or promised and not listed: {:?}",
            difference(&listed, &owned)
        );
        let status = replicas[0].muster(&["status"]);
        assert_eq!(status["machines"]["active"], promised.len(), "what is counted along is counted right");
        told_once(replicas, promised);
        self.nobody_is_stranded(promised);
        self.looked_at(promised);
    }

    /// Everybody's last certificate works, through whichever replica.
    fn nobody_is_stranded(&self, promised: &[Promised]) {
        self.in_parallel(promised, |one| {
            let http = self.mutual(&one.member);
            let itself = self.asker.until_answered(|_| http.try_send("GET", SELF, &[], b""));
            assert_eq!(itself.status, 200, "{}", itself.text());
            assert_eq!(itself.json()["id"], one.member.id.as_str());
        });
    }

    /// What an operator sees of some of them: the credentials of each, and the spent token.
    fn looked_at(&self, promised: &[Promised]) {
        let bearer = format!("Bearer {}", self.api_token);
        let get = |path: &str| {
            let headers = [("authorization", bearer.as_str())];
            let answer = self.asker.until_answered(|http| http.try_send("GET", path, &headers, b""));
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()
        };
        let some: Vec<&Promised> = promised.iter().step_by(LOOKED_AT - 1).collect();
        self.in_parallel(&some, |one| {
            let machine = get(&format!("/v1/machines/{}", one.member.id));
            let credentials = machine["credentials"].as_array().expect("a list").clone();
            let live = credentials.iter().filter(|credential| credential["state"] == "issued").count();
            // Whoever asked again because an answer was lost has a newer one in the place of the lost one.
            let most = if one.renewed { 2 } else { 1 };
            assert!((1..=most).contains(&live), "{credentials:#?}");
            assert_eq!(machine["generation"], 1, "{machine}");
        });
        let spent: Vec<&Promised> = promised.iter().filter(|one| one.once.is_some()).collect();
        let grants: BTreeSet<&Option<String>> = spent.iter().map(|one| &one.once).collect();
        assert_eq!(grants.len(), spent.len(), "no token let two machines in");
    }

    fn in_parallel<T: Sync>(&self, items: &[T], work: impl Fn(&T) + Sync) {
        std::thread::scope(|scope| {
            for part in items.chunks(items.len().div_ceil(self.size.clients).max(1)) {
                scope.spawn(|| part.iter().for_each(&work));
            }
        });
    }
}

/// What servers may complain about is their database being away; anything else is a mistake of their own.
fn no_mistakes(logs: &str) {
    const OUTAGES: [&str; 2] = ["the store is unavailable", "it is not known whether the store wrote"];
    let is_outage = |line: &str| OUTAGES.iter().any(|outage| line.contains(outage));
    let mistake = |line: &&str| line.contains("panicked") || line.contains(" ERROR ") && !is_outage(line);
    let mistakes: Vec<&str> = logs.lines().filter(mistake).collect();
    assert_eq!(mistakes, [""; 0]);
}

/// The machine of every key. Fails where a key has two.
fn machines_by_key(replicas: &Replicas, at: usize) -> BTreeMap<String, String> {
    let machines = replicas[at].list(&["machine", "ls", "--limit", "10000"]);
    let count = machines.len();
    let by_key: BTreeMap<_, _> =
        machines.iter().map(|machine| (text(&machine["key"]), text(&machine["id"]))).collect();
    assert_eq!(by_key.len(), count, "two machines of one key");
    by_key
}

fn difference<'a>(
    listed: &'a BTreeMap<String, String>,
    owned: &'a BTreeMap<String, String>,
) -> Vec<(&'a String, Option<&'a String>, Option<&'a String>)> {
    let keys: BTreeSet<&String> = listed.keys().chain(owned.keys()).collect();
    let both = keys.into_iter().map(|key| (key, listed.get(key), owned.get(key)));
    both.filter(|(_, listed, owned)| listed != owned).collect()
}

/// One entry of its admission for each machine, and no machine by a one-time token that another one came by.
fn told_once(replicas: &Replicas, promised: &[Promised]) {
    let audit = replicas[0].audit();
    let told = |action: &str, reason: &str| -> Vec<&Value> {
        audit.iter().filter(|entry| entry["action"] == action && entry["reason"] == reason).collect()
    };
    let admitted = told("machine.enroll", "admitted");
    let machines: BTreeSet<String> = admitted.iter().map(|entry| text(&entry["object"])).collect();
    let owned: BTreeSet<String> = promised.iter().map(|one| one.member.id.clone()).collect();
    assert_eq!((machines.len(), admitted.len()), (promised.len(), promised.len()), "each admitted once");
    assert_eq!(machines, owned);
    let numbers: Vec<u64> = audit.iter().map(|entry| entry["seq"].as_u64().expect("a number")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "the log has one order");
    let made = audit.iter().filter(|entry| entry["action"] == "grant.create").count();
    let one_time = promised.iter().filter(|one| one.once.is_some()).count();
    assert_eq!(made, one_time + 1, "one grant for each key of a request, and the one for everybody");
}

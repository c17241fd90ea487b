//! Several servers of one deployment: a data directory each, one PostgreSQL database, a balancer before them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::Index;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_testkit::balancer::Balancer;
use muster_testkit::postgres::{self, Database};
use muster_wire::invite::Invite;
use rustix::process::Signal;
use serde_json::Value;

use super::{Answer, Channel, Device, Home, Http, Server, eventually, muster, text};

/// Long enough for whoever asks while servers and databases are killed and come back.
const PERSISTENCE: Duration = Duration::from_secs(60);
const JSON: (&str, &str) = ("content-type", "application/json");

/// Servers of one deployment.
pub(crate) struct Replicas {
    members: Vec<Server>,
    /// Before all of them.
    pub(crate) front: Balancer,
    /// What the processes wrote that have ended.
    past: String,
}

/// Whoever asks until there is an answer, and counts what stood in the way.
pub(crate) struct Insistent {
    pub(crate) http: Http,
    unanswered: AtomicUsize,
    put_off: AtomicUsize,
}

/// A way in that leads to one replica, or wherever it is turned to.
pub(crate) struct Door {
    balancer: Balancer,
}

/// A machine without an agent: a key, and the certificate it was given last.
pub(crate) struct Member {
    pub(crate) device: Device,
    pub(crate) id: String,
    pub(crate) certificate: String,
}

/// An empty database on the PostgreSQL that all tests of this run share; nothing where there is none.
pub(crate) fn database() -> Option<Database> {
    postgres::shared().map(postgres::Shared::empty_database)
}

/// What a replica is told.
fn config(url: &str, front: SocketAddr) -> String {
    format!(
        "[server]\nurl = 'https://{front}'\n\n[database]\nurl = '{url}'\nconnections = 8\n\n\
         [limits]\nanonymous_per_second = 100000\nanonymous_burst = 100000\ndrain_timeout = '1s'\n"
    )
}

impl Replicas {
    /// Three servers on this database.
    pub(crate) fn on(url: &str) -> Self {
        Self::on_each(&[url, url, url])
    }

    /// A server for each way to the database. The first one founds the deployment, the others are made of a bundle.
    pub(crate) fn on_each(urls: &[&str]) -> Self {
        let front = Balancer::start(Vec::new()).expect("a balancer");
        let (first, others) = urls.split_first().expect("one server at least");
        let home = Home::new();
        let dir = home.path().join("server");
        let founder = Server::serve(home, dir, &config(first, front.address()));
        let bundle = founder.home().path().join("bundle");
        let bundle = bundle.to_str().expect("temporary directories have plain names").to_owned();
        let mut members = vec![founder];
        if !others.is_empty() {
            members[0].muster(&["replica", "export", "--out", &bundle]);
        }
        members.extend(others.iter().map(|url| further(&bundle, &config(url, front.address()))));
        Self::of(members, front)
    }

    fn of(members: Vec<Server>, front: Balancer) -> Self {
        let replicas = Self { members, front, past: String::new() };
        replicas.front.set(replicas.addresses());
        replicas
    }

    /// Servers that are all started at once in directories that share the deployment's secrets and were never founded.
    pub(crate) fn at_once(url: &str, count: usize) -> Self {
        let front = Balancer::start(Vec::new()).expect("a balancer");
        let secrets = secrets();
        let config = config(url, front.address());
        let members = std::thread::scope(|scope| {
            let start = |_| {
                scope.spawn(|| {
                    let home = Home::new();
                    let dir = home.path().join("server");
                    copy(&secrets.path().join("server"), &dir);
                    Server::serve(home, dir, &config)
                })
            };
            let starting: Vec<_> = (0..count).map(start).collect();
            starting.into_iter().map(|server| server.join().expect("it starts")).collect()
        });
        Self::of(members, front)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Server::listens).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Server> {
        self.members.iter()
    }

    /// A way in through the balancer, for whoever shows nothing.
    pub(crate) fn http(&self) -> Http {
        Http::trusting(&self.front.address().to_string(), self[0].dir())
    }

    /// A way in to one of them.
    pub(crate) fn http_of(&self, at: usize) -> Http {
        Http::trusting(&self[at].listens().to_string(), self[at].dir())
    }

    /// A way in that leads to one of them.
    pub(crate) fn door(&self, at: usize) -> Door {
        Door { balancer: Balancer::start(vec![self[at].listens()]).expect("a balancer") }
    }

    /// Kills one with -9.
    pub(crate) fn kill(&mut self, at: usize) {
        self.members[at].end(Signal::KILL);
    }

    /// Stops one in good order.
    pub(crate) fn stop(&mut self, at: usize) {
        assert_eq!(self.members[at].stop(), 0, "{}", self.members[at].log());
    }

    /// Starts one again that was killed, wherever there is a port, and lets the balancer know.
    pub(crate) fn start(&mut self, at: usize) {
        self.past.push_str(&self.members[at].log());
        self.members[at].start_anywhere();
        self.front.set(self.addresses());
    }

    /// What all of them wrote, those that were killed too.
    pub(crate) fn logs(&self) -> String {
        let present = self.members.iter().map(Server::log);
        std::iter::once(self.past.clone()).chain(present).collect::<Vec<_>>().join("\n")
    }

    /// An operator's API token.
    pub(crate) fn api_token(&self) -> String {
        text(&self[0].muster(&["token", "create", "--role", "operator"])["secret"])
    }

    /// A token for as many machines as like.
    pub(crate) fn token(&self) -> String {
        text(&self[0].muster(&["grant", "create", "--uses", "0"])["token"])
    }

    /// A one-time invite that leads to a door.
    pub(crate) fn invite(&self, door: &Door) -> String {
        let invite: Invite = self[0].invite().parse().expect("an invite");
        Invite { url: format!("https://{}", door.address()), ..invite }.reveal()
    }

    /// A machine that is enrolled.
    pub(crate) fn member(&self, token: &str) -> Member {
        let device = Device::new();
        let answer = device.enroll(&self.http(), token);
        assert_eq!(answer.status, 201, "{}", answer.text());
        Member::of(device, &answer)
    }

    /// What one of them shows of the servers, by their identifiers.
    pub(crate) fn listed_by(&self, at: usize) -> Vec<Value> {
        self[at].list(&["replica", "ls"])
    }
}

impl Index<usize> for Replicas {
    type Output = Server;

    fn index(&self, at: usize) -> &Server {
        &self.members[at]
    }
}

impl Door {
    pub(crate) fn address(&self) -> SocketAddr {
        self.balancer.address()
    }

    /// Leads there from now on; what stands, stays.
    pub(crate) fn turn(&self, servers: &[&Server]) {
        self.balancer.set(servers.iter().map(|server| server.listens()).collect());
    }
}

impl Member {
    /// The machine that an answer speaks of.
    pub(crate) fn of(device: Device, enrolled: &Answer) -> Self {
        let body = enrolled.json();
        let certificate = text(&body["credential"]["certificate"]);
        Self { device, id: text(&body["machine"]["id"]), certificate }
    }

    /// Its way in, with its certificate.
    pub(crate) fn mutual(&self, address: SocketAddr, replicas: &Replicas) -> Http {
        Http::mutual(&address.to_string(), replicas[0].dir(), &self.certificate, &self.device.key_pem())
    }

    /// Opens its channel, as often as that takes.
    pub(crate) fn connect(&self, door: &Door, replicas: &Replicas) -> Channel {
        let http = self.mutual(door.address(), replicas);
        let channel = eventually("a channel", PERSISTENCE, || Channel::open(&http).ok());
        assert_eq!(channel.hello["machine"], self.id.as_str());
        channel
    }
}

impl Insistent {
    pub(crate) fn through(http: Http) -> Self {
        Self { http, unanswered: AtomicUsize::new(0), put_off: AtomicUsize::new(0) }
    }

    /// How often no answer came, and how often it was "later".
    pub(crate) fn setbacks(&self) -> (usize, usize) {
        (self.unanswered.load(Ordering::Relaxed), self.put_off.load(Ordering::Relaxed))
    }

    /// Asks until there is an answer. Every server in trouble says so in one way.
    pub(crate) fn until_answered(&self, mut ask: impl FnMut(&Http) -> io::Result<Answer>) -> Answer {
        let answer = eventually("an answer", PERSISTENCE, || match ask(&self.http) {
            Ok(answer) if answer.status == 503 => {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                self.put_off.fetch_add(1, Ordering::Relaxed);
                None
            }
            Ok(answer) => Some(answer),
            Err(_lost) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                None
            }
        });
        assert!(answer.status < 500, "{}", answer.text());
        answer
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [headers, &[JSON]].concat();
        self.until_answered(|http| http.try_send("POST", path, &headers, body.as_bytes()))
    }

    /// A request signed by a key, with a new nonce for every attempt.
    pub(crate) fn signed(&self, device: &Device, method: &str, path: &str) -> Answer {
        self.until_answered(|http| {
            let nonce = http.try_send("GET", "/v1/nonce", &[], b"")?;
            if nonce.status != 200 {
                return Ok(nonce);
            }
            let header = device.signature_over(&nonce.json(), method, path, b"");
            http.try_send(method, path, &[(muster_wire::signature::HEADER, &header), JSON], b"")
        })
    }
}

/// A server in a directory that is made of a bundle.
fn further(bundle: &str, config: &str) -> Server {
    let home = Home::new();
    home.write("muster.toml", config);
    let dir = home.path().join("server");
    let mut import = muster(home.path());
    let imported = import.args(["replica", "import", bundle, "--data-dir"]).arg(&dir).output();
    let imported = imported.expect("the binary runs");
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    Server::serve(home, dir, config)
}

/// A directory with the authority and the pepper of a deployment that has no database yet.
fn secrets() -> Home {
    let home = Home::new();
    let dir = home.path().join("server");
    let mut server = Server::serve(home, dir, "");
    server.stop();
    for entry in fs::read_dir(server.dir()).expect("it has a directory") {
        let path = entry.expect("readable").path();
        if !["ca", "pepper"].iter().any(|kept| path.ends_with(kept)) {
            fs::remove_file(path).expect("a file of ours");
        }
    }
    server.into_home()
}

/// Copies a directory with the modes of its files.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).expect("our own directory");
    fs::set_permissions(to, fs::metadata(from).expect("there").permissions()).expect("ours");
    for entry in fs::read_dir(from).expect("a directory") {
        let (source, target) = {
            let entry = entry.expect("readable");
            (entry.path(), to.join(entry.file_name()))
        };
        match source.is_dir() {
            true => copy(&source, &target),
            false => drop(fs::copy(&source, &target).expect("a file of ours")),
        }
    }
}

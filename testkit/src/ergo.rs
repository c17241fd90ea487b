//! An Ergo that keeps its accounts in memory, answers its HTTP API as it was recorded, and fails as it is told.
//!
//! One connection, one call. A fault is taken by the next call: what it does to the answer is its own matter, what it does to
//! the accounts is said by its name.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub use crate::downstream::Fault;
use crate::downstream::{self, Downstream, http};

/// The token that opens the API.
pub const TOKEN: &str = "ergo-token";
/// The password of the IRC operators `muster` and `weak`. The latter may neither suspend nor kill.
pub const OPER: &str = "oper-password";

/// An account of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErgoAccount {
    /// Its name, as it was made.
    pub name: String,
    /// Its passphrase.
    pub passphrase: String,
    /// Why an operator suspended it, if one did.
    pub suspended: Option<String>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, ErgoAccount>,
    sessions: Vec<String>,
    faults: VecDeque<Fault>,
    calls: Vec<String>,
}

/// A running one. It stops with the runtime of the test.
#[derive(Clone)]
pub struct FakeErgo {
    api: SocketAddr,
    irc: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeErgo {
    /// Starts one on ports of its own.
    ///
    /// # Panics
    /// Where there is no port.
    pub async fn start() -> Self {
        let api = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let irc = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = |listener: &TcpListener| listener.local_addr().expect("an address");
        let fake = Self { api: at(&api), irc: at(&irc), state: Arc::default() };
        tokio::spawn(fake.clone().serve(api, false));
        tokio::spawn(fake.clone().serve(irc, true));
        fake
    }

    /// The address of its API.
    pub fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The address of its IRC server.
    pub fn irc(&self) -> SocketAddr {
        self.irc
    }

    /// These faults, one for each of the next calls.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// An account that somebody else made.
    pub fn make(&self, name: &str, passphrase: &str) {
        let (name, passphrase) = (name.to_owned(), passphrase.to_owned());
        let account = ErgoAccount { name: name.clone(), passphrase, suspended: None };
        self.state().accounts.insert(name.to_ascii_lowercase(), account);
    }

    /// Forgets an account.
    pub fn forget(&self, name: &str) {
        self.state().accounts.remove(&name.to_ascii_lowercase());
    }

    /// A person suspends an account.
    pub fn suspend(&self, name: &str, reason: &str) {
        self.state().suspend(name, Some(reason.to_owned()));
    }

    /// Somebody is connected under this name.
    pub fn connect(&self, nick: &str) {
        self.state().sessions.push(nick.to_ascii_lowercase());
    }

    /// Who is connected.
    pub fn sessions(&self) -> Vec<String> {
        self.state().sessions.clone()
    }

    /// Its accounts.
    pub fn accounts(&self) -> Vec<ErgoAccount> {
        self.state().accounts.values().cloned().collect()
    }

    /// Whether somebody gets in with this.
    pub fn lets_in(&self, name: &str, passphrase: &str) -> bool {
        self.state().lets_in(name, passphrase)
    }

    /// What it was asked so far: path and account.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, listener: TcpListener, irc: bool) {
        while let Ok((stream, _)) = listener.accept().await {
            let fake = self.clone();
            tokio::spawn(async move {
                // A client that goes away in the middle is part of the test.
                if irc { fake.talk(stream).await } else { fake.answer(stream).await }.unwrap_or_default();
            });
        }
    }

    async fn answer(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let Some((head, body)) = downstream::request(&mut stream).await? else { return Ok(()) };
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let is_let_in = head.contains(&format!("Bearer {TOKEN}\r\n"));
        let (fault, answer) = self.state().call(&path, is_let_in, &body);
        let text = match answer {
            Ok(answer) => http(200, "application/json", &answer.to_string()),
            Err((status, text)) => http(status, "text/plain", text),
        };
        fault.answer(stream.get_mut(), &text).await
    }

    async fn talk(self, stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let mut operator = None;
        while let Some(line) = lines.next_line().await? {
            let words: Vec<&str> = line.split(' ').collect();
            let answer = match words[..] {
                ["USER", ..] => "PING :are-you-there\r\n:irc.test 001 m :Welcome\r\n".to_owned(),
                ["OPER", name @ ("muster" | "weak"), OPER] => {
                    operator = Some(name == "muster");
                    ":irc.test 381 m :You are now an IRC operator\r\n".to_owned()
                }
                ["OPER", ..] => ":irc.test 464 m :Password incorrect\r\n".to_owned(),
                ["PING", token] => format!(":irc.test PONG irc.test {token}\r\n"),
                ["QUIT", ..] => return Ok(()),
                ["NS", ..] if operator == Some(true) => notices(&self.state().nickserv(&words[1..])),
                ["NS", ..] => notices(&["Command restricted".to_owned()]),
                ["KILL", nick, ..] if operator == Some(true) => self.state().kill(nick),
                ["KILL", ..] => ":irc.test 481 m :Permission Denied\r\n".to_owned(),
                _ => String::new(),
            };
            lines.get_mut().get_mut().write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }
}

impl Downstream for FakeErgo {
    fn fail(&self, faults: &[Fault]) {
        self.state().faults.extend(faults);
    }

    fn make(&self, name: &str, passphrase: &str) {
        self.make(name, passphrase);
    }

    fn lets_in(&self, name: &str, passphrase: &str) -> bool {
        self.lets_in(name, passphrase)
    }

    fn names(&self) -> Vec<String> {
        self.state().accounts.keys().cloned().collect()
    }
}

type Answered = Result<Value, (u16, &'static str)>;

impl State {
    fn call(&mut self, path: &str, is_let_in: bool, body: &[u8]) -> (Fault, Answered) {
        if !is_let_in {
            return (Fault::None, Err((401, "Unauthorized\n")));
        }
        let Ok(asked) = serde_json::from_slice::<Value>(body) else {
            return (Fault::None, Err((400, "invalid JSON\n")));
        };
        let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
        let (name, passphrase) = (text("accountName"), text("passphrase"));
        self.calls.push(format!("{path} {name}"));
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::Silent | Fault::Broken => return (fault, Ok(Value::Null)),
            Fault::Raced => return (fault, Ok(json!({"success": false, "errorCode": "UNKNOWN_ERROR"}))),
            // The first answer reaches nobody.
            Fault::Twice => drop(self.carried_out(path, &name, passphrase.clone())),
            _ => {}
        }
        (fault, self.carried_out(path, &name, passphrase))
    }

    fn carried_out(&mut self, path: &str, name: &str, passphrase: String) -> Answered {
        match path {
            "/v1/ns/saregister" => Ok(self.register(name, passphrase)),
            "/v1/ns/passwd" => Ok(self.change(name, passphrase)),
            "/v1/ns/info" => Ok(self.info(name)),
            "/v1/check_auth" => Ok(self.check(name, &passphrase)),
            _ => Err((404, "404 page not found\n")),
        }
    }

    fn register(&mut self, name: &str, passphrase: String) -> Value {
        let folded = name.to_ascii_lowercase();
        if self.accounts.contains_key(&folded) {
            let error = "Name reserved due to a prior registration";
            return json!({"success": false, "error": error, "errorCode": "ACCOUNT_EXISTS"});
        }
        if passphrase.len() > 300 || passphrase.contains(' ') {
            return json!({"success": false, "errorCode": "INVALID_PASSPHRASE"});
        }
        self.accounts.insert(folded, ErgoAccount { name: name.to_owned(), passphrase, suspended: None });
        json!({"success": true})
    }

    fn change(&mut self, name: &str, passphrase: String) -> Value {
        match self.accounts.get_mut(&name.to_ascii_lowercase()) {
            Some(account) => {
                account.passphrase = passphrase;
                json!({"success": true})
            }
            None => json!({"success": false, "errorCode": "ACCOUNT_DOES_NOT_EXIST"}),
        }
    }

    fn info(&self, name: &str) -> Value {
        match self.accounts.get(&name.to_ascii_lowercase()).filter(|account| account.suspended.is_none()) {
            Some(account) => {
                json!({"success": true, "accountName": account.name, "registeredAt": "2026-11-01T12:00:00Z"})
            }
            None => json!({"success": false}),
        }
    }

    fn check(&self, name: &str, passphrase: &str) -> Value {
        match self.lets_in(name, passphrase) {
            true => json!({"success": true, "accountName": name}),
            false => json!({"success": false}),
        }
    }

    fn lets_in(&self, name: &str, passphrase: &str) -> bool {
        let account = self.accounts.get(&name.to_ascii_lowercase());
        account.is_some_and(|account| account.suspended.is_none() && account.passphrase == passphrase)
    }

    /// What NickServ answers, as it was recorded.
    fn nickserv(&mut self, words: &[&str]) -> Vec<String> {
        match words {
            ["SUSPEND", "ADD", name, reason @ ..] => match self.suspend(name, Some(reason.join(" "))) {
                Some(_) => vec![format!("Successfully suspended account {name}")],
                None => vec!["No such account".to_owned()],
            },
            ["SUSPEND", "DEL", name] => match self.suspend(name, None) {
                Some(Some(_)) => vec![format!("Successfully un-suspended account {name}")],
                Some(None) => vec!["Account was not suspended".to_owned()],
                None => vec!["No such account".to_owned()],
            },
            ["SUSPEND", "LIST"] => self.suspensions(),
            _ => vec!["Invalid parameters".to_owned()],
        }
    }

    /// Why it was suspended before. `None` where there is no such account.
    fn suspend(&mut self, name: &str, reason: Option<String>) -> Option<Option<String>> {
        let account = self.accounts.get_mut(&name.to_ascii_lowercase())?;
        if reason.is_some() {
            self.sessions.retain(|nick| *nick != name.to_ascii_lowercase());
        }
        Some(std::mem::replace(&mut account.suspended, reason))
    }

    fn suspensions(&self) -> Vec<String> {
        let told = |account: &ErgoAccount| {
            let reason = account.suspended.as_ref()?;
            let since = "suspended at Sun, 22 Nov 2026 13:07:12 UTC. Duration: indefinite.";
            Some(format!("Account {} {since} Reason: {reason}", account.name))
        };
        let told: Vec<String> = self.accounts.values().filter_map(told).collect();
        let head = format!("There are {} active account suspensions.", told.len());
        std::iter::once(head).chain(told).collect()
    }

    fn kill(&mut self, nick: &str) -> String {
        let before = self.sessions.len();
        self.sessions.retain(|there| *there != nick.to_ascii_lowercase());
        match self.sessions.len() < before {
            true => String::new(),
            false => format!(":irc.test 401 m {nick} :No such nick\r\n"),
        }
    }
}

fn notices(texts: &[String]) -> String {
    texts.iter().map(|text| format!(":NickServ!NickServ@localhost NOTICE m :{text}\r\n")).collect()
}

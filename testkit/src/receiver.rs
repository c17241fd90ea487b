//! A receiver of webhooks that makes accounts as the guide says, in memory, and fails as it is told.
//!
//! It does not check signatures: whether they are the standard's is the connector's own test.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};

use crate::downstream::{self, Downstream, Fault, http};

/// An account here.
struct Kept {
    /// The account at Muster that it was made for; none for somebody else's.
    of: Option<String>,
    /// None while it is locked.
    passphrase: Option<String>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, Kept>,
    /// The newest wish of each account at Muster that was carried out.
    versions: BTreeMap<String, u64>,
    faults: VecDeque<Fault>,
}

/// A running one. It stops with the runtime of the test.
#[derive(Clone)]
pub struct FakeReceiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeReceiver {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// Where there is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let fake = Self { address, state: Arc::default() };
        tokio::spawn(fake.clone().serve(listener));
        fake
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}/accounts", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let fake = self.clone();
            // A client that goes away in the middle is part of the test.
            tokio::spawn(async move { fake.answer(stream).await.unwrap_or_default() });
        }
    }

    async fn answer(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let Some((_, body)) = downstream::request(&mut stream).await? else { return Ok(()) };
        let (fault, status) = self.state().call(&body);
        fault.answer(stream.get_mut(), &http(status, "text/plain", "")).await
    }
}

impl Downstream for FakeReceiver {
    fn fail(&self, faults: &[Fault]) {
        self.state().faults.extend(faults);
    }

    fn make(&self, name: &str, passphrase: &str) {
        let kept = Kept { of: None, passphrase: Some(passphrase.to_owned()) };
        self.state().accounts.insert(name.to_ascii_lowercase(), kept);
    }

    fn lets_in(&self, name: &str, passphrase: &str) -> bool {
        let state = self.state();
        let kept = state.accounts.get(&name.to_ascii_lowercase());
        kept.is_some_and(|kept| kept.passphrase.as_deref() == Some(passphrase))
    }

    fn names(&self) -> Vec<String> {
        self.state().accounts.keys().cloned().collect()
    }
}

impl State {
    fn call(&mut self, body: &[u8]) -> (Fault, u16) {
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return (Fault::None, 400) };
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::Silent | Fault::Broken => return (fault, 500),
            Fault::Raced => return (fault, 503),
            // The first answer reaches nobody.
            Fault::Twice => drop(self.carried_out(&message)),
            _ => {}
        }
        (fault, self.carried_out(&message))
    }

    fn carried_out(&mut self, message: &Value) -> u16 {
        let data = &message["data"];
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        let (of, name) = (text("account"), text("name").to_ascii_lowercase());
        let version = data["version"].as_u64().unwrap_or_default();
        let is_foreign = self.accounts.get(&name).is_some_and(|kept| kept.of.as_ref() != Some(&of));
        if is_foreign && data["known"] != true {
            return 409;
        }
        if self.versions.get(&of).is_some_and(|newest| *newest > version) {
            return 204;
        }
        self.versions.insert(of.clone(), version);
        if message["type"] == "account.removed" {
            self.accounts.remove(&name);
        } else {
            let passphrase = data["passphrase"].as_str().map(str::to_owned);
            self.accounts.insert(name, Kept { of: Some(of), passphrase });
        }
        204
    }
}

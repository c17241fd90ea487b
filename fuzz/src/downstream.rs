//! An Ergo that says what the input says: over its HTTP API, and over IRC to an operator.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_app::{Delivered, Order, Provisioner};
use muster_model::{AccountId, AccountName, MachineId, Timestamp, Wanted};
use muster_provision::{Ergo, ErgoSettings, IrcOperator};
use muster_testkit::Kit;
use muster_testkit::world::pepper;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

const TOKEN: &str = "a-token-that-nobody-may-repeat";
const PASSWORD: &str = "a-password-that-nobody-may-repeat";

struct Other {
    runtime: Runtime,
    connector: Ergo,
    order: Order,
    /// What the next connections are told, the last one first.
    says: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// The first byte says what is wanted; a record separator (0x1e) ends what one connection is told.
pub(crate) fn ergo(bytes: &[u8]) {
    thread_local!(static OTHER: RefCell<Option<Other>> = const { RefCell::new(None) });
    let Some((first, rest)) = bytes.split_first() else { return };
    OTHER.with_borrow_mut(|kept| drop(kept.get_or_insert_with(Other::new).serve(*first, rest)));
}

impl Other {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let says: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (api, irc) = runtime.block_on(async { (listening(&says).await, listening(&says).await) });
        let password = Zeroizing::new(PASSWORD.to_owned());
        let settings = ErgoSettings {
            url: format!("http://{api}"),
            token: Zeroizing::new(TOKEN.to_owned()),
            roots: None,
            operator: IrcOperator::new(irc, "muster".to_owned(), password),
            call: Some(Duration::from_secs(2)),
        };
        let things = Kit::numbered(1);
        let account = things.account(&things.machine(&things.site()));
        let order = Order {
            account: AccountId::from_bytes([1; 16]),
            machine: MachineId::from_bytes([2; 16]),
            name: "w-one".parse::<AccountName>().expect("a name"),
            wanted: Wanted::Live,
            version: 1,
            ours: true,
            passphrase: account.passphrase(&pepper()),
            earlier: vec![account.passphrase_numbered(&pepper(), 1)],
            nobodys: account.nobodys_passphrase(&pepper()),
            at: Timestamp::UNIX_EPOCH,
        };
        let connector = Ergo::new(settings).expect("a connector");
        Self { runtime, connector, order, says }
    }

    /// What came of it; none of a look that was answered.
    fn serve(&mut self, first: u8, bytes: &[u8]) -> Option<Delivered> {
        let answers = bytes.split(|byte| *byte == 0x1e).map(<[u8]>::to_vec).rev();
        *self.says.lock().expect("nobody panicked") = answers.collect();
        self.order.wanted = Wanted::ALL[usize::from(first) % 3];
        self.order.ours = first & 8 == 0;
        let told = self.runtime.block_on(async {
            match first & 16 {
                0 => self.connector.deliver(&self.order).await,
                _ => match self.connector.look(&self.order).await {
                    Ok(_) => return None,
                    Err(mishap) => Delivered::Failed(mishap),
                },
            }
            .into()
        });
        let shown = format!("{told:?}");
        let secrets = [TOKEN, PASSWORD, self.order.passphrase.reveal(), self.order.nobodys.reveal()];
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "a secret is shown: {shown}");
        if let Some(Delivered::Failed(mishap)) = &told {
            assert!(mishap.text.as_ref().is_none_or(|text| !text.as_str().chars().any(char::is_control)));
        }
        told
    }
}

/// Tells each connection what is due, once something was said to it.
async fn listening(says: &Arc<Mutex<Vec<Vec<u8>>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let says = Arc::clone(says);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let due = says.lock().expect("nobody panicked").pop().unwrap_or_default();
            // Whoever went away was not told; that is an input like any other.
            let mut heard = [0; 4096];
            if stream.read(&mut heard).await.is_ok() && stream.write_all(&due).await.is_ok() {
                stream.shutdown().await.ok();
            }
        }
    });
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{corpus, target};

    #[test]
    fn the_corpus_reaches_what_is_wanted_and_what_is_not_ours() {
        let inputs = corpus::inputs(target("downstream").expect("a target")).expect("its corpus");
        let mut other = Other::new();
        let told: Vec<Delivered> =
            inputs.iter().filter_map(|(_, bytes)| other.serve(bytes[0], &bytes[1..])).collect();
        for wanted in [Delivered::Reached { ours: true }, Delivered::Foreign] {
            assert!(told.contains(&wanted), "{told:?}");
        }
        assert!(told.iter().any(|one| matches!(one, Delivered::Failed(_))), "{told:?}");
    }
}

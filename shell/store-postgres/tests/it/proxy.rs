//! A wire to the server that can be cut at the worst moment: while a transaction is being committed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes through, and so does the answer.
    Pass,
    /// It reaches the server, and the answer is lost.
    LoseAnswer,
    /// It does not reach the server.
    LoseCommit,
}

/// A wire. Ends with the test.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    fate: Mutex<Fate>,
    /// Whether nobody gets through any more.
    dead: AtomicBool,
    /// Whether the wire dies with the next commit that is lost.
    fatal: AtomicBool,
    /// How many transactions were begun.
    begun: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server: ([127, 0, 0, 1], port).into(),
            fate: Mutex::new(Fate::Pass),
            dead: AtomicBool::new(false),
            fatal: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !accepting.dead.load(Ordering::SeqCst) {
                    tokio::spawn(carry(Arc::clone(&accepting), client));
                }
            }
        });
        Self { address, shared }
    }

    /// The URL of a database through this wire.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}?sslmode=disable", self.address)
    }

    /// Decides on the next commit.
    pub(crate) fn next(&self, fate: Fate) {
        *self.shared.fate.lock().unwrap_or_else(PoisonError::into_inner) = fate;
    }

    /// Nobody gets through once a commit is lost, until it is mended.
    pub(crate) fn dies_with_it(&self) {
        self.shared.fatal.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.shared.fatal.store(false, Ordering::SeqCst);
        self.shared.dead.store(false, Ordering::SeqCst);
    }

    pub(crate) fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn fate(&self) -> Fate {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn = std::mem::replace(&mut *fate, Fate::Pass);
        if drawn != Fate::Pass && self.fatal.load(Ordering::SeqCst) {
            self.dead.store(true, Ordering::SeqCst);
        }
        drawn
    }
}

/// Carries one connection until either end closes it, or the wire is cut.
async fn carry(shared: Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(shared.server).await else { return };
    let ((from_client, mut to_client), (mut from_server, to_server)) =
        (client.into_split(), server.into_split());
    let mute = Arc::new(AtomicBool::new(false));
    let muted = Arc::clone(&mute);
    let answers = tokio::spawn(async move {
        while let Ok((head, body)) = message(&mut from_server).await {
            // What was sent before the commit is answered. With its own answer, the server has done it.
            if muted.load(Ordering::SeqCst) && head[0] == b'C' && &body[..] == b"COMMIT\0" {
                return;
            }
            if to_client.write_all(&[&head[..], &body].concat()).await.is_err() {
                return;
            }
        }
    });
    questions(&shared, from_client, to_server, &mute).await;
    if mute.load(Ordering::SeqCst) {
        answers.await.expect("no panic");
    } else {
        answers.abort();
    }
}

async fn questions(
    shared: &Shared,
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    mute: &AtomicBool,
) {
    let mut buffer = vec![0; 1 << 16];
    // The start of a connection has another form; after it, each message has a letter and a length.
    let Ok(size @ 1..) = client.read(&mut buffer).await else { return };
    if server.write_all(&buffer[..size]).await.is_err() {
        return;
    }
    // Readers end their transactions too, some time after they are done.
    let mut writes = false;
    loop {
        let Ok((head, body)) = message(&mut client).await else { return };
        if body.starts_with(b"BEGIN") {
            writes = body.starts_with(b"BEGIN ISOLATION LEVEL READ COMMITTED");
            shared.begun.fetch_add(usize::from(writes), Ordering::SeqCst);
        }
        let fate = if writes && &body[..] == b"COMMIT\0" { shared.fate() } else { Fate::Pass };
        if fate == Fate::LoseCommit {
            return;
        }
        mute.store(fate == Fate::LoseAnswer, Ordering::SeqCst);
        if server.write_all(&[&head[..], &body].concat()).await.is_err() || fate == Fate::LoseAnswer {
            return;
        }
    }
}

/// One message: a letter with its length, and what it says.
async fn message(from: &mut OwnedReadHalf) -> std::io::Result<([u8; 5], Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head).await?;
    let size = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
    let mut body = vec![0; size];
    from.read_exact(&mut body).await?;
    Ok((head, body))
}

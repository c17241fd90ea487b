//! A listener on a free port of this host, with a thread and a number for each connection. It ends when it is dropped;
//! whoever serves connections cuts them first.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a connection on this host may take to come about. A dead port refuses at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens, under this name among threads. Connections are numbered from 0.
    ///
    /// # Errors
    /// Where there is no port, or no thread.
    pub(crate) fn start(
        name: &str,
        serve: impl Fn(&TcpStream, usize) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (taken, ended, serve) = (Arc::default(), Arc::default(), Arc::new(serve));
        let (count, has_ended): (Arc<AtomicUsize>, Arc<AtomicBool>) =
            (Arc::clone(&taken), Arc::clone(&ended));
        let accept = move || {
            for stream in listener.incoming() {
                if has_ended.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever is gone before being accepted is gone.
                if let Ok(stream) = stream {
                    let (serve, number) = (Arc::clone(&serve), count.fetch_add(1, Ordering::SeqCst));
                    thread::spawn(move || serve(&stream, number));
                }
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(accept)?;
        Ok(Self { address, taken, ended, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there were. The next one has this number.
    pub(crate) fn connections(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it, so that it sees that it has ended. Where nobody can connect any more there is nobody to wake.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            thread.join().expect("it only ever accepts");
        }
    }
}

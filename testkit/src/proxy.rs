//! A line between client and server that has faults: bytes are lost, late, doubled, cut, slow or wrong, in either direction.
//!
//! It knows nothing of TLS or HTTP, as no network does. A fault is switched on and off while connections stand, and
//! bites from a certain connection and a certain byte on. What a connection has lost stays lost when the line is mended:
//! whoever was bitten has to notice.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::listener::{Listener, PATIENCE};

/// How late bytes are.
const LATE: Duration = Duration::from_secs(4);
/// A slow line: so many bytes at a time, and a pause after each.
const SIP: (usize, Duration) = (64, Duration::from_millis(50));

/// What is wrong with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Bytes are swallowed; nobody is told.
    Drop,
    /// Bytes come late.
    Delay,
    /// Bytes come twice.
    Duplicate,
    /// Half of them come, and then the end.
    Truncate,
    /// The connection is reset.
    Reset,
    /// The receiver's end is closed, the sender's stays open and silent.
    HalfOpen,
    /// Bytes come a few at a time.
    Slow,
    /// A bit is another one.
    Corrupt,
}

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// A fault, and where it bites.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// What is wrong.
    pub fault: Fault,
    /// In which direction.
    pub direction: Direction,
    /// The first connection that is bitten; they are counted from 0.
    pub first: usize,
    /// How many bytes go through unharmed after that.
    pub after: usize,
}

/// A line that runs. It ends with its connections when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listener: Listener,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    /// Connections from this number on lead elsewhere.
    diversion: Mutex<Option<(usize, SocketAddr)>>,
    trouble: Mutex<Option<Trouble>>,
    mended: Condvar,
    streams: Mutex<Vec<TcpStream>>,
    bitten: AtomicUsize,
}

/// What becomes of a connection after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    /// Everything that follows is swallowed.
    Swallow,
    /// Both ends are closed.
    Close,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Drop,
        Self::Delay,
        Self::Duplicate,
        Self::Truncate,
        Self::Reset,
        Self::HalfOpen,
        Self::Slow,
        Self::Corrupt,
    ];
}

impl Proxy {
    /// Listens on a free port of this host, and leads to a server.
    ///
    /// # Errors
    /// Where there is none.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            target,
            diversion: Mutex::default(),
            trouble: Mutex::default(),
            mended: Condvar::new(),
            streams: Mutex::default(),
            bitten: AtomicUsize::new(0),
        });
        let passing = Arc::clone(&shared);
        let listener = Listener::start("proxy", move |stream, number| passing.pass(stream, number))?;
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Connections from this number on lead to somebody else, until the line is mended. What stands, stays.
    pub fn divert(&self, first: usize, target: SocketAddr) {
        *lock(&self.shared.diversion) = Some((first, target));
    }

    /// How many connections there were. The next one has this number.
    pub fn connections(&self) -> usize {
        self.listener.connections()
    }

    /// From now on something is wrong.
    pub fn harm(&self, trouble: Trouble) {
        self.shared.bitten.store(0, Ordering::SeqCst);
        *lock(&self.shared.trouble) = Some(trouble);
    }

    /// From now on nothing is.
    pub fn mend(&self) {
        *lock(&self.shared.diversion) = None;
        *lock(&self.shared.trouble) = None;
        self.shared.mended.notify_all();
    }

    /// How often the fault has bitten.
    pub fn bitten(&self) -> usize {
        self.shared.bitten.load(Ordering::SeqCst)
    }

    /// Cuts every connection that stands.
    pub fn cut(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            close(&stream);
        }
    }
}

fn close(stream: &TcpStream) {
    // One that has ended already is what is wanted.
    stream.shutdown(Shutdown::Both).ok();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn pass(&self, client: &TcpStream, number: usize) {
        let diversion = lock(&self.diversion).filter(|(first, _)| number >= *first);
        let target = diversion.map_or(self.target, |(_, target)| target);
        let Ok(server) = TcpStream::connect_timeout(&target, PATIENCE) else { return };
        // Small packets go on at once, as they came.
        if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
            return;
        }
        let (Ok(a), Ok(b)) = (client.try_clone(), server.try_clone()) else { return };
        lock(&self.streams).extend([a, b]);
        thread::scope(|scope| {
            scope.spawn(|| self.copy(client, &server, number, Direction::Up));
            self.copy(&server, client, number, Direction::Down);
        });
    }

    /// Copies until one side ends; then both are ended.
    fn copy(&self, mut from: &TcpStream, to: &TcpStream, number: usize, direction: Direction) {
        let (mut buffer, mut since, mut swallowed) = ([0; 16 * 1024], 0, false);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if swallowed {
                continue;
            }
            let bytes = &mut buffer[..read];
            let bites = |trouble: &Trouble| trouble.direction == direction && number >= trouble.first;
            let trouble = (*lock(&self.trouble)).filter(bites);
            let then = match trouble {
                Some(trouble) if since + bytes.len() > trouble.after => {
                    self.bitten.fetch_add(1, Ordering::SeqCst);
                    bite(self, trouble.fault, bytes, from, to)
                }
                Some(_) => {
                    since += bytes.len();
                    passed(to, bytes)
                }
                None => passed(to, bytes),
            };
            match then {
                Then::GoOn => {}
                Then::Swallow => swallowed = true,
                Then::Close => break,
            }
        }
        for stream in [from, to] {
            close(stream);
        }
    }

    /// Waits for a while, or until the line is mended.
    fn wait(&self, limit: Duration) {
        let is_on = |trouble: &mut Option<Trouble>| trouble.is_some();
        let (_trouble, _over) = self
            .mended
            .wait_timeout_while(lock(&self.trouble), limit, is_on)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn passed(mut to: &TcpStream, bytes: &[u8]) -> Then {
    match to.write_all(bytes) {
        Ok(()) => Then::GoOn,
        Err(_gone) => Then::Close,
    }
}

/// What the fault makes of some bytes.
fn bite(line: &Shared, fault: Fault, bytes: &mut [u8], from: &TcpStream, to: &TcpStream) -> Then {
    match fault {
        Fault::Drop => Then::Swallow,
        Fault::Delay => {
            line.wait(LATE);
            passed(to, bytes)
        }
        Fault::Duplicate => match passed(to, bytes) {
            Then::GoOn => passed(to, bytes),
            then => then,
        },
        Fault::Truncate => {
            // The end comes in any case.
            passed(to, &bytes[..bytes.len() / 2]);
            Then::Close
        }
        Fault::Reset => {
            // Closed with nothing left to send: the other side is reset.
            for stream in [from, to] {
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("a socket");
            }
            Then::Close
        }
        Fault::HalfOpen => {
            close(to);
            Then::Swallow
        }
        Fault::Slow => {
            let mut then = Then::GoOn;
            for sip in bytes.chunks(SIP.0) {
                line.wait(SIP.1);
                then = passed(to, sip);
                if then != Then::GoOn {
                    break;
                }
            }
            then
        }
        Fault::Corrupt => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            passed(to, bytes)
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.mend();
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Sends back what it is sent, in small pieces.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    let mut byte = [0; 8];
                    while let Ok(read @ 1..) = stream.read(&mut byte) {
                        if stream.write_all(&byte[..read]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    /// What comes back of eight bytes within a moment, and whether the connection still stands.
    fn sent(proxy: &Proxy) -> (Vec<u8>, bool) {
        let mut stream = TcpStream::connect(proxy.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
        stream.write_all(b"12345678").expect("somebody reads");
        let (mut back, mut buffer) = (Vec::new(), [0; 64]);
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return (back, false),
                Ok(read) => back.extend_from_slice(&buffer[..read]),
                Err(error) => {
                    let waits = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                    return (back, waits);
                }
            }
        }
    }

    #[test]
    fn each_fault_does_what_it_says_in_the_direction_it_is_told_and_no_longer_once_mended() {
        let proxy = Proxy::start(echo()).expect("a proxy");
        let whole = (b"12345678".to_vec(), true);
        assert_eq!(sent(&proxy), whole);
        for direction in [Direction::Up, Direction::Down] {
            for fault in Fault::ALL {
                proxy.harm(Trouble { fault, direction, first: proxy.connections(), after: 0 });
                let seen = sent(&proxy);
                assert!(proxy.bitten() > 0, "{fault:?} {direction:?}");
                let wanted = match fault {
                    Fault::Drop | Fault::Delay => (Vec::new(), true),
                    Fault::Duplicate => (b"1234567812345678".to_vec(), true),
                    Fault::Slow => whole.clone(),
                    Fault::Corrupt => (b"1234%678".to_vec(), true),
                    Fault::Truncate if direction == Direction::Down => (b"1234".to_vec(), false),
                    Fault::HalfOpen if direction == Direction::Up => (Vec::new(), false),
                    // How much comes back before the end is a matter of luck.
                    Fault::Truncate | Fault::Reset | Fault::HalfOpen => (seen.0.clone(), false),
                };
                assert_eq!(seen, wanted, "{fault:?} {direction:?}");
                proxy.mend();
                assert_eq!(sent(&proxy), whole, "after {fault:?} {direction:?}");
            }
        }
    }

    #[test]
    fn a_fault_bites_from_its_connection_and_its_byte_on() {
        let proxy = Proxy::start(echo()).expect("a proxy");
        let trouble = |first, after| Trouble { fault: Fault::Drop, direction: Direction::Up, first, after };
        proxy.harm(trouble(1, 0));
        assert_eq!(sent(&proxy).0, b"12345678", "not the first one");
        assert_eq!(sent(&proxy).0, b"", "but the second");
        proxy.harm(trouble(0, 8));
        assert_eq!(sent(&proxy).0, b"12345678", "so many go through");
        assert_eq!(proxy.bitten(), 0);
    }
}

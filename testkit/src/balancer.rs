//! A small TCP balancer: connections in, round robin to the replicas that answer, bytes passed through as they are.
//!
//! It knows nothing of TLS or HTTP, as the balancer in front of a fleet need not. A replica that does not answer is
//! passed over; one that dies takes its connections with it.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::listener::{Listener, PATIENCE};

/// A balancer that runs. It ends with its connections when it is dropped.
#[derive(Debug)]
pub struct Balancer {
    shared: Arc<Shared>,
    listener: Listener,
}

#[derive(Debug)]
struct Shared {
    replicas: Mutex<Vec<SocketAddr>>,
    /// Both ends of each connection that is passed, so that they can be cut.
    streams: Mutex<HashMap<usize, [TcpStream; 2]>>,
}

impl Balancer {
    /// Listens on a free port of this host.
    ///
    /// # Errors
    /// Where there is none.
    pub fn start(replicas: Vec<SocketAddr>) -> io::Result<Self> {
        let shared = Arc::new(Shared { replicas: Mutex::new(replicas), streams: Mutex::default() });
        let passing = Arc::clone(&shared);
        let listener = Listener::start("balancer", move |stream, turn| passing.pass(stream, turn))?;
        Ok(Self { shared, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Passes new connections to these from now on; those that stand stay.
    pub fn set(&self, replicas: Vec<SocketAddr>) {
        *self.shared.replicas() = replicas;
    }

    /// Cuts every connection that stands.
    pub fn cut(&self) {
        for stream in self.shared.streams().values().flatten() {
            // One that has ended already needs no cut.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Shared {
    fn replicas(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<usize, [TcpStream; 2]>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes one connection; ends with either side. Nobody who answers: the caller finds it closed.
    fn pass(&self, client: &TcpStream, turn: usize) {
        let Some(replica) = self.connect(turn) else { return };
        // Small packets go on at once, as they came.
        if client.set_nodelay(true).and(replica.set_nodelay(true)).is_err() {
            return;
        }
        let (Ok(a), Ok(b)) = (client.try_clone(), replica.try_clone()) else { return };
        self.streams().insert(turn, [a, b]);
        thread::scope(|scope| {
            scope.spawn(|| copy(client, &replica));
            copy(&replica, client);
        });
        self.streams().remove(&turn);
    }

    /// The next replica that answers.
    fn connect(&self, first: usize) -> Option<TcpStream> {
        let replicas = self.replicas().clone();
        let turn = (0..replicas.len()).map(|step| replicas[(first + step) % replicas.len()]);
        turn.into_iter().find_map(|replica| TcpStream::connect_timeout(&replica, PATIENCE).ok())
    }
}

/// Copies until one side ends; then both are ended, so that the other direction ends too.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // How it ended does not matter: both sides learn that it did.
    io::copy(&mut from, &mut to).ok();
    for stream in [from, to] {
        // One that has ended already is what is wanted.
        stream.shutdown(Shutdown::Both).ok();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    /// Answers every connection with one byte, and ends.
    fn replica(answer: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for stream in listener.incoming() {
                stream.expect("a connection").write_all(&[answer]).expect("somebody reads");
            }
        });
        address
    }

    fn ask(balancer: &Balancer) -> Vec<u8> {
        let mut stream = TcpStream::connect(balancer.address()).expect("it listens");
        let mut answer = Vec::new();
        // A connection that is cut reads as an error or as an end: nothing came either way.
        stream.read_to_end(&mut answer).ok();
        answer
    }

    /// Answers every connection with one byte, and keeps it open.
    fn patient_replica(answer: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                stream.write_all(&[answer]).expect("somebody reads");
                kept.push(stream);
            }
        });
        address
    }

    fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
    }

    #[test]
    fn connections_go_round_and_pass_over_whoever_does_not_answer() {
        let balancer = Balancer::start(vec![replica(1), nobody(), replica(2)]).expect("a balancer");
        let mut answers: Vec<u8> = (0..6).flat_map(|_| ask(&balancer)).collect();
        answers.sort_unstable();
        answers.dedup();
        assert_eq!(answers, [1, 2]);
        balancer.set(vec![nobody()]);
        assert_eq!(ask(&balancer), [0; 0]);
    }
    #[test]
    fn what_stands_stays_when_the_replicas_change_and_ends_when_it_is_cut() {
        let balancer = Balancer::start(vec![patient_replica(1)]).expect("a balancer");
        let mut stream = TcpStream::connect(balancer.address()).expect("it listens");
        let mut answer = [0];
        stream.read_exact(&mut answer).expect("an answer");
        balancer.set(Vec::new());
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
        let quiet = stream.read(&mut answer).expect_err("it stands");
        assert!(matches!(quiet.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{quiet}");
        balancer.cut();
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        assert!(matches!(stream.read(&mut answer), Ok(0) | Err(_)));
        assert_eq!(ask(&balancer), [0; 0], "nobody comes in while it is shut");
    }
}

//! Ports for servers that go and come back.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what systems draw the ports of outgoing connections from.
const FIRST: u16 = 15_000;
/// A server started by `up` takes the next two ports, too.
const STRIDE: u16 = 4;
const COUNT: u16 = 17_000 / STRIDE;

static DRAWN: AtomicU16 = AtomicU16::new(0);

/// An address of this host where nobody listens, nor at the next three, and that no outgoing connection is given while a server
/// is away: one that knocks at a port of its own kind's range may even be connected to itself.
///
/// # Panics
/// Where all ports are taken.
pub fn free_address() -> SocketAddr {
    // Tests run side by side, a process each: their numbers keep them apart.
    let begin = std::process::id().wrapping_mul(31) % u32::from(COUNT);
    let begin = u16::try_from(begin).expect("a remainder");
    let is_free = |address: &SocketAddr| {
        (0..STRIDE).all(|next| TcpListener::bind((address.ip(), address.port() + next)).is_ok())
    };
    let address = (0..COUNT).map(|_| {
        let drawn = u32::from(begin) + u32::from(DRAWN.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from(drawn % u32::from(COUNT)).expect("a remainder");
        SocketAddr::from(([127, 0, 0, 1], FIRST + offset * STRIDE))
    });
    address.into_iter().find(is_free).expect("a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_an_address_twice_or_one_that_is_taken() {
        let first = free_address();
        let next = SocketAddr::new(first.ip(), first.port() + STRIDE);
        let _taken = TcpListener::bind((next.ip(), next.port() + 2)).expect("nobody else draws here");
        let second = free_address();
        assert!(second != first && second != next);
        assert!(second.port().abs_diff(first.port()) >= STRIDE);
        assert!(TcpListener::bind(second).is_ok());
    }
}

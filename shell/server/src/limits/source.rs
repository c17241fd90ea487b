//! Whose request this is, for counting: the address of the peer, or, when the peer is one of our own proxies, the
//! rightmost hop of `X-Forwarded-For` that is not one of them.
//!
//! Everything left of that hop was written by the caller and is worth nothing. `Forwarded`, `X-Real-IP` and look-alike
//! names are never read. IPv6 counts by /64, the smallest block one holder gets (RFC 6177).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::serve::Peer;
use muster_model::{Cidr, masked};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Proxies in a row; a longer list is not walked further.
const MAX_HOPS: usize = 16;
/// The part of an IPv6 address that counts.
const V6_PREFIX: u8 = 64;

/// The ranges of our own proxies. Empty by default: nobody is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// Believes peers in these ranges.
    pub fn new(ranges: Vec<Cidr>) -> Self {
        Self(ranges)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The local socket.
    Local,
    /// An address, canonical (never a v4 address in v6 clothes).
    Address(IpAddr),
}

/// What counts as one source: the IPv4 address or the IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket(IpAddr);

impl Bucket {
    /// The bucket of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            v4 @ IpAddr::V4(_) => Self(v4),
            v6 @ IpAddr::V6(_) => Self(masked(v6, V6_PREFIX)),
        }
    }
}

impl Source {
    /// What this source is counted under; none for the local socket.
    pub fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::Local => None,
            Self::Address(address) => Some(Bucket::of(*address)),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The counted source of a request.
pub fn source_of(peer: &Peer, headers: &HeaderMap, trusted: &TrustedProxies) -> Source {
    let Some(peer) = peer.address else { return Source::Local };
    let mut source = peer.ip().to_canonical();
    if !trusted.contains(source) {
        return Source::Address(source);
    }
    // Several lines are one list (RFC 9110 §5.3); some proxies add a line, some extend the last one.
    let lines: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(|line| line.as_bytes()).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    for hop in hops.take(MAX_HOPS) {
        // A hop that cannot be read ends the walk: the proxy that reported it is what we know.
        let Some(address) = parse_hop(hop) else { break };
        source = address;
        if !trusted.contains(source) {
            break;
        }
    }
    Source::Address(source)
}

/// An address, in brackets or with a port as some proxies write it; a zone (RFC 4007 §11) is cut off, because it
/// names an interface of the proxy, not of the caller.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            let port_is_fine = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
            port_is_fine.then_some(inside)?
        }
        None => match text.parse::<SocketAddr>() {
            Ok(SocketAddr::V4(with_port)) => return Some(IpAddr::V4(*with_port.ip())),
            Ok(SocketAddr::V6(_)) | Err(_) => text,
        },
    };
    let (address, _zone) = bare.split_once('%').unwrap_or((bare, ""));
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::serve::Transport;

    type Line = (&'static str, &'static [u8]);

    fn counted(peer: &str, lines: &[(&'static str, &[u8])]) -> String {
        let peer =
            Peer { address: Some(peer.parse().expect("a socket address")), transport: Transport::Plain };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(HeaderName::from_static(name), value);
        }
        let ranges = ["10.0.0.0/8", "fd00::/8"].map(|range| range.parse().expect("a range"));
        source_of(&peer, &headers, &TrustedProxies::new(ranges.into())).to_string()
    }

    #[test]
    fn q20_a_stranger_is_counted_as_itself_whatever_it_writes() {
        for name in ["x-forwarded-for", "x_forwarded_for", "forwarded", "x-real-ip"] {
            assert_eq!(counted("192.0.2.1:9", &[(name, b"198.51.100.7"), (name, b"10.0.0.1")]), "192.0.2.1");
        }
    }

    #[test]
    fn q20_the_rightmost_hop_that_is_not_ours_counts() {
        let xff = "x-forwarded-for";
        let cases: &[(&[Line], &str)] = &[
            (&[], "10.0.0.1"),
            (&[(xff, b"198.51.100.7")], "198.51.100.7"),
            (&[(xff, b"1.1.1.1, 198.51.100.7")], "198.51.100.7"),
            (&[(xff, b"1.1.1.1, 198.51.100.7, 10.9.9.9")], "198.51.100.7"),
            (&[(xff, b"1.1.1.1"), (xff, b"198.51.100.7")], "198.51.100.7"),
            (&[(xff, b"198.51.100.7"), (xff, b"10.2.2.2")], "198.51.100.7"),
            (&[(xff, b"10.3.3.3, 10.2.2.2")], "10.3.3.3"),
            (&[(xff, b"\xff, 198.51.100.7")], "198.51.100.7"),
            (&[(xff, b"1.1.1.1, unknown")], "10.0.0.1"),
            (&[(xff, b"1.1.1.1, unknown, 10.2.2.2")], "10.2.2.2"),
            (&[(xff, b"198.51.100.7,")], "10.0.0.1"),
            (&[(xff, b"198.51.100.7:4711")], "198.51.100.7"),
            (&[(xff, b"[2001:db8::7]:443")], "2001:db8::7"),
            (&[(xff, b"[2001:db8::7]x")], "10.0.0.1"),
            (&[(xff, b"2001:db8::7%eth0")], "2001:db8::7"),
            (&[(xff, b"::ffff:198.51.100.7")], "198.51.100.7"),
            (&[(xff, b"::ffff:10.2.2.2")], "10.2.2.2"),
            (&[(xff, b"198.51.100.7"), ("x-real-ip", b"1.1.1.1")], "198.51.100.7"),
            (&[(xff, b"198.51.100.7"), ("x_forwarded_for", b"1.1.1.1")], "198.51.100.7"),
            (&[(xff, b"198.51.100.7"), ("forwarded", b"for=1.1.1.1")], "198.51.100.7"),
            (
                &[("forwarded", b"for=1.1.1.1"), ("x-real-ip", b"1.1.1.1"), ("x_forwarded_for", b"1.1.1.1")],
                "10.0.0.1",
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(counted("10.0.0.1:9", lines), *expected, "{lines:?}");
            assert_eq!(counted("[::ffff:10.0.0.1]:9", lines), *expected, "{lines:?} mapped");
        }
    }

    #[test]
    fn a_list_longer_than_any_chain_of_proxies_is_not_walked_to_its_end() {
        let mut line = b"198.51.100.7".to_vec();
        for _ in 0..MAX_HOPS {
            line.extend_from_slice(b", 10.7.7.7");
        }
        assert_eq!(counted("10.0.0.1:9", &[("x-forwarded-for", &line)]), "10.7.7.7");
    }

    #[test]
    fn q19_v6_counts_by_slash_64_and_v4_by_address() {
        let bucket = |text: &str| Bucket::of(text.parse().expect("an address"));
        assert_eq!(bucket("2001:db8::1"), bucket("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(bucket("2001:db8::1"), bucket("2001:db8:0:1::1"));
        assert_ne!(bucket("192.0.2.1"), bucket("192.0.2.2"));
        assert_eq!(bucket("192.0.2.1"), bucket("::ffff:192.0.2.1"));
    }

    #[test]
    fn the_local_socket_has_no_bucket() {
        let peer = Peer { address: None, transport: Transport::Unix { uid: 0, gid: 0, pid: None } };
        let source = source_of(&peer, &HeaderMap::new(), &TrustedProxies::default());
        assert_eq!((source, source.bucket()), (Source::Local, None));
    }
}

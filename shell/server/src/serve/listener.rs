//! The three kinds of listening socket.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::outcome::Carrier;
use super::peer::{Peer, Transport};
use super::tls::SharedTls;

/// A socket to serve on.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tls(TcpListener, SharedTls),
    Unix(UnixListener),
    Plain(TcpListener),
}

/// A connection nobody has read from yet.
pub(super) enum Accepted {
    Tls(TcpStream, SocketAddr, SharedTls),
    Unix(UnixStream, Peer),
    Plain(TcpStream, Peer),
}

impl Listener {
    /// TLS. On the public port agents and everybody else are told apart by ALPN.
    pub fn tls(socket: TcpListener, configs: SharedTls) -> Self {
        Self(Kind::Tls(socket, configs))
    }

    /// The local socket.
    pub fn unix(socket: UnixListener) -> Self {
        Self(Kind::Unix(socket))
    }

    /// TCP without TLS, for metrics and for existing clients; bind it to loopback.
    pub fn plain(socket: TcpListener) -> Self {
        Self(Kind::Plain(socket))
    }

    /// Binds the local socket at `path` with permission bits `mode`, in the place of one left by a crash. The
    /// caller holds the lock of the data directory, so nobody else serves there.
    pub fn bind_unix(path: &Path, mode: u32) -> io::Result<Self> {
        // Bound beside, given its mode, then renamed: at its own name it never had another mode.
        let beside = path.with_extension("new");
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixListener::bind(&beside)?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&beside, path)?;
        Ok(Self::unix(socket))
    }

    pub(super) fn carrier(&self) -> Carrier {
        match self.0 {
            Kind::Tls(..) => Carrier::Tls,
            Kind::Unix(_) => Carrier::Unix,
            Kind::Plain(_) => Carrier::Plain,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.0 {
            Kind::Tls(socket, configs) => {
                let (stream, address) = socket.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tls(stream, address, configs.clone()))
            }
            Kind::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let peer = stream.peer_cred()?;
                let transport = Transport::Unix { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() };
                Ok(Accepted::Unix(stream, Peer { address: None, transport }))
            }
            Kind::Plain(socket) => {
                let (stream, address) = socket.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Plain(stream, Peer { address: Some(address), transport: Transport::Plain }))
            }
        }
    }
}

impl Accepted {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tls(_, address, _) => Some(*address),
            Self::Unix(_, peer) | Self::Plain(_, peer) => peer.address,
        }
    }
}

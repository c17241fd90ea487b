//! Who is at the other end of a connection, as far as the transport proved it. Put into the extensions of every
//! request; never read from a header.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

/// The other end of the connection a request came in on.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The address of the socket; none on a Unix socket.
    pub address: Option<SocketAddr>,
    /// What the transport knows about the peer.
    pub transport: Transport,
}

/// What carried the request.
#[derive(Debug, Clone)]
pub enum Transport {
    /// TLS.
    Tls {
        /// The chain the client proved, leaf first: there exactly when the client spoke `muster/1`, and then
        /// verified by [`super::MachineVerifier`].
        certificates: Option<Arc<[CertificateDer<'static>]>>,
    },
    /// The local socket, with the credentials the kernel vouches for.
    Unix {
        /// User of the peer when it connected.
        uid: u32,
        /// Group of the peer when it connected.
        gid: u32,
        /// Process of the peer, where the system tells.
        pid: Option<i32>,
    },
    /// TCP without TLS; only for metrics and existing clients.
    Plain,
}

impl Peer {
    /// The verified leaf certificate, where there is one.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.transport {
            Transport::Tls { certificates } => certificates.as_ref().and_then(|chain| chain.first()),
            Transport::Unix { .. } | Transport::Plain => None,
        }
    }
}

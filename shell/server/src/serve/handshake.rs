//! One TLS handshake, from the ClientHello to the peer it proved, inside one deadline.
//!
//! A refused client must be able to read *why*: its socket is closed only after the alert was sent and what the
//! client still had in flight was read, because closing a socket with unread bytes resets it and the alert is
//! lost. That lingering counts against the same deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::Acceptor;
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{Peer, Transport};
use super::tls::{ALPN_H2, TlsConfigs};

/// What a client may still send after it was refused; more is a flood.
const LINGER_BYTES: u64 = 64 * 1024;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("the handshake took too long")]
    Timeout,
    #[error("the handshake failed")]
    Failed(#[source] io::Error),
}

/// A finished handshake.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) peer: Peer,
    /// Whether the client chose HTTP/2.
    pub(super) http2: bool,
}

/// Runs the handshake; it and the closing words after a failure end by `deadline`.
pub(super) async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    configs: &TlsConfigs,
    deadline: Instant,
) -> Result<Secured, HandshakeError> {
    let done = timeout_at(deadline, negotiate(stream, configs)).await.or(Err(HandshakeError::Timeout))?;
    match done {
        Ok(stream) => Ok(describe(stream, address)),
        Err((error, stream)) => {
            if let Some(stream) = stream
                && timeout_at(deadline, linger(stream)).await.is_err()
            {
                tracing::debug!("a refused client did not close in time");
            }
            Err(HandshakeError::Failed(error))
        }
    }
}

type Failure = (io::Error, Option<TcpStream>);

async fn negotiate(stream: TcpStream, configs: &TlsConfigs) -> Result<TlsStream<TcpStream>, Failure> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => return Err((error, acceptor.take_io())),
    };
    let config = configs.choose(&start.client_hello());
    start.into_stream(config).into_fallible().await.map_err(|(error, stream)| (error, Some(stream)))
}

async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    if let Err(error) = tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await {
        tracing::debug!(%error, "a refused client is gone");
    }
}

fn describe(stream: TlsStream<TcpStream>, address: SocketAddr) -> Secured {
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(ALPN_H2);
    let certificates = session.peer_certificates().map(|chain| {
        chain.iter().map(|der| der.clone().into_owned()).collect::<Arc<[CertificateDer<'static>]>>()
    });
    let peer = Peer { address: Some(address), transport: Transport::Tls { certificates } };
    Secured { stream, peer, http2 }
}

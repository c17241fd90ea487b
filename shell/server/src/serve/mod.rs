//! The serve loop: sockets in, requests with a proven [`Peer`] out.
//!
//! Owns listening, TLS and its choice by ALPN, the bounds of connections and their time-outs, the
//! swap of certificates and the drain. It never decides what a peer may do and reads no header for that.
//!
//! Invariants: the accept loop never waits for a peer; nothing before authentication is unbounded; a request
//! carries certificates exactly when its connection spoke `muster/1` and proved them.

mod activity;
mod admission;
mod connection;
mod handshake;
mod listener;
mod outcome;
mod own;
mod peer;
mod settings;
mod shutdown;
mod socket;
mod tls;
mod verifier;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics::gauge;
use muster_app::Acceptance;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use connection::{HangUp, Since};
pub use listener::Listener;
pub use own::{OwnCertificate, OwnCertificateError};
pub use peer::{Peer, Transport};
pub use settings::ServeSettings;
pub use shutdown::{Draining, Shutdown, shutdown};
pub use tls::{ALPN_MUSTER, SharedTls, TlsConfigs, TlsError, TlsMaterial};
pub use verifier::{IdentityError, MachineIdentity, MachineVerifier, identity_of};

use admission::{Admission, Permit};
use connection::{Shared, drive};
use handshake::{HandshakeError, handshake};
use listener::Accepted;
use outcome::{Carrier, Outcome};

/// After a failed accept (no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not finished when the drain time was over.
    pub cut: usize,
}

/// Serves `router` on one listener until draining starts, then lets requests in flight finish for the drain time.
///
/// Each connection keeps what `acceptance` says as it is made.
/// Every request carries a [`Peer`] and a [`Draining`] in its extensions. Upgraded connections count as open
/// until they close; they should watch `Draining`, because nobody can finish them from outside.
pub async fn serve(
    listener: Listener,
    router: Router,
    acceptance: Acceptance,
    settings: ServeSettings,
    draining: Draining,
) -> Drained {
    let carrier = listener.carrier();
    let drain_timeout = settings.drain_timeout;
    let open = gauge!("muster_connections_open", "transport" => carrier.as_str());
    let admission = Admission::new(&settings, open);
    let shared = Arc::new(Shared { router, acceptance, settings, draining });
    let mut tasks = JoinSet::new();
    accept_until_draining(&listener, &shared, &admission, &mut tasks).await;
    // Closed before the drain, so that a client that comes now goes elsewhere.
    drop(listener);
    drain(tasks, &admission, carrier, drain_timeout).await
}

async fn accept_until_draining(
    listener: &Listener,
    shared: &Arc<Shared>,
    admission: &Admission,
    tasks: &mut JoinSet<Outcome>,
) {
    let carrier = listener.carrier();
    let mut draining = shared.draining.clone();
    loop {
        tokio::select! {
            biased;
            () = draining.started() => return,
            Some(ended) = tasks.join_next() => count(ended, carrier),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => match admission.admit(accepted.address().map(|address| address.ip())) {
                    Ok(permit) => { tasks.spawn(connect(accepted, permit, shared.clone())); }
                    Err(refused) => Outcome::from(refused).count(carrier),
                },
                Err(error) => pause_after(&error).await,
            },
        }
    }
}

async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    // These are about one client that is gone already; the next one may be waiting.
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        tracing::error!(%error, "cannot accept connections");
        sleep(ACCEPT_PAUSE).await;
    }
}

async fn connect(accepted: Accepted, permit: Permit, shared: Arc<Shared>) -> Outcome {
    match accepted {
        Accepted::Tls(stream, address, configs) => {
            let configs = configs.load_full();
            connect_tls(stream, address, &configs, permit, &shared).await
        }
        Accepted::Unix(stream, peer) => drive(stream, false, peer, permit, &shared).await,
        Accepted::Plain(stream, peer) => drive(stream, false, peer, permit, &shared).await,
    }
}

async fn connect_tls(
    stream: TcpStream,
    address: SocketAddr,
    configs: &TlsConfigs,
    permit: Permit,
    shared: &Shared,
) -> Outcome {
    let mut draining = shared.draining.clone();
    let deadline = Instant::now() + shared.settings.tls_timeout;
    let secured = tokio::select! {
        secured = handshake(stream, address, configs, deadline) => secured,
        () = draining.started() => return Outcome::Drained,
    };
    match secured {
        Ok(secured) => drive(secured.stream, secured.http2, secured.peer, permit, shared).await,
        Err(HandshakeError::Timeout) => Outcome::HandshakeTimeout,
        Err(HandshakeError::Failed(error)) => {
            tracing::debug!(%error, "handshake failed");
            Outcome::HandshakeFailed
        }
    }
}

async fn drain(
    mut tasks: JoinSet<Outcome>,
    admission: &Admission,
    carrier: Carrier,
    limit: Duration,
) -> Drained {
    let finished = timeout(limit, async {
        while let Some(ended) = tasks.join_next().await {
            count(ended, carrier);
        }
        admission.emptied().await;
    });
    if finished.await.is_ok() {
        return Drained { cut: 0 };
    }
    let cut = admission.open();
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        count(ended, carrier);
    }
    Drained { cut }
}

fn count(ended: Result<Outcome, JoinError>, carrier: Carrier) {
    let outcome = ended.unwrap_or_else(|error| {
        if error.is_cancelled() {
            return Outcome::Drained;
        }
        tracing::error!(%error, "a connection's task panicked");
        Outcome::Panicked
    });
    outcome.count(carrier);
}

//! The server's own certificate: its names, and its renewal while it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use muster_app::App;
use muster_issuer::{ServerCertificate, ServerName};
use muster_model::Timestamp;
use muster_server::serve::{SharedTls, TlsConfigs, TlsMaterial};
use muster_store_sqlite::SqliteStore;
use rustls::pki_types::CertificateDer;

use crate::failure::{Exit, Failure, Result};

/// The names of the server's certificate: where it listens, this host, and what the operator added.
pub(crate) fn names(listen: SocketAddr, further: &[String]) -> Result<Vec<ServerName<'static>>> {
    let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    names.extend(rustix::system::uname().nodename().to_str().ok().map(ToOwned::to_owned));
    names.extend(further.iter().cloned());
    let mut parsed: Vec<ServerName<'static>> = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        match name.clone().try_into() {
            Ok(name) if !parsed.contains(&name) => parsed.push(name),
            Ok(_twice) => {}
            // This host's own name may be anything; what the operator typed must be right.
            Err(_unfit) if !further.contains(&name) => {
                tracing::debug!(at, "a host name that no certificate can have");
            }
            Err(error) => {
                return Err(Failure::usage(format!("{name:?} is not a name or address")).because(&error));
            }
        }
    }
    Ok(parsed)
}

/// Where machines reach a server that listens here.
pub(crate) fn url(listen: SocketAddr, further: &[String]) -> String {
    let host = match (further.first(), listen.ip()) {
        (Some(name), _) => name.clone(),
        (None, IpAddr::V6(ip)) if !ip.is_unspecified() => format!("[{ip}]"),
        (None, ip) if !ip.is_unspecified() => ip.to_string(),
        _ => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    format!("https://{host}:{}", listen.port())
}

/// A new certificate and both TLS configurations with it, and when it should be renewed.
pub(crate) fn configs(
    app: &App<SqliteStore>,
    names: &[ServerName<'static>],
) -> Result<(TlsConfigs, Timestamp)> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, "the server's certificate cannot be made").because(error)
    };
    let authority = app.authority();
    let certificate = authority.server_certificate(names, app.now()).map_err(|error| failed(&error))?;
    let ServerCertificate { chain, key, renew_at, .. } = certificate;
    let roots = authority.roots_der().map(CertificateDer::clone).to_vec();
    let trust_domain = authority.trust_domain().to_string();
    let material = TlsMaterial { chain, key, roots, trust_domain };
    Ok((TlsConfigs::new(material).map_err(|error| failed(&error))?, renew_at))
}

/// Renews the certificate once it is due. Connections that stand are not touched.
pub(crate) fn renew_when_due(
    app: &App<SqliteStore>,
    names: &[ServerName<'static>],
    shared: &SharedTls,
    due: &mut Timestamp,
) {
    if app.now() < *due {
        return;
    }
    match configs(app, names) {
        Ok((configs, next)) => {
            shared.store(Arc::new(configs));
            *due = next;
            tracing::info!(next = %next, "the server's certificate was renewed");
        }
        Err(failure) => {
            tracing::error!(error = failure.message(), "the server's certificate was not renewed");
        }
    }
}

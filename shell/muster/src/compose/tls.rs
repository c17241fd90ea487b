//! The server's own certificate: its names, and its renewal while it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use muster_app::App;
use muster_issuer::{ServerCertificate, ServerName};
use muster_model::Timestamp;
use muster_server::serve::{SharedTls, TlsConfigs, TlsMaterial};

use super::store::AnyStore;
use crate::failure::{Exit, Failure, Result};

/// The names of the server's certificate: where it listens, this host, the host of its `url`, and what the operator
/// added.
pub(crate) fn names(
    listen: SocketAddr,
    further: &[String],
    url: Option<&str>,
) -> Result<Vec<ServerName<'static>>> {
    let mut further = further.to_vec();
    further.extend(url.map(host).transpose()?);
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

/// The host of `https://host[:port][/…]`, as a certificate names it.
fn host(url: &str) -> Result<String> {
    let wrong = || {
        Failure::new(Exit::Config, format!("server.url {url:?} is not an address"))
            .hint("write it like https://muster.example.org or https://muster.example.org:8443")
    };
    let rest = url.split_once("://").ok_or_else(wrong)?.1;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split_once(']').ok_or_else(wrong)?.0,
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() { Err(wrong()) } else { Ok(host.to_owned()) }
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
pub(crate) fn configs(app: &App<AnyStore>, names: &[ServerName<'static>]) -> Result<(TlsConfigs, Timestamp)> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, "the server's certificate cannot be made").because(error)
    };
    let authority = app.authority();
    let certificate = authority.server_certificate(names, app.now()).map_err(|error| failed(&error))?;
    let ServerCertificate { chain, key, renew_at, .. } = certificate;
    let roots = authority.roots_der().into_iter().cloned().collect();
    let trust_domain = authority.trust_domain().to_string();
    let material = TlsMaterial { chain, key, roots, trust_domain };
    Ok((TlsConfigs::new(material).map_err(|error| failed(&error))?, renew_at))
}

/// Renews the certificate once it is due, or at once where another authority signs or others are trusted. Connections that
/// stand are not touched.
pub(crate) fn renew_when_due(
    app: &App<AnyStore>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: Option<&str>) -> Vec<String> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8443));
        let names = names(listen, &["a.example".to_owned()], url).expect("well formed");
        names.iter().map(|name| name.to_str().into_owned()).collect()
    }

    #[test]
    fn the_host_of_the_servers_url_is_a_name_of_its_certificate() {
        assert!(!named(None).contains(&"muster.example.org".to_owned()));
        for (url, host) in [
            ("https://muster.example.org", "muster.example.org"),
            ("https://muster.example.org:443/", "muster.example.org"),
            ("https://192.0.2.7:8443", "192.0.2.7"),
            ("https://[2001:db8::7]:8443/x", "2001:db8::7"),
        ] {
            let names = named(Some(url));
            assert!(names.contains(&host.to_owned()), "{url}: {names:?}");
            assert!(names.contains(&"a.example".to_owned()) && names.contains(&"127.0.0.1".to_owned()));
        }
    }

    #[test]
    fn a_url_without_a_host_is_refused_with_its_key() {
        for url in ["muster.example.org", "https://", "https://:8443", "https://[::1"] {
            let failure = host(url).expect_err("refused");
            assert_eq!(failure.exit(), Exit::Config);
            assert!(failure.message().contains("server.url"), "{url}");
        }
    }
}

//! How a database is reached: its URL, the password beside it, and what every connection is told.
//!
//! Never shows a password: not in `Debug`, not in an error.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, Connection, Socket};
use zeroize::Zeroizing;

use crate::open::OpenError;
use crate::tls::{Tls, TlsStream, Trust};

/// What each connection is told. Statements stay prepared and every one has its index, so that the planner is kept from
/// plans that suit tables which are still empty; a transaction that is left alone ends by itself.
const SESSION: &str = "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s \
    -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off -c client_min_messages=warning";
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// How long sent bytes may stay unacknowledged.
const UNHEARD: Duration = Duration::from_secs(5);

/// How a database is reached, and with how many connections.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://user@host:5432/database`, with the parameters that libpq knows. `sslmode` is `disable`, `prefer`,
    /// `require` or `verify-full`.
    pub url: String,
    /// Takes the place of a password in the URL.
    pub password: Option<Zeroizing<String>>,
    /// PEM certificates that the server's must lead to. Without `sslmode` in the URL, it means `verify-full`.
    pub ca_file: Option<PathBuf>,
    /// Connections that write, each with a transaction of its own.
    pub lanes: usize,
    /// The most connections that read at once.
    pub readers: usize,
}

impl Settings {
    /// The usual number of connections to this database.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), password: None, ca_file: None, lanes: 4, readers: 8 }
    }

    /// The same settings with this password.
    pub fn with_password(self, password: impl Into<String>) -> Self {
        Self { password: Some(Zeroizing::new(password.into())), ..self }
    }

    /// The database, as people may be shown it: user, hosts and name, and nothing else.
    pub fn shown(&self) -> String {
        match split(&self.url).ok().and_then(|(url, _)| url.parse::<Config>().ok()) {
            Some(config) => place(&config),
            None => "a PostgreSQL database".to_owned(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("database", &self.shown())
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .field("ca_file", &self.ca_file)
            .field("lanes", &self.lanes)
            .field("readers", &self.readers)
            .finish()
    }
}

/// Settings that were understood: makes connections.
#[derive(Clone)]
pub(crate) struct Dial {
    config: Config,
    tls: Tls,
    /// The database, as people may be shown it.
    pub(crate) place: String,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dial").field(&self.place).finish()
    }
}

impl Dial {
    pub(crate) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let (url, mode) = split(&settings.url)?;
        let mut config: Config =
            url.parse().or(Err(bad("it is not understood: postgres://user@host:5432/database")))?;
        let (mode, trust) = trust(mode.as_deref(), settings)?;
        config.ssl_mode(mode);
        if let Some(password) = &settings.password {
            config.password(password.as_bytes());
        }
        complete(&mut config)?;
        Ok(Self { place: place(&config), tls: Tls::new(&trust)?, config })
    }

    /// The same with this name for the connections, as the server's own lists show it.
    pub(crate) fn named(&self, name: &str) -> Self {
        let mut named = self.clone();
        named.config.application_name(name);
        named
    }

    /// The same for work that takes as long as it takes.
    pub(crate) fn patient(&self) -> Self {
        let mut patient = self.clone();
        let options = self.config.get_options().unwrap_or_default();
        let unbounded = "-c statement_timeout=0 -c lock_timeout=0 -c enable_seqscan=on";
        patient.config.options(format!("{options} {unbounded}"));
        patient
    }

    pub(crate) async fn connect(
        &self,
    ) -> Result<(tokio_postgres::Client, Connection<Socket, TlsStream>), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }
}

fn bad(why: impl Into<String>) -> OpenError {
    OpenError::BadUrl(why.into())
}

/// The URL without `sslmode`, and that. The driver knows fewer modes than people write.
fn split(url: &str) -> Result<(String, Option<String>), OpenError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(bad("it begins with postgres://"));
    }
    let Some((base, parameters)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let (modes, others): (Vec<&str>, Vec<&str>) =
        parameters.split('&').filter(|part| !part.is_empty()).partition(|part| part.starts_with("sslmode="));
    let mode = modes.last().map(|part| part["sslmode=".len()..].to_owned());
    Ok((format!("{base}?{}", others.join("&")), mode))
}

fn trust(mode: Option<&str>, settings: &Settings) -> Result<(SslMode, Trust), OpenError> {
    let anybody = if settings.ca_file.is_some() { None } else { Some(Trust::Anybody) };
    let verified = || settings.ca_file.clone().map(Trust::Signed);
    match (mode, verified()) {
        (Some("disable"), _) => Ok((SslMode::Disable, Trust::Anybody)),
        (None | Some("verify-full" | "require"), Some(signed)) => Ok((SslMode::Require, signed)),
        (Some("prefer"), Some(signed)) => Ok((SslMode::Prefer, signed)),
        (None | Some("prefer"), None) => Ok((SslMode::Prefer, anybody.unwrap_or(Trust::Anybody))),
        (Some("require"), None) => Ok((SslMode::Require, Trust::Anybody)),
        (Some("verify-full"), None) => {
            Err(OpenError::Tls("sslmode=verify-full needs a file of certificates to verify by".to_owned()))
        }
        (Some(_), _) => Err(bad("sslmode is disable, prefer, require or verify-full")),
    }
}

/// What people need not say, and what they may not take away.
fn complete(config: &mut Config) -> Result<(), OpenError> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(bad("it names no host"));
    }
    if config.get_dbname().is_none() {
        return Err(bad("it names no database"));
    }
    if config.get_application_name().is_none() {
        config.application_name("muster");
    }
    let theirs = config.get_options().unwrap_or_default();
    config.options(format!("{SESSION} {theirs}").trim().to_owned());
    config
        .connect_timeout(CONNECT)
        .tcp_user_timeout(UNHEARD)
        .keepalives(true)
        .keepalives_idle(UNHEARD)
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3)
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(())
}

fn place(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .chain(config.get_hostaddrs().iter().map(ToString::to_string))
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(ToString::to_string).collect();
    format!(
        "database {:?} of {:?} at {} port {}",
        config.get_dbname().unwrap_or("?"),
        config.get_user().unwrap_or("?"),
        hosts.join(", "),
        ports.join(", ")
    )
}

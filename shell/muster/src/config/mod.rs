//! The configuration: what may be said, what holds where nothing is said, and the bounds of every value.
//!
//! Secrets stand in files that are named here; the one that may stand here itself, the password in the address of a
//! database, is never shown. Unknown keys are refused. `load` reads it.

mod agent;
mod bounds;
mod compat;
mod database;
mod limits;
mod load;
mod provision;
mod reaper;

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use agent::Agent;
pub(crate) use bounds::{Period, Pin};
pub(crate) use compat::Compat;
pub(crate) use database::{Database, DatabaseUrl, NotAnAddress};
pub(crate) use limits::Limits;
pub(crate) use load::Loaded;
pub(crate) use provision::{Kind, Operator, Provisioner, Provisioners};
pub(crate) use reaper::Reaper;

/// The configuration file of Muster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The server.
    pub(crate) server: Server,
    /// Where everything is kept: `sqlite`, or the address of a PostgreSQL database, or a table with it.
    #[schemars(schema_with = "database::address_or_table")]
    pub(crate) database: Database,
    /// What the server gives and takes at most.
    pub(crate) limits: Limits,
    /// What it issues.
    pub(crate) credentials: Credentials,
    /// What it does about machines of which nothing is heard.
    pub(crate) reaper: Reaper,
    /// Existing clients that are served without any change.
    pub(crate) compat: Compat,
    /// Other systems in which machines have accounts.
    pub(crate) provisioners: Provisioners,
    /// What it writes to its log.
    pub(crate) log: Log,
    /// The agent of a machine.
    pub(crate) agent: Agent,
    /// Which server the command line manages from another host.
    pub(crate) client: ClientConfig,
}

/// The server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The address it listens on; port 0 picks a free one.
    pub(crate) listen: SocketAddr,
    /// Further names and addresses of its certificate, beside the one it listens on.
    pub(crate) names: Vec<String>,
    /// Where machines reach it, where that is not the address it listens on: `https://muster.example.org`.
    pub(crate) url: Option<String>,
    /// The trust domain of its SPIFFE ids. Fixed when the data directory is made.
    pub(crate) trust_domain: Option<String>,
    /// Addresses and networks (`10.0.0.0/8`) whose `X-Forwarded-For` counts.
    pub(crate) trusted_proxies: Vec<String>,
    /// A listener of its own for `/metrics`, over plain HTTP; none where nothing is said.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Its data directory.
    pub(crate) data_dir: Option<PathBuf>,
}

/// What the server issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Credentials {
    /// The life of a machine's certificate: 1m to 90d.
    pub(crate) certificate_life: Period<60, 7_776_000>,
    /// How far back a certificate's life begins, for machines whose clock is behind: none to 1h.
    pub(crate) backdate: Period<0, 3_600>,
    /// How long after its end a certificate's key may still ask for a new one: none to 90d.
    pub(crate) renew_grace: Period<0, 7_776_000>,
    /// How old a machine's key may become before `muster machine show` calls its rotation overdue: 1h to 730d.
    pub(crate) key_life: Period<3_600, 63_072_000>,
    /// What is done where it shows that two hold the key of one machine: `alarm` tells of it, `quarantine` pauses the machine
    /// too, until a person has looked.
    pub(crate) on_copy: OnCopy,
    /// The life of a bearer key, for clients that have no key of their own: 1h to 730d.
    pub(crate) bearer_life: Period<3_600, 63_072_000>,
    /// The life of the token that such a client shows with each call, where its wire has one: 5m to 30d.
    pub(crate) token_life: Period<300, 2_592_000>,
    /// The life of the refresh token beside it, from each use to the next: 1h to 365d, and no shorter than the token's. A client
    /// that stays away for longer is invited again.
    pub(crate) refresh_life: Period<3_600, 31_536_000>,
    /// The life of the certificate of a key that is made for a client which insists on one: 1h to 90d, and no shorter than the
    /// token's.
    pub(crate) serving_life: Period<3_600, 7_776_000>,
    /// How long a one-time login link is good for: 1m to 24h.
    pub(crate) login_life: Period<60, 86_400>,
    /// How long a browser's session is good for: 5m to 7d.
    pub(crate) session_life: Period<300, 604_800>,
}

/// What is done about a machine whose key two hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnCopy {
    /// It is told.
    Alarm,
    /// It is told, and the machine is paused.
    Quarantine,
}

impl From<OnCopy> for muster_lifecycle::fork::OnCopy {
    fn from(policy: OnCopy) -> Self {
        match policy {
            OnCopy::Alarm => Self::Alarm,
            OnCopy::Quarantine => Self::Quarantine,
        }
    }
}

/// What the server writes to its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `text` for people, `json` for collectors.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) level: LogLevel,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// What failed.
    Error,
    /// And what may fail soon.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

/// Which server the command line manages from another host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClientConfig {
    /// Its address: `https://host:port`.
    pub(crate) server: Option<String>,
    /// The pin of its CA: `sha256:` and 64 hexadecimal digits.
    pub(crate) ca_pin: Option<Pin>,
    /// A file with an API token.
    pub(crate) token_file: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            names: vec![],
            url: None,
            trust_domain: None,
            trusted_proxies: vec![],
            metrics_listen: None,
            data_dir: None,
        }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            certificate_life: Period::of(86_400),
            backdate: Period::of(600),
            renew_grace: Period::of(30 * 86_400),
            key_life: Period::of(30 * 86_400),
            on_copy: OnCopy::Alarm,
            bearer_life: Period::of(365 * 86_400),
            token_life: Period::of(86_400),
            refresh_life: Period::of(60 * 86_400),
            serving_life: Period::of(7 * 86_400),
            login_life: Period::of(900),
            session_life: Period::of(12 * 3_600),
        }
    }
}

impl Credentials {
    /// Why these lives cannot stand side by side, if so: a client comes for the next of what it has when its token ends, and
    /// what is beside the token must not have lapsed by then.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let token = self.token_life.get();
        if self.refresh_life.get() < token {
            return Some("credentials.refresh_life is shorter than credentials.token_life");
        }
        (self.serving_life.get() < token)
            .then_some("credentials.serving_life is shorter than credentials.token_life")
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

impl LogLevel {
    /// The name that log filters know.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The JSON Schema of the configuration file.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_section_and_refuses_unknown_keys() {
        let schema = schema();
        for section in [
            "server",
            "database",
            "limits",
            "credentials",
            "reaper",
            "compat",
            "provisioners",
            "log",
            "client",
        ] {
            assert!(schema["properties"][section].is_object(), "{section}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn what_is_beside_a_token_lives_no_shorter_than_the_token() {
        let usual = Credentials::default();
        assert_eq!(usual.contradiction(), None);
        let long = Credentials { token_life: Period::of(30 * 86_400), ..usual.clone() };
        assert!(long.contradiction().is_some_and(|why| why.contains("serving_life")));
        let short = Credentials { refresh_life: Period::of(3_600), ..usual.clone() };
        assert!(short.contradiction().is_some_and(|why| why.contains("refresh_life")));
        let equal = Credentials { token_life: Period::of(7 * 86_400), ..usual };
        assert_eq!(equal.contradiction(), None);
    }

    #[test]
    fn every_limit_has_a_default_and_bounds_in_the_schema() {
        let schema = schema();
        let limits = schema["$defs"]["Limits"]["properties"].as_object().expect("an object");
        assert!(limits.len() > 10);
        for (name, limit) in limits {
            assert!(!limit["default"].is_null(), "{name} has no default");
            let bounded = limit["maximum"].is_number()
                || limit["description"].as_str().is_some_and(|d| d.contains(" to "));
            assert!(bounded, "{name} has no bound: {limit}");
        }
    }
}

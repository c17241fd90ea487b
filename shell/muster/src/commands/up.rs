//! `muster up`: a server, and this machine as its first one.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Format, Human, Output, details};

/// A server, and this machine as its first one.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How it is reached.
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// Where this machine's hardware id comes from: `auto`, `none`, or a value of your own.
    #[arg(long, value_name = "ID", default_value = "auto")]
    pub(crate) hardware_id: String,
}

/// How a server is reached; goes over the configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Listen {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// A further name or address of the server; may be repeated.
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// A listener of its own for /metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
}

/// What `up` tells once everything runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UpReady {
    /// Where machines and people reach the server.
    pub(crate) url: String,
    /// Opens the status page, once.
    pub(crate) login_url: String,
    /// The pin of the CA.
    pub(crate) ca_pin: String,
    /// Lets one more machine in.
    pub(crate) invite: String,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// This machine's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    /// Where metrics are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_url: Option<String>,
}

/// Runs `muster up`.
pub(crate) fn run(_context: &Context, _args: Up) -> Result {
    Err(Failure::new(Exit::Failed, "the server is not part of this build"))
}

impl UpReady {
    /// Prints it: a block for people, or one line of JSON that says the server is ready.
    pub(crate) fn print(&self, out: Output) -> Result {
        match out.format {
            Format::Table => out.show(self),
            Format::Json => out.line(self),
            Format::Yaml => out.stream(self),
        }
    }
}

impl Human for UpReady {
    fn human(&self, _: Timestamp) -> String {
        let facts = details([
            ("address", self.url.clone()),
            ("login", format!("{} (once)", self.login_url)),
            ("ca pin", self.ca_pin.clone()),
            ("data", self.data_dir.display().to_string()),
            ("machine", self.machine.as_ref().map(|id| format!("{id} (this one)")).unwrap_or_default()),
            ("metrics", self.metrics_url.clone().unwrap_or_default()),
        ]);
        let next = super::invite::next_command(&self.invite);
        format!(
            "Muster is up.\n\n{facts}\n\nLet a second machine in, within a day, by typing on it:\n\n{next}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> UpReady {
        UpReady {
            url: "https://127.0.0.1:8443".into(),
            login_url: "https://127.0.0.1:8443/login#x".into(),
            ca_pin: "sha256:00".into(),
            invite: "muster1:abc".into(),
            data_dir: "/var/lib/muster".into(),
            machine: None,
            metrics_url: None,
        }
    }

    #[test]
    fn people_see_all_they_need_and_the_exact_next_command() {
        let text = ready().human(Timestamp::UNIX_EPOCH);
        for part in ["https://127.0.0.1:8443", "login#x", "sha256:00", "/var/lib/muster"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.contains("\n    echo 'muster1:abc' | muster agent run --invite-file -\n"), "{text}");
    }

    #[test]
    fn programs_get_the_documented_keys() {
        let json = serde_json::to_value(ready()).expect("an object");
        let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["url", "login_url", "ca_pin", "invite", "data_dir"]);
    }
}

//! `muster status`: the deployment at a glance.

use clap::Args;
use jiff::Timestamp;
use muster_wire::status::Status as Shape;

use crate::context::Context;
use crate::failure::Result;
use crate::output::{Human, details, escape, relative};

/// The deployment at a glance.
#[derive(Debug, Args)]
pub(crate) struct Status {}

/// Runs `muster status`.
pub(crate) async fn run(context: &Context, _: Status) -> Result {
    context.out.show(&context.client().await?.status().await?)
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        let machines = &self.machines;
        let mut text = details([
            ("url", self.url.clone()),
            ("ca pin", self.ca_pin.clone()),
            ("trust domain", self.trust_domain.clone()),
            ("version", self.version.clone()),
            ("started", relative(now, self.started_at)),
            ("mode", if self.mode == "normal" { String::new() } else { self.mode.clone() }),
            ("servers", if self.replicas > 1 { self.replicas.to_string() } else { String::new() }),
            (
                "machines",
                format!(
                    "{} online, {} active, {} pending, {} suspended, {} retired",
                    machines.online, machines.active, machines.pending, machines.suspended, machines.retired
                ),
            ),
            (
                "holds",
                if self.holds_open == 0 { "none wait".into() } else { format!("{} wait", self.holds_open) },
            ),
            ("ca ends", relative(now, self.ca_expires)),
            ("data", self.data_dir.clone().unwrap_or_default()),
        ]);
        if self.holds_open > 0 {
            text.push_str("\n\nSomebody waits for you: muster hold ls");
        }
        for warning in &self.warnings {
            text.push_str(&format!("\nwarning: {}", escape(warning)));
        }
        text
    }
}

//! `muster version`.

use clap::Args;
use jiff::Timestamp;
use muster_wire::status::Version as Shape;

use crate::context::Context;
use crate::failure::Result;
use crate::output::Human;

/// The version of this program.
#[derive(Debug, Args)]
pub(crate) struct Version {}

/// Runs `muster version`.
pub(crate) fn run(context: &Context, _: Version) -> Result {
    let protocols = vec![String::from_utf8_lossy(muster_wire::ALPN).into_owned()];
    context.out.show(&Shape { version: env!("CARGO_PKG_VERSION").to_owned(), protocols })
}

impl Human for Shape {
    fn human(&self, _: Timestamp) -> String {
        format!("muster {}", self.version)
    }
}

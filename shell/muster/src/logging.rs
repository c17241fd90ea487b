//! What is written to standard error while something runs: by commands for a person, by servers for a collector.
//!
//! Values of others enter log lines as fields, which the writer escapes; standard output stays data only.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Libraries whose chatter says nothing about Muster.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,rustls=warn,tungstenite=warn";

/// For a command: warnings, and more where more was asked for.
pub(crate) fn of_command(verbose: u8, color: bool) {
    let filter = match verbose {
        // What its runs meet, an agent tells as progress.
        0 => "warn,muster_agent::drive=error".to_owned(),
        1 => format!("info,{QUIET}"),
        _ => format!("debug,{QUIET}"),
    };
    set(&filter, LogFormat::Text, color);
}

/// For a server: as configured, and more where more was asked for.
pub(crate) fn of_server(log: &Log, verbose: u8, color: bool) {
    let level = if verbose > 0 { "debug" } else { log.level.as_str() };
    set(&format!("{level},{QUIET}"), log.format, color);
}

fn set(filter: &str, format: LogFormat, color: bool) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(BoxMakeWriter::new(std::io::stderr));
    let set = match format {
        LogFormat::Text => builder.with_ansi(color).finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    };
    // Set once per process; a second call would only lose this one's settings.
    set.ok();
}

//! What commands print: tables for people, the API's own shapes for programs. Standard output is data only.

mod escape;
mod table;
mod time;

use std::io::{ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

pub(crate) use escape::escape;
pub(crate) use table::{details, pairs, table};
pub(crate) use time::{opt_relative, relative};

use crate::clock;
use crate::failure::{Exit, Failure, Result};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// The API's shapes.
    Json,
    /// The API's shapes, as YAML.
    Yaml,
}

/// When colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where and how results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// How.
    pub(crate) format: Format,
    /// Whether diagnostics are colored.
    pub(crate) color: bool,
}

/// A value as people read it. Ends without a line break.
pub(crate) trait Human {
    /// The text; `now` is what times are told against.
    fn human(&self, now: Timestamp) -> String;
}

impl ColorChoice {
    /// Whether standard error is colored.
    pub(crate) fn on_stderr(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal(),
        }
    }
}

impl Output {
    /// Prints a result.
    pub(crate) fn show<T: Serialize + Human>(&self, value: &T) -> Result {
        match self.format {
            Format::Table => self.text(&value.human(clock::now())),
            Format::Json | Format::Yaml => self.data(value),
        }
    }

    /// Prints a result in the API's shape; where a table was asked for, as JSON.
    pub(crate) fn data<T: Serialize>(&self, value: &T) -> Result {
        self.text(&self.render(value)?)
    }

    /// Prints one value of a stream: a line of JSON, a document of YAML, or a line for people.
    pub(crate) fn stream<T: Serialize + Human>(&self, value: &T) -> Result {
        match self.format {
            Format::Table => self.text(&value.human(clock::now())),
            Format::Json => self.line(value),
            Format::Yaml => self.text(&format!("---\n{}", self.render(value)?)),
        }
    }

    /// Prints a value as JSON on one line.
    pub(crate) fn line<T: Serialize>(&self, value: &T) -> Result {
        self.text(&serde_json::to_string(value).map_err(unprintable)?)
    }

    /// Prints text as it is, with one line break at its end.
    pub(crate) fn text(&self, text: &str) -> Result {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // Whoever read it has enough (`| head`).
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new(Exit::Failed, "the result cannot be written").because(&error)),
        }
    }

    /// Says something beside the result, on standard error, and only to people.
    pub(crate) fn note(&self, text: &str) {
        if self.format == Format::Table {
            // A lost remark is no failure of the command.
            writeln!(std::io::stderr().lock(), "{text}").ok();
        }
    }

    fn render<T: Serialize>(&self, value: &T) -> Result<String> {
        match self.format {
            Format::Yaml => serde_norway::to_string(value).map_err(unprintable),
            Format::Table | Format::Json => serde_json::to_string_pretty(value).map_err(unprintable),
        }
    }
}

fn unprintable(error: impl std::error::Error) -> Failure {
    Failure::new(Exit::Failed, "the result cannot be written").because(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_hold_the_same_value() {
        let value =
            serde_json::json!({"items": [{"id": "mch_1", "online": true, "site": null}], "next": null});
        let out = |format| Output { format, color: false }.render(&value).expect("printable");
        let yaml: serde_json::Value = serde_norway::from_str(&out(Format::Yaml)).expect("YAML");
        let json: serde_json::Value = serde_json::from_str(&out(Format::Json)).expect("JSON");
        assert_eq!((yaml, json), (value.clone(), value));
    }
}

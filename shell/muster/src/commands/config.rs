//! `muster config`: check it, show what holds and why, describe every key.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::compose::OwnFiles;
use crate::config::{self, Loaded};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Format, Human, table};

/// The configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration.
    Check(Check),
    /// Show what holds.
    Show(Show),
    /// Print the JSON Schema of the file.
    Schema,
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Another file than the one in use.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Say where each value came from.
    #[arg(long)]
    origin: bool,
}

/// What a check found to be well, and what will not be for long.
#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// A value and where it came from.
#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    value: Value,
    origin: String,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Settings(Vec<Setting>);

/// Runs `muster config`.
pub(crate) fn run(context: &Context, verb: ConfigCommand) -> Result {
    match verb {
        ConfigCommand::Check(args) => {
            let asked = args.file.as_deref().or(context.global.config.as_deref());
            let loaded = Loaded::read(asked, &context.places.config_file(), std::env::vars())?;
            let own = OwnFiles::of(&loaded.config.compat)?;
            let warning = own.map(|own| own.warning(clock::now())).transpose()?.flatten();
            context.out.show(&Checked { ok: true, file: loaded.file, warning })
        }
        ConfigCommand::Show(args) => show(context, &args),
        ConfigCommand::Schema => context.out.data(&config::schema()),
    }
}

fn show(context: &Context, args: &Show) -> Result {
    let loaded = context.config()?;
    match (args.origin, context.out.format) {
        (true, _) => context.out.show(&Settings::from(&loaded)),
        (false, Format::Json | Format::Yaml) => context.out.data(&loaded.config),
        (false, Format::Table) => {
            let text = toml::to_string(&loaded.config)
                .expect("a configuration is made of tables, texts and numbers");
            context.out.text(&text)
        }
    }
}

impl From<&Loaded> for Settings {
    fn from(loaded: &Loaded) -> Self {
        let origin =
            |key: &str| loaded.origins.get(key).map_or_else(|| "default".to_owned(), ToString::to_string);
        Self(
            loaded
                .values()
                .into_iter()
                .map(|(key, value)| Setting { origin: origin(&key), key, value })
                .collect(),
        )
    }
}

impl Human for Checked {
    fn human(&self, _: Timestamp) -> String {
        let text = match &self.file {
            Some(file) => format!("{} is well formed", file.display()),
            None => "there is no configuration file; defaults hold".to_owned(),
        };
        match &self.warning {
            Some(warning) => format!("{text}\nwarning: {warning}"),
            None => text,
        }
    }
}

impl Human for Settings {
    fn human(&self, _: Timestamp) -> String {
        let rows = self.0.iter().map(|setting| {
            let value = if setting.value.is_null() { String::new() } else { setting.value.to_string() };
            [setting.key.clone(), value, setting.origin.clone()]
        });
        table(["KEY", "VALUE", "ORIGIN"], rows)
    }
}

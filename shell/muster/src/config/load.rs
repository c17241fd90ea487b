//! Reading the configuration: defaults, then one file, then the environment; and where each value came from.
//!
//! The file is checked on its own, so that an error names file, line and column; each variable is checked on its own, so
//! that an error names it. `MUSTER_SERVER__LISTEN` is `listen` of `[server]`; lists are separated by commas. What is
//! written out in between has no password, so the address of the database is carried along as it was read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Config;
use crate::failure::{Exit, Failure, Result};

const PREFIX: &str = "MUSTER_";
/// The one setting that may be said in a word.
const DATABASE: &str = "MUSTER_DATABASE";
const DATABASE_URL: &str = "database.url";
const MAX_FILE: u64 = 1024 * 1024;

/// The configuration, and where each value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// What holds.
    pub(crate) config: Config,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// Where each value came from, by its path (`server.listen`). Absent: a default.
    pub(crate) origins: BTreeMap<String, Origin>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A file, at this line where it is known.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Env(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Env(name) => f.write_str(name),
        }
    }
}

impl Loaded {
    /// Reads the file that was asked for, or the usual one if it is there, and the environment.
    pub(crate) fn read(
        asked: Option<&Path>,
        usual: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let path = asked.unwrap_or(usual);
        let text = read_file(path, asked.is_some())?;
        Self::merge(text.as_deref().map(|text| (path, text)), env)
    }

    /// Puts the layers together.
    pub(crate) fn merge(
        file: Option<(&Path, &str)>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut origins = BTreeMap::new();
        let mut config = Config::default();
        if let Some((path, text)) = file {
            config = toml::from_str(text).map_err(|error| file_error(path, text, &error))?;
            origins = file_origins(path, text);
        }
        let mut value = to_value(&config);
        let mut variables: Vec<_> = env.filter(|(name, text)| is_setting(name, text)).collect();
        variables.sort();
        for (name, text) in variables {
            let key = apply(&mut value, &name, &text)?;
            let database = config.database.url;
            config = Config::deserialize(&value).map_err(|error| env_error(&name).because(&error))?;
            if key == DATABASE_URL {
                value = to_value(&config);
            } else {
                config.database.url = database;
            }
            origins.insert(key, Origin::Env(name));
        }
        Ok(Self { config, file: file.map(|(path, _)| path.to_owned()), origins })
    }

    /// Every value by its path, in the order of the file.
    pub(crate) fn values(&self) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        if let Value::Object(sections) = to_value(&self.config) {
            for (section, fields) in sections {
                let fields = fields.as_object().cloned().unwrap_or_default();
                values.extend(fields.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
            }
        }
        values
    }
}

/// Variables of the configuration have a section: two underscores. The others (`MUSTER_TOKEN`, …) are flags' twins.
fn is_setting(name: &str, text: &str) -> bool {
    let in_section = name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"));
    in_section || name == DATABASE && !text.trim().is_empty()
}

fn read_file(path: &Path, asked: bool) -> Result<Option<String>> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound && !asked => Ok(None),
        Err(error) => {
            Err(Failure::new(Exit::Config, format!("the configuration {} cannot be read", path.display()))
                .because(&error)
                .hint("name another one with --config FILE"))
        }
    }
}

fn to_value(config: &Config) -> Value {
    serde_json::to_value(config).expect("a configuration is made of tables, texts and numbers")
}

fn file_error(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let place = match error.span() {
        Some(span) => {
            let (line, column) = position(text, span.start);
            format!("{}:{line}:{column}", path.display())
        }
        None => path.display().to_string(),
    };
    let key = error.span().and_then(|span| key_at(text, span.start)).map(|key| format!("{key}: "));
    Failure::new(Exit::Config, format!("{place}: {}{}", key.unwrap_or_default(), error.message()))
        .hint("`muster config schema` describes every key, `muster config show` what holds")
}

/// Line and column of a byte, both from one.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

/// Every value of a text by its path, with the bytes it stands in; nothing where the text is not TOML.
fn spans(text: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let Ok(table) = DeTable::parse(text) else { return Vec::new() };
    let mut spans = Vec::new();
    for (section, part) in table.get_ref().iter() {
        let section = section.get_ref();
        let Some(fields) = part.get_ref().as_table() else {
            // The address of a database in the place of its table.
            spans.push((format!("{section}.url"), part.span()));
            continue;
        };
        let field = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            (format!("{section}.{}", key.get_ref()), value.span())
        };
        spans.extend(fields.iter().map(field));
    }
    spans
}

/// The path of the value that a byte stands in: what is wrong with a value says nothing of whose it is.
fn key_at(text: &str, byte: usize) -> Option<String> {
    spans(text).into_iter().find(|(_, span)| span.contains(&byte)).map(|(key, _)| key)
}

/// The lines of the values of a file that is known to be well formed.
fn file_origins(path: &Path, text: &str) -> BTreeMap<String, Origin> {
    let origin = |(key, span): (String, std::ops::Range<usize>)| {
        (key, Origin::File(path.to_owned(), Some(position(text, span.start).0)))
    };
    spans(text).into_iter().map(origin).collect()
}

/// Puts a variable's text into its place and gives the place's path.
fn apply(config: &mut Value, name: &str, text: &str) -> Result<String> {
    let path = match name {
        DATABASE => DATABASE_URL.replace('.', "__"),
        name => name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase(),
    };
    let slot = path.split_once("__").and_then(|(section, key)| config.get_mut(section)?.get_mut(key));
    let Some(slot) = slot else {
        return Err(env_error(name).cause("there is no such setting"));
    };
    *slot = match slot {
        Value::Number(_) => {
            text.parse::<u64>().map(Value::from).map_err(|error| env_error(name).because(&error))?
        }
        Value::Bool(_) => {
            text.parse::<bool>().map(Value::from).map_err(|error| env_error(name).because(&error))?
        }
        Value::Array(_) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
        Value::Null | Value::String(_) | Value::Object(_) => Value::from(text),
    };
    Ok(path.replacen("__", ".", 1))
}

fn env_error(name: &str) -> Failure {
    Failure::new(Exit::Config, format!("the environment variable {name} is wrong"))
        .hint("`muster config show --origin` lists every setting")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> Result<Loaded> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Loaded::merge(Some((Path::new("muster.toml"), file)), env)
    }

    fn error(file: &str, env: &[(&str, &str)]) -> (String, String) {
        let failure = load(file, env).expect_err("refused");
        assert_eq!(failure.exit().code(), 78);
        (failure.message().to_owned(), failure.why())
    }

    #[test]
    fn unknown_keys_are_refused_with_file_and_line() {
        let (text, _) = error("[server]\nlisten = '127.0.0.1:1'\n\nlissten = 'x'\n", &[]);
        assert!(text.starts_with("muster.toml:4:1: unknown field `lissten`"), "{text}");
        let (text, _) = error("[log]\nlevel = 'info'\n[srever]\nx = 1\n", &[]);
        assert!(text.starts_with("muster.toml:3:2: unknown field `srever`"), "{text}");
    }

    #[test]
    fn values_outside_their_bounds_are_refused_with_file_and_line() {
        let (text, _) = error("[limits]\n\ntls_timeout = '2m'\n", &[]);
        assert!(
            text.starts_with("muster.toml:3:15: limits.tls_timeout: 2m is not between 1s and 1m"),
            "{text}"
        );
        let (text, _) = error("[limits]\nmax_body_bytes = 1\n", &[]);
        assert!(text.starts_with("muster.toml:2:18: limits.max_body_bytes: 1 is not between"), "{text}");
    }

    #[test]
    fn what_is_not_toml_is_refused_with_file_and_line() {
        let (text, _) = error("[server]\nlisten = \n", &[]);
        assert!(text.starts_with("muster.toml:2:"), "{text}");
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_defaults() {
        let file = "[server]\nlisten = '127.0.0.1:1'\nnames = ['a']\n";
        let loaded = load(file, &[("MUSTER_SERVER__LISTEN", "127.0.0.1:2"), ("MUSTER_TOKEN", "x")])
            .expect("well formed");
        assert_eq!(loaded.config.server.listen.port(), 2);
        assert_eq!(loaded.config.server.names, ["a"]);
        assert_eq!(loaded.config.log, Config::default().log);
        assert_eq!(loaded.origins["server.listen"].to_string(), "MUSTER_SERVER__LISTEN");
        assert_eq!(loaded.origins["server.names"].to_string(), "muster.toml:3");
        assert!(!loaded.origins.contains_key("log.level"));
    }

    #[test]
    fn variables_are_read_in_the_type_of_their_setting() {
        let env = [
            ("MUSTER_SERVER__NAMES", "a, b"),
            ("MUSTER_LIMITS__MAX_BODY_BYTES", "70000"),
            ("MUSTER_SERVER__URL", "https://a"),
            ("MUSTER_CREDENTIALS__CERTIFICATE_LIFE", "1h"),
        ];
        let config = load("", &env).expect("well formed").config;
        assert_eq!(config.server.names, ["a", "b"]);
        assert_eq!(config.limits.max_body_bytes.get::<u32>(), 70_000);
        assert_eq!(config.server.url.as_deref(), Some("https://a"));
        assert_eq!(config.credentials.certificate_life.get().as_secs(), 3600);
    }

    #[test]
    fn wrong_variables_are_named() {
        for (name, value) in [
            ("MUSTER_SERVER__LISTEN", "nowhere"),
            ("MUSTER_SERVER__LISSTEN", "x"),
            ("MUSTER_LIMITS__MAX_BODY_BYTES", "many"),
            ("MUSTER_LIMITS__TLS_TIMEOUT", "9h"),
            ("MUSTER_A__B__C", "x"),
        ] {
            let (text, why) = error("", &[(name, value)]);
            assert!(text.contains(name) && !why.is_empty(), "{name}: {text} {why}");
        }
    }

    #[test]
    fn a_database_is_an_address_or_a_table_in_file_and_environment() {
        const URL: &str = "postgres://muster@db/m";
        let word = load("database = 'postgres://muster:canary@db/m'\n[log]\nlevel = 'warn'\n", &[])
            .expect("well formed");
        let table = "[database]\nconnections = 9\nurl = 'postgres://muster:canary@db/m'\n";
        let table = load(table, &[("MUSTER_LOG__LEVEL", "warn")]).expect("well formed");
        let env =
            [("MUSTER_DATABASE", "postgres://muster:canary@db/m"), ("MUSTER_DATABASE__CONNECTIONS", "9")];
        let env = load("database = 'sqlite'", &env).expect("well formed");
        for loaded in [&word, &table, &env] {
            let database = &loaded.config.database;
            assert_eq!((database.url.as_str(), database.url.password()), (URL, Some("canary")));
            assert!(!format!("{loaded:?} {:?}", loaded.values()).contains("canary"), "it is shown");
        }
        assert_eq!(table.config.database.connections, env.config.database.connections);
        assert_eq!(word.origins["database.url"].to_string(), "muster.toml:1");
        assert_eq!(table.origins["database.url"].to_string(), "muster.toml:3");
        assert_eq!(env.origins["database.url"].to_string(), "MUSTER_DATABASE");
        let both = [("MUSTER_DATABASE", "sqlite"), ("MUSTER_DATABASE__URL", URL)];
        assert_eq!(load("", &both).expect("well formed").config.database.url.as_str(), URL);
        assert!(load("", &[("MUSTER_DATABASE", "")]).expect("not set").config.database.url.is_sqlite());
    }

    #[test]
    fn a_wrong_database_is_named_with_its_place_and_nothing_of_its_password() {
        for (file, place) in [
            (
                "database = 'postgres://u:can@nary@db/m'\n",
                "muster.toml:1:12: database.url: an address that cannot",
            ),
            ("[database]\nurl = 'mysql://u:cannary@db/m'\n", "muster.toml:2:7: database.url: neither"),
            (
                "[database]\nconnections = 1\n",
                "muster.toml:2:15: database.connections: 1 is not between 4 and 500",
            ),
            ("[database]\n\npassword = 'cannary'\n", "muster.toml:3:1: unknown field `password`"),
            ("database = 7\n", "muster.toml:1:12: database.url: invalid type"),
        ] {
            let (text, why) = error(file, &[]);
            assert!(text.starts_with(place), "{text}");
            assert!(!format!("{text}{why}").contains("nary"), "{text} {why}");
        }
        for name in ["MUSTER_DATABASE", "MUSTER_DATABASE__URL"] {
            let (text, why) = error("", &[(name, "postgres://u:can@nary@db/m")]);
            assert!(text.contains(name) && why.contains("%40") && !why.contains("nary"), "{text} {why}");
        }
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there_the_usual_one_need_not() {
        let none = || std::iter::empty();
        let nowhere = Path::new("/nonexistent/muster.toml");
        assert_eq!(Loaded::read(None, nowhere, none()).expect("defaults").config, Config::default());
        assert_eq!(Loaded::read(Some(nowhere), nowhere, none()).expect_err("asked for").exit(), Exit::Config);
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let text = toml::to_string(&Config::default()).expect("tables, texts and numbers");
        assert_eq!(load(&text, &[]).expect("its own text").config, Config::default());
    }
}

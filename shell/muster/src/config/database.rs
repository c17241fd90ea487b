//! Where everything is kept: the file in the data directory, or a PostgreSQL server.
//!
//! An address may come with a password, because many platforms hand it out like that. It is taken apart at once: the
//! password never shows, in no message and no output, and what cannot be taken apart is refused without being repeated.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::bounds::Count;

const SQLITE: &str = "sqlite";
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where everything is kept. In the file also an address alone: `database = "postgres://…"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub(crate) struct Database {
    /// `sqlite` for a file in the data directory, or the address of a PostgreSQL database:
    /// `postgres://muster@db.example.org/muster?sslmode=verify-full`.
    pub(crate) url: DatabaseUrl,
    /// A file with the password; goes over one in the address. The systemd credential `muster-database-password` goes
    /// over both.
    pub(crate) password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that the PostgreSQL server's must lead to. Without it, TLS hides what is sent and
    /// does not tell who answers.
    pub(crate) ca_file: Option<PathBuf>,
    /// Connections to PostgreSQL that this server opens at most.
    pub(crate) connections: Count<4, 500>,
}

/// The same as it is read: text, or a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    url: DatabaseUrl,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    connections: Count<4, 500>,
}

/// The address of a database. Shown, it has no password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl {
    shown: String,
    password: Option<Zeroizing<String>>,
}

/// Why a text is no address of a database. Repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAnAddress {
    /// It is of another kind.
    Scheme,
    /// What is unknown may be a secret: it is not shown.
    Parameter,
    /// It cannot be told where the password ends.
    Marks,
    /// A percent sign without two digits.
    Percent,
}

impl DatabaseUrl {
    /// The file in the data directory.
    pub(crate) fn sqlite() -> Self {
        Self { shown: SQLITE.to_owned(), password: None }
    }

    /// Whether it is the file in the data directory.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.shown == SQLITE
    }

    /// The address without its password.
    pub(crate) fn as_str(&self) -> &str {
        &self.shown
    }

    /// The password that stood in it.
    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|password| password.as_str())
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim();
        if text == SQLITE {
            return Ok(Self::sqlite());
        }
        let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)).ok_or(NotAnAddress::Scheme)?;
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        // A password with one of these marks in it would end somewhere else than its owner thinks.
        if tail.contains(['@', '#']) || authority.matches('@').count() > 1 {
            return Err(NotAnAddress::Marks);
        }
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let (name, mut password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((name, _)) if name.to_ascii_lowercase().contains("%3a") => return Err(NotAnAddress::Marks),
            Some((name, secret)) => (format!("{name}@"), decoded(secret)?),
            None => (String::new(), None),
        };
        let (path, query) = tail.split_once('?').map_or((tail, None), |(path, query)| (path, Some(query)));
        let mut kept = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            match pair.split_once('=') {
                Some(("password", secret)) => password = decoded(secret)?.or(password),
                Some((name, value)) if PARAMETERS.contains(&name) && !value.contains(';') => kept.push(pair),
                _ => return Err(NotAnAddress::Parameter),
            }
        }
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        Ok(Self { shown: format!("{scheme}{name}{host}{path}{query}"), password })
    }
}

/// The parameters of an address beside the password. What is not among them, or is written so that it cannot be told
/// whether it is, could be a password under another name.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "port",
    "sslmode",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// RFC 3986 §2.1. Nothing is no password.
fn decoded(text: &str) -> Result<Option<Zeroizing<String>>, NotAnAddress> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte =
            byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(NotAnAddress::Percent)?;
        bytes.push(byte);
        rest = &after[2..];
    }
    let text = std::str::from_utf8(&bytes).or(Err(NotAnAddress::Percent))?;
    Ok(Some(Zeroizing::new(text.to_owned())).filter(|text| !text.is_empty()))
}

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "neither `sqlite` nor an address like postgres://muster@db.example.org/muster",
            Self::Marks => {
                "an address that cannot be taken apart: write @ as %40, / as %2F, ? as %3F and # as %23 in a password"
            }
            Self::Parameter => {
                "an address with a parameter that is not one of those of the driver: sslmode, target_session_attrs, …"
            }
            Self::Percent => "an address with a percent sign that begins no byte: write % as %25",
        })
    }
}

impl std::error::Error for NotAnAddress {}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url: DatabaseUrl::sqlite(), password_file: None, ca_file: None, connections: Count::of(14) }
    }
}

impl Default for Table {
    fn default() -> Self {
        let Database { url, password_file, ca_file, connections } = Database::default();
        Self { url, password_file, ca_file, connections }
    }
}

impl From<Table> for Database {
    fn from(table: Table) -> Self {
        let Table { url, password_file, ca_file, connections } = table;
        Self { url, password_file, ca_file, connections }
    }
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Database;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a table with `url`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Database, E> {
                Ok(Database { url: text.parse().map_err(E::custom)?, ..Database::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Database, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
            }
        }
        from.deserialize_any(Either)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Address;
        impl Visitor<'_> for Address {
            type Value = DatabaseUrl;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<DatabaseUrl, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Address)
    }
}

impl JsonSchema for DatabaseUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DatabaseUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(sqlite$|postgres(ql)?://)" })
    }
}

/// The schema of what may stand in the file: an address, or the table.
pub(crate) fn address_or_table(generator: &mut SchemaGenerator) -> Schema {
    let address = generator.subschema_for::<DatabaseUrl>();
    let table = generator.subschema_for::<Database>();
    json_schema!({ "anyOf": [address, table] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        text.parse().expect("an address")
    }

    #[test]
    fn a_password_is_taken_out_of_an_address_wherever_it_stands() {
        for text in [
            "postgres://muster:can%40ary@db:5432/m?sslmode=require",
            "postgres://muster@db:5432/m?password=can%40ary&sslmode=require",
            "postgres://muster:other@db:5432/m?sslmode=require&password=can%40ary",
        ] {
            let url = url(text);
            assert_eq!(url.password(), Some("can@ary"), "{text}");
            assert_eq!(url.as_str(), "postgres://muster@db:5432/m?sslmode=require");
            assert!(!format!("{url} {url:?}").contains("ary"));
        }
        assert_eq!(
            url("postgresql:///m?host=/run/postgresql").as_str(),
            "postgresql:///m?host=/run/postgresql"
        );
        assert_eq!(url("postgres://[::1]:5/m").password(), None);
        assert_eq!(url("postgres://a:@b/m"), url("postgres://a@b/m"));
        assert!(url(" sqlite ").is_sqlite() && !url("postgres://a/b").is_sqlite());
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused_and_not_repeated() {
        for (text, why) in [
            ("postgres://u:can@ary@db/m", NotAnAddress::Marks),
            ("postgres://u:can/ary@db/m", NotAnAddress::Marks),
            ("postgres://u:can?ary@db/m", NotAnAddress::Marks),
            ("postgres://u:can#ary@db/m", NotAnAddress::Marks),
            ("postgres://u:can%zzary@db/m", NotAnAddress::Percent),
            ("postgres://u:can%ffary@db/m", NotAnAddress::Percent),
            ("postgres://u:canary%4@db/m", NotAnAddress::Percent),
            ("postgres://u%3Acanary@db/m", NotAnAddress::Marks),
            ("postgres://u@db/m?passw%6frd=canary", NotAnAddress::Parameter),
            ("postgres://u@db/m?Password=canary", NotAnAddress::Parameter),
            ("postgres://u@db/m?sslpassword=canary", NotAnAddress::Parameter),
            ("postgres://u@db/m?sslmode=disable;password=canary", NotAnAddress::Parameter),
            ("mysql://u:canary@db/m", NotAnAddress::Scheme),
            ("host=db password=canary", NotAnAddress::Scheme),
            ("", NotAnAddress::Scheme),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(why), "{text}");
            assert!(!why.to_string().contains("ary"), "{why}");
        }
    }
}

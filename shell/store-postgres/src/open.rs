//! Making Muster's schema in a database and opening one that has it. Two functions: a database that is empty, somebody
//! else's or too new is refused, because an empty registry would disown the whole fleet.

use muster_model::DeploymentId;
use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::connection::{Connected, connect};
use crate::schema::{self, Schema};
use crate::settings::{Dial, Settings};

/// Why a database was not opened or made.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The settings cannot be.
    #[error("the database's URL is not usable: {0}")]
    BadUrl(String),
    /// TLS cannot be set up as it is asked for.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
    /// Nobody answers, or too late.
    #[error("{place} does not answer: {why}; see that the server runs and that this host may reach it")]
    Unreachable {
        /// Where.
        place: String,
        /// What happened.
        why: String,
    },
    /// The server answers, and says no.
    #[error("{place} refuses: {why}; see user, password and name of the database, and pg_hba.conf")]
    Denied {
        /// Where.
        place: String,
        /// What the server said.
        why: String,
    },
    /// There is nothing in it.
    #[error(
        "{0} is empty: found a deployment in it with `muster up` and a new data directory, move one there with \
         `muster db migrate-to`, or restore it from a backup; it is never filled in silence"
    )]
    Empty(String),
    /// Somebody else's tables are in it.
    #[error("{0} holds tables that are not Muster's: give Muster a database of its own")]
    NotOurs(String),
    /// Muster is in it already.
    #[error("{0} belongs to a deployment of Muster already: a new one needs an empty database")]
    Exists(String),
    /// It was changed by a newer Muster, and this one cannot work with it any more.
    #[error("{place} has schema version {found}, and this Muster knows {known}: use a newer one")]
    Newer {
        /// Where.
        place: String,
        /// Its version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// What is acknowledged could be lost.
    #[error(
        "{setting} of {place} is {found:?} and not {wanted}: what is acknowledged would not be durable; change it \
         in postgresql.conf, or for this user or database"
    )]
    NotDurable {
        /// Where.
        place: String,
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The server cannot do what is needed.
    #[error("{place} cannot be used: {why}")]
    Unfit {
        /// Where.
        place: String,
        /// What is missing.
        why: String,
    },
    /// A statement on the schema failed.
    #[error("the schema of {place} could not be {what}: {why}")]
    Schema {
        /// Where.
        place: String,
        /// What was tried.
        what: &'static str,
        /// What the server said.
        why: String,
        /// The error itself.
        #[source]
        cause: tokio_postgres::Error,
    },
}

/// What is in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Empty,
    /// Somebody else's tables.
    Foreign,
    /// Muster.
    Muster {
        /// The version of its schema.
        version: i64,
        /// Which deployment, once it is founded.
        deployment: Option<DeploymentId>,
    },
}

/// Looks into a database and changes nothing.
///
/// # Errors
/// What keeps it from being looked at: settings, the network, the server's refusal.
pub async fn probe(settings: &Settings) -> Result<Found, OpenError> {
    let dial = Dial::new(settings)?;
    let connection = reach(&dial).await?;
    let found = schema::look(&connection.client).await.map_err(schema_failed(&dial, "read"))?;
    match found {
        Schema::None => Ok(Found::Empty),
        Schema::Foreign => Ok(Found::Foreign),
        Schema::Ours(at) => {
            let deployment =
                schema::deployment(&connection.client).await.map_err(schema_failed(&dial, "read"))?;
            Ok(Found::Muster { version: at.version, deployment })
        }
    }
}

/// Makes the schema in an empty database.
pub(crate) async fn create(dial: &Dial) -> Result<(), OpenError> {
    let mut connection = reach(&dial.patient()).await?;
    fit(dial, &connection).await?;
    let migrated = schema::migrate(&mut connection.client, schema::From::Nothing).await;
    match migrated.map_err(schema_failed(dial, "made"))? {
        Schema::None => Ok(()),
        Schema::Foreign => Err(OpenError::NotOurs(dial.place.clone())),
        Schema::Ours(_) => Err(OpenError::Exists(dial.place.clone())),
    }
}

/// Sees that the schema is there and brings it up to this version.
pub(crate) async fn open(dial: &Dial) -> Result<(), OpenError> {
    let mut connection = reach(&dial.patient()).await?;
    fit(dial, &connection).await?;
    let migrated = schema::migrate(&mut connection.client, schema::From::Ours).await;
    match migrated.map_err(schema_failed(dial, "brought up to date"))? {
        Schema::None => Err(OpenError::Empty(dial.place.clone())),
        Schema::Foreign => Err(OpenError::NotOurs(dial.place.clone())),
        Schema::Ours(at) if at.compatible_from > schema::KNOWN => {
            Err(OpenError::Newer { place: dial.place.clone(), found: at.version, known: schema::KNOWN })
        }
        Schema::Ours(_) => Ok(()),
    }
}

async fn reach(dial: &Dial) -> Result<Connected, OpenError> {
    connect(dial).await.map_err(|failure| {
        let (place, why) = (dial.place.clone(), failure.to_string());
        match failure.code() {
            Some(code) if is_denial(code) => OpenError::Denied { place, why },
            _ => OpenError::Unreachable { place, why },
        }
    })
}

fn is_denial(code: &SqlState) -> bool {
    matches!(
        *code,
        SqlState::INVALID_PASSWORD
            | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            | SqlState::INVALID_CATALOG_NAME
            | SqlState::INSUFFICIENT_PRIVILEGE
    )
}

fn schema_failed(dial: &Dial, what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> OpenError {
    let place = dial.place.clone();
    move |cause| OpenError::Schema { place, what, why: crate::failure::said(&cause), cause }
}

/// Asks back what durability rests on, and what the statements need.
async fn fit(dial: &Dial, connection: &Connected) -> Result<(), OpenError> {
    let place = || dial.place.clone();
    let setting = async |name: &'static str| {
        let row = connection.client.query_one("SELECT current_setting($1)", &[&name]).await;
        row.map(|row| row.get::<_, String>(0)).map_err(schema_failed(dial, "read"))
    };
    let version = setting("server_version_num").await?;
    if version.parse::<u32>().unwrap_or(0) < 150_000 {
        let why =
            format!("it is PostgreSQL {}, and Muster needs 15 or newer", setting("server_version").await?);
        return Err(OpenError::Unfit { place: place(), why });
    }
    let encoding = setting("server_encoding").await?;
    if encoding != "UTF8" {
        let why = format!("its encoding is {encoding}, and Muster needs UTF8");
        return Err(OpenError::Unfit { place: place(), why });
    }
    for (name, wanted) in [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")] {
        let found = setting(name).await?;
        // `local` does not wait for a synchronous standby: what it acknowledges may be lost with the primary.
        if found == "off" || found == "local" {
            return Err(OpenError::NotDurable { place: place(), setting: name, found, wanted });
        }
    }
    Ok(())
}

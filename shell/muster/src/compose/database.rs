//! Where the database of a data directory is: the configuration, the password beside it, and the words for what is wrong.

use std::path::{Path, PathBuf};

use muster_store_postgres::{Found, Settings, probe};
use muster_store_sqlite::SqliteStore;
use serde::Serialize;
use zeroize::Zeroizing;

use super::founded::{Founded, Kind};
use super::home::unopened;
use super::secret;
use crate::config::Database;
use crate::failure::Result;
use crate::output::{Human, details};

/// What the service manager calls the password.
const CREDENTIAL: &str = "muster-database-password";
/// Connections that neither read nor write: one listens, one is held for what comes up.
const OTHERS: usize = 2;

/// Where a database is.
pub(crate) enum Place {
    /// A file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, and its address without a password.
    Postgres(Box<Settings>, String),
}

impl Place {
    /// That of a data directory, with its password where it needs one.
    pub(crate) fn of(dir: &Path, database: &Database) -> Result<Self> {
        if database.url.is_sqlite() {
            return Ok(Self::Sqlite(file(dir)));
        }
        let connections = database.connections.get::<usize>();
        let lanes = (connections.saturating_sub(OTHERS) / 3).clamp(1, 16);
        let settings = Settings {
            password: password(database)?,
            ca_file: database.ca_file.clone(),
            lanes,
            readers: connections.saturating_sub(OTHERS + lanes).max(1),
            ..Settings::new(database.url.as_str())
        };
        Ok(Self::Postgres(Box::new(settings), database.url.to_string()))
    }

    /// Which sort it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Postgres(..) => Kind::Postgres,
        }
    }

    /// What people call it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(_, url) => url.clone(),
        }
    }
}

/// The database file of a data directory.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join("muster.db")
}

/// What there is at the place that the configuration names, and what the directory says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// `sqlite` or `postgres`.
    pub(crate) database: &'static str,
    /// The file, or the address without a password.
    pub(crate) place: String,
    /// `missing`, `empty`, `foreign` or `muster`.
    pub(crate) found: &'static str,
    /// The version of its schema.
    pub(crate) schema: Option<i64>,
    /// The deployment that it holds.
    pub(crate) deployment: Option<String>,
    /// The deployment that the directory belongs to.
    pub(crate) directory_belongs_to: Option<String>,
    /// Where the directory says that its database is.
    pub(crate) directory_says: Option<Kind>,
}

/// Looks, and changes nothing; a server may run meanwhile.
pub(crate) async fn status(dir: &Path, database: &Database) -> Result<Status> {
    let place = Place::of(dir, database)?;
    let founded = Founded::read(dir)?;
    let (found, schema, deployment) = match &place {
        Place::Sqlite(path) if !path.exists() => ("missing", None, None),
        Place::Sqlite(path) => {
            let found = SqliteStore::look(path).map_err(|error| unopened(&error))?;
            ("muster", Some(found.version), found.deployment.map(|there| there.id))
        }
        Place::Postgres(settings, _) => match probe(settings).await.map_err(|error| unopened(&error))? {
            Found::Empty => ("empty", None, None),
            Found::Foreign => ("foreign", None, None),
            Found::Muster { version, deployment } => ("muster", Some(version), deployment),
        },
    };
    Ok(Status {
        data_dir: dir.to_owned(),
        database: place.kind().as_str(),
        place: place.shown(),
        found,
        schema,
        deployment: deployment.map(|there| there.to_string()),
        directory_belongs_to: founded
            .as_ref()
            .and_then(|founded| founded.deployment)
            .map(|id| id.to_string()),
        directory_says: founded.map(|founded| founded.database),
    })
}

impl Status {
    /// Whether the directory and what is in the database belong together.
    pub(crate) fn fits(&self) -> bool {
        let same_place = self.directory_says.is_none_or(|kind| kind.as_str() == self.database);
        same_place && (self.directory_belongs_to.is_none() || self.directory_belongs_to == self.deployment)
    }
}

impl Human for Status {
    fn human(&self, _: jiff::Timestamp) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let facts = details([
            ("data", self.data_dir.display().to_string()),
            ("database", self.database.to_owned()),
            ("place", self.place.clone()),
            ("found", self.found.to_owned()),
            ("schema", self.schema.map(|version| version.to_string()).unwrap_or_default()),
            ("deployment", text(&self.deployment)),
            ("directory", text(&self.directory_belongs_to)),
        ]);
        match self.fits() {
            true => facts,
            false => format!(
                "{facts}\n\nThe directory and this database do not belong together: the server does not start."
            ),
        }
    }
}

/// The password: from the service manager, else from the file that is named, else from the address.
fn password(database: &Database) -> Result<Option<Zeroizing<String>>> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(CREDENTIAL));
    let file = credential.filter(|path| path.exists()).or_else(|| database.password_file.clone());
    match file {
        Some(path) => secret::read(&path, "password").map(Some),
        None => Ok(database.url.password().map(|password| Zeroizing::new(password.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(toml: &str) -> Result<Place> {
        let config: crate::config::Config = toml::from_str(toml).expect("well formed");
        Place::of(Path::new("/d"), &config.database)
    }

    fn settings(toml: &str) -> Settings {
        match place(toml) {
            Ok(Place::Postgres(settings, _)) => *settings,
            _ => panic!("an address"),
        }
    }

    #[test]
    fn nothing_said_is_a_file_in_the_directory() {
        assert!(matches!(place(""), Ok(Place::Sqlite(path)) if path == Path::new("/d/muster.db")));
    }

    #[test]
    fn connections_are_shared_out_between_readers_and_writers() {
        let of = |count: u64| {
            let settings =
                settings(&format!("database = {{ url = 'postgres://a/b', connections = {count} }}"));
            (settings.lanes, settings.readers)
        };
        assert_eq!([4, 14, 500].map(of), [(1, 1), (4, 8), (16, 482)]);
    }

    #[test]
    fn a_password_comes_from_its_file_before_the_address_and_is_in_no_message() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("password");
        std::fs::write(&path, "canary \n").expect("ours");
        let database = |path: &Path| {
            format!("database = {{ url = 'postgres://u:other@a/b', password_file = '{}' }}", path.display())
        };
        let settings = settings(&database(&path));
        assert_eq!(settings.password.as_ref().map(|p| p.as_str()), Some("canary "));
        assert!(!format!("{settings:?}").contains("canary"));
        std::fs::write(&path, b"canary\xff").expect("ours");
        let failure = place(&database(&path)).err().expect("not text");
        assert!(!format!("{failure:?}").contains("canary") && failure.message().contains("password file"));
        std::fs::write(&path, "\n").expect("ours");
        assert!(place(&database(&path)).is_err());
        assert!(place(&database(&dir.path().join("none"))).is_err());
    }
}

//! What a further server of a deployment needs, in one file: the authority's files, the pepper, and how far the database
//! was seen. The database itself is not among it.
//!
//! Importing goes in an order that an interruption leaves nothing that counts, and a repetition finishes: a file that is
//! there already must be the same, and the note of what the directory belongs to comes last.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64;
use muster_issuer::{FileError, files};
use muster_model::DeploymentId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::founded::{Founded, Kind};
use super::home::{self, unusable};
use crate::failure::{Exit, Failure, Result};

const FORMAT: &str = "muster replica";
const PEPPER: &str = "pepper";
const CA: &str = "ca";
const SEEN: &str = super::seen::FILE;
const ENGAGEMENT: &str = super::payload_key::FILE;
const MAX_FILES: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    format: String,
    version: u32,
    deployment: String,
    /// By their path in the directory, in base64.
    files: BTreeMap<String, Hidden>,
}

/// A text that is wiped when it goes.
struct Hidden(Zeroizing<String>);

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

/// Writes what a further server needs into a file that is not there yet.
pub(crate) fn export(dir: &Path, out: &Path) -> Result<DeploymentId> {
    let founded = Founded::read(dir)?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("{} belongs to no deployment", dir.display()))
            .hint("name the directory of its server with --data-dir")
    })?;
    let (Kind::Postgres, Some(deployment)) = (founded.database, founded.deployment) else {
        return Err(Failure::new(
            Exit::Conflict,
            "this deployment has its database in a file, which is for one server",
        )
        .hint("move it to PostgreSQL first: muster db migrate-to URL"));
    };
    let mut held = BTreeMap::new();
    for name in names(dir)? {
        let bytes = files::read(&dir.join(&name)).map_err(unusable)?;
        held.insert(name, Hidden(Zeroizing::new(BASE64.encode(&bytes))));
    }
    let bundle =
        Bundle { format: FORMAT.to_owned(), version: 1, deployment: deployment.to_string(), files: held };
    let text = serde_json::to_vec_pretty(&bundle).map(Zeroizing::new).expect("texts are JSON");
    files::write_new(out, &text).map_err(unusable)?;
    Ok(deployment)
}

/// The pepper, how far the database was seen, and every file of the authority.
fn names(dir: &Path) -> Result<Vec<String>> {
    let ca = dir.join(CA);
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Config, format!("{} cannot be read", ca.display())).because(error)
    };
    let mut names = vec![PEPPER.to_owned()];
    // With it, the further server can tell an older database from the first moment on.
    names.extend(dir.join(SEEN).exists().then(|| SEEN.to_owned()));
    names.extend(dir.join(ENGAGEMENT).exists().then(|| ENGAGEMENT.to_owned()));
    for entry in std::fs::read_dir(&ca).map_err(|error| failed(&error))? {
        let name = entry.map_err(|error| failed(&error))?.file_name();
        // What a writing that was cut short left behind begins with a dot.
        names.extend(name.to_str().filter(|name| is_plain(name)).map(|name| format!("{CA}/{name}")));
    }
    names.sort();
    Ok(names)
}

fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
}

/// Makes a data directory out of such a file.
pub(crate) fn import(dir: &Path, from: &Path) -> Result<DeploymentId> {
    let bytes = read(from)?;
    let (deployment, held) = parse(&bytes).ok_or_else(|| {
        Failure::new(Exit::Config, format!("{} is no whole file of `muster replica export`", from.display()))
            .hint("export it again; nothing was changed")
    })?;
    home::directory(dir)?;
    let _lock = home::lock(dir)?;
    fits(dir, deployment, &held)?;
    let ca = dir.join(CA);
    if !ca.exists() {
        files::make_dir(&ca).map_err(unusable)?;
    }
    for (name, bytes) in &held {
        let path = dir.join(name);
        if !path.exists() {
            files::write_new(&path, bytes).map_err(unusable)?;
        }
    }
    Founded::write(dir, deployment, Kind::Postgres, None)?;
    Ok(deployment)
}

/// A bundle is larger than any file in it.
fn read(from: &Path) -> Result<Zeroizing<Vec<u8>>> {
    use std::io::Read;
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Config, format!("{} cannot be read", from.display())).because(error)
    };
    let most = 2 * MAX_FILES as u64 * files::MAX_FILE;
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(from).map_err(|error| failed(&error))?;
    file.take(most).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

type Held = BTreeMap<String, Zeroizing<Vec<u8>>>;

fn parse(bytes: &[u8]) -> Option<(DeploymentId, Held)> {
    let bundle: Bundle = serde_json::from_slice(bytes).ok()?;
    if bundle.format != FORMAT || bundle.version != 1 || bundle.files.len() > MAX_FILES {
        return None;
    }
    let is_ours = |name: &str| {
        [PEPPER, SEEN, ENGAGEMENT].contains(&name) || name.strip_prefix("ca/").is_some_and(is_plain)
    };
    let decode = |(name, text): (String, Hidden)| {
        let bytes = BASE64.decode(text.0.as_bytes()).ok().map(Zeroizing::new)?;
        is_ours(&name).then_some((name, bytes))
    };
    let held: Held = bundle.files.into_iter().map(decode).collect::<Option<_>>()?;
    held.contains_key(PEPPER).then_some((bundle.deployment.parse().ok()?, held))
}

/// Only into a directory with nothing in it, or with the beginning of the same.
fn fits(dir: &Path, deployment: DeploymentId, held: &Held) -> Result {
    let taken = |what: String| {
        Failure::new(Exit::Conflict, format!("{} is in use", dir.display()))
            .cause(what)
            .hint("give an empty directory with --data-dir; nothing was changed")
    };
    match Founded::read(dir)?.map(|founded| founded.deployment) {
        Some(Some(noted)) if noted == deployment => {}
        Some(_) => return Err(taken("it belongs to a deployment".to_owned())),
        None => {}
    }
    for name in ["muster.db", "agent", "listen", SEEN] {
        if !held.contains_key(name) && dir.join(name).exists() {
            return Err(taken(format!("it has {name}")));
        }
    }
    for (name, bytes) in held {
        match files::read(&dir.join(name)) {
            Ok(there) if there == *bytes => {}
            Ok(_) => return Err(taken(format!("it has another {name}"))),
            Err(FileError { problem: muster_issuer::FileProblem::Missing, .. }) => {}
            Err(error) => return Err(unusable(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).expect("ours");
        dir
    }

    /// A directory of a server on PostgreSQL, as far as a bundle looks at it.
    fn server() -> (tempfile::TempDir, DeploymentId) {
        let (home, id) = (dir(), DeploymentId::new(1, [1; 10]));
        files::make_dir(&home.path().join(CA)).expect("ours");
        for name in [PEPPER, "ca/root-a.crt", "ca/seal.key"] {
            files::write_new(&home.path().join(name), name.as_bytes()).expect("ours");
        }
        Founded::write(home.path(), id, Kind::Postgres, None).expect("ours");
        (home, id)
    }

    fn bundle() -> (tempfile::TempDir, std::path::PathBuf, DeploymentId) {
        let ((home, id), out) = (server(), dir());
        let file = out.path().join("bundle");
        assert_eq!(export(home.path(), &file).expect("exported"), id);
        (out, file, id)
    }

    #[test]
    fn a_bundle_is_private_is_never_written_over_and_makes_a_directory_like_the_first() {
        let (_out, file, id) = bundle();
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(export(server().0.path(), &file).is_err());
        let to = dir();
        assert_eq!(import(to.path(), &file).expect("imported"), id);
        for name in [PEPPER, "ca/root-a.crt", "ca/seal.key"] {
            assert_eq!(files::read(&to.path().join(name)).expect("private").as_slice(), name.as_bytes());
        }
        let founded = Founded::read(to.path()).expect("readable").expect("there");
        assert_eq!((founded.deployment, founded.database), (Some(id), Kind::Postgres));
    }

    #[test]
    fn what_was_begun_is_finished_and_what_is_another_is_left_alone() {
        let (_out, file, id) = bundle();
        let begun = dir();
        files::write_new(&begun.path().join(PEPPER), PEPPER.as_bytes()).expect("ours");
        assert_eq!(import(begun.path(), &file).expect("finished"), id);
        assert_eq!(import(begun.path(), &file).expect("again"), id);
        let other = dir();
        files::write_new(&other.path().join(PEPPER), b"another").expect("ours");
        assert_eq!(import(other.path(), &file).expect_err("another").exit(), Exit::Conflict);
        assert!(!other.path().join(CA).exists());
        let used = dir();
        files::write_new(&used.path().join("muster.db"), b"x").expect("ours");
        assert_eq!(import(used.path(), &file).expect_err("in use").exit(), Exit::Conflict);
    }

    #[test]
    fn a_bundle_that_was_cut_or_names_a_file_elsewhere_is_refused_and_changes_nothing() {
        let (out, file, _) = bundle();
        let text = std::fs::read_to_string(&file).expect("text");
        let names = ["\"ca/../../x\"", "\"/etc/x\"", "\"founded\"", "\"ca/.x\""];
        let odd = names.map(|name| text.replace("\"ca/seal.key\"", name));
        for (n, text) in odd.iter().map(String::as_str).chain([&text[..text.len() / 2], ""]).enumerate() {
            let (path, to) = (out.path().join(n.to_string()), dir());
            std::fs::write(&path, text).expect("ours");
            assert_eq!(import(to.path(), &path).expect_err(text).exit(), Exit::Config);
            assert_eq!(std::fs::read_dir(to.path()).expect("there").count(), 0);
        }
    }

    #[test]
    fn a_deployment_in_a_file_has_one_server() {
        let (home, id) = server();
        Founded::write(home.path(), id, Kind::Sqlite, None).expect("ours");
        let failure = export(home.path(), &home.path().join("out")).expect_err("one server");
        assert!(failure.fix().contains("migrate-to"), "{}", failure.fix());
    }
}

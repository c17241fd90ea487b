//! A copy of how far the change of the certificate authority has come, beside the authority's files: a database that was
//! put back to an older day does not bring back roots that machines have given up.
//!
//! The keys in it are sealed as they are in the database.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use muster_app::App;
use muster_issuer::{FileError, FileProblem, files};
use muster_model::{Ca, CaPhase, Timestamp};
use serde::{Deserialize, Serialize};

use super::home::unusable;
use super::store::AnyStore;
use crate::failure::{Exit, Failure, Result};

/// The copy within the data directory.
const FILE: &str = "ca/rollover";

/// The copy, and how far it is.
pub(crate) struct CaCopy {
    path: PathBuf,
    kept: u64,
}

/// The state as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    revision: u64,
    bundle: u64,
    phase: String,
    since: i64,
    signs_since: Option<i64>,
    rotate_before: Option<i64>,
    before: Option<i64>,
    sealed: String,
}

impl CaCopy {
    /// Reads the copy of a directory. None is there where the authority was never changed.
    pub(crate) fn read(dir: &Path) -> Result<(Self, Option<Ca>)> {
        let path = dir.join(FILE);
        let ca = match files::read(&path) {
            Ok(bytes) => Some(parse(&bytes).ok_or_else(|| {
                Failure::new(Exit::Config, format!("{} is damaged", path.display()))
                    .hint("restore it from a backup; without it a database that was put back is believed")
            })?),
            Err(FileError { problem: FileProblem::Missing, .. }) if !path.is_symlink() => None,
            Err(error) => return Err(unusable(error)),
        };
        let kept = ca.as_ref().map_or(0, |ca| ca.revision);
        Ok((Self { path, kept }, ca))
    }

    /// Writes what is new.
    pub(crate) async fn keep(&mut self, app: &App<AnyStore>) {
        let ca = app.ca();
        if ca.revision <= self.kept {
            return;
        }
        let (path, revision) = (self.path.clone(), ca.revision);
        let written = tokio::task::spawn_blocking(move || files::replace(&path, text(&ca).as_bytes()));
        match written.await {
            Ok(Ok(())) => self.kept = revision,
            Ok(Err(error)) => tracing::warn!(%error, "cannot note how far the authority was changed"),
            Err(error) => tracing::error!(%error, "noting how far the authority was changed ended"),
        }
    }
}

fn text(ca: &Ca) -> String {
    let written = Written {
        revision: ca.revision,
        bundle: ca.bundle,
        phase: ca.phase.as_str().to_owned(),
        since: ca.since.as_millisecond(),
        signs_since: ca.signs_since.map(Timestamp::as_millisecond),
        rotate_before: ca.rotate_before.map(Timestamp::as_millisecond),
        before: ca.phase.before().map(Timestamp::as_millisecond),
        sealed: BASE64.encode(&ca.sealed),
    };
    let text = serde_json::to_string(&written).expect("texts are JSON");
    format!("{text}\n")
}

fn parse(bytes: &[u8]) -> Option<Ca> {
    let written: Written = serde_json::from_slice(bytes).ok()?;
    let at = |millis: Option<i64>| millis.map(Timestamp::from_millisecond).transpose().ok();
    Some(Ca {
        revision: written.revision,
        bundle: written.bundle,
        phase: CaPhase::from_parts(&written.phase, at(written.before)?)?,
        since: Timestamp::from_millisecond(written.since).ok()?,
        signs_since: at(written.signs_since)?,
        rotate_before: at(written.rotate_before)?,
        sealed: BASE64.decode(written.sealed.as_bytes()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_reads_back_and_what_was_cut_is_not_taken_for_nothing() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let all = [
            Ca::founding(),
            Ca { revision: 4, phase: CaPhase::Published, since: at(7), sealed: vec![1, 2], ..Ca::founding() },
            Ca {
                revision: 5,
                phase: CaPhase::Tainted { before: Some(at(3)) },
                signs_since: Some(at(6)),
                rotate_before: Some(at(5)),
                ..Ca::founding()
            },
        ];
        for ca in all {
            let text = text(&ca);
            assert_eq!(parse(text.as_bytes()), Some(ca));
            assert_eq!(parse(&text.as_bytes()[..text.len() / 2]), None);
        }
        assert_eq!(parse(b""), None);
        let stray = text(&Ca::founding()).replace("\"before\":null", "\"before\":3000");
        assert_eq!(parse(stray.as_bytes()), None, "no such phase carries that");
    }
}

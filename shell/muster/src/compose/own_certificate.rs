//! A certificate of the operator's own, for existing clients that trust public authorities alone: its two files, what is
//! wrong with them, and picking them up when they change.
//!
//! Never writes either file, and never stops serving by a pair that still holds because the next one does not fit.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest, SHA256};
use jiff::{SignedDuration, Timestamp};
use muster_issuer::{FileProblem, files};
use muster_server::serve::{OwnCertificate, OwnCertificateError, SharedTls};
use zeroize::Zeroizing;

use crate::config::Compat;
use crate::failure::{Exit, Failure, Result};

/// Its end is told from so long before.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// And again so often.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);
/// Longest chain that is read.
const MOST: u64 = 256 * 1024;

/// The two files.
#[derive(Debug, Clone)]
pub(crate) struct OwnFiles {
    /// The chain, the server's certificate first.
    pub(crate) certificate: PathBuf,
    /// The key of the first one.
    pub(crate) key: PathBuf,
}

/// What is in them.
struct Content {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// A pair that serves, and how it is kept up to date.
pub(crate) struct Kept {
    files: OwnFiles,
    shared: SharedTls,
    serving: Digest,
    not_after: Timestamp,
    /// When its end was told last.
    warned: Option<Timestamp>,
    /// Why the pair that lies there does not serve, as it was told: it is not said again each minute.
    complaint: Option<String>,
}

impl OwnFiles {
    /// The files that the configuration names, if it does.
    pub(crate) fn of(compat: &Compat) -> Result<Option<Self>> {
        let files = compat.own_certificate()?;
        Ok(files.map(|(certificate, key)| Self { certificate: certificate.into(), key: key.into() }))
    }

    /// Reads the pair that a server starts with.
    pub(crate) fn keep(self, now: Timestamp) -> Result<Kept> {
        let content = self.read()?;
        let own = self.pair(&content, now)?;
        let (not_after, shared, serving) = (own.not_after, own.configs.shared(), content.digest());
        let mut kept = Kept { files: self, shared, serving, not_after, warned: None, complaint: None };
        kept.warn_of_the_end(now);
        Ok(kept)
    }

    /// Looks whether a server could start with them; what is to be said where it could, and not for long.
    pub(crate) fn warning(&self, now: Timestamp) -> Result<Option<String>> {
        let own = self.pair(&self.read()?, now)?;
        Ok(ends_soon(own.not_after, now)
            .then(|| format!("{} ends at {}", self.certificate.display(), own.not_after)))
    }

    /// Whether the key is there and belongs to somebody else.
    pub(crate) fn is_anothers(&self) -> bool {
        let me = rustix::process::geteuid().as_raw();
        std::fs::metadata(&self.key).is_ok_and(|found| found.uid() != me)
    }

    fn read(&self) -> Result<Content> {
        Ok(Content { chain: self.read_chain()?, key: self.read_key()? })
    }

    fn read_chain(&self) -> Result<Vec<u8>> {
        use std::io::Read;
        let mut chain = Vec::new();
        let read =
            std::fs::File::open(&self.certificate).and_then(|file| file.take(MOST).read_to_end(&mut chain));
        read.map_err(|error| self.wrong_certificate().because(&error))?;
        Ok(chain)
    }

    /// Clients of public authorities keep the files of the day behind links: it is the file at their end that must be private.
    fn read_key(&self) -> Result<Zeroizing<Vec<u8>>> {
        let path = std::fs::canonicalize(&self.key).map_err(|error| self.wrong_key().because(&error))?;
        files::read(&path).map_err(|error| {
            let failure = self.wrong_key().cause(error.problem.to_string());
            match error.problem {
                FileProblem::Missing | FileProblem::Damaged(_) => failure,
                problem => failure.hint(problem.fix()),
            }
        })
    }

    fn pair(&self, content: &Content, now: Timestamp) -> Result<OwnCertificate> {
        OwnCertificate::from_pem(&content.chain, &content.key, now).map_err(|error| {
            let failure = if error.is_about_key() { self.wrong_key() } else { self.wrong_certificate() };
            let hint = match error {
                OwnCertificateError::Ended { .. } => {
                    "renew it, or take both keys out of the configuration for plain HTTP"
                }
                OwnCertificateError::NotYet { .. } => "set the clock, or wait until it begins",
                _ => "give the whole chain, the server's certificate first, and the key of that one",
            };
            failure.because(&error).hint(hint)
        })
    }

    fn wrong_certificate(&self) -> Failure {
        wrong("certificate", &self.certificate)
    }

    fn wrong_key(&self) -> Failure {
        wrong("key", &self.key)
    }
}

impl Content {
    /// Tells one pair from another without keeping a key for it.
    fn digest(&self) -> Digest {
        let mut all = digest::Context::new(&SHA256);
        all.update(&self.chain.len().to_be_bytes());
        all.update(&self.chain);
        all.update(&self.key);
        all.finish()
    }
}

impl Kept {
    /// What a listener serves by.
    pub(crate) fn shared(&self) -> SharedTls {
        self.shared.clone()
    }

    /// Takes what lies there now, if it is something else and fits. Connections that stand are not touched.
    pub(crate) fn look(&mut self, now: Timestamp) {
        match self.renew(now) {
            Ok(()) => self.complaint = None,
            Err(failure) => self.complain(&failure),
        }
        self.warn_of_the_end(now);
    }

    fn renew(&mut self, now: Timestamp) -> Result {
        let content = self.files.read()?;
        let found = content.digest();
        if found.as_ref() == self.serving.as_ref() {
            return Ok(());
        }
        let own = self.files.pair(&content, now)?;
        self.shared.store(Arc::new(own.configs));
        (self.serving, self.not_after, self.warned) = (found, own.not_after, None);
        tracing::info!(
            certificate = %self.files.certificate.display(),
            ends = %own.not_after,
            "existing clients are served by a new certificate of yours"
        );
        Ok(())
    }

    fn complain(&mut self, failure: &Failure) {
        let complaint = format!("{} {}", failure.message(), failure.why());
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!(
                problem = failure.message(),
                cause = failure.why(),
                fix = failure.fix(),
                "the new certificate for existing clients does not serve: the one before it goes on"
            );
            self.complaint = Some(complaint);
        }
    }

    fn warn_of_the_end(&mut self, now: Timestamp) {
        let is_told = self.warned.is_some_and(|warned| now.duration_since(warned) < AGAIN);
        if is_told || !ends_soon(self.not_after, now) {
            return;
        }
        self.warned = Some(now);
        tracing::warn!(
            certificate = %self.files.certificate.display(),
            ends = %self.not_after,
            "the certificate for existing clients ends soon, or has: renew it"
        );
    }
}

fn ends_soon(end: Timestamp, now: Timestamp) -> bool {
    end.duration_since(now) < SOON
}

fn wrong(key: &str, path: &Path) -> Failure {
    Failure::new(Exit::Config, format!("compat.{key} {} cannot be used", path.display()))
}

#[cfg(test)]
mod tests;

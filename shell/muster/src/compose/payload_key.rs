//! The key that older verifiers of engagements know: beside the pepper, where one was brought along; else it follows
//! from the pepper.

use std::path::{Path, PathBuf};

use muster_issuer::files;
use muster_model::PayloadKey;
use zeroize::Zeroizing;

use super::home::{pepper, unusable};
use crate::failure::{Exit, Failure, Result};

/// The name of its file.
pub(crate) const FILE: &str = "engagement-key";

/// Its file in a data directory.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The key that was brought along, if one was.
pub(crate) fn brought(dir: &Path) -> Result<Option<PayloadKey>> {
    let path = path(dir);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = Zeroizing::new(files::read(&path).map_err(unusable)?.to_vec());
    let key = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    key.map(Some).ok_or_else(|| {
        Failure::new(Exit::Config, format!("{} holds no key of hexadecimal digits", path.display()))
            .hint("restore it from a backup, or set it aside: then the key follows from the pepper")
    })
}

/// The key in force.
pub(crate) fn present(dir: &Path) -> Result<PayloadKey> {
    match brought(dir)? {
        Some(key) => Ok(key),
        None => Ok(PayloadKey::of(&pepper(&dir.join("pepper"), false)?)),
    }
}

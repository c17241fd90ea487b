//! Inputs worth keeping: a directory for each target, a file for each input, named by the hash of what is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Target;

/// The corpus that lies beside this crate.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Every input of a target, in the order of their names.
///
/// # Errors
/// What the system says of the directory.
pub fn inputs(target: &Target) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(home().join(target.name))? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).map(|bytes| (path, bytes))).collect()
}

/// The name of an input's file.
pub fn name(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)[..8])
}

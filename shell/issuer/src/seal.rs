//! Signing keys at rest: AES-256-GCM (NIST SP 800-38D) under one seal key, which is a file beside them or is given by
//! the caller (a systemd credential, an HSM's output).
//!
//! A sealed file is PEM over `version ‖ seal key id ‖ nonce ‖ ciphertext ‖ tag`. The file's name is authenticated with
//! it, so that a key cannot be put in the place of another; the id tells a wrong seal key from a damaged file.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use pem::Pem;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files::{self, FileError, FileProblem};

/// Name of the seal key's file inside the directory of the keys that it seals.
pub const SEAL_FILE: &str = "seal.key";

const SEAL_LABEL: &str = "MUSTER SEAL KEY";
const SEALED_LABEL: &str = "MUSTER SEALED KEY";
const VERSION: u8 = 1;
const ID_LEN: usize = 8;
const HEAD_LEN: usize = 1 + ID_LEN + NONCE_LEN;

/// Where the seal key is.
#[derive(Clone)]
pub enum SealKey {
    /// In the file [`SEAL_FILE`] beside the keys: protects a copy of single files, not a copy of the directory.
    Beside,
    /// Given by the caller, and nowhere on this disk.
    Given(Zeroizing<[u8; 32]>),
}

/// A seal key, ready for use.
pub(crate) struct Sealer {
    id: [u8; ID_LEN],
    key: RandomizedNonceKey,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beside => "Beside",
            Self::Given(_) => "Given(…)",
        })
    }
}

impl SealKey {
    /// Opens the seal key of a directory.
    pub(crate) fn open(&self, dir: &Path) -> Result<Sealer, FileError> {
        let path = dir.join(SEAL_FILE);
        match self {
            Self::Given(bytes) => Ok(Sealer::new(bytes)),
            Self::Beside => {
                let bytes = from_pem(&path, SEAL_LABEL)?;
                let bytes: &[u8; 32] =
                    bytes.as_slice().try_into().or(Err(damaged(&path, "it does not hold 32 bytes")))?;
                Ok(Sealer::new(bytes))
            }
        }
    }

    /// Makes the seal key of a new directory: draws and writes it, unless it is given.
    pub(crate) fn create(&self, dir: &Path) -> Result<Sealer, SealError> {
        match self {
            Self::Given(bytes) => Ok(Sealer::new(bytes)),
            Self::Beside => {
                let mut bytes = Zeroizing::new([0; 32]);
                aws_lc_rs::rand::fill(bytes.as_mut())?;
                files::write_new(&dir.join(SEAL_FILE), to_pem(SEAL_LABEL, bytes.to_vec()).as_bytes())?;
                Ok(Sealer::new(&bytes))
            }
        }
    }
}

/// Why something was not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the cryptographic library failed")]
    Crypto(#[from] Unspecified),
}

impl Sealer {
    fn new(bytes: &[u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"muster seal key id v1").chain_update(bytes).finalize();
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&digest[..ID_LEN]);
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("AES-256 takes a key of 32 bytes");
        Self { id, key }
    }

    /// Seals something that is bound to a context.
    pub(crate) fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut body = Zeroizing::new(secret.to_vec());
        let nonce = self.key.seal_in_place_append_tag(Aad::from(context), &mut *body)?;
        Ok([&[VERSION][..], &self.id, nonce.as_ref(), &body].concat())
    }

    /// Writes a sealed file.
    pub(crate) fn write(&self, path: &Path, secret: &[u8]) -> Result<(), SealError> {
        let sealed = self.seal(&self.context(path), secret)?;
        Ok(files::write_new(path, to_pem(SEALED_LABEL, sealed).as_bytes())?)
    }

    /// Reads a sealed file.
    pub(crate) fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let sealed = from_pem(path, SEALED_LABEL)?;
        self.open(path, &self.context(path), &sealed)
    }

    /// Opens what was sealed in this context. Errors name the place.
    pub(crate) fn open(
        &self,
        path: &Path,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let mut sealed = Zeroizing::new(sealed.to_vec());
        if sealed.len() <= HEAD_LEN || sealed[0] != VERSION {
            return Err(damaged(path, "it is cut off or of another version"));
        }
        if sealed[1..=ID_LEN] != self.id {
            return Err(FileProblem::Seal.at(path));
        }
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1 + ID_LEN..HEAD_LEN]);
        let nonce = nonce.expect("a slice of the nonce's length");
        let plain = self.key.open_in_place(nonce, Aad::from(context), &mut sealed[HEAD_LEN..]);
        let plain = plain.or(Err(damaged(path, "its seal does not fit its content or its name")))?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    fn context(&self, path: &Path) -> Vec<u8> {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        [b"muster sealed key v1\0", name].concat()
    }
}

/// Reads a private PEM file that holds exactly one block of a label.
pub(crate) fn from_pem(path: &Path, label: &'static str) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let text = files::read(path)?;
    let block = pem::parse(text.as_slice()).or(Err(damaged(path, "it is not PEM")))?;
    if block.tag() != label {
        return Err(damaged(path, "it holds something else"));
    }
    Ok(Zeroizing::new(block.into_contents()))
}

pub(crate) fn to_pem(label: &str, bytes: Vec<u8>) -> Zeroizing<String> {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Zeroizing::new(pem::encode_config(&Pem::new(label, bytes), config))
}

fn damaged(path: &Path, how: &'static str) -> FileError {
    FileProblem::Damaged(how).at(path)
}

//! Sites and their enrollment keys.

use jiff::Timestamp;
use muster_model::{ImportedHash, ReimagePolicy, SecretForm, SiteCode};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// The highest number that a generation may bring along.
const MAX_VERSION: u32 = 1_000_000;

/// A named part of the tenant that machines enroll into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Site {
    /// Its identifier.
    pub id: String,
    /// Its short name.
    pub code: String,
    /// Whether a person must approve each new machine.
    pub approval: bool,
    /// Whether machines may ask to enroll without any secret.
    pub requests: bool,
    /// `never`, `keyless_only`, `offline_only` or `same_name`.
    pub reimage: String,
    /// The most machines that may live here at once.
    pub seats: Option<u32>,
    /// The newest generation of its enrollment key: `v3 (7F2A)`.
    pub enrollment_key: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A request to make a site.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSite {
    /// Its short name: letters, digits, `-`, `_`, `.`.
    pub code: String,
    /// Whether a person must approve each new machine.
    #[serde(default)]
    pub approval: bool,
    /// Whether machines may ask to enroll without any secret.
    #[serde(default = "yes")]
    pub requests: bool,
    /// `never`, `keyless_only` (where nothing is said), `offline_only` or `same_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reimage: Option<String>,
    /// The most machines that may live here at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<u32>,
}

/// [`CreateSite`] as values of the model.
#[derive(Debug, Clone)]
pub struct CreateSiteFields {
    /// Its short name.
    pub code: SiteCode,
    /// Whether a person must approve each new machine.
    pub approval: bool,
    /// Whether machines may ask to enroll without any secret.
    pub requests: bool,
    /// What happens when known hardware comes back under another key.
    pub reimage: ReimagePolicy,
    /// The most machines that may live here at once.
    pub seats: Option<u32>,
}

/// A request to make the next generation of a site's enrollment key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How the key is written.
    #[serde(default)]
    pub form: KeyForm,
}

/// How a site's enrollment key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// `mst_enroll_…`.
    #[default]
    Native,
    /// `cek_…`, for existing clients that take no other.
    Cek,
}

impl From<KeyForm> for SecretForm {
    fn from(form: KeyForm) -> Self {
        match form {
            KeyForm::Native => Self::Native,
            KeyForm::Cek => Self::Prefixed,
        }
    }
}

/// A new generation of a site's enrollment key. Older generations let nobody in from now on.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RotatedKey {
    /// The code of the site.
    pub site: String,
    /// How people call the generation: `v3 (7F2A)`.
    pub generation: String,
    /// The grant behind it.
    pub grant: String,
    /// The key, in the clear, this once.
    pub key: String,
    /// The key with address and pin, in one paste.
    pub invite: String,
}

/// A request to bring a site's enrollment key along from another server, which knows it by a hash alone.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKey {
    /// The Argon2id hash in PHC form, with the parameters `m=19456,t=2,p=1`.
    #[serde(default)]
    #[schema(required = true)]
    pub phc: String,
    /// The number of the generation, to be kept; else the next one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The fingerprint of the generation, where it is known: four hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// [`ImportKey`] as values of the model.
#[derive(Debug, Clone)]
pub struct ImportKeyFields {
    /// The hash.
    pub hash: ImportedHash,
    /// The number of the generation.
    pub version: Option<u32>,
    /// Its fingerprint.
    pub fingerprint: Option<[u8; 2]>,
}

/// A generation of a site's enrollment key that was brought from another server.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImportedKey {
    /// The code of the site.
    pub site: String,
    /// How people call the generation: `v3 (7F2A)`, or `v3 (????)` until the key was shown.
    pub generation: String,
    /// The grant behind it.
    pub grant: String,
    /// Whether a machine has shown the key; from then on it is kept as every other.
    pub shown: bool,
}

impl TryFrom<ImportKey> for ImportKeyFields {
    type Error = FieldErrors;

    fn try_from(request: ImportKey) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let hash = fields.parse("phc", &request.phc);
        if request.version.is_some_and(|version| !(1..=MAX_VERSION).contains(&version)) {
            fields.wrong("version", "must be from 1 to 1000000");
        }
        let given = request.fingerprint.as_deref().map(str::trim);
        let fingerprint = given.and_then(digits);
        if given.is_some() && fingerprint.is_none() {
            fields.wrong("fingerprint", "must be four hexadecimal digits");
        }
        fields.finish(hash.map(|hash| Self { hash, version: request.version, fingerprint }))
    }
}

fn digits(text: &str) -> Option<[u8; 2]> {
    let text = text.to_ascii_lowercase();
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

impl std::fmt::Debug for ImportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportKey").field("version", &self.version).finish_non_exhaustive()
    }
}

impl TryFrom<CreateSite> for CreateSiteFields {
    type Error = FieldErrors;

    fn try_from(request: CreateSite) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let code = fields.parse("code", &request.code);
        let reimage = fields.parse_opt("reimage", request.reimage.as_deref());
        let value = code.map(|code| Self {
            code,
            approval: request.approval,
            requests: request.requests,
            reimage: reimage.unwrap_or(ReimagePolicy::KeylessOnly),
            seats: request.seats,
        });
        fields.finish(value)
    }
}

fn yes() -> bool {
    true
}

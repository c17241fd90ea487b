//! Operators' tokens and sessions.

use jiff::Timestamp;
use muster_model::text::DisplayName;
use muster_model::{OperatorRole, Scope, Scopes};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// A token or session of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Its identifier.
    pub id: String,
    /// `api`, `login` or `session`.
    pub kind: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// What alone it may do, where it is confined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Whose it is.
    pub operator: String,
    /// `live`, `expired` or `ended`.
    pub state: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A request for an API token.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    pub name: String,
    /// `viewer`, `operator` or `admin`; `viewer` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What alone it may do, instead of a role: `introspect` for a relay that machines show their keys to; `read`, `agents`,
    /// `chat`, `channels`, `topology`, `bots`, `config` or `admin` as on the wire of software agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// How long it is good for, in seconds: one minute to a year; one day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// [`CreateToken`] as values of the model.
#[derive(Debug, Clone)]
pub struct CreateTokenFields {
    /// What it is for.
    pub name: DisplayName,
    /// What it may do.
    pub role: OperatorRole,
    /// What alone it may do.
    pub scopes: Option<Scopes>,
    /// How long it is good for, in seconds.
    pub expires_in: u32,
}

/// A new token.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedToken {
    /// The token's record.
    pub token: Token,
    /// The token itself, in the clear, this once.
    pub secret: String,
}

/// A request to open a session with a one-time login secret.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// `mst_login_…`, from the fragment of a login link.
    pub login: String,
}

/// A request to open a session with a name and a password.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordLogin {
    /// The operator's name, in any of the forms that people take for one.
    pub name: String,
    /// Its password.
    pub password: String,
    /// What its authenticator shows now, or a recovery code, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A request to set one's own password.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// The new one: at least 12 characters, at most 1024 bytes.
    pub password: String,
    /// The present one. Whoever came in by a one-time link within the last ten minutes need not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<String>,
}

/// A request for a key for one's own authenticator.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposeSecondFactor {
    /// The present password.
    pub present: String,
}

/// A key for an authenticator, this once. It counts from the first code on.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProposedSecondFactor {
    /// As an authenticator scans it: `otpauth://totp/…`.
    pub uri: String,
    /// The key alone, in base32, to type by hand.
    pub key: String,
}

/// A first code of the key that was shown.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmSecondFactor {
    /// What the authenticator shows now.
    pub code: String,
}

/// Codes for the day on which the device is lost, this once. Each is good once, in the place of a code.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    /// Ten of them.
    pub recovery_codes: Vec<String>,
}

/// A request to be asked for codes no more.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveSecondFactor {
    /// The present password.
    pub present: String,
    /// What the authenticator shows now, or a recovery code.
    pub code: String,
}

// What people type, and what is shown once, shows in no log.
macro_rules! unshown {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}

unshown!(
    PasswordLogin,
    SetPassword,
    ProposeSecondFactor,
    ProposedSecondFactor,
    ConfirmSecondFactor,
    RecoveryCodes,
    RemoveSecondFactor
);

/// A one-time login link. Its secret is in the fragment, which no server sees in a request line.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoginLink {
    /// Where to go, once.
    pub login_url: String,
}

impl TryFrom<CreateToken> for CreateTokenFields {
    type Error = FieldErrors;

    fn try_from(request: CreateToken) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let name = fields.parse("name", &request.name);
        let role = fields.parse_opt("role", request.role.as_deref()).unwrap_or(OperatorRole::Viewer);
        let expires_in = crate::grant::lifetime(&mut fields, request.expires_in).unwrap_or(crate::grant::DAY);
        if request.role.is_some() && !request.scopes.is_empty() {
            fields.wrong("scopes", "say what a token may do: there is no role beside them");
        }
        let scopes: Vec<Scope> =
            request.scopes.iter().filter_map(|scope| fields.parse("scopes", scope)).collect();
        let scopes = (!scopes.is_empty()).then(|| scopes.into_iter().collect());
        fields.finish(name.map(|name| Self { name, role, scopes, expires_in }))
    }
}

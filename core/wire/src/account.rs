//! Accounts that machines have in other systems.

use jiff::Timestamp;
use muster_model::{AccountName, Delivery, ProvisionerName};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// An account of a machine in another system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Account {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub machine: String,
    /// Who makes it: the name of a provisioner in the configuration.
    pub provisioner: String,
    /// What it is called there.
    pub name: String,
    /// What is to be there: `live`, `locked` or `removed`.
    pub wanted: String,
    /// How it stands: `pending`, `live`, `locked`, `removed`, `conflict` or `dead`.
    pub state: String,
    /// Rises with each change of what is wanted.
    pub version: u32,
    /// Who made the account there, as far as is known: `unknown`, `made` or `adopted`.
    pub provenance: String,
    /// How often it was tried in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Of what kind the last failure was: `unreachable`, `failed`, `unauthorized`, `refused` or `not_configured`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the other system said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_text: Option<String>,
    /// When it is tried next, where it is pending; else since when it stands so.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When the record was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// An account and its passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountSecret {
    /// The account. Its passphrase works there as soon as it is `live`.
    pub account: Account,
    /// Its passphrase.
    pub passphrase: String,
}

/// A request to make an account for a machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateAccount {
    /// Who makes it: the name of a provisioner in the configuration.
    #[schema(required)]
    pub provisioner: String,
    /// What it is to be called there: letters, digits and ``-_.[]\`^{}|~``.
    #[schema(required)]
    pub name: String,
}

/// The same, as values.
#[derive(Debug, Clone)]
pub struct CreateAccountFields {
    /// Who makes it.
    pub provisioner: ProvisionerName,
    /// What it is to be called there.
    pub name: AccountName,
}

/// A request to look at other systems, and to bring back what is not as it is wanted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// Only tell.
    pub dry_run: bool,
    /// Where the call before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reconciled {
    /// How many accounts were looked at.
    pub looked_at: u32,
    /// Those that are not as they are wanted, or could not be looked at.
    pub drifted: Vec<Drift>,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Ask again with this cursor for the rest; `null` at the end.
    pub next: Option<String>,
}

/// An account that is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Drift {
    /// Which.
    pub account: Account,
    /// What was found: `missing`, `passphrase`, `open`, `not_told`, or why it could not be looked at.
    pub found: String,
    /// Whether it is being brought back.
    pub mended: bool,
}

/// Whether what a look found is brought back.
pub fn is_mended(found: &str) -> bool {
    matches!(found, "missing" | "passphrase" | "open")
}

impl From<&muster_model::Account> for Account {
    fn from(account: &muster_model::Account) -> Self {
        let (at, attempts, last) = match &account.delivery {
            Delivery::Due { at, attempts, last } => (at, Some(*attempts), last.as_ref()),
            Delivery::Done { at } | Delivery::Conflict { at } => (at, None, None),
            Delivery::Dead { at, attempts, last } => (at, Some(*attempts), Some(last)),
        };
        Self {
            id: account.id.to_string(),
            machine: account.machine.to_string(),
            provisioner: account.provisioner.to_string(),
            name: account.name.to_string(),
            wanted: account.wanted.as_str().to_owned(),
            state: account.standing().to_owned(),
            version: account.version,
            provenance: account.provenance.as_str().to_owned(),
            attempts,
            error: last.map(|last| last.kind.as_str().to_owned()),
            error_text: last.and_then(|last| last.text.as_ref()).map(ToString::to_string),
            at: *at,
            created_at: account.created_at,
        }
    }
}

impl TryFrom<CreateAccount> for CreateAccountFields {
    type Error = FieldErrors;

    fn try_from(request: CreateAccount) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let provisioner = fields.parse("provisioner", &request.provisioner);
        let name = fields.parse("name", &request.name);
        fields.finish(provisioner.zip(name).map(|(provisioner, name)| Self { provisioner, name }))
    }
}

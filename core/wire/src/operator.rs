//! Operators: people and scripts that use the management API.

use jiff::Timestamp;
use muster_model::text::DisplayName;
use muster_model::{OperatorId, OperatorRole};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Operator {
    /// Its identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was disabled.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// Whether it has a password.
    pub has_password: bool,
    /// Whether it is asked for a code beside it.
    pub has_second_factor: bool,
}

/// A request for an operator.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOperator {
    /// What people call it. No other operator has this name, however it is written.
    pub name: String,
    /// `viewer`, `operator` or `admin`; `viewer` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What is to be changed of an operator. What is not named stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditOperator {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `viewer`, `operator` or `admin`. With the role, sessions and login links end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Only tell what would end.
    #[serde(default)]
    pub dry_run: bool,
}

/// How to disable an operator.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisableOperator {
    /// Only tell what would end.
    #[serde(default)]
    pub dry_run: bool,
}

/// How to take an operator's second factor away.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetSecondFactor {
    /// Only tell what would end.
    #[serde(default)]
    pub dry_run: bool,
}

/// An operator after a change, and what ended with it, or would.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangedOperator {
    /// The operator, as it stands now, or would.
    pub operator: Operator,
    /// Browser sessions that ended, or would.
    pub sessions: u64,
    /// API tokens that ended, or would.
    pub tokens: u64,
    /// One-time login links that ended, or would.
    pub links: u64,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// [`CreateOperator`] as values of the model.
#[derive(Debug, Clone)]
pub struct CreateOperatorFields {
    /// What people call it.
    pub name: DisplayName,
    /// What it may do.
    pub role: OperatorRole,
}

/// [`EditOperator`] as values of the model.
#[derive(Debug, Clone)]
pub struct EditOperatorFields {
    /// What people call it.
    pub name: Option<DisplayName>,
    /// What it may do.
    pub role: Option<OperatorRole>,
    /// Whether only to tell.
    pub dry_run: bool,
}

/// A name that is none of the identifiers: an operator is found by either.
fn named(fields: &mut Fields, name: &str) -> Option<DisplayName> {
    if name.trim().parse::<OperatorId>().is_ok() {
        fields.wrong("name", "is an identifier");
        return None;
    }
    fields.parse("name", name)
}

impl TryFrom<CreateOperator> for CreateOperatorFields {
    type Error = FieldErrors;

    fn try_from(request: CreateOperator) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let name = named(&mut fields, &request.name);
        let role = fields.parse_opt("role", request.role.as_deref()).unwrap_or(OperatorRole::Viewer);
        fields.finish(name.map(|name| Self { name, role }))
    }
}

impl TryFrom<EditOperator> for EditOperatorFields {
    type Error = FieldErrors;

    fn try_from(request: EditOperator) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let name = request.name.as_deref().and_then(|name| named(&mut fields, name));
        let role = fields.parse_opt("role", request.role.as_deref());
        fields.finish(Some(Self { name, role, dry_run: request.dry_run }))
    }
}

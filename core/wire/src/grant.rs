//! Grants and the invites made of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Labels, MachineKind, Role, SiteCode};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Fields};

/// A day, in seconds.
pub const DAY: u32 = 86_400;
const LIFETIMES: std::ops::RangeInclusive<u32> = 60..=365 * DAY;
const MAX_USES: u32 = 1_000_000;

/// A permission to enroll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Grant {
    /// Its identifier.
    pub id: String,
    /// `token`, `site_key` or `machine`.
    pub kind: String,
    /// The code of its site.
    pub site: String,
    /// `live`, `spent`, `expired`, `rotated_out` or `revoked`.
    pub state: String,
    /// How often it may be used; `null`: as often as anybody likes.
    pub uses: Option<u32>,
    /// How often it was used; `null` where nobody counts.
    pub used: Option<u32>,
    /// For a site key, how people call its generation: `v3 (7F2A)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// For an invite of one pending machine, which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Whether a person must approve each of its machines.
    pub approval: bool,
    /// The only kind of machine it admits.
    pub machine_kind: Option<String>,
    /// Role it stamps.
    pub role: Option<String>,
    /// Labels it stamps.
    pub labels: BTreeMap<String, String>,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A request to make a grant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateGrant {
    /// The code of its site; the only site where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How often it may be used: 1 where nothing is said, 0 for as often as anybody likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How long it is good for, in seconds: one minute to a year; one day where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
    /// Labels to stamp.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Role to stamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The only kind of machine to admit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_kind: Option<String>,
    /// Whether a person must approve each of its machines.
    pub approval: bool,
}

/// [`CreateGrant`] as values of the model.
#[derive(Debug, Clone)]
pub struct CreateGrantFields {
    /// The code of its site.
    pub site: Option<SiteCode>,
    /// How often it may be used; `None`: as often as anybody likes.
    pub uses: Option<u32>,
    /// How long it is good for, in seconds.
    pub expires_in: u32,
    /// Labels to stamp.
    pub labels: Labels,
    /// Role to stamp.
    pub role: Option<Role>,
    /// The only kind of machine to admit.
    pub machine_kind: Option<MachineKind>,
    /// Whether a person must approve each of its machines.
    pub approval: bool,
}

/// A new grant and its token.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedGrant {
    /// The grant.
    pub grant: Grant,
    /// The token, in the clear, this once.
    pub token: String,
    /// The token with address and pin, in one paste.
    pub invite: String,
}

impl TryFrom<CreateGrant> for CreateGrantFields {
    type Error = FieldErrors;

    fn try_from(request: CreateGrant) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let site = fields.parse_opt("site", request.site.as_deref());
        let role = fields.parse_opt("role", request.role.as_deref());
        let machine_kind = fields.parse_opt("machine_kind", request.machine_kind.as_deref());
        let labels = fields.take_map("labels", Labels::new(&request.labels));
        let uses = request.uses.unwrap_or(1);
        if uses > MAX_USES {
            fields.wrong("uses", format!("is more than {MAX_USES}"));
        }
        let expires_in = lifetime(&mut fields, request.expires_in).unwrap_or(DAY);
        let value = labels.map(|labels| Self {
            site,
            uses: (uses > 0).then_some(uses),
            expires_in,
            labels,
            role,
            machine_kind,
            approval: request.approval,
        });
        fields.finish(value)
    }
}

/// Checks a lifetime in seconds under the path `expires_in`.
pub(crate) fn lifetime(fields: &mut Fields, seconds: Option<u32>) -> Option<u32> {
    let seconds = seconds?;
    if !LIFETIMES.contains(&seconds) {
        fields.wrong("expires_in", "is not between 60 seconds and 365 days");
    }
    Some(seconds)
}

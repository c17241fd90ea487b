//! `/v1/grants` and `/v1/invites`.

use muster_wire::grant::{CreateGrant, CreatedGrant, Grant};
use muster_wire::machine::Reasoned;
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::{Client, ClientError};

impl Client {
    /// One page of the grants.
    pub async fn grants(&self, query: &ListQuery) -> Result<Page<Grant>, ClientError> {
        self.list("/v1/grants", query).await
    }

    /// Makes a grant.
    pub async fn create_grant(&self, request: &CreateGrant) -> Result<CreatedGrant, ClientError> {
        self.post("/v1/grants", request).await
    }

    /// Ends a grant.
    pub async fn revoke_grant(&self, id: &str, reason: Option<String>) -> Result<Grant, ClientError> {
        self.post(&path(&["grants", id, "revoke"])?, &Reasoned { reason }).await
    }

    /// Makes a grant to hand over as one paste.
    pub async fn create_invite(&self, request: &CreateGrant) -> Result<CreatedGrant, ClientError> {
        self.post("/v1/invites", request).await
    }
}

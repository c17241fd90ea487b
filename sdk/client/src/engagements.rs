//! `/v1/engagements`, `/v1/machines/{machine}/engagement` and `/v1/nicks`.

use muster_wire::engagement::{
    EngagedAgent, EngagementPreview, EngagementQuery, FreeNick, FreedNick, ListedAgent, SetEngagement,
    WrittenEngagement, WrittenQuery,
};
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::{Client, ClientError};

impl Client {
    /// A page of software agents with their engagements and accounts.
    pub async fn engagements(&self, query: &ListQuery) -> Result<Page<ListedAgent>, ClientError> {
        self.list("/v1/engagements", query).await
    }

    /// One version of a machine's engagement.
    pub async fn engagement_written(
        &self,
        machine: &str,
        query: &WrittenQuery,
    ) -> Result<WrittenEngagement, ClientError> {
        self.list(&path(&["machines", machine, "engagement", "written"])?, query).await
    }

    /// What setting an engagement would change.
    pub async fn preview_engagement(
        &self,
        machine: &str,
        request: &SetEngagement,
    ) -> Result<EngagementPreview, ClientError> {
        self.post(&path(&["machines", machine, "engagement", "preview"])?, request).await
    }

    /// The engagement of a machine, signed for an audience.
    pub async fn engagement(
        &self,
        machine: &str,
        query: &EngagementQuery,
    ) -> Result<EngagedAgent, ClientError> {
        self.list(&path(&["machines", machine, "engagement"])?, query).await
    }

    /// Sets the engagement of a machine.
    pub async fn set_engagement(
        &self,
        machine: &str,
        request: &SetEngagement,
    ) -> Result<EngagedAgent, ClientError> {
        self.post(&path(&["machines", machine, "engagement"])?, request).await
    }

    /// Allows the nick of an agent that was revoked to be registered again.
    pub async fn free_nick(&self, request: &FreeNick) -> Result<FreedNick, ClientError> {
        self.post("/v1/nicks/free", request).await
    }

    /// The public keys of the deployment's tokens and engagements.
    pub async fn jwks(&self) -> Result<serde_json::Value, ClientError> {
        self.get("/.well-known/jwks.json").await
    }
}

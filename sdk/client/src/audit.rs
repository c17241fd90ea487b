//! `/v1/audit`.

use muster_wire::Page;
use muster_wire::audit::{AuditEntry, AuditQuery};

use crate::{Client, ClientError};

impl Client {
    /// One page of the audit log.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, ClientError> {
        self.list("/v1/audit", query).await
    }
}

//! `/v1/audit`.

use muster_wire::Page;
use muster_wire::audit::{AuditContext, AuditEntry, AuditQuery};

use crate::path::path;
use crate::{Client, ClientError};

impl Client {
    /// One page of the audit log.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, ClientError> {
        self.list("/v1/audit", query).await
    }

    /// One entry by its place in the log, with what happened about it.
    pub async fn audit_entry(&self, seq: u64) -> Result<AuditContext, ClientError> {
        self.get(&path(&["audit", &seq.to_string()])?).await
    }
}

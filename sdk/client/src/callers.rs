//! `/v1/callers`.

use muster_wire::caller::{CertifiedCaller, CertifyCaller};

use crate::{Client, ClientError};

impl Client {
    /// Certifies the key of somebody who calls machines that serve others.
    pub async fn certify_caller(&self, request: &CertifyCaller) -> Result<CertifiedCaller, ClientError> {
        self.post("/v1/callers", request).await
    }
}

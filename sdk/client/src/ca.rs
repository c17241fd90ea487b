//! `/v1/ca`.

use muster_wire::ca::{CaStatus, ChangeCa};

use crate::{Client, ClientError};

impl Client {
    /// Where the change of the certificate authority stands.
    pub async fn ca(&self) -> Result<CaStatus, ClientError> {
        self.get("/v1/ca").await
    }

    /// Takes a step: `prepare`, `publish`, `activate`, `taint`, `remove` or `undo`.
    pub async fn change_ca(&self, step: &str, request: &ChangeCa) -> Result<CaStatus, ClientError> {
        self.post(&format!("/v1/ca/{step}"), request).await
    }
}

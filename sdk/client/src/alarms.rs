//! `/v1/alarms`.

use muster_wire::Page;
use muster_wire::alarm::{Acknowledge, Alarm};

use crate::{Client, ClientError};

impl Client {
    /// What somebody should look at.
    pub async fn alarms(&self) -> Result<Page<Alarm>, ClientError> {
        self.get("/v1/alarms").await
    }

    /// Says that somebody has looked; what is still open.
    pub async fn acknowledge(&self, request: &Acknowledge) -> Result<Page<Alarm>, ClientError> {
        self.post("/v1/alarms/acknowledge", request).await
    }
}

//! `/v1/reaper`.

use muster_wire::reaper::Reaper;

use crate::{Client, ClientError};

impl Client {
    /// How the reaper stands, and which machines are due.
    pub async fn reaper(&self) -> Result<Reaper, ClientError> {
        self.get("/v1/reaper").await
    }
}

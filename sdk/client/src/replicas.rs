//! `/v1/replicas`, `/v1/restore`.

use muster_wire::Page;
use muster_wire::replica::{Replica, RestoreAccepted};

use crate::sites::Nothing;
use crate::{Client, ClientError};

impl Client {
    /// The servers of the deployment, the oldest first.
    pub async fn replicas(&self) -> Result<Page<Replica>, ClientError> {
        self.get("/v1/replicas").await
    }

    /// Goes on from a database that was put back to an older day.
    pub async fn accept_restore(&self) -> Result<RestoreAccepted, ClientError> {
        self.post("/v1/restore/accept", &Nothing {}).await
    }
}

//! `/v1/status`, `/version` and what anybody may ask.

use muster_wire::Page;
use muster_wire::status::{Status, Version};
use muster_wire::trust::{JoinMethod, Nonce, Trust};

use crate::{Client, ClientError};

impl Client {
    /// The deployment at a glance.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// The server's version.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get("/version").await
    }

    /// The trust bundle.
    pub async fn trust(&self) -> Result<Trust, ClientError> {
        self.get("/v1/trust").await
    }

    /// A nonce, with the server's clock.
    pub async fn nonce(&self) -> Result<Nonce, ClientError> {
        self.get("/v1/nonce").await
    }

    /// The ways in.
    pub async fn join_methods(&self) -> Result<Page<JoinMethod>, ClientError> {
        self.get("/v1/join-methods").await
    }
}

//! `/v1/overview`.

use muster_wire::overview::{Overview, OverviewQuery};

use crate::{Client, ClientError};

impl Client {
    /// What the fleet did over time, what of it ends when, and what runs on it.
    pub async fn overview(&self, query: &OverviewQuery) -> Result<Overview, ClientError> {
        self.list("/v1/overview", query).await
    }
}

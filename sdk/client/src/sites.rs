//! `/v1/sites`.

use muster_wire::site::{CreateSite, ImportKey, ImportedKey, RotateKey, RotatedKey, Site};
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::{Client, ClientError};

/// A body that says nothing.
#[derive(serde::Serialize)]
pub(crate) struct Nothing {}

impl Client {
    /// One page of the sites.
    pub async fn sites(&self, query: &ListQuery) -> Result<Page<Site>, ClientError> {
        self.list("/v1/sites", query).await
    }

    /// Makes a site.
    pub async fn create_site(&self, request: &CreateSite) -> Result<Site, ClientError> {
        self.post("/v1/sites", request).await
    }

    /// Makes a new generation of a site's enrollment key; older ones let nobody in from now on.
    pub async fn rotate_site_key(&self, code: &str, request: &RotateKey) -> Result<RotatedKey, ClientError> {
        self.post(&path(&["sites", code, "rotate-key"])?, request).await
    }

    /// Brings a site's enrollment key along from another server, which knows it by a hash alone.
    pub async fn import_site_key(&self, code: &str, request: &ImportKey) -> Result<ImportedKey, ClientError> {
        self.post(&path(&["sites", code, "import-key"])?, request).await
    }
}

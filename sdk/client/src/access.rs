//! `/v1/tokens`.

use muster_wire::access::{CreateToken, CreatedToken, LoginLink, Token};
use muster_wire::machine::Reasoned;
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::{Client, ClientError};

impl Client {
    /// One page of the API tokens.
    pub async fn tokens(&self, query: &ListQuery) -> Result<Page<Token>, ClientError> {
        self.list("/v1/tokens", query).await
    }

    /// Makes an API token.
    pub async fn create_token(&self, request: &CreateToken) -> Result<CreatedToken, ClientError> {
        self.post("/v1/tokens", request).await
    }

    /// Ends an API token.
    pub async fn revoke_token(&self, id: &str) -> Result<Token, ClientError> {
        self.post(&path(&["tokens", id, "revoke"])?, &Reasoned::default()).await
    }

    /// Makes a one-time login link for the caller.
    pub async fn create_login_link(&self) -> Result<LoginLink, ClientError> {
        self.post("/v1/login-links", &Reasoned::default()).await
    }
}

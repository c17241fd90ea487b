//! `/v1/holds`.

use muster_wire::hold::{Approve, Choice, Hold, HoldDetail};
use muster_wire::machine::Reasoned;
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::{Client, ClientError};

impl Client {
    /// One page of the holds.
    pub async fn holds(&self, query: &ListQuery) -> Result<Page<Hold>, ClientError> {
        self.list("/v1/holds", query).await
    }

    /// One hold with its evidence.
    pub async fn hold(&self, id: &str) -> Result<HoldDetail, ClientError> {
        self.get(&path(&["holds", id])?).await
    }

    /// Lets the claimant in. The choice may be left out where only one fits.
    pub async fn approve_hold(&self, id: &str, choice: Option<Choice>) -> Result<Hold, ClientError> {
        self.post(&path(&["holds", id, "approve"])?, &Approve { choice }).await
    }

    /// Turns the claimant away.
    pub async fn reject_hold(&self, id: &str, reason: Option<String>) -> Result<Hold, ClientError> {
        self.post(&path(&["holds", id, "reject"])?, &Reasoned { reason }).await
    }
}

//! `/v1/operators`.

use muster_wire::access::LoginLink;
use muster_wire::machine::Reasoned;
use muster_wire::operator::{
    ChangedOperator, CreateOperator, DisableOperator, EditOperator, Operator, ResetSecondFactor,
};
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::{Client, ClientError};

impl Client {
    /// One page of the operators.
    pub async fn operators(&self, query: &ListQuery) -> Result<Page<Operator>, ClientError> {
        self.list("/v1/operators", query).await
    }

    /// One operator.
    pub async fn operator(&self, id: &str) -> Result<Operator, ClientError> {
        self.get(&path(&["operators", id])?).await
    }

    /// Makes an operator.
    pub async fn create_operator(&self, request: &CreateOperator) -> Result<Operator, ClientError> {
        self.post("/v1/operators", request).await
    }

    /// Changes the name or the role of an operator.
    pub async fn edit_operator(
        &self,
        id: &str,
        request: &EditOperator,
    ) -> Result<ChangedOperator, ClientError> {
        self.patch(&path(&["operators", id])?, request).await
    }

    /// Disables an operator and ends what it has.
    pub async fn disable_operator(
        &self,
        id: &str,
        request: &DisableOperator,
    ) -> Result<ChangedOperator, ClientError> {
        self.post(&path(&["operators", id, "disable"])?, request).await
    }

    /// Enables an operator again.
    pub async fn enable_operator(&self, id: &str) -> Result<ChangedOperator, ClientError> {
        self.post(&path(&["operators", id, "enable"])?, &Reasoned::default()).await
    }

    /// Takes an operator's second factor away.
    pub async fn reset_second_factor(
        &self,
        id: &str,
        request: &ResetSecondFactor,
    ) -> Result<ChangedOperator, ClientError> {
        self.post(&path(&["operators", id, "reset-second-factor"])?, request).await
    }

    /// Makes a one-time login link for an operator.
    pub async fn operator_link(&self, id: &str) -> Result<LoginLink, ClientError> {
        self.post(&path(&["operators", id, "link"])?, &Reasoned::default()).await
    }
}

//! `/v1/accounts` and `/v1/machines/{machine}/accounts`.

use muster_wire::account::{Account, AccountSecret, CreateAccount, Reconcile, Reconciled};
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::sites::Nothing;
use crate::{Client, ClientError};

impl Client {
    /// A page of accounts in other systems.
    pub async fn accounts(&self, query: &ListQuery) -> Result<Page<Account>, ClientError> {
        self.list("/v1/accounts", query).await
    }

    /// An account.
    pub async fn account(&self, id: &str) -> Result<Account, ClientError> {
        self.get(&path(&["accounts", id])?).await
    }

    /// Orders an account for a machine.
    pub async fn create_account(
        &self,
        machine: &str,
        request: &CreateAccount,
    ) -> Result<AccountSecret, ClientError> {
        self.post(&path(&["machines", machine, "accounts"])?, request).await
    }

    /// Gives an account a new passphrase.
    pub async fn rotate_account(&self, id: &str) -> Result<AccountSecret, ClientError> {
        self.post(&path(&["accounts", id, "rotate"])?, &Nothing {}).await
    }

    /// Has what is behind tried again.
    pub async fn retry_account(&self, id: &str) -> Result<Account, ClientError> {
        self.post(&path(&["accounts", id, "retry"])?, &Nothing {}).await
    }

    /// Says that the account which stands in the way is the machine's.
    pub async fn adopt_account(&self, id: &str) -> Result<AccountSecret, ClientError> {
        self.post(&path(&["accounts", id, "adopt"])?, &Nothing {}).await
    }

    /// Ends an account for good.
    pub async fn remove_account(&self, id: &str) -> Result<Account, ClientError> {
        self.post(&path(&["accounts", id, "remove"])?, &Nothing {}).await
    }

    /// Looks at other systems, and has what is not as it is wanted brought back; or only tells.
    pub async fn reconcile(&self, request: &Reconcile) -> Result<Reconciled, ClientError> {
        self.post("/v1/accounts/reconcile", request).await
    }
}

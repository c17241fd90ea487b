//! What stands around every page of the console: who looks, and what waits for them.

use muster_model::text::DisplayName;
use muster_model::{OperatorRole, Refusal};
use muster_store::{AuditFilter, Lists, Reads, Store};

use crate::App;
use crate::caller::Origin;
use crate::error::Error;

/// Who looks, and what waits for them.
#[derive(Debug, Clone)]
pub struct Around {
    /// The operator that looks.
    pub operator: DisplayName,
    /// What they may do by what they have shown.
    pub role: OperatorRole,
    /// How many holds wait for a person.
    pub waiting: u64,
    /// What an operator should look at.
    pub warnings: Vec<String>,
    /// The place of the newest entry of the audit log: what is read after this is not older than that.
    pub seen: u64,
    /// Where machines and command lines reach the server.
    pub url: String,
}

impl<S: Store> App<S> {
    /// What stands around every page of an operator.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] for anybody else, [`Error::Store`].
    pub async fn around(&self, origin: &Origin) -> Result<Around, Error> {
        let caller = origin.caller.operator()?;
        let mut reads = self.reader().await?;
        let operator = reads.operator(caller.tenant, caller.operator).await?;
        let operator = operator.ok_or(Refusal::NotAuthenticated { cause: "operator_unknown" })?;
        let waiting = reads.open_holds(caller.tenant, self.now()).await?;
        let newest = AuditFilter { limit: 1, ..AuditFilter::default() };
        let seen = reads.audit(caller.tenant, &newest).await?.first().map_or(0, |entry| entry.seq);
        drop(reads);
        Ok(Around {
            seen,
            operator: operator.name,
            role: caller.role,
            waiting,
            warnings: self.warnings(caller.tenant).await,
            url: self.inner.settings.url.clone(),
        })
    }

    /// How many holds wait for a person.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn holds_waiting(&self, origin: &Origin) -> Result<u64, Error> {
        let tenant = self.tenant_of(&origin.caller);
        Ok(self.reader().await?.open_holds(tenant, self.now()).await?)
    }

    /// How many machines hold a channel here.
    pub fn online(&self) -> u64 {
        self.inner.registry.online()
    }

    /// What a page of a session shows beside its cookie when it changes something: a page of anybody else cannot read it.
    pub fn csrf(&self, session: &str) -> String {
        let mac = self.inner.pepper.mac(&[b"csrf", session.as_bytes()]);
        data_encoding::BASE64URL_NOPAD.encode(&mac.0)
    }
}

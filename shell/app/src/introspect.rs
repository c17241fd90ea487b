//! Whose key somebody shows: for services that machines show their bearer keys to (RFC 7662).

use muster_model::{
    CredentialId, MachineId, MachineName, MachineState, Refusal, Secret, SecretKind, SiteCode, Timestamp,
};
use muster_store::{Reads, Store};

use crate::App;
use crate::caller::Origin;
use crate::error::Error;

/// Who holds a key that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspected {
    /// The machine.
    pub machine: MachineId,
    /// What operators call it.
    pub name: MachineName,
    /// The code of its site.
    pub site: SiteCode,
    /// The credential behind the key.
    pub credential: CredentialId,
    /// Start of its life.
    pub not_before: Timestamp,
    /// End of its life.
    pub not_after: Timestamp,
}

impl<S: Store> App<S> {
    /// The machine whose bearer key this is; `None` for whatever is good for nothing, also for the key of a machine that
    /// is paused. That is read anew each time, so an end counts at once. Who asks learns of its own tenant alone. The
    /// machine of a good key counts as heard of, without a write for each.
    ///
    /// # Errors
    /// [`Error::Store`] where it could not be read: that says nothing of the key.
    pub async fn introspect(&self, token: &str, origin: &Origin) -> Result<Option<Introspected>, Error> {
        let Ok(secret) = token.parse::<Secret>() else { return Ok(None) };
        if secret.kind() != SecretKind::Bearer {
            return Ok(None);
        }
        let (credential, machine) = match self.proved_bearer(&secret).await {
            Ok(found) => found,
            Err(Error::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_ours = machine.tenant == self.tenant_of(&origin.caller);
        if !is_ours || !matches!(machine.state, MachineState::Active(_)) {
            return Ok(None);
        }
        self.beat(machine.tenant, machine.id).await?;
        let site = self.reader().await?.site(machine.tenant, machine.site).await?;
        let site = site.ok_or(Refusal::NotFound { what: "site" })?;
        Ok(Some(Introspected {
            machine: machine.id,
            name: machine.name,
            site: site.code,
            credential: credential.id,
            not_before: credential.not_before,
            not_after: credential.not_after,
        }))
    }
}

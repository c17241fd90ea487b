//! The deployment at a glance, and whom to trust.

use muster_model::{SignedDuration, TenantId};
use muster_store::{Lists, Store, StoreError};
use muster_wire::status::{MachineCounts, Status};
use muster_wire::trust::{JoinMethod, Trust};

use crate::App;
use crate::caller::Origin;
use crate::error::Error;
use crate::mode::Lost;

/// An operator is warned this long before the issuing CA ends.
const CA_WARNING: SignedDuration = SignedDuration::from_hours(24 * 90);

impl<S: Store> App<S> {
    /// When the deployment began.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn founded_at(&self) -> Result<muster_model::Timestamp, Error> {
        let deployment = muster_store::Unscoped::deployment(&mut self.reader().await?).await?;
        Ok(deployment.map_or(self.inner.started_at, |deployment| deployment.id.drawn_at()))
    }

    /// The deployment at a glance.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn status(&self, origin: &Origin) -> Result<Status, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let now = self.now();
        let mut reads = self.onlooker().await?;
        let [pending, active, suspended, retired] = reads.machine_counts(tenant).await?;
        let holds_open = reads.open_holds(tenant, now).await?;
        drop(reads);
        let alive: Vec<_> = self.replicas().await?.into_iter().filter(|replica| replica.alive).collect();
        let online = alive.iter().map(|replica| replica.channels).sum();
        let authority = self.authority();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: self.inner.settings.url.clone(),
            trust_domain: authority.trust_domain().to_string(),
            ca_pin: authority.pin(),
            server_time: now,
            started_at: self.inner.started_at,
            mode: self.mode().as_str().to_owned(),
            replicas: alive.len() as u64,
            machines: MachineCounts { pending, active, suspended, retired, online },
            holds_open,
            ca_expires: authority.issuing_not_after(),
            data_dir: self.inner.settings.data_dir.clone().filter(|_| origin.caller.is_local()),
            warnings: self.warnings(tenant).await,
        })
    }

    pub(crate) async fn warnings(&self, tenant: TenantId) -> Vec<String> {
        let mut warnings = Vec::new();
        let end = self.authority().issuing_not_after();
        if end.duration_since(self.now()) < CA_WARNING {
            warnings.push(format!("the issuing CA ends on {end}"));
        }
        if self.lacks_authority() {
            warnings.push(
                "the certificate authority of the database cannot be used here: nothing is decided until it can; is the \
                 seal key another one?"
                    .to_owned(),
            );
        }
        if let Some(Lost { gap, .. }) = self.inner.watch.lost() {
            warnings.push(format!(
                "the database was put back to an older day: entry {} of the audit log was seen, it ends with {}; \
                 nothing is changed until: muster restore accept",
                gap.seen, gap.found
            ));
        }
        match self.reaper_warning(tenant).await {
            Ok(warning) => warnings.extend(warning),
            Err(error) => warnings.push(format!("whether the reaper stopped cannot be read: {error}")),
        }
        if let Err(error) = self.inner.store.check().await {
            warnings.push(format!("the store cannot be written to: {error}"));
        }
        warnings
    }

    /// Whether the store answers, can be written to, and has a reader to spare.
    ///
    /// # Errors
    /// What the store says.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.inner.store.check().await?;
        self.inner.store.reader().await.map(drop)
    }

    /// Whom to trust.
    pub fn trust(&self) -> Trust {
        let authority = self.authority();
        Trust {
            trust_domain: authority.trust_domain().to_string(),
            version: authority.ca().bundle,
            roots: authority.roots_pem(),
            pins: authority.pins(),
        }
    }

    /// The ways in.
    pub fn join_methods(&self) -> Vec<JoinMethod> {
        let written = |method: &muster_doors::Method| JoinMethod {
            method: method.method.to_owned(),
            summary: method.summary.to_owned(),
            evidence: (method.schema)(),
        };
        muster_doors::METHODS.iter().map(written).collect()
    }
}

//! Certificates of whoever calls machines that serve others.
//!
//! Such a machine knows its callers by their authority alone, so a certificate is an operator's to give, short, and told in
//! the audit log before it leaves. It has no record: no machine could ask for one.

use muster_issuer::{CallerTemplate, csr};
use muster_lifecycle::{Context, Plan};
use muster_model::{CredentialId, Object, Refusal, SignedDuration};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::caller as wire;

use crate::App;
use crate::caller::Origin;
use crate::error::Error;
use crate::ports::draw;

impl<S: Store> App<S> {
    /// A caller's certificate for the key of a certification request. Asking again gives another one for the same key.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong name, life or request.
    pub async fn certify_caller(
        &self,
        request: wire::CertifyCaller,
        origin: &Origin,
    ) -> Result<wire::CertifiedCaller, Error> {
        let fields = wire::CertifyCallerFields::try_from(request)?;
        let key = csr::read(&fields.csr).map_err(|error| Error::field("csr", error))?;
        let now = self.now();
        let template = CallerTemplate {
            serial: draw!(&*self.inner.ports),
            name: fields.name,
            now,
            not_after: now + SignedDuration::from_secs(i64::from(fields.expires_in)),
        };
        let certificate = self.authority().certify_caller(&key, &template)?;
        let detail = vec![
            ("name", template.name.clone()),
            ("serial", serial(template.serial)),
            ("key", key.fingerprint().to_string()),
            ("not_after", template.not_after.to_string()),
        ];
        self.settle(origin, CertifyCaller { detail, context: self.context(origin) }).await?;
        Ok(wire::CertifiedCaller {
            name: template.name,
            serial: serial(template.serial),
            certificate,
            authorities: self.authority().roots_pem().concat(),
            expires_at: template.not_after,
        })
    }
}

/// A serial number as certificates show it: hexadecimal.
pub(crate) fn serial(id: CredentialId) -> String {
    data_encoding::HEXLOWER.encode(id.as_bytes())
}

struct CertifyCaller {
    detail: Vec<(&'static str, String)>,
    context: Context,
}

impl Decision for CertifyCaller {
    const NAME: &'static str = "caller.certify";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let mut entry = self.context.entry(Self::NAME, Object::Deployment, "certified");
        entry.detail.clone_from(&self.detail);
        Ok(Plan::new((), Vec::new(), entry))
    }
}

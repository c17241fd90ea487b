//! Enrolling clients that have no key of their own, by a token and the site that it is for.
//!
//! The decision is that of every other door; what is shown is judged as every other token, and whatever is wrong with
//! it is one refusal that takes one way.

use muster_doors::Evidence;
use muster_model::{Attributes, HardwareId, Hostname, MachineKind, Refusal, Secret, SecretForm, SiteCode};
use muster_store::Store;
use muster_wire::enroll::{EnrollAnswer, EnrollFields};

use crate::App;
use crate::caller::Origin;
use crate::enroll::{Named, Proved, Stepped};
use crate::error::Error;

/// What a client without a key says.
#[derive(Debug, Clone)]
pub struct KeylessClaim {
    /// What it shows. What is no token at all stands for one that nobody was given: [`Secret::presented`].
    pub token: Secret,
    /// The site it names.
    pub site: SiteCode,
    /// How its bearer key is written.
    pub form: SecretForm,
    /// The hardware signal.
    pub hardware_id: HardwareId,
    /// What it calls itself.
    pub hostname: Hostname,
    /// What sort of thing it is.
    pub kind: MachineKind,
    /// What else it says of itself.
    pub attributes: Attributes,
}

impl<S: Store> App<S> {
    /// A client without a key asks to enroll. Asking again after a lost answer gets the same bearer key, until somebody
    /// has used it. `may_ask` says whether this source may cause what is costly: it is asked whatever the site and the
    /// token are, as long as a key that was brought from another server waits to be shown.
    ///
    /// # Errors
    /// The refusals of the decision table.
    pub async fn enroll_keyless(
        &self,
        claim: KeylessClaim,
        may_ask: impl FnOnce() -> Result<(), Refusal>,
        origin: &Origin,
    ) -> Result<EnrollAnswer, Error> {
        self.may_change()?;
        let evidence = Evidence::Token(claim.token);
        let stepped = self.claim(&evidence).await?;
        let (stepped, shown) = self.by_imported(stepped, &evidence, &claim.site, may_ask).await?;
        let Stepped { tenant, claim: proved, shut } = stepped;
        let named = Named { site: Some(claim.site), form: claim.form, shown };
        let fields = EnrollFields {
            method: evidence.method().to_owned(),
            evidence: Default::default(),
            csr: None,
            secret_hash: None,
            hardware_id: Some(claim.hardware_id),
            hostname: Some(claim.hostname),
            kind: claim.kind,
            attributes: claim.attributes,
            previous: None,
        };
        let proved = Proved { tenant, claim: proved, shut, key: None, verifier: None, vouched_by: None };
        let decision = self.enrollment(fields, proved, named, origin);
        self.settle_enrollment(decision, origin).await
    }
}

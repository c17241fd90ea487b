//! Minting what was reserved: outside any transaction, then confirmed in one of its own.
//!
//! What leaves the house is what the row says: where two callers mint the same reservation, both get the certificate
//! that was confirmed first.

use muster_issuer::MachineTemplate;
use muster_lifecycle::enroll::Outcome;
use muster_lifecycle::{Context, Plan, Terms, credential};
use muster_model::{
    Credential, CredentialId, CredentialKind, CredentialState, Hold, HoldReason, Machine, MachineId, Minted,
    PublicKey, Refusal, Secret, Site,
};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::{EnrollAnswer, Enrolled, EnrolledMachine, Held, IssuedCredential};

use crate::App;
use crate::caller::Origin;
use crate::error::Error;

/// What is known of an enrollment once it is settled, so that it need not be read again.
#[derive(Default)]
pub(crate) struct AtHand {
    /// The bearer key that was drawn.
    pub(crate) secret: Option<Secret>,
    /// The key that was proved.
    pub(crate) key: Option<PublicKey>,
    /// The site it led to.
    pub(crate) site: Option<Site>,
}

impl<S: Store> App<S> {
    /// The lifetimes in force: those configured, and no certificate beyond its issuer.
    pub(crate) fn terms(&self) -> Terms {
        let mut terms = self.inner.settings.terms;
        let left = self.authority().issuing_not_after().duration_since(self.now());
        terms.certificate_life = terms.certificate_life.min(left);
        // Another server may have signed by the older one for a moment longer.
        terms.certified_since =
            self.authority().ca().signs_since.map(|since| since + muster_lifecycle::ca::LAG);
        terms
    }

    /// Turns a settled outcome into an answer, minting what is still reserved.
    pub(crate) async fn answer(
        &self,
        outcome: Outcome,
        known: AtHand,
        origin: &Origin,
    ) -> Result<EnrollAnswer, Error> {
        match outcome {
            Outcome::Held(hold) => Ok(EnrollAnswer::Held(self.held(&hold))),
            Outcome::Enrolled { machine, credential, again } => {
                let AtHand { secret, key, site } = known;
                let site = match site.filter(|site| site.id == machine.site) {
                    Some(site) => site.code.to_string(),
                    None => self.site_code(&machine).await?,
                };
                let credential = self.mint(&machine, *credential, key, origin).await?;
                let bearer = secret.map(|secret| secret.reveal());
                let credential = IssuedCredential { bearer, ..credential };
                let enrolled = Box::new(Enrolled {
                    machine: enrolled_machine(&machine, site),
                    credential,
                    trust: self.trust(),
                    server_time: self.now(),
                });
                Ok(if again { EnrollAnswer::Same(enrolled) } else { EnrollAnswer::Enrolled(enrolled) })
            }
        }
    }

    /// Mints a credential and makes it durable, or finds it minted. The machine's key need not be read where it is at
    /// hand.
    pub(crate) async fn mint(
        &self,
        machine: &Machine,
        credential: Credential,
        key: Option<PublicKey>,
        origin: &Origin,
    ) -> Result<IssuedCredential, Error> {
        let issued = match credential.state {
            CredentialState::Reserved => {
                let minted = self.make(machine, &credential, key).await?;
                let context = Context { tenant: machine.tenant, ..self.context(origin) };
                let confirm = Confirm { credential: credential.id, machine: machine.id, minted, context };
                self.settle(origin, confirm).await?
            }
            CredentialState::Issued(_) | CredentialState::Ended { .. } => credential,
        };
        self.handed_over(&issued)
    }

    async fn make(
        &self,
        machine: &Machine,
        credential: &Credential,
        at_hand: Option<PublicKey>,
    ) -> Result<Minted, Error> {
        let key = match credential.kind {
            CredentialKind::Certificate { key } => key,
            CredentialKind::Bearer { .. } => return Ok(Minted::Bearer),
            CredentialKind::Refresh { .. } => return Ok(Minted::Refresh { used_at: None }),
        };
        let key = match at_hand.filter(|at_hand| at_hand.fingerprint() == key) {
            Some(key) => key,
            None => {
                let record = self.reader().await?.key(machine.tenant, key).await?;
                record.ok_or(Refusal::Revoked)?.key
            }
        };
        let template = MachineTemplate {
            serial: credential.id,
            tenant: machine.tenant,
            machine: machine.id,
            not_before: credential.not_before,
            not_after: credential.not_after,
        };
        Ok(Minted::Certificate(self.authority().issue(&key, &template)?))
    }

    fn handed_over(&self, credential: &Credential) -> Result<IssuedCredential, Error> {
        let certificate = match &credential.state {
            CredentialState::Issued(Minted::Certificate(der)) => Some(self.authority().leaf_chain_pem(der)),
            CredentialState::Issued(Minted::Bearer | Minted::Refresh { .. }) => None,
            CredentialState::Reserved | CredentialState::Ended { .. } => return Err(Refusal::Revoked.into()),
        };
        Ok(IssuedCredential {
            id: credential.id.to_string(),
            certificate,
            bearer: None,
            not_before: credential.not_before,
            not_after: credential.not_after,
        })
    }

    pub(crate) fn held(&self, hold: &Hold) -> Held {
        Held {
            hold: hold.id.to_string(),
            reason: shown_reason(hold).as_str().to_owned(),
            words: muster_wire::words(hold.claimant.key.as_ref().map(PublicKey::fingerprint)),
            expires_at: hold.expires_at,
            poll_after: self.inner.settings.poll_after,
        }
    }

    async fn site_code(&self, machine: &Machine) -> Result<String, Error> {
        let site = self.reader().await?.site(machine.tenant, machine.site).await?;
        Ok(site.map(|site| site.code.to_string()).unwrap_or_default())
    }
}

/// What the claimant is told. Whoever has shown nothing learns nothing of the machines here, such as whether some
/// hardware is known, where, or how it ended; the operator sees the reason.
fn shown_reason(hold: &Hold) -> HoldReason {
    if hold.grant.is_some() { hold.reason } else { HoldReason::Approval }
}

fn enrolled_machine(machine: &Machine, site: String) -> EnrolledMachine {
    EnrolledMachine {
        id: machine.id.to_string(),
        name: machine.name.to_string(),
        tenant: machine.tenant.to_string(),
        site,
        state: machine.state.as_str().to_owned(),
        generation: machine.generation,
    }
}

struct Confirm {
    credential: CredentialId,
    machine: MachineId,
    minted: Minted,
    context: Context,
}

impl Decision for Confirm {
    const NAME: &'static str = "credential.issue";
    type Facts = (Option<Credential>, Option<Machine>);
    type Outcome = Credential;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let credential = reads.credential(tenant, self.credential).await?;
        Ok((credential, reads.machine(tenant, self.machine).await?))
    }

    fn decide(&self, (credential, machine): Self::Facts) -> Result<Plan<Credential>, Refusal> {
        credential::confirm(credential, machine.as_ref(), self.minted.clone(), &self.context)
    }
}

//! Who a caller is, by what it has shown: a certificate, a signed request, or a secret.
//!
//! Identity comes from the verified credential alone. A credential counts only while its row, its key and its machine
//! say so; that is read anew at every use, so that revocation bites at once.

use muster_issuer::{MachineIdentity, verify_signature};
use muster_lifecycle::nonce::{self, UsedNonces};
use muster_lifecycle::rotate::Right;
use muster_lifecycle::{Context, MemoryChange, Plan, access};
use muster_model::{
    AccessKind, Credential, CredentialState, Deployment, EndReason, IncarnationId, KeyFingerprint, KeyRecord,
    KeyStanding, Machine, MachineState, Object, PublicKey, Refusal, Secret, SecretKind, TenantId, Timestamp,
};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::rotate::Slot;
use muster_wire::signature::{SignedHeader, SignedRequest, Statement};

use crate::App;
use crate::caller::{Caller, MachineCaller, OperatorCaller, Origin, Proof};
use crate::error::Error;
use crate::mode::Mode;
use crate::nonce::Nonces;
use crate::ports::draw;

/// A request with a signature over it.
#[derive(Debug, Clone, Copy)]
pub struct SignedCall<'a> {
    /// What the header carries.
    pub header: &'a SignedHeader,
    /// What it was made over.
    pub request: SignedRequest<'a>,
}

/// A signature that holds, by a key that need not be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The key.
    pub key: KeyFingerprint,
    /// The place of the nonce it used.
    pub nonce: u64,
    /// The incarnation under which that was given out.
    pub under: Option<IncarnationId>,
}

impl<S: Store> App<S> {
    /// The machine that a verified certificate names, with what it says of its own slots.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`], [`Refusal::Revoked`], [`Refusal::Superseded`], [`Refusal::UnknownMachine`].
    pub async fn by_certificate(&self, der: &[u8], slot: Option<&Slot>) -> Result<Caller, Error> {
        let identity = MachineIdentity::from_certificate(der, self.authority().trust_domain())
            .or(Err(Refusal::NotAuthenticated { cause: "certificate_form" }))?;
        let mut reads = self.reader().await?;
        let tenant = identity.tenant;
        let Some(machine) = reads.machine(tenant, identity.machine).await? else {
            drop(reads);
            return Err(self.unknown_machine().await);
        };
        let mut key = reads.key(tenant, identity.key.fingerprint()).await?;
        let mut credential = reads.credential(tenant, identity.credential).await?;
        drop(reads);
        // Whoever has the keys of a tainted authority signs what it likes. The key alone proves the machine: its holder gets
        // another certificate by a signature.
        if self.authority().is_doubtful(der) {
            let key = key.ok_or(Refusal::NotAuthenticated { cause: "key_unknown" })?;
            self.counts(&machine, &key).await?;
            return Err(Refusal::CredentialExpired.into());
        }
        if credential.is_none() {
            if let Err(error) = self.adopt(der, &identity, slot.map(|slot| slot.base)).await {
                return Err(unknown_credential(&machine, key.as_ref(), error, self.now()));
            }
            let mut reads = self.reader().await?;
            key = reads.key(tenant, identity.key.fingerprint()).await?;
            credential = reads.credential(tenant, identity.credential).await?;
        }
        let key = key.ok_or(Refusal::NotAuthenticated { cause: "key_unknown" })?;
        self.counts(&machine, &key).await?;
        let credential = credential.ok_or(Refusal::NotAuthenticated { cause: "credential_unknown" })?;
        credential_counts(&credential, &machine)?;
        let expired = self.now() >= credential.not_after;
        let right = self.right_of(&machine, &key, slot.map(|slot| slot.base)).await?;
        let machine = self.proved_itself(machine, right, expired).await?;
        let proof = Proof::Key(identity.key.fingerprint());
        let caller = machine_caller(&machine, proof, expired);
        Ok(Caller::Machine(MachineCaller { right, slot: slot.copied(), ..caller }))
    }

    /// What is said to a machine that is not there. One that came in after the day that the database was put back to is
    /// not unknown: it must not be told that it is, because it would believe that and end itself. That day may have come
    /// since the last look, so there is another one first.
    async fn unknown_machine(&self) -> Error {
        match self.look_again().await {
            Ok(Mode::Restored) => Error::Restored,
            Ok(Mode::Normal | Mode::Stale) => Refusal::UnknownMachine.into(),
            Err(error) => error.into(),
        }
    }

    /// What is said to a bearer key that is not there. Clients without a key stop for good by it, so it is not said of an
    /// older database, which may not know the key yet.
    async fn unknown_bearer(&self) -> Error {
        match self.look_again().await {
            Ok(Mode::Restored) => Error::Restored,
            Ok(Mode::Normal | Mode::Stale) => Refusal::NotAuthenticated { cause: "secret_wrong" }.into(),
            Err(error) => error.into(),
        }
    }

    /// Whether a signature may hold at all, asked before anything that it covers is read: its nonce is fresh and ours. Whose
    /// key it names is asked afterwards: nobody learns by what is read of a request which keys are known.
    ///
    /// # Errors
    /// [`Refusal::NonceNeeded`].
    pub fn plausible(&self, header: &SignedHeader) -> Result<(), Error> {
        let place = self.inner.nonces.place(&header.statement.nonce, self.now(), self.incarnation());
        place.map(drop).ok_or(Refusal::NonceNeeded.into())
    }

    /// The machine that signed a request. Its nonce is used up by this.
    ///
    /// # Errors
    /// [`Refusal::NonceNeeded`], [`Refusal::NotAuthenticated`], [`Refusal::Revoked`], [`Refusal::UnknownMachine`].
    pub async fn by_signature(&self, call: &SignedCall<'_>, origin: &Origin) -> Result<Caller, Error> {
        let Statement { key: fingerprint, base, boot, counter, .. } = call.header.statement;
        let known = self.reader().await?.keys(fingerprint).await?;
        let [(tenant, record)] = known.as_slice() else {
            return Err(Refusal::NotAuthenticated { cause: "key_unknown" }.into());
        };
        let verified = self.verify(call, &record.key)?;
        let mut reads = self.reader().await?;
        let Some(machine) = reads.machine(*tenant, record.machine).await? else {
            drop(reads);
            return Err(self.unknown_machine().await);
        };
        let credentials = reads.open_credentials(*tenant, machine.id).await?;
        drop(reads);
        self.counts(&machine, record).await?;
        self.use_nonce(*tenant, &machine, verified, origin).await?;
        let now = self.now();
        // What another key of the machine has is for that one.
        let is_live = |own: &Credential| own.certifies(fingerprint) && own.is_live(now);
        let expired = !credentials.iter().any(is_live);
        let right = self.right_of(&machine, record, Some(base)).await?;
        let machine = self.proved_itself(machine, right, expired).await?;
        let caller = machine_caller(&machine, Proof::Key(fingerprint), expired);
        let slot = Some(Slot { base, boot, counter });
        Ok(Caller::Machine(MachineCaller { right, slot, nonce: Some(verified.nonce), ..caller }))
    }

    /// Whether a signature holds for this key, over a fresh nonce of ours.
    ///
    /// # Errors
    /// [`Refusal::NonceNeeded`], [`Refusal::NotAuthenticated`].
    pub fn verify(&self, call: &SignedCall<'_>, key: &PublicKey) -> Result<Verified, Refusal> {
        let statement = &call.header.statement;
        let under = self.incarnation();
        let place = self.inner.nonces.place(&statement.nonce, self.now(), under);
        let nonce = place.ok_or(Refusal::NonceNeeded)?;
        let input = statement.signing_input(&call.request);
        if statement.key != key.fingerprint() || !verify_signature(key, &input, &call.header.signature) {
            return Err(Refusal::NotAuthenticated { cause: "signature_wrong" });
        }
        Ok(Verified { key: statement.key, nonce, under })
    }

    /// A nonce for one signed request.
    pub fn nonce(&self) -> muster_wire::trust::Nonce {
        let now = self.now();
        let random = u32::from_be_bytes(self.inner.ports.random());
        muster_wire::trust::Nonce {
            nonce: self.inner.nonces.issue(now, random, self.incarnation()),
            server_time: now,
        }
    }

    async fn use_nonce(
        &self,
        tenant: TenantId,
        machine: &Machine,
        verified: Verified,
        origin: &Origin,
    ) -> Result<(), Error> {
        let context = Context { tenant, ..self.context(origin) };
        let (object, moment) = (Object::Machine(machine.id), Nonces::moment(self.now()));
        self.settle(origin, UseNonce { tenant, verified, moment, object, context }).await
    }

    /// Who a presented secret belongs to: an operator by token or session, a machine by bearer key.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] alike for an unknown, wrong, ended or foreign secret; [`Refusal::Revoked`] for a
    /// bearer key that holds but was ended.
    pub async fn by_secret(&self, text: &str) -> Result<Caller, Error> {
        let secret: Secret = text.parse().or(Err(Refusal::NotAuthenticated { cause: "secret_form" }))?;
        match secret.kind() {
            SecretKind::Api | SecretKind::Session => self.operator_by(&secret).await,
            SecretKind::Bearer => self.machine_by(&secret).await,
            SecretKind::Enroll | SecretKind::Login | SecretKind::Refresh => {
                Err(Refusal::NotAuthenticated { cause: "secret_kind" }.into())
            }
        }
    }

    async fn operator_by(&self, secret: &Secret) -> Result<Caller, Error> {
        let presented = self.inner.pepper.hash(secret);
        let mut reads = self.reader().await?;
        let token = reads.access_by_secret(secret.id()).await?;
        let token = token.filter(|token| token.hash == presented && token.kind != AccessKind::Login);
        let token = token.ok_or(Refusal::NotAuthenticated { cause: "secret_wrong" })?;
        let operator = reads.operator(token.tenant, token.operator).await?;
        let operator = operator.ok_or(Refusal::NotAuthenticated { cause: "operator_disabled" })?;
        let role = access::worth(&token, &operator, self.now())?;
        Ok(Caller::Operator(OperatorCaller {
            tenant: token.tenant,
            operator: token.operator,
            token: Some(token.id),
            role,
            local: false,
            scope: token.scope,
        }))
    }

    async fn machine_by(&self, secret: &Secret) -> Result<Caller, Error> {
        let (credential, machine) = self.proved_bearer(secret).await?;
        Ok(Caller::Machine(machine_caller(&machine, Proof::Secret(credential.id), false)))
    }

    /// The bearer key that this secret proves, and its machine.
    pub(crate) async fn proved_bearer(&self, secret: &Secret) -> Result<(Credential, Machine), Error> {
        let presented = self.inner.pepper.hash(secret);
        let mut reads = self.reader().await?;
        let credential = reads.credential_by_secret(secret.id()).await?.filter(|credential| {
            matches!(credential.kind, muster_model::CredentialKind::Bearer { hash, .. } if hash == presented)
        });
        let Some(credential) = credential else {
            drop(reads);
            return Err(self.unknown_bearer().await);
        };
        let Some(machine) = reads.machine(credential.tenant, credential.machine).await? else {
            drop(reads);
            return Err(self.unknown_machine().await);
        };
        if matches!(machine.state, MachineState::Retired(_)) {
            return Err(retired(&machine, self.now(), Refusal::MachineRetired).into());
        }
        credential_counts(&credential, &machine)?;
        if self.now() >= credential.not_after {
            return Err(Refusal::Revoked.into());
        }
        Ok((credential, self.heard_again(machine).await?))
    }

    /// Whether a key that was proved counts. One whose place a newer one took is told of: it is the machine's of long ago,
    /// or the machine is somebody else's by now. No reader is held meanwhile: telling takes one.
    async fn counts(&self, machine: &Machine, key: &KeyRecord) -> Result<(), Refusal> {
        let counts = key_counts(machine, key, self.now());
        if counts == Err(Refusal::Superseded) {
            self.superseded_shown(machine.tenant, machine.id, key.key.fingerprint()).await;
        }
        counts
    }

    /// A machine that showed its key is heard of, unless what it showed is good for the next one alone.
    async fn proved_itself(&self, machine: Machine, right: Right, expired: bool) -> Result<Machine, Error> {
        match right {
            Right::Everything if !expired => self.heard_again(machine).await,
            Right::Everything | Right::Rotation => Ok(machine),
        }
    }
}

/// What is said of a certificate of ours that is in no row. Its holder may still have a key that counts: that one gets
/// another certificate by its signature, and need not wait until this one is over.
fn unknown_credential(machine: &Machine, key: Option<&KeyRecord>, error: Error, now: Timestamp) -> Error {
    let is_unknown = matches!(error, Error::Refused(Refusal::NotAuthenticated { .. }));
    match key.filter(|_| is_unknown) {
        Some(key) => key_counts(machine, key, now).err().unwrap_or(Refusal::CredentialExpired).into(),
        None => error,
    }
}

/// A key that was proved counts while its machine has it for anything.
fn key_counts(machine: &Machine, key: &KeyRecord, now: Timestamp) -> Result<(), Refusal> {
    match (&machine.state, key.standing) {
        (_, KeyStanding::Revoked) => Err(Refusal::Revoked),
        (MachineState::Retired(_), _) => Err(retired(machine, now, Refusal::Revoked)),
        (_, KeyStanding::Superseded) => Err(Refusal::Superseded),
        (_, KeyStanding::Current | KeyStanding::Proposed | KeyStanding::Previous)
            if key.machine == machine.id =>
        {
            Ok(())
        }
        (_, KeyStanding::Current | KeyStanding::Proposed | KeyStanding::Previous) => {
            Err(Refusal::IdentityMismatch)
        }
    }
}

/// What is said of a machine that ended: where that can be undone, nothing by which it would end itself.
fn retired(machine: &Machine, now: Timestamp, for_good: Refusal) -> Refusal {
    match machine.state.undone_until() {
        Some(until) if now <= until => Refusal::Reaped,
        _ => for_good,
    }
}

fn credential_counts(credential: &Credential, machine: &Machine) -> Result<(), Refusal> {
    if credential.machine != machine.id {
        return Err(Refusal::IdentityMismatch);
    }
    match credential.state {
        CredentialState::Issued(_) => Ok(()),
        // Decided but never confirmed: it never left the house by our hands.
        CredentialState::Reserved => Err(Refusal::NotAuthenticated { cause: "credential_reserved" }),
        // The key still counts, the certificate was replaced by a newer one: its holder asks for the next.
        CredentialState::Ended { reason: EndReason::Renewed, .. } => Err(Refusal::CredentialExpired),
        CredentialState::Ended {
            reason: EndReason::Superseded | EndReason::Revoked | EndReason::Retired,
            ..
        } => Err(Refusal::Revoked),
    }
}

fn machine_caller(machine: &Machine, proof: Proof, expired: bool) -> MachineCaller {
    MachineCaller {
        tenant: machine.tenant,
        machine: machine.id,
        proof,
        right: Right::Everything,
        slot: None,
        nonce: None,
        expired,
        suspended: matches!(machine.state, MachineState::Suspended(_)),
    }
}

struct UseNonce {
    tenant: TenantId,
    verified: Verified,
    moment: nonce::Moment,
    object: Object,
    context: Context,
}

impl Decision for UseNonce {
    const NAME: &'static str = "machine.signed_request";
    type Facts = (Option<UsedNonces>, Option<Deployment>);
    type Outcome = ();

    fn object(&self) -> Object {
        self.object
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let known = reads.used_nonces(self.tenant, self.verified.key).await?;
        Ok((known, reads.deployment().await?))
    }

    fn decide(&self, (known, deployment): Self::Facts) -> Result<Plan<()>, Refusal> {
        let Verified { key, nonce, under } = self.verified;
        // A database that was put back has forgotten which were used before that. This server may not have noticed yet;
        // before it has looked at all, it has given out none.
        let is_of = |there: &Deployment| under.is_none_or(|under| under == there.incarnation());
        let is_of_now = |there: &Deployment| there.gap.is_none() && is_of(there);
        if !deployment.as_ref().is_none_or(is_of_now) {
            return Err(Refusal::NonceNeeded);
        }
        let used = match known {
            Some(known) => known.and(nonce, self.moment).ok_or(Refusal::NonceNeeded)?,
            None => UsedNonces::first(nonce),
        };
        let change = MemoryChange::Nonce { key, used };
        let entry = self.context.entry(Self::NAME, self.object, "nonce_used");
        Ok(Plan::new((), vec![change.into()], entry))
    }
}

impl<S: Store> App<S> {
    /// The admin that everybody on the server's own host is, who may be: root and the server's own user.
    pub fn local_admin(&self, admin: muster_model::OperatorId) -> Caller {
        Caller::Operator(OperatorCaller {
            tenant: self.inner.tenant,
            operator: admin,
            token: None,
            role: muster_model::OperatorRole::Admin,
            local: true,
            scope: None,
        })
    }

    /// A new identifier for a request.
    pub fn request_id(&self) -> String {
        let id: muster_model::AuditId = draw!(&*self.inner.ports);
        id.to_string().replacen("aud_", "req_", 1)
    }
}

//! Enrolling: step the door to a claim, prove the key, settle the decision, mint, confirm, answer.
//!
//! A crash between deciding and confirming is repaired by the client's own retry: the same key and grant get the same
//! plan, and nothing is spent twice.

use muster_doors::{Evidence, Fetch, Given, Step};
use muster_issuer::{csr, verify_signature};
use muster_lifecycle::Plan;
use muster_lifecycle::enroll::{Facts, Fresh, Known, Outcome, Request, ShownKey, approval, decide};
use muster_model::{
    Claim, Claimant, CredentialKind, Entitlement, GrantKind, HoldState, KeyFingerprint, Machine, PublicKey,
    Refusal, SecretForm, SecretHash, Site, SiteCode, TenantId, Verifier, network,
};
use muster_store::{Decision, Presence, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::{EnrollAnswer, EnrollFields, EnrollRequest, REKEY_CONTEXT};

use crate::App;
use crate::bearer::Bearer;
use crate::caller::Origin;
use crate::error::Error;
use crate::mint::AtHand;
use crate::ports::draw;

const ACTION: &str = "machine.enroll";

impl<S: Store> App<S> {
    /// A request to enroll.
    ///
    /// # Errors
    /// [`Error::Malformed`] with every wrong field, and nothing was spent; the refusals of the decision table.
    pub async fn enroll(&self, request: EnrollRequest, origin: &Origin) -> Result<EnrollAnswer, Error> {
        let fields = EnrollFields::try_from(request)?;
        let evidence = parse_evidence(&fields)?;
        // Proved before anything is looked up: a malformed CSR must not cost a token, nor tell one from another.
        let key =
            fields.csr.as_deref().map(csr::read).transpose().map_err(|error| Error::field("csr", error))?;
        // A token that is not known to an older database may be a good one: nothing is said of it.
        self.may_change()?;
        let Stepped { tenant, claim, shut } = self.claim(&evidence).await?;
        let vouched = self.vouched(tenant, &fields).await?;
        let verifier = fields.secret_hash.as_ref().map(|hash| self.inner.pepper.verifier(hash));
        let proved = Proved { tenant, claim, shut, key, verifier, vouched_by: vouched.key() };
        let decision = self.enrollment(fields, proved, Named::default(), origin);
        if vouched == Vouched::Wrongly {
            return Err(self.wrongly_vouched(&decision, origin).await);
        }
        let answer = self.settle_enrollment(decision, origin).await;
        if let (Evidence::Credential(secret), Err(Error::Refused(Refusal::Revoked))) = (&evidence, &answer) {
            self.shown_elsewhere(secret, origin).await?;
        }
        answer
    }

    /// Settles an enrollment and turns what was decided into its answer.
    pub(crate) async fn settle_enrollment(
        &self,
        decision: Enroll<S>,
        origin: &Origin,
    ) -> Result<EnrollAnswer, Error> {
        let key = decision.request.claimant.key.clone();
        let bearer = decision.bearer.clone();
        let (outcome, site) = self.settle(origin, decision).await?;
        // Which key was handed out is known once it is decided: an answer that was lost is given again.
        let secret = match &outcome {
            Outcome::Enrolled { credential, .. } if key.is_none() => Some(bearer.of(credential.id)),
            Outcome::Enrolled { .. } | Outcome::Held(_) => None,
        };
        self.answer(outcome, AtHand { secret, key, site }, origin).await
    }

    /// Steps a door until it has a claim, fetching what it asks for. Whoever shows nothing that holds gets a claim on
    /// nothing, and takes the same way to its refusal as everybody else.
    pub(crate) async fn claim(&self, evidence: &Evidence) -> Result<Stepped, Error> {
        let mut given = Given::Nothing;
        let mut tenant = self.inner.tenant;
        loop {
            match evidence.step(given) {
                Ok(Step::Proved(claim)) => return Ok(Stepped { tenant, claim, shut: None }),
                Ok(Step::Fetch(Fetch::Grant(secret))) => {
                    let grant = self.reader().await?.grant_by_secret(secret.id()).await?;
                    tenant = grant.as_ref().map_or(tenant, |grant| grant.tenant);
                    let stored = grant.map(|grant| (grant.id, grant.hash));
                    given = Given::Grant { stored, presented: self.inner.pepper.hash(secret) };
                }
                Ok(Step::Fetch(Fetch::Credential(secret))) => {
                    let credential = self.reader().await?.credential_by_secret(secret.id()).await?;
                    tenant = credential.as_ref().map_or(tenant, |credential| credential.tenant);
                    let stored =
                        credential.and_then(|credential| Some((credential.id, credential.kind.hash()?)));
                    given = Given::Credential { stored, presented: self.inner.pepper.hash(secret) };
                }
                Err(refusal) => {
                    let entitlement =
                        Entitlement::Grant { id: draw!(&*self.inner.ports), hash: SecretHash([0; 32]) };
                    let claim = Claim { method: evidence.method(), entitlement };
                    return Ok(Stepped { tenant, claim, shut: Some(refusal) });
                }
            }
        }
    }

    /// Whether the present key that the request names signed for the key of the CSR.
    async fn vouched(&self, tenant: TenantId, fields: &EnrollFields) -> Result<Vouched, Error> {
        let (Some((previous, signature)), Some(csr)) = (&fields.previous, &fields.csr) else {
            return Ok(Vouched::ByNobody);
        };
        let record = self.reader().await?.key(tenant, *previous).await?;
        let signed = [REKEY_CONTEXT, csr].concat();
        let holds = record.is_some_and(|record| verify_signature(&record.key, &signed, signature));
        Ok(if holds { Vouched::By(*previous) } else { Vouched::Wrongly })
    }

    /// What a proof by a present key that does not hold is told. A refusal comes first, as it would without the proof:
    /// a token that was good once must not be told from one that never was.
    async fn wrongly_vouched(&self, decision: &Enroll<S>, origin: &Origin) -> Error {
        match self.rehearse(decision).await {
            Ok(_nothing_is_written) => Error::field("previous", "is not signed by a key known here"),
            Err(Error::Refused(refusal)) => self.refuse(origin, ACTION, refusal).await,
            Err(error) => error,
        }
    }

    pub(crate) fn enrollment(
        &self,
        fields: EnrollFields,
        proved: Proved,
        named: Named,
        origin: &Origin,
    ) -> Enroll<S> {
        let Proved { tenant, claim, shut, key, verifier, vouched_by } = proved;
        let claimant = Claimant {
            key,
            verifier,
            hardware_id: fields.hardware_id,
            hostname: fields.hostname,
            kind: fields.kind,
            attributes: fields.attributes,
            source: origin.source,
            method: claim.method.parse().expect("a door's name is a code"),
        };
        let ports = &*self.inner.ports;
        let context = muster_lifecycle::Context { tenant, ..self.context(origin) };
        let fresh = Fresh {
            context,
            machine: draw!(ports),
            hold: draw!(ports),
            credential: draw!(ports),
            terms: self.terms(),
            accounts: self.wishes(),
        };
        let bearer = Bearer::new(self.inner.pepper.clone(), named.form, &claim, &claimant);
        let credential = match &claimant.key {
            Some(key) => CredentialKind::Certificate { key: key.fingerprint() },
            None => bearer.kind(fresh.credential),
        };
        let request =
            Request { claimant, claim, site: named.site, vouched_by, credential, shown: named.shown };
        Enroll { app: self.clone(), request, bearer, shut, fresh }
    }

    /// What is known of a machine, as decisions see it. Who holds a channel here is online, whatever is written.
    pub(crate) async fn known<R: Reads>(
        &self,
        reads: &mut R,
        machine: Machine,
        key: Option<muster_model::KeyRecord>,
    ) -> Result<Known, StoreError> {
        let written = reads.presence(machine.tenant, machine.id).await?;
        let credentials = reads.open_credentials(machine.tenant, machine.id).await?;
        let accounts = reads.accounts_of_machine(machine.tenant, machine.id).await?;
        let presence = self.presence_now(machine.id, written);
        Ok(Known { machine, key, presence, credentials, accounts })
    }

    /// Presence as it is now. A row that says online without a channel here was left by a server that stopped
    /// without a word: its machine counts as seen until this server's start.
    pub(crate) fn presence_now(&self, machine: muster_model::MachineId, written: Presence) -> Presence {
        let registry = &self.inner.registry;
        let beat = || registry.beat_heard(machine, self.now()).max(written.last_seen);
        match registry.last_heard(machine) {
            Some(heard) => Presence { last_seen: Some(heard), online: true },
            None if registry.beat_heard(machine, self.now()).is_some() => {
                Presence { last_seen: beat(), online: true }
            }
            None => written,
        }
    }
}

pub(crate) fn parse_evidence(fields: &EnrollFields) -> Result<Evidence, Error> {
    let parsed = Evidence::parse(&fields.method, &fields.evidence)
        .ok_or_else(|| Error::field("method", "is not a join method: GET /v1/join-methods lists them"))?;
    parsed.map_err(|error| {
        let path =
            if error.path.is_empty() { "evidence".to_owned() } else { format!("evidence.{}", error.path) };
        Error::field(path, error.message)
    })
}

/// What a door said in the end.
pub(crate) struct Stepped {
    pub(crate) tenant: TenantId,
    pub(crate) claim: Claim,
    /// Why the door stays shut, if it does.
    pub(crate) shut: Option<Refusal>,
}

/// What a wire adds to what the door takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    /// The site that the caller names beside its token.
    pub(crate) site: Option<SiteCode>,
    /// How its bearer key is written.
    pub(crate) form: SecretForm,
    /// A site's key that another server knew, shown here for the first time.
    pub(crate) shown: Option<ShownKey>,
}

/// Who signed for the key of the CSR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouched {
    ByNobody,
    By(KeyFingerprint),
    Wrongly,
}

impl Vouched {
    fn key(self) -> Option<KeyFingerprint> {
        match self {
            Self::By(key) => Some(key),
            Self::ByNobody | Self::Wrongly => None,
        }
    }
}

/// What is proved or drawn once a door has judged and the CSR holds.
pub(crate) struct Proved {
    pub(crate) tenant: TenantId,
    pub(crate) claim: Claim,
    pub(crate) shut: Option<Refusal>,
    pub(crate) key: Option<PublicKey>,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) vouched_by: Option<KeyFingerprint>,
}

pub(crate) struct Enroll<S> {
    app: App<S>,
    pub(crate) request: Request,
    /// Writes the bearer key of a caller without a key.
    bearer: Bearer,
    pub(crate) shut: Option<Refusal>,
    pub(crate) fresh: Fresh,
}

impl<S: Store> Enroll<S> {
    fn tenant(&self) -> TenantId {
        self.fresh.context.tenant
    }

    /// What the claim names: its grant, and the site it leads to.
    async fn load_way<R: Reads>(&self, reads: &mut R, facts: &mut Facts) -> Result<(), StoreError> {
        let tenant = self.tenant();
        match &self.request.claim.entitlement {
            Entitlement::Grant { id, .. } => {
                facts.grant = reads.grant(tenant, *id).await?;
                let Some(grant) = &facts.grant else { return Ok(()) };
                facts.site = reads.site(tenant, grant.site).await?;
                if let GrantKind::Machine(machine) = grant.kind {
                    facts.pending = reads.machine(tenant, machine).await?;
                    facts.pending_accounts = reads.accounts_of_machine(tenant, machine).await?;
                }
            }
            Entitlement::Credential { id, .. } => {
                let Some(credential) = reads.credential(tenant, *id).await? else { return Ok(()) };
                let Some(machine) = reads.machine(tenant, credential.machine).await? else { return Ok(()) };
                facts.site = reads.site(tenant, machine.site).await?;
                facts.by_credential = Some((credential, self.app.known(reads, machine, None).await?));
            }
            Entitlement::Nothing { site: Some(code) } => {
                facts.site = reads.site_by_code(tenant, code).await?;
            }
            Entitlement::Nothing { site: None } => facts.site = reads.only_site(tenant).await?,
        }
        if let Some(site) = &facts.site {
            let now = self.fresh.context.now;
            facts.site_use = reads.site_use(tenant, site.id, now).await?;
            if let (None, Some(source)) = (&facts.grant, self.request.claimant.source) {
                let from = reads.holds_from(tenant, site.id, network(source), now).await?;
                facts.site_use.from_network = from;
            }
        }
        Ok(())
    }

    async fn by_key<R: Reads>(
        &self,
        reads: &mut R,
        key: KeyFingerprint,
    ) -> Result<Option<Known>, StoreError> {
        let Some(record) = reads.key(self.tenant(), key).await? else { return Ok(None) };
        let Some(machine) = reads.machine(self.tenant(), record.machine).await? else { return Ok(None) };
        self.app.known(reads, machine, Some(record)).await.map(Some)
    }

    /// Who this might be: by key, by the key that vouches, by hardware, and by what it asked before.
    async fn load_identity<R: Reads>(&self, reads: &mut R, facts: &mut Facts) -> Result<(), StoreError> {
        let claimant = &self.request.claimant;
        let key = claimant.key.as_ref().map(PublicKey::fingerprint);
        if let Some(key) = key {
            facts.by_key = self.by_key(reads, key).await?;
            facts.holds = reads.holds_by_key(self.tenant(), key).await?;
        }
        if let Some(previous) = self.request.vouched_by {
            facts.by_previous = self.by_key(reads, previous).await?;
        }
        if let Some(id) = &claimant.hardware_id {
            if let Some(machine) = reads.machine_by_hardware(self.tenant(), id).await? {
                facts.about = reads.holds_about(self.tenant(), machine.id).await?;
                facts.by_hardware = Some(self.app.known(reads, machine, None).await?);
            }
            match claimant.verifier {
                Some(_) => facts.in_its_name = reads.hold_in_name(self.tenant(), id).await?,
                None if key.is_none() => {
                    facts.holds = reads.holds_by_hardware(self.tenant(), id).await?;
                    self.load_earlier(reads, facts).await?;
                }
                None => {}
            }
        }
        if let Some(verifier) = &claimant.verifier {
            facts.holds = reads.holds_by_verifier(self.tenant(), verifier).await?;
        }
        Ok(())
    }

    /// What a caller without a key may have been given before: the machine that a person let it in as, and a bearer key
    /// that was derived for just this caller.
    async fn load_earlier<R: Reads>(&self, reads: &mut R, facts: &mut Facts) -> Result<(), StoreError> {
        let grant = facts.grant.as_ref().map(|grant| grant.id);
        if let Some(HoldState::Approved { machine, .. }) =
            approval(&self.request, grant, &facts.holds).map(|hold| &hold.state)
            && let Some(machine) = reads.machine(self.tenant(), *machine).await?
        {
            facts.admitted = Some(self.app.known(reads, machine, None).await?);
        }
        let known = [&facts.by_hardware, &facts.admitted].into_iter().flatten();
        let mut open = known.flat_map(|known| &known.credentials);
        facts.derived = open.find(|credential| self.bearer.is(credential)).map(|credential| credential.id);
        Ok(())
    }
}

impl<S: Store> Decision for Enroll<S> {
    const NAME: &'static str = ACTION;
    type Facts = Facts;
    /// What was decided, and the site that the claim led to.
    type Outcome = (Outcome, Option<Site>);

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let mut facts = Facts::default();
        // A key before its machine, whatever names the machine: where a store locks what is read, no two of these wait
        // for each other.
        match self.request.claim.entitlement {
            Entitlement::Credential { .. } => {
                self.load_identity(reads, &mut facts).await?;
                self.load_way(reads, &mut facts).await?;
            }
            // Whoever is refused already learns nothing of what is known, not even by the time that a look takes.
            Entitlement::Grant { .. } | Entitlement::Nothing { .. } => {
                self.load_way(reads, &mut facts).await?;
                if self.shut.is_none() {
                    self.load_identity(reads, &mut facts).await?;
                }
            }
        }
        Ok(facts)
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Self::Outcome>, Refusal> {
        let site = facts.site.clone();
        let decided = decide(&self.request, facts, &self.fresh);
        match &self.shut {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(decided?.map(|outcome| (outcome, site))),
        }
    }
}

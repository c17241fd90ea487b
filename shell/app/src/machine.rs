//! Operators look at machines and act on them.

use muster_lifecycle::grant::NewGrant;
use muster_lifecycle::machine::{self, Facts, NewMachine, Revoked};
use muster_lifecycle::reap::Traces;
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered};
use muster_model::{
    CredentialId, GrantKind, KeyFingerprint, Labels, Machine, MachineId, MachineKind, Object, ReasonText,
    Refusal, RetireCause, Secret, SecretKind, SignedDuration, Site, SiteId, TenantId,
};
use muster_store::{Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::machine as wire;
use muster_wire::{ListQuery, Page};

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::ports::draw;
use crate::views;

pub(crate) const NAME_LEAVE: &str = "machine.leave";
/// Credentials shown with a machine.
const SHOWN: u32 = 50;

impl<S: Store> App<S> {
    /// A page of machines.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong filter, search or cursor; [`Refusal::NotFound`] for a site that there is none of.
    pub async fn machines(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Machine>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let asked = self.asked(tenant, query).await?;
        let binding = self.binding("machines", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let listed = self.found(tenant, &asked, page).await?;
        let items = listed.items.into_iter().map(|row| self.view(row)).collect();
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// One machine with its credentials.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn machine(&self, id: MachineId, origin: &Origin) -> Result<wire::MachineDetail, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        let row = reads.machine_row(tenant, id).await?.ok_or(Refusal::NotFound { what: "machine" })?;
        let credentials = reads.credentials(tenant, id, SHOWN).await?;
        let accounts = reads.accounts_of_machine(tenant, id).await?;
        let keys = reads.keys_of_machine(tenant, id).await?;
        drop(reads);
        let (now, key_life) = (self.now(), self.inner.settings.terms.key_life);
        let issued = credentials.iter().map(|credential| credential.not_before).max();
        let mut presence = row.presence;
        presence.online |= self.inner.registry.holder(id).is_some();
        let silence = self.silence_of(&row.machine, Traces { presence, issued }).await?;
        Ok(wire::MachineDetail {
            silence,
            words: muster_wire::words(row.machine.key),
            rotation: views::rotation(&row.machine, &keys, key_life, now),
            machine: self.view(row),
            keys: keys.iter().map(views::key).collect(),
            credentials: credentials.iter().map(|credential| views::credential(credential, now)).collect(),
            accounts: accounts.iter().map(Into::into).collect(),
        })
    }

    /// One machine.
    pub(crate) async fn machine_view(&self, tenant: TenantId, id: MachineId) -> Result<wire::Machine, Error> {
        let row = self.reader().await?.machine_row(tenant, id).await?;
        Ok(self.view(row.ok_or(Refusal::NotFound { what: "machine" })?))
    }

    /// Pauses a machine.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn suspend(
        &self,
        id: MachineId,
        reason: Option<ReasonText>,
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        self.act(id, origin, "machine.suspend", move |facts, context| {
            machine::suspend(facts, reason.clone(), context)
        })
        .await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn resume(
        &self,
        id: MachineId,
        reason: Option<ReasonText>,
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        self.act(id, origin, "machine.resume", move |facts, context| {
            machine::resume(facts, reason.clone(), context)
        })
        .await
    }

    /// Ends a machine.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn retire(
        &self,
        id: MachineId,
        reason: Option<ReasonText>,
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        let act = MachineAct::new(self, id, origin, "machine.retire", move |facts, context| {
            machine::retire(facts, RetireCause::Operator(reason.clone()), context)
        });
        let act = act.with_keys(self.keys_of(id, origin).await?);
        let machine = self.settle(origin, act).await?;
        self.machine_view(machine.tenant, machine.id).await
    }

    /// Ends one credential of a machine, or all; or tells what would end.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn revoke(
        &self,
        id: MachineId,
        only: Option<CredentialId>,
        reason: Option<ReasonText>,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<wire::Revoked, Error> {
        let act = MachineAct::new(self, id, origin, "machine.revoke", move |facts, context| {
            machine::revoke(facts, only, reason.clone(), context)
        });
        let act = act.with_keys(self.keys_of(id, origin).await?);
        let revoked: Revoked = match dry_run {
            true => self.rehearse(&act).await?,
            false => self.settle(origin, act).await?,
        };
        Ok(wire::Revoked {
            machine: self.machine_view(self.tenant_of(&origin.caller), id).await?,
            credentials: revoked.credentials.iter().map(ToString::to_string).collect(),
            dry_run,
        })
    }

    /// Decides without writing: the same function over the same facts, so that the answer is the effect.
    pub(crate) async fn rehearse<D: Decision>(&self, decision: &D) -> Result<D::Outcome, Error> {
        let mut reads = self.reader().await?;
        let facts = decision.load(&mut reads).await?;
        Ok(decision.decide(facts)?.into_parts().0)
    }

    async fn act<F>(
        &self,
        id: MachineId,
        origin: &Origin,
        name: &'static str,
        decide: F,
    ) -> Result<wire::Machine, Error>
    where
        F: Fn(Facts, &Context) -> Result<Plan<Machine>, Refusal> + Send + Sync + 'static,
    {
        let machine = self.settle(origin, MachineAct::new(self, id, origin, name, decide)).await?;
        self.machine_view(machine.tenant, machine.id).await
    }

    /// Makes a pending machine and the invite that only it can use.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for the site, [`Refusal::NameTaken`] for the hardware,
    /// [`Refusal::IdempotencyMismatch`].
    pub async fn create_machine(
        &self,
        request: wire::CreateMachine,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::CreatedMachine, Error> {
        self.create_with_token(request, idempotency_key, origin).await.map(|(created, _)| created)
    }

    /// The same, with the token that is in the invite.
    pub(crate) async fn create_with_token(
        &self,
        request: wire::CreateMachine,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<(wire::CreatedMachine, Secret), Error> {
        let asked = format!("machine.create {request:?}");
        let fields = wire::CreateMachineFields::try_from(request)?;
        let tenant = self.tenant_of(&origin.caller);
        let site = self.site_named(tenant, fields.site.as_ref()).await?;
        let mark = self.mark(origin, idempotency_key, &asked);
        let secret = self.secret(SecretKind::Enroll, mark.as_ref());
        let context = self.context(origin);
        let new = self.new_machine(fields, &secret);
        let decision = CreateMachine { new, site: site.id, mark, context };
        let (machine, expires_at) = self.settle(origin, decision).await?;
        let created = wire::CreatedMachine {
            machine: self.machine_view(tenant, machine.id).await?,
            invite: self.invite(secret.clone()).reveal(),
            expires_at,
        };
        Ok((created, secret))
    }

    fn new_machine(&self, fields: wire::CreateMachineFields, secret: &Secret) -> NewMachine {
        let id: MachineId = draw!(&*self.inner.ports);
        let mut grant = self.machine_grant(GrantKind::Machine(id), fields.kind, secret, fields.expires_in);
        (grant.labels, grant.role) = (fields.labels.clone(), fields.role.clone());
        NewMachine {
            id,
            name: fields.name,
            kind: fields.kind,
            hardware_id: fields.hardware_id,
            role: fields.role,
            labels: fields.labels,
            grant,
        }
    }

    /// A grant for one machine, once.
    pub(crate) fn machine_grant(
        &self,
        kind: GrantKind,
        machine_kind: MachineKind,
        secret: &Secret,
        expires_in: u32,
    ) -> NewGrant {
        NewGrant {
            id: draw!(&*self.inner.ports),
            kind,
            secret: secret.id(),
            hash: self.inner.pepper.hash(secret),
            uses: Some(1),
            expires_at: Some(self.now() + SignedDuration::from_secs(i64::from(expires_in))),
            labels: Labels::default(),
            role: None,
            machine_kind: Some(machine_kind),
            approval: false,
        }
    }

    /// Sets a label of a machine, or takes it away where no value is given.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Error::Malformed`] for a label that cannot stand.
    pub async fn set_label(
        &self,
        id: MachineId,
        label: (&str, Option<&str>),
        origin: &Origin,
    ) -> Result<wire::Machine, Error> {
        let (key, value) = label;
        if let Err(wrong) = Labels::new([(key, value.unwrap_or_default())]) {
            let (_, error) = wrong.into_iter().next().expect("one is wrong");
            return Err(Error::field("label", error));
        }
        let (key, value) = (key.trim().to_owned(), value.map(ToOwned::to_owned));
        self.act(id, origin, "machine.relabel", move |facts, context| {
            let present = facts.machine.as_ref().map(|machine| machine.labels.clone()).unwrap_or_default();
            let others = present.iter().filter(|(other, _)| *other != key);
            let set = value.iter().map(|value| (key.as_str(), value.as_str()));
            let full = Refusal::WrongState { verb: "relabel", state: "full" };
            machine::relabel(facts, Labels::new(others.chain(set)).or(Err(full))?, context)
        })
        .await
    }
}

/// An act on one machine, by a plain function of what is known of it.
pub(crate) struct MachineAct<F> {
    action: &'static str,
    pub(crate) machine: MachineId,
    /// Keys of it: what they asked for, and waits for a person, is among the facts.
    keys: Vec<KeyFingerprint>,
    pub(crate) context: Context,
    decide: F,
}

impl<F, O> MachineAct<F>
where
    F: Fn(Facts, &Context) -> Result<Plan<O>, Refusal> + Send + Sync + 'static,
{
    pub(crate) fn new<S: Store>(
        app: &App<S>,
        machine: MachineId,
        origin: &Origin,
        action: &'static str,
        decide: F,
    ) -> Self {
        Self { action, machine, keys: Vec::new(), context: app.context(origin), decide }
    }

    /// The same with what these keys asked for.
    pub(crate) fn with_keys(self, keys: Vec<KeyFingerprint>) -> Self {
        Self { keys, ..self }
    }
}

impl<F, O> Decision for MachineAct<F>
where
    F: Fn(Facts, &Context) -> Result<Plan<O>, Refusal> + Send + Sync + 'static,
    O: Send + 'static,
{
    const NAME: &'static str = "machine.act";
    type Facts = Facts;
    type Outcome = O;

    fn action(&self) -> &'static str {
        self.action
    }

    fn object(&self) -> Object {
        Object::Machine(self.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let tenant = self.context.tenant;
        // Keys before their machine, as whoever enrolls reads them: where a store locks what is read, nobody waits in a circle.
        let mut holds = Vec::new();
        for key in &self.keys {
            holds.extend(reads.holds_by_key(tenant, *key).await?);
        }
        Ok(Facts {
            holds,
            machine: reads.machine(tenant, self.machine).await?,
            keys: reads.keys_of_machine(tenant, self.machine).await?,
            credentials: reads.open_credentials(tenant, self.machine).await?,
            grants: reads.grants_of_machine(tenant, self.machine).await?,
            agent: reads.software_agent(tenant, self.machine).await?,
            accounts: reads.accounts_of_machine(tenant, self.machine).await?,
        })
    }

    fn decide(&self, facts: Facts) -> Result<Plan<O>, Refusal> {
        (self.decide)(facts, &self.context)
    }
}

struct CreateMachine {
    new: NewMachine,
    site: SiteId,
    mark: Option<Mark>,
    context: Context,
}

struct CreateFacts {
    remembered: Option<Remembered>,
    earlier: Option<(Machine, Option<muster_model::Timestamp>)>,
    site: Option<Site>,
    by_hardware: Option<Machine>,
}

impl Decision for CreateMachine {
    const NAME: &'static str = "machine.create";
    type Facts = CreateFacts;
    type Outcome = (Machine, muster_model::Timestamp);

    fn object(&self) -> Object {
        Object::Site(self.site)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<CreateFacts, StoreError> {
        let tenant = self.context.tenant;
        let derived = Some(self.new.grant.secret);
        let remembered = recalled(reads, tenant, self.mark.as_ref(), derived).await?;
        let earlier = match remembered.as_ref().and_then(|known| known.object.parse().ok()) {
            Some(id) => {
                let end =
                    reads.grants_of_machine(tenant, id).await?.first().and_then(|grant| grant.expires_at);
                reads.machine(tenant, id).await?.map(|machine| (machine, end))
            }
            None => None,
        };
        let by_hardware = match &self.new.hardware_id {
            Some(id) => reads.machine_by_hardware(tenant, id).await?,
            None => None,
        };
        Ok(CreateFacts { remembered, earlier, site: reads.site(tenant, self.site).await?, by_hardware })
    }

    fn decide(&self, facts: CreateFacts) -> Result<Plan<Self::Outcome>, Refusal> {
        let end = self.new.grant.expires_at.unwrap_or(self.context.now);
        if repeat::earlier(self.mark.as_ref(), facts.remembered.as_ref())?.is_some() {
            let (machine, earlier_end) = facts.earlier.ok_or(Refusal::NotFound { what: "machine" })?;
            return Ok(Plan::unchanged((machine, earlier_end.unwrap_or(end))));
        }
        let plan = machine::create(self.new.clone(), facts.site, facts.by_hardware.as_ref(), &self.context)?;
        let object = self.new.id.to_string();
        Ok(repeat::remember(plan, self.mark.as_ref(), object, &self.context).map(|machine| (machine, end)))
    }
}

//! What is read for an act on a software agent, and the plain function that decides.

use muster_lifecycle::account::{Candidate, Wish};
use muster_lifecycle::agent::{self, Accounts, Engaged, Facts, NewAgent, NewBearer, Reach, Room};
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered, Terms, machine};
use muster_model::{
    AccountName, Machine, MachineId, Nick, Object, ProvisionerName, Refusal, SiteId, SoftwareAgent, TenantId,
};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;

/// Everything of an agent and its machine.
async fn facts_of<R: Reads + Unscoped>(
    reads: &mut R,
    tenant: TenantId,
    agent: SoftwareAgent,
) -> Result<Facts, StoreError> {
    let machine = agent.machine;
    let of_machine = machine::Facts {
        machine: reads.machine(tenant, machine).await?,
        keys: reads.keys_of_machine(tenant, machine).await?,
        credentials: reads.open_credentials(tenant, machine).await?,
        grants: reads.grants_of_machine(tenant, machine).await?,
        agent: Some(agent.clone()),
        accounts: reads.accounts_of_machine(tenant, machine).await?,
        // It has no key that could have asked for anything.
        holds: Vec::new(),
    };
    Ok(Facts { of_machine, version: reads.engagement(tenant, machine, agent.version).await? })
}

async fn by_nick<R: Reads + Unscoped>(
    reads: &mut R,
    tenant: TenantId,
    nick: &Nick,
) -> Result<Facts, StoreError> {
    match reads.agent_by_nick(tenant, nick).await? {
        Some(agent) => facts_of(reads, tenant, agent).await,
        None => Ok(Facts::default()),
    }
}

/// Who gives software agents accounts in other systems.
pub(super) struct Serving {
    pub(super) wishes: Vec<Wish>,
    pub(super) order: Vec<ProvisionerName>,
}

impl Serving {
    /// What there is for an agent of this nick.
    async fn accounts<R: Reads + Unscoped>(
        &self,
        reads: &mut R,
        tenant: TenantId,
        nick: &Nick,
    ) -> Result<Accounts, StoreError> {
        let mut candidates = Vec::with_capacity(self.wishes.len());
        let name: Option<AccountName> = nick.as_str().parse().ok();
        for (wish, name) in self.wishes.iter().zip(std::iter::repeat(name.as_ref()).flatten()) {
            let named = match reads.account_named(tenant, &wish.rule.provisioner, name).await? {
                Some(account) => {
                    reads.machine(tenant, account.machine).await?.map(|holder| (account, holder))
                }
                None => None,
            };
            candidates.push(Candidate { wish: wish.clone(), named });
        }
        Ok(Accounts { candidates, order: self.order.clone() })
    }

    /// The same, with the site of the machine.
    async fn room<R: Reads + Unscoped>(
        &self,
        reads: &mut R,
        tenant: TenantId,
        nick: &Nick,
        machine: Option<&Machine>,
    ) -> Result<Room, StoreError> {
        let site = match machine {
            Some(machine) => reads.site(tenant, machine.site).await?,
            None => None,
        };
        Ok(Room { holder: None, site, accounts: self.accounts(reads, tenant, nick).await? })
    }
}

fn engaged(facts: Facts) -> Result<Engaged, Refusal> {
    let Facts { of_machine: machine::Facts { machine, agent, accounts, .. }, version } = facts;
    let known = machine.zip(agent).zip(version);
    let ((machine, agent), version) = known.ok_or(Refusal::NotFound { what: "agent" })?;
    Ok(Engaged { agent, version, machine, accounts })
}

pub(super) struct RegisterAgent {
    pub(super) new: NewAgent,
    pub(super) site: SiteId,
    pub(super) reach: Reach,
    pub(super) mark: Option<Mark>,
    pub(super) serving: Serving,
    pub(super) context: Context,
    pub(super) terms: Terms,
}

pub(super) struct RegisterFacts {
    remembered: Option<Remembered>,
    earlier: Facts,
    room: Room,
}

impl Decision for RegisterAgent {
    const NAME: &'static str = "agent.register";
    type Facts = RegisterFacts;
    type Outcome = Engaged;

    fn action(&self) -> &'static str {
        if self.new.credential.is_some() { Self::NAME } else { "agent.adopt" }
    }

    fn object(&self) -> Object {
        Object::Site(self.site)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<RegisterFacts, StoreError> {
        let tenant = self.context.tenant;
        let derived = self.new.credential.map(|bearer| bearer.secret);
        let remembered = recalled(reads, tenant, self.mark.as_ref(), derived).await?;
        let holder = reads.agent_by_nick(tenant, &self.new.nick).await?;
        let earlier: Option<MachineId> = remembered.as_ref().and_then(|known| known.object.parse().ok());
        let earlier = match earlier {
            Some(id) => reads.software_agent(tenant, id).await?,
            None => None,
        };
        Ok(RegisterFacts {
            remembered,
            earlier: match earlier {
                Some(agent) => facts_of(reads, tenant, agent).await?,
                None => Facts::default(),
            },
            room: Room {
                holder: match holder {
                    Some(holder) => reads.machine(tenant, holder.machine).await?,
                    None => None,
                },
                site: reads.site(tenant, self.site).await?,
                accounts: self.serving.accounts(reads, tenant, &self.new.nick).await?,
            },
        })
    }

    fn decide(&self, facts: RegisterFacts) -> Result<Plan<Engaged>, Refusal> {
        let RegisterFacts { remembered, earlier, room } = facts;
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return engaged(earlier).map(Plan::unchanged);
        }
        let new = self.new.clone();
        let plan = agent::register(new, room, &self.reach, &self.context, &self.terms)?;
        let object = self.new.machine.to_string();
        Ok(repeat::remember(plan, self.mark.as_ref(), object, &self.context))
    }
}

pub(super) struct RotateAgent {
    pub(super) nick: Nick,
    pub(super) bearer: NewBearer,
    pub(super) reach: Reach,
    pub(super) mark: Option<Mark>,
    pub(super) serving: Serving,
    pub(super) context: Context,
    pub(super) terms: Terms,
}

impl Decision for RotateAgent {
    const NAME: &'static str = "agent.rotate";
    type Facts = (Option<Remembered>, Facts, Room);
    type Outcome = Engaged;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let remembered = recalled(reads, tenant, self.mark.as_ref(), Some(self.bearer.secret)).await?;
        let facts = by_nick(reads, tenant, &self.nick).await?;
        let room = self.serving.room(reads, tenant, &self.nick, facts.of_machine.machine.as_ref()).await?;
        Ok((remembered, facts, room))
    }

    fn decide(&self, (remembered, facts, room): Self::Facts) -> Result<Plan<Engaged>, Refusal> {
        let plan = agent::rotate(facts.clone(), self.bearer, room, &self.reach, &self.context, &self.terms)?;
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return engaged(facts).map(Plan::unchanged);
        }
        let object = plan.outcome().machine.id.to_string();
        Ok(repeat::remember(plan, self.mark.as_ref(), object, &self.context))
    }
}

/// An act on the agent that holds a nick.
pub(super) struct AgentAct<F> {
    action: &'static str,
    nick: Nick,
    context: Context,
    decide: F,
}

impl<F, O> AgentAct<F>
where
    F: Fn(Facts, &Context) -> Result<Plan<O>, Refusal> + Send + Sync + 'static,
{
    pub(super) fn new<S: Store>(
        app: &App<S>,
        nick: Nick,
        origin: &Origin,
        action: &'static str,
        decide: F,
    ) -> Self {
        Self { action, nick, context: app.context(origin), decide }
    }
}

impl<F, O> Decision for AgentAct<F>
where
    F: Fn(Facts, &Context) -> Result<Plan<O>, Refusal> + Send + Sync + 'static,
    O: Send + 'static,
{
    const NAME: &'static str = "agent.act";
    type Facts = Facts;
    type Outcome = O;

    fn action(&self) -> &'static str {
        self.action
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        by_nick(reads, self.context.tenant, &self.nick).await
    }

    fn decide(&self, facts: Facts) -> Result<Plan<O>, Refusal> {
        (self.decide)(facts, &self.context)
    }
}

/// Gives a machine its first engagement.
pub(super) struct SetNew {
    pub(super) new: NewAgent,
    pub(super) serving: Serving,
    pub(super) context: Context,
}

impl Decision for SetNew {
    const NAME: &'static str = "agent.engage";
    type Facts = (Option<Machine>, Room, Option<SoftwareAgent>);
    type Outcome = Engaged;

    fn object(&self) -> Object {
        Object::Machine(self.new.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let holder = match reads.agent_by_nick(tenant, &self.new.nick).await? {
            Some(holder) => reads.machine(tenant, holder.machine).await?,
            None => None,
        };
        let machine = reads.machine(tenant, self.new.machine).await?;
        let room = self.serving.room(reads, tenant, &self.new.nick, machine.as_ref()).await?;
        let room = Room { holder, ..room };
        Ok((machine, room, reads.software_agent(tenant, self.new.machine).await?))
    }

    fn decide(&self, (machine, room, agent): Self::Facts) -> Result<Plan<Engaged>, Refusal> {
        if agent.is_some() {
            return Err(Refusal::NameTaken { what: "agent" });
        }
        agent::engage(self.new.clone(), machine, room, &self.context)
    }
}

pub(super) struct FreeNick {
    pub(super) nick: Nick,
    pub(super) context: Context,
}

impl Decision for FreeNick {
    const NAME: &'static str = "agent.free_nick";
    type Facts = (Option<SoftwareAgent>, Option<Machine>);
    type Outcome = SoftwareAgent;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let agent = reads.agent_by_nick(tenant, &self.nick).await?;
        let machine = match &agent {
            Some(agent) => reads.machine(tenant, agent.machine).await?,
            None => None,
        };
        Ok((agent, machine))
    }

    fn decide(&self, (agent, machine): Self::Facts) -> Result<Plan<SoftwareAgent>, Refusal> {
        agent::free(agent, machine.as_ref(), &self.context)
    }
}

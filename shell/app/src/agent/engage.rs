//! What software agents are to do: the registry of them, their engagements version by version, and what a change would lead to.

use muster_lifecycle::agent::{self, Engage, Engaged, NewAgent, Wish};
use muster_model::{
    AgentRole, MachineId, MachineState, Nick, Refusal, SoftwareAgent, SuspendCause, Suspended, TenantId,
};
use muster_store::{Decision, Lists, Reads, Store};
use muster_wire::engagement as wire;
use muster_wire::{ListQuery, Page};

use super::AgentSeen;
use super::decisions::{AgentAct, FreeNick, SetNew};
use super::view::hash;
use crate::App;
use crate::caller::Origin;
use crate::error::Error;

impl<S: Store> App<S> {
    /// A page of the software agents within reach that are not retired.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong cursor.
    pub async fn software_agents(
        &self,
        query: &ListQuery,
        origin: &Origin,
    ) -> Result<Page<wire::ListedAgent>, Error> {
        let (tenant, reach) = (self.tenant_of(&origin.caller), self.reach(&origin.caller));
        let binding = self.binding("engagements", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let mut reads = self.reader().await?;
        let listed = reads.software_agents(tenant, page).await?;
        let mut items = Vec::with_capacity(listed.items.len());
        for row in listed.items.into_iter().filter(|row| reach.holds(&row.agent)) {
            let accounts = reads.accounts_of_machine(tenant, row.agent.machine).await?;
            let state = standing(&row.machine.state);
            items.push(listed_agent(self.seen(row), state, &accounts));
        }
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// One version of a machine's engagement, and what is different from the one before.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn engagement_written(
        &self,
        machine: MachineId,
        query: &wire::WrittenQuery,
        origin: &Origin,
    ) -> Result<wire::WrittenEngagement, Error> {
        let (tenant, missing) = (self.tenant_of(&origin.caller), Refusal::NotFound { what: "engagement" });
        let mut reads = self.reader().await?;
        if reads.machine(tenant, machine).await?.is_none() {
            return Err(Refusal::NotFound { what: "machine" }.into());
        }
        let version = match query.version {
            Some(version) => version,
            None => reads.software_agent(tenant, machine).await?.ok_or(missing.clone())?.version,
        };
        let written = reads.engagement(tenant, machine, version).await?.ok_or(missing)?;
        let before = match version.checked_sub(1) {
            Some(before) => reads.engagement(tenant, machine, before).await?,
            None => None,
        };
        let before = before.map(|before| before.engagement.terms().clone()).unwrap_or_default();
        Ok(wire::WrittenEngagement {
            version,
            differences: wire::Difference::of_terms(&before, written.engagement.terms()),
            engagement: written.engagement.terms().clone(),
            author: written.author.to_string(),
            at: written.at,
            acknowledged_at: written.acknowledged_at,
        })
    }

    /// What setting an engagement would lead to; nothing is changed.
    ///
    /// # Errors
    /// Those of [`Self::set_engagement`].
    pub async fn preview_engagement(
        &self,
        machine: MachineId,
        request: wire::SetEngagement,
        origin: &Origin,
    ) -> Result<wire::EngagementPreview, Error> {
        let fields = wire::SetEngagementFields::try_from(request)?;
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        let known = reads.software_agent(tenant, machine).await?;
        let present = match &known {
            Some(agent) => reads.engagement(tenant, machine, agent.version).await?,
            None => None,
        };
        drop(reads);
        let terms = present.map(|version| version.engagement.terms().clone()).unwrap_or_default();
        let engaged = match known.clone() {
            Some(agent) => self.rehearse(&self.change_of(agent, fields, origin)?).await?,
            None => self.rehearse(&self.first_of(tenant, machine, fields, origin).await?).await?,
        };
        let before = known.as_ref().unwrap_or(&engaged.agent);
        let after = (&engaged.agent, engaged.version.engagement.terms());
        let differences = wire::Difference::between((before, &terms), after);
        Ok(wire::EngagementPreview { version: engaged.agent.version, differences })
    }

    /// The engagement of a machine in force, with both signatures.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Error::Malformed`] for an audience that cannot be.
    pub async fn engagement(
        &self,
        machine: MachineId,
        query: &wire::EngagementQuery,
        origin: &Origin,
    ) -> Result<wire::EngagedAgent, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        if reads.machine(tenant, machine).await?.is_none() {
            return Err(Refusal::NotFound { what: "machine" }.into());
        }
        let missing = Refusal::NotFound { what: "engagement" };
        let agent = reads.software_agent(tenant, machine).await?.ok_or(missing.clone())?;
        let version = reads.engagement(tenant, machine, agent.version).await?.ok_or(missing)?;
        drop(reads);
        self.signed(&agent, &version, query.audience.as_deref())
    }

    /// Sets the engagement of a machine: its first, or one version more.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NotFound`], [`Refusal::WrongKind`], [`Refusal::NameTaken`],
    /// [`Refusal::NickBarred`].
    pub async fn set_engagement(
        &self,
        machine: MachineId,
        request: wire::SetEngagement,
        origin: &Origin,
    ) -> Result<wire::EngagedAgent, Error> {
        let fields = wire::SetEngagementFields::try_from(request)?;
        let tenant = self.tenant_of(&origin.caller);
        let known = self.reader().await?.software_agent(tenant, machine).await?;
        let engaged = match known {
            Some(agent) => self.settle(origin, self.change_of(agent, fields, origin)?).await?,
            None => self.settle(origin, self.first_of(tenant, machine, fields, origin).await?).await?,
        };
        self.signed(&engaged.agent, &engaged.version, None)
    }

    /// Notes that the agent that calls goes by its engagement.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for what is no agent; [`Refusal::WrongState`] for anything but what is in force.
    pub async fn acknowledge_engagement(
        &self,
        request: wire::AcknowledgeEngagement,
        origin: &Origin,
    ) -> Result<wire::EngagedAgent, Error> {
        let caller = origin.caller.machine()?;
        let agent = self.reader().await?.software_agent(caller.tenant, caller.machine).await?;
        let agent = agent.ok_or(Refusal::NotFound { what: "engagement" })?;
        let decide = move |facts, context: &_| {
            let is_it = |version: &_| hash(version) == request.hash;
            agent::acknowledge(facts, request.version, is_it, context)
        };
        let act = AgentAct::new(self, agent.nick, origin, "agent.acknowledge", decide);
        let engaged = self.settle(origin, act).await?;
        self.signed(&engaged.agent, &engaged.version, None)
    }

    fn change_of(
        &self,
        agent: SoftwareAgent,
        fields: wire::SetEngagementFields,
        origin: &Origin,
    ) -> Result<impl Decision<Outcome = Engaged> + use<S>, Error> {
        if fields.nick.as_ref().is_some_and(|nick| *nick != agent.nick) {
            return Err(Error::field("nick", "cannot be changed: it is the agent's for ever"));
        }
        let reach = self.reach(&origin.caller);
        let wish = Wish {
            role: fields.role,
            team: fields.team,
            skills: fields.skills,
            engagement: fields.engagement.map_or(Engage::Keep, Engage::Replace),
        };
        let decide = move |facts, context: &_| agent::change(facts, &wish, &reach, context);
        Ok(AgentAct::new(self, agent.nick, origin, "agent.engage", decide))
    }

    async fn first_of(
        &self,
        tenant: TenantId,
        machine: MachineId,
        fields: wire::SetEngagementFields,
        origin: &Origin,
    ) -> Result<SetNew, Error> {
        if self.reader().await?.machine(tenant, machine).await?.is_none() {
            return Err(Refusal::NotFound { what: "machine" }.into());
        }
        let nick = fields.nick.ok_or_else(|| Error::field("nick", "is needed: the machine has none yet"))?;
        let new = NewAgent {
            machine,
            nick,
            role: fields.role.unwrap_or(AgentRole::Worker),
            team: fields.team.flatten(),
            skills: fields.skills.unwrap_or_default(),
            engagement: fields.engagement.unwrap_or_default(),
            credential: None,
        };
        Ok(SetNew { new, serving: self.serving(), context: self.context(origin) })
    }

    /// Allows the nick of an agent that was revoked to be registered again.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NotFound`], [`Refusal::WrongState`] while a living agent holds it.
    pub async fn free_nick(
        &self,
        request: &wire::FreeNick,
        origin: &Origin,
    ) -> Result<wire::FreedNick, Error> {
        let nick: Nick = request.nick.parse().map_err(|error| Error::field("nick", error))?;
        let freed = self.settle(origin, FreeNick { nick, context: self.context(origin) }).await?;
        Ok(wire::FreedNick {
            nick: freed.nick.to_string(),
            machine: freed.machine.to_string(),
            freed_at: freed.freed_at.unwrap_or(self.now()),
        })
    }
}

fn listed_agent(
    seen: AgentSeen,
    state: &'static str,
    accounts: &[muster_model::Account],
) -> wire::ListedAgent {
    let AgentSeen { agent, engagement, acknowledged_at, last_seen, online, .. } = seen;
    wire::ListedAgent {
        machine: agent.machine.to_string(),
        nick: agent.nick.to_string(),
        role: agent.role.as_str().to_owned(),
        team: agent.team.as_ref().map(ToString::to_string),
        skills: agent.skills.iter().map(ToString::to_string).collect(),
        state: state.to_owned(),
        online,
        last_seen,
        version: agent.version,
        acknowledged_at,
        engagement,
        accounts: accounts.iter().map(muster_wire::account::Account::from).collect(),
    }
}

/// As it is told of a software agent: one that was revoked does not come back by itself.
fn standing(state: &MachineState) -> &'static str {
    match state {
        MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. }) => "revoked",
        state => state.as_str(),
    }
}

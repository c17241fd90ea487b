//! Software agents: registering and adopting them, rotating what they show, changing what they are to do, ending them.
//!
//! An agent is named by its nick here and by its machine elsewhere. What it shows is the passphrase of its account in another
//! system where it has one, else a bearer key of its machine. Nothing is done in the other system here: the order is written
//! with the change, and nobody waits for it.

mod decisions;
mod engage;
mod view;

use muster_lifecycle::agent::{self, Engage, Engaged, NewAgent, NewBearer, Reach, Wish};
use muster_model::engagement::Amendment;
use muster_model::text::{Skill, Team};
use muster_model::{
    AgentRole, Engagement, Nick, OperatorRole, Refusal, Scope, Secret, SecretKind, SoftwareAgent,
};
use muster_store::{Lists, PageRequest, PresenceNote, Reads, Store};

use crate::App;
use crate::caller::{Caller, Origin};
use crate::error::Error;
use crate::ports::draw;
use decisions::{AgentAct, RegisterAgent, RotateAgent, Serving};
pub use view::{AgentSeen, RegisteredAgent};

/// So many agents are read at a time.
const PAGE: u32 = 1000;
/// The most of what an agent says when it is blocked, in characters.
const MAX_SAID: usize = 500;

/// A software agent to be registered, checked.
#[derive(Debug, Clone)]
pub struct WishedAgent {
    /// Its nick.
    pub nick: Nick,
    /// What it is to the others.
    pub role: AgentRole,
    /// Its team.
    pub team: Option<Team>,
    /// What it can do.
    pub skills: Vec<Skill>,
    /// What it is to do.
    pub engagement: Engagement,
}

impl<S: Store> App<S> {
    /// How far a caller reaches among software agents.
    pub(crate) fn reach(&self, caller: &Caller) -> Reach {
        let shared = self.inner.settings.agents.shared_channels.clone();
        let Caller::Operator(operator) = caller else { return Reach { shared, ..Reach::default() } };
        let scope = operator.scope.as_ref();
        let is_admin = scope.is_none_or(|scope| scope.scopes.allow(Scope::Admin));
        Reach {
            team: scope.and_then(|scope| scope.team.clone()),
            shared,
            operators: is_admin && operator.role == OperatorRole::Admin,
        }
    }

    /// Registers a software agent and gives it what it shows: the passphrase of its account in another system, else a bearer
    /// key; or, where it shows something already, takes it as it is.
    ///
    /// # Errors
    /// [`Refusal::NameTaken`], [`Refusal::NickBarred`], [`Refusal::OutsideTeam`], [`Refusal::ScopeMissing`],
    /// [`Refusal::AccountForeign`], [`Refusal::IdempotencyMismatch`]; a wrong field where there are several sites and none is configured.
    pub async fn register_agent(
        &self,
        wished: WishedAgent,
        adopted: bool,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<RegisteredAgent, Error> {
        let asked = format!("agent.register {adopted} {wished:?}");
        let mark = self.mark(origin, idempotency_key, &asked);
        let secret = (!adopted).then(|| self.secret(SecretKind::Bearer, mark.as_ref()));
        let context = self.context(origin);
        let site = self.site_named(context.tenant, self.inner.settings.agents.site.as_ref()).await?.id;
        let new = NewAgent {
            machine: draw!(&*self.inner.ports),
            nick: wished.nick,
            role: wished.role,
            team: wished.team,
            skills: wished.skills,
            engagement: wished.engagement,
            credential: secret.as_ref().map(|secret| self.bearer(secret)),
        };
        let reach = self.reach(&origin.caller);
        let serving = self.serving();
        let decision = RegisterAgent { new, site, reach, mark, serving, context, terms: self.terms() };
        let engaged = self.settle(origin, decision).await?;
        self.heard_of(&engaged.agent);
        self.provision_at_once(&engaged.accounts).await;
        Ok(self.registered(&engaged, secret.map(|secret| self.shown_by(&engaged, &secret))))
    }

    /// Who gives software agents accounts in other systems.
    fn serving(&self) -> Serving {
        Serving { wishes: self.wishes(), order: self.provisioners().names().cloned().collect() }
    }

    /// What an agent shows: the passphrase of its account, or the bearer key where it has none.
    fn shown_by(&self, engaged: &Engaged, bearer: &Secret) -> String {
        self.told_passphrase(&engaged.accounts).unwrap_or_else(|| bearer.reveal())
    }

    fn bearer(&self, secret: &Secret) -> NewBearer {
        NewBearer { id: draw!(&*self.inner.ports), secret: secret.id(), hash: self.inner.pepper.hash(secret) }
    }

    /// Something else to show in the place of all that an agent had.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for one that is over or out of reach, [`Refusal::WrongState`], [`Refusal::AccountForeign`],
    /// [`Refusal::IdempotencyMismatch`].
    pub async fn rotate_agent(
        &self,
        nick: Nick,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<RegisteredAgent, Error> {
        let mark = self.mark(origin, idempotency_key, &format!("agent.rotate {}", nick.folded()));
        let secret = self.secret(SecretKind::Bearer, mark.as_ref());
        let (reach, context) = (self.reach(&origin.caller), self.context(origin));
        let (bearer, serving) = (self.bearer(&secret), self.serving());
        let decision = RotateAgent { nick, bearer, reach, mark, serving, context, terms: self.terms() };
        let engaged = self.settle(origin, decision).await?;
        self.provision_at_once(&engaged.accounts).await;
        Ok(self.registered(&engaged, Some(self.shown_by(&engaged, &secret))))
    }

    /// Revokes an agent. Asking again changes nothing.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn revoke_agent(&self, nick: Nick, origin: &Origin) -> Result<(), Error> {
        let reach = self.reach(&origin.caller);
        let decide = move |facts, context: &_| agent::revoke(facts, &reach, context);
        self.settle(origin, AgentAct::new(self, nick, origin, "agent.revoke", decide)).await
    }

    /// Ends an agent.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn delete_agent(&self, nick: Nick, origin: &Origin) -> Result<(), Error> {
        let reach = self.reach(&origin.caller);
        let decide = move |facts, context: &_| agent::delete(facts, &reach, context);
        self.settle(origin, AgentAct::new(self, nick, origin, "agent.delete", decide)).await
    }

    /// Changes parts of an agent's engagement, or its team; inside, no team takes it out of the one it is in.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NotFound`], [`Refusal::OutsideTeam`].
    pub async fn amend_agent(
        &self,
        nick: Nick,
        parts: Amendment,
        team: Option<Option<Team>>,
        origin: &Origin,
    ) -> Result<(), Error> {
        let mut fields = muster_wire::Fields::new();
        let mut tell = |(path, message): (String, String)| fields.wrong(path, message);
        let right = parts.on(&Engagement::default()).map_err(|wrong| wrong.into_iter().for_each(&mut tell));
        fields.finish(right.ok())?;
        let reach = self.reach(&origin.caller);
        let wish = Wish { team, engagement: Engage::Amend(parts), ..Wish::default() };
        let decide = move |facts, context: &_| agent::change(facts, &wish, &reach, context);
        let engaged: Engaged =
            self.settle(origin, AgentAct::new(self, nick, origin, "agent.engage", decide)).await?;
        self.heard_of(&engaged.agent);
        Ok(())
    }

    /// Tells that an agent cannot go on by itself. What it says is cut and kept printable.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn agent_blocked(&self, nick: Nick, said: &str, origin: &Origin) -> Result<(), Error> {
        let shown = |c: char| if muster_model::text::is_printable(c) { c } else { ' ' };
        let said: String = said.chars().take(MAX_SAID).map(shown).collect();
        let reach = self.reach(&origin.caller);
        let decide = move |facts, context: &_| agent::blocked(facts, said.clone(), &reach, context);
        self.settle(origin, AgentAct::new(self, nick, origin, "agent.blocked", decide)).await
    }

    /// An agent was heard of in a channel. A machine speaks for itself alone.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for an agent or a channel out of reach.
    pub async fn agent_present(&self, nick: &Nick, channel: &str, origin: &Origin) -> Result<(), Error> {
        let reach = self.reach(&origin.caller);
        if muster_model::engagement::wrong_channel(channel).is_some() || !reach.names(channel) {
            return Err(Refusal::NotFound { what: "channel" }.into());
        }
        let agent = self.agent_of(nick, origin).await?;
        // To a machine nobody else is there: which nicks are taken is not its business.
        if let Caller::Machine(machine) = &origin.caller
            && machine.machine != agent.machine
        {
            return Err(self.refuse(origin, "agent.present", Refusal::NotFound { what: "agent" }).await);
        }
        self.heard_of(&agent);
        Ok(())
    }

    /// The agent that holds a nick, is within reach and not over.
    async fn agent_of(&self, nick: &Nick, origin: &Origin) -> Result<SoftwareAgent, Error> {
        let seen = self.agent(nick, false, origin).await?;
        Ok(seen.agent)
    }

    /// Notes in memory that an agent was heard of; it is written with others, later.
    fn heard_of(&self, agent: &SoftwareAgent) {
        let note = PresenceNote {
            tenant: agent.tenant,
            machine: agent.machine,
            last_seen: self.now(),
            online: false,
            bundle: None,
        };
        self.inner.registry.heard_of(note);
    }

    /// One agent; one that was revoked only where it is asked for.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for one that is over or out of reach.
    pub async fn agent(&self, nick: &Nick, revoked: bool, origin: &Origin) -> Result<AgentSeen, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let missing = Refusal::NotFound { what: "agent" };
        let mut reads = self.reader().await?;
        let agent = reads.agent_by_nick(tenant, nick).await?.ok_or(missing.clone())?;
        let version = reads.engagement(tenant, agent.machine, agent.version).await?.ok_or(missing.clone())?;
        let machine = reads.machine(tenant, agent.machine).await?.ok_or(missing.clone())?;
        let last_seen = reads.presence(tenant, agent.machine).await?.last_seen;
        let seen = self.seen(muster_store::AgentRow { agent, version, machine, last_seen });
        let is_there = !seen.retired && (revoked || !seen.revoked);
        match is_there && self.reach(&origin.caller).holds(&seen.agent) {
            true => Ok(seen),
            false => Err(missing.into()),
        }
    }

    /// Every agent within reach that is not retired, those that were revoked among them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn agents(&self, origin: &Origin) -> Result<Vec<AgentSeen>, Error> {
        let (tenant, reach) = (self.tenant_of(&origin.caller), self.reach(&origin.caller));
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { after, limit: PAGE };
            let listed = self.reader().await?.software_agents(tenant, page).await?;
            let mine = listed.items.into_iter().filter(|row| reach.holds(&row.agent));
            all.extend(mine.map(|row| self.seen(row)));
            after = listed.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}

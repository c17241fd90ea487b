//! Software agents: registering, changing their engagement, rotating what they show, ending them, freeing their nicks.
//!
//! A nick is held by one machine. Retiring a machine frees its nick, unless the machine was revoked: then an operator
//! must free it, so that nobody comes back by registering again.

mod acknowledge;

use muster_model::engagement::Amendment;
use muster_model::text::{Skill, Team};
use muster_model::{
    Account, Active, AgentRole, Credential, CredentialId, CredentialKind, EndReason, Engagement,
    EngagementVersion, Labels, Machine, MachineId, MachineKind, MachineName, MachineState, Nick, Object,
    ProvisionerName, Refusal, SecretHash, SecretId, Site, SoftwareAgent, SuspendCause, Suspended,
};

pub use self::acknowledge::acknowledge;
use crate::account::{self, Candidate};
use crate::credential::{end_all, reserve};
use crate::identity::lineage;
use crate::machine;
use crate::plan::{AgentChange, Change, Context, CredentialChange, MachineChange, Plan};
use crate::terms::Terms;

/// How far a caller reaches among software agents.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The only team it reaches; none is no bound.
    pub team: Option<Team>,
    /// The channels that every team may name.
    pub shared: Vec<String>,
    /// Whether it may make agents that act as operators.
    pub operators: bool,
}

/// A software agent to be made.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// The identifier of its machine.
    pub machine: MachineId,
    /// Its nick.
    pub nick: Nick,
    /// What it is to the others.
    pub role: AgentRole,
    /// Its team; none is its maker's.
    pub team: Option<Team>,
    /// What it can do.
    pub skills: Vec<Skill>,
    /// What it is to do.
    pub engagement: Engagement,
    /// What it will show; none where it shows something that somebody else gave it.
    pub credential: Option<NewBearer>,
}

/// The accounts that software agents have in other systems.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Those that this agent may have without anybody ordering them.
    pub candidates: Vec<Candidate>,
    /// The provisioners, the first of which gives the passphrase that the agent is told.
    pub order: Vec<ProvisionerName>,
}

/// What was read to register a software agent.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// The machine that has its nick.
    pub holder: Option<Machine>,
    /// The site.
    pub site: Option<Site>,
    /// The accounts it may have.
    pub accounts: Accounts,
}

/// A bearer key that was drawn.
#[derive(Debug, Clone, Copy)]
pub struct NewBearer {
    /// The identifier of the credential.
    pub id: CredentialId,
    /// Selects the row.
    pub secret: SecretId,
    /// Proves it.
    pub hash: SecretHash,
}

/// What was read for an act on a software agent.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The machine, with its keys and credentials; its agent with it.
    pub of_machine: machine::Facts,
    /// The engagement in force.
    pub version: Option<EngagementVersion>,
}

/// A software agent with its engagement and its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engaged {
    /// The agent.
    pub agent: SoftwareAgent,
    /// Its engagement.
    pub version: EngagementVersion,
    /// Its machine.
    pub machine: Machine,
    /// Its accounts in other systems.
    pub accounts: Vec<Account>,
}

/// What is to be changed of a software agent.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Its role from now on.
    pub role: Option<AgentRole>,
    /// Its team from now on; inside, none is no team.
    pub team: Option<Option<Team>>,
    /// Its skills from now on.
    pub skills: Option<Vec<Skill>>,
    /// Its engagement from now on.
    pub engagement: Engage,
}

/// How an engagement is changed.
#[derive(Debug, Clone, Default)]
pub enum Engage {
    /// Not at all.
    #[default]
    Keep,
    /// In parts.
    Amend(Amendment),
    /// As a whole.
    Replace(Engagement),
}

impl Reach {
    /// Whether an agent is within reach.
    pub fn holds(&self, agent: &SoftwareAgent) -> bool {
        self.team.as_ref().is_none_or(|team| agent.team.as_ref().is_some_and(|of| of.is(team)))
    }

    /// Whether a channel may be named: of a caller that is bound to a team, its own channels and those of all.
    pub fn names(&self, channel: &str) -> bool {
        let Some(team) = &self.team else { return true };
        let channel = channel.to_ascii_lowercase();
        channel.starts_with(&team.prefix())
            || self.shared.iter().any(|shared| shared.to_ascii_lowercase() == channel)
    }

    fn team(&self, wished: Option<Team>) -> Result<Option<Team>, Refusal> {
        match (&self.team, wished) {
            (None, wished) => Ok(wished),
            (Some(own), None) => Ok(Some(own.clone())),
            (Some(own), Some(wished)) if own.is(&wished) => Ok(Some(own.clone())),
            (Some(_), Some(_)) => Err(Refusal::OutsideTeam),
        }
    }

    /// Whether a caller may make this so; what was so before, it need not have made.
    fn allows(
        &self,
        role: AgentRole,
        engagement: &Engagement,
        before: Option<&Engaged>,
    ) -> Result<(), Refusal> {
        let was_operator = before.is_some_and(|before| before.agent.role == AgentRole::Operator);
        if role == AgentRole::Operator && !was_operator && !self.operators {
            return Err(Refusal::ScopeMissing { scope: "admin" });
        }
        let had = |channel: &String| {
            before.is_some_and(|before| before.version.engagement.terms().channels.contains(channel))
        };
        let outside = engagement.terms().channels.iter().any(|channel| !had(channel) && !self.names(channel));
        if outside { Err(Refusal::OutsideTeam) } else { Ok(()) }
    }
}

/// Makes a software agent: its machine, at work from now on, and its accounts in other systems. Where it has none, it
/// shows the bearer key that was drawn for it.
///
/// # Errors
/// [`Refusal::OutsideTeam`] and [`Refusal::ScopeMissing`] for what the caller may not give, [`Refusal::NameTaken`] where
/// an agent has the nick or a machine the account, [`Refusal::NickBarred`] where its holder was revoked,
/// [`Refusal::AccountForeign`], [`Refusal::NotFound`] for the site.
pub fn register(
    new: NewAgent,
    room: Room,
    reach: &Reach,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<Engaged>, Refusal> {
    let team = reach.team(new.team.clone())?;
    reach.allows(new.role, &new.engagement, None)?;
    nick_is_free(room.holder.as_ref())?;
    let site = room.site.ok_or(Refusal::NotFound { what: "site" })?;
    let action = if new.credential.is_some() { "agent.register" } else { "agent.adopt" };
    let mut made = made(new.clone(), team, &site, context);
    let Accounts { candidates, order } = room.accounts;
    let adopted = new.credential.is_none();
    let accounts = account::of_agent(candidates, &made.agent, &made.machine, &site.code, adopted, context)?;
    made.accounts = accounts.iter().map(|change| change.account().clone()).collect();
    let has_account = !adopted && account::shown(&made.accounts, &order)?.is_some();
    let bearer = new.credential.filter(|_| !has_account);
    let mut changes: Vec<Change> = vec![
        MachineChange::Create(made.machine.clone()).into(),
        AgentChange::Register(made.agent.clone()).into(),
        AgentChange::Engage(made.version.clone()).into(),
    ];
    changes.extend(accounts.into_iter().map(Change::from));
    changes.extend(bearer.map(|bearer| bearer.reserved(&made.machine, context, terms)));
    let mut entry = context.entry(action, Object::Machine(made.machine.id), made.agent.role.as_str());
    entry.detail = told(&made.agent);
    Ok(Plan::new(made, changes, entry))
}

/// Whether nobody has a nick, by the machine of the agent that has it.
fn nick_is_free(holder: Option<&Machine>) -> Result<(), Refusal> {
    match holder.map(|machine| &machine.state) {
        None => Ok(()),
        Some(state) if is_over(state) => Err(Refusal::NickBarred),
        Some(_) => Err(Refusal::NameTaken { what: "agent" }),
    }
}

/// Whether nobody may be this machine any more.
pub(crate) fn is_over(state: &MachineState) -> bool {
    match state {
        MachineState::Retired(_) => true,
        MachineState::Suspended(Suspended { cause, .. }) => matches!(cause, SuspendCause::Revoked(_)),
        MachineState::Pending(_) | MachineState::Active(_) => false,
    }
}

fn told(agent: &SoftwareAgent) -> Vec<(&'static str, String)> {
    let mut detail = vec![("nick", agent.nick.to_string()), ("version", agent.version.to_string())];
    detail.extend(agent.team.as_ref().map(|team| ("team", team.to_string())));
    detail
}

fn made(new: NewAgent, team: Option<Team>, site: &Site, context: &Context) -> Engaged {
    let name: MachineName = new.nick.as_str().parse().expect("a nick is a valid name");
    let machine = Machine {
        id: new.machine,
        tenant: context.tenant,
        site: site.id,
        name,
        hostname: None,
        kind: MachineKind::SoftwareAgent,
        hardware_id: None,
        key: None,
        generation: 1,
        role: None,
        labels: Labels::default(),
        attributes: Default::default(),
        grant: None,
        state: MachineState::Active(Active { since: context.now }),
        created_at: context.now,
        enrolled_at: Some(context.now),
        key_since: None,
        alarm: None,
        // It has not come from anywhere yet.
        lineage: lineage(None, context),
    };
    let agent = SoftwareAgent {
        tenant: context.tenant,
        machine: machine.id,
        nick: new.nick,
        role: new.role,
        team,
        skills: new.skills,
        version: 1,
        freed_at: None,
    };
    let version = version_of(&agent, new.engagement, context);
    Engaged { agent, version, machine, accounts: Vec::new() }
}

fn version_of(agent: &SoftwareAgent, engagement: Engagement, context: &Context) -> EngagementVersion {
    EngagementVersion {
        tenant: agent.tenant,
        machine: agent.machine,
        version: agent.version,
        engagement,
        author: context.actor,
        at: context.now,
        acknowledged_at: None,
    }
}

impl NewBearer {
    fn reserved(self, machine: &Machine, context: &Context, terms: &Terms) -> Change {
        let kind = CredentialKind::Bearer { secret: self.secret, hash: self.hash };
        CredentialChange::Reserve(reserve(self.id, machine, kind, context.now, terms)).into()
    }
}

/// An agent that is there, within reach and not over.
fn living(facts: Facts, reach: &Reach) -> Result<(Engaged, Vec<Credential>), Refusal> {
    let missing = Refusal::NotFound { what: "agent" };
    let Facts { of_machine: machine::Facts { machine, agent, credentials, accounts, .. }, version } = facts;
    let (Some(machine), Some(agent), Some(version)) = (machine, agent, version) else { return Err(missing) };
    if is_over(&machine.state) || agent.freed_at.is_some() || !reach.holds(&agent) {
        return Err(missing);
    }
    Ok((Engaged { agent, version, machine, accounts }, credentials))
}

/// Changes what an agent is and is to do: one version more. What is so already changes nothing.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is over or out of reach; [`Refusal::OutsideTeam`], [`Refusal::ScopeMissing`].
pub fn change(facts: Facts, wish: &Wish, reach: &Reach, context: &Context) -> Result<Plan<Engaged>, Refusal> {
    let (known, _) = living(facts, reach)?;
    let Engaged { agent, version, machine, accounts } = known.clone();
    let team = match &wish.team {
        // Whoever is bound to a team neither takes an agent out of it nor into another.
        Some(None) if reach.team.is_some() => return Err(Refusal::OutsideTeam),
        Some(team) => reach.team(team.clone())?,
        None => agent.team.clone(),
    };
    let role = wish.role.unwrap_or(agent.role);
    let engagement = match &wish.engagement {
        Engage::Keep => version.engagement.clone(),
        Engage::Amend(parts) => version.engagement.amended(parts),
        Engage::Replace(whole) => whole.clone(),
    };
    reach.allows(role, &engagement, Some(&known))?;
    let skills = wish.skills.clone().unwrap_or_else(|| agent.skills.clone());
    let same = SoftwareAgent { role, team, skills, ..agent };
    if same == known.agent && engagement == version.engagement {
        return Ok(Plan::unchanged(known));
    }
    let agent = SoftwareAgent { version: same.version + 1, ..same };
    let version = version_of(&agent, engagement, context);
    let mut entry = context.entry("agent.engage", Object::Machine(machine.id), agent.role.as_str());
    entry.detail = told(&agent);
    let changes =
        vec![AgentChange::Update(agent.clone()).into(), AgentChange::Engage(version.clone()).into()];
    Ok(Plan::new(Engaged { agent, version, machine, accounts }, changes, entry))
}

/// Gives a machine that is a software agent by kind its nick and its engagement.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::WrongKind`]; [`Refusal::WrongState`] for one that is over; [`Refusal::NameTaken`],
/// [`Refusal::NickBarred`].
pub fn engage(
    new: NewAgent,
    machine: Option<Machine>,
    room: Room,
    context: &Context,
) -> Result<Plan<Engaged>, Refusal> {
    let machine = machine.ok_or(Refusal::NotFound { what: "machine" })?;
    if machine.kind != MachineKind::SoftwareAgent {
        return Err(Refusal::WrongKind { expected: MachineKind::SoftwareAgent.as_str() });
    }
    if is_over(&machine.state) {
        return Err(Refusal::WrongState { verb: "engage", state: machine.state.as_str() });
    }
    nick_is_free(room.holder.as_ref())?;
    let site = room.site.ok_or(Refusal::NotFound { what: "site" })?;
    let agent = SoftwareAgent {
        tenant: machine.tenant,
        machine: machine.id,
        nick: new.nick,
        role: new.role,
        team: new.team,
        skills: new.skills,
        version: 1,
        freed_at: None,
    };
    let version = version_of(&agent, new.engagement, context);
    let mut entry = context.entry("agent.engage", Object::Machine(machine.id), agent.role.as_str());
    entry.detail = told(&agent);
    let candidates = room.accounts.candidates;
    let accounts = account::of_agent(candidates, &agent, &machine, &site.code, false, context)?;
    let mut changes: Vec<Change> =
        vec![AgentChange::Register(agent.clone()).into(), AgentChange::Engage(version.clone()).into()];
    changes.extend(accounts.iter().cloned().map(Change::from));
    let accounts = accounts.iter().map(|change| change.account().clone()).collect();
    Ok(Plan::new(Engaged { agent, version, machine, accounts }, changes, entry))
}

/// Something else to show in the place of all it had: another passphrase for each of its accounts, and where it has none,
/// another bearer key. Whoever is connected by an older key is cut off.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is over or out of reach; [`Refusal::WrongState`] for one that is paused or has not
/// begun; [`Refusal::NameTaken`] and [`Refusal::AccountForeign`] where the account it is to have is somebody else's.
pub fn rotate(
    facts: Facts,
    bearer: NewBearer,
    room: Room,
    reach: &Reach,
    context: &Context,
    terms: &Terms,
) -> Result<Plan<Engaged>, Refusal> {
    let (known, credentials) = living(facts, reach)?;
    if !matches!(known.machine.state, MachineState::Active(_)) {
        return Err(Refusal::WrongState { verb: "rotate", state: known.machine.state.as_str() });
    }
    let machine = Machine { generation: known.machine.generation + 1, ..known.machine };
    let site = room.site.ok_or(Refusal::NotFound { what: "site" })?;
    let Accounts { mut candidates, order } = room.accounts;
    let has = |wish: &account::Wish| {
        known.accounts.iter().any(|account| account.provisioner == wish.rule.provisioner)
    };
    candidates.retain(|candidate| !has(&candidate.wish));
    let mut accounts = account::turned(&known.accounts, &machine.state, context.now);
    accounts.extend(account::of_agent(candidates, &known.agent, &machine, &site.code, false, context)?);
    let own: Vec<Account> = accounts.iter().map(|change| change.account().clone()).collect();
    let bearer = if account::shown(&own, &order)?.is_some() { None } else { Some(bearer) };
    let mut changes = end_all(&credentials, EndReason::Superseded, context.now);
    changes.push(MachineChange::Update(machine.clone()).into());
    changes.extend(accounts.into_iter().map(Change::from));
    changes.extend(bearer.map(|bearer| bearer.reserved(&machine, context, terms)));
    let mut entry = context.entry("agent.rotate", Object::Machine(machine.id), "rotated");
    entry.detail = vec![("nick", known.agent.nick.to_string())];
    entry.detail.extend(bearer.map(|bearer| ("credential", bearer.id.to_string())));
    Ok(Plan::new(Engaged { machine, accounts: own, ..known }, changes, entry))
}

/// Revokes an agent: what it shows, and its right to come back under its nick.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is gone or out of reach.
pub fn revoke(facts: Facts, reach: &Reach, context: &Context) -> Result<Plan<()>, Refusal> {
    let facts = within(facts, reach)?;
    Ok(machine::revoke(facts, None, None, context)?.map(drop))
}

/// Ends an agent. Its nick is free from now on, unless it was revoked. One that was paused is ended by an operator alone:
/// whoever may register agents could undo the pause by ending and registering it again.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is gone or out of reach, [`Refusal::WrongState`] for one that is paused.
pub fn delete(facts: Facts, reach: &Reach, context: &Context) -> Result<Plan<()>, Refusal> {
    let facts = within(facts, reach)?;
    if !reach.operators && facts.machine.as_ref().is_some_and(is_paused) {
        return Err(Refusal::WrongState { verb: "delete", state: "suspended" });
    }
    Ok(machine::retire(facts, muster_model::RetireCause::Operator(None), context)?.map(drop))
}

fn is_paused(machine: &Machine) -> bool {
    matches!(&machine.state, MachineState::Suspended(_)) && !is_over(&machine.state)
}

/// A machine that is not retired, whose agent is within reach.
fn within(facts: Facts, reach: &Reach) -> Result<machine::Facts, Refusal> {
    let facts = facts.of_machine;
    let is_there =
        facts.machine.as_ref().is_some_and(|machine| !matches!(machine.state, MachineState::Retired(_)));
    let is_mine = facts.agent.as_ref().is_some_and(|agent| agent.freed_at.is_none() && reach.holds(agent));
    if is_there && is_mine { Ok(facts) } else { Err(Refusal::NotFound { what: "agent" }) }
}

/// Frees the nick of an agent that was revoked: an operator allows it to be registered again.
///
/// # Errors
/// [`Refusal::NotFound`] where nobody holds it, [`Refusal::WrongState`] where a living agent does.
pub fn free(
    agent: Option<SoftwareAgent>,
    machine: Option<&Machine>,
    context: &Context,
) -> Result<Plan<SoftwareAgent>, Refusal> {
    let (agent, machine) = agent.zip(machine).ok_or(Refusal::NotFound { what: "nick" })?;
    if !is_over(&machine.state) {
        return Err(Refusal::WrongState { verb: "free", state: machine.state.as_str() });
    }
    let agent = SoftwareAgent { freed_at: Some(context.now), ..agent };
    let mut entry = context.entry("agent.free_nick", Object::Machine(machine.id), "freed");
    entry.detail = vec![("nick", agent.nick.to_string())];
    Ok(Plan::new(agent.clone(), vec![AgentChange::Update(agent).into()], entry))
}

/// Tells that an agent cannot go on by itself.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is over or out of reach.
pub fn blocked(facts: Facts, said: String, reach: &Reach, context: &Context) -> Result<Plan<()>, Refusal> {
    let (known, _) = living(facts, reach)?;
    let mut entry = context.entry("agent.blocked", Object::Machine(known.machine.id), "said");
    entry.detail = vec![("nick", known.agent.nick.to_string()), ("said", said)];
    Ok(Plan::new((), Vec::new(), entry))
}

#[cfg(test)]
mod tests;

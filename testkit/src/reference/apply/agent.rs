//! What is written of software agents.

use muster_lifecycle::AgentChange;
use muster_model::{SoftwareAgent, TenantId};

use super::{Applied, add, holds, known};
use crate::reference::cut::Cut;
use crate::reference::tables::{Tables, of};

impl Tables {
    /// No two that are not freed share a nick; what is freed stays so, and a version never falls.
    pub(super) fn change_agent(&mut self, tenant: TenantId, change: AgentChange) -> Applied {
        match change {
            AgentChange::Register(agent) => {
                let what = "register a software agent";
                holds(agent.tenant == tenant, what, "it is of another tenant")?;
                let has_machine = self.machines.contains_key(&(tenant, agent.machine));
                holds(has_machine, what, "there is no such machine")?;
                let same = |other: &SoftwareAgent| other.freed_at.is_none() && other.nick == agent.nick;
                let taken = agent.freed_at.is_none() && of(&self.agents, tenant).any(same);
                holds(!taken, what, "its nick is taken")?;
                add(&mut self.agents, (tenant, agent.machine), agent.cut(), what)
            }
            AgentChange::Update(agent) => {
                let what = "change a software agent";
                holds(agent.tenant == tenant, what, "it is of another tenant")?;
                let row = known(&mut self.agents, &(tenant, agent.machine), what)?;
                holds(row.freed_at.is_none(), what, "its nick was freed")?;
                holds(agent.version >= row.version, what, "its version falls")?;
                let nick = row.nick.clone();
                *row = SoftwareAgent { nick, ..agent.cut() };
                Ok(())
            }
            AgentChange::Engage(version) => {
                let what = "write an engagement";
                holds(version.tenant == tenant, what, "it is of another tenant")?;
                let has_agent = self.agents.contains_key(&(tenant, version.machine));
                holds(has_agent, what, "there is no such agent")?;
                let key = (tenant, (version.machine, version.version));
                add(&mut self.engagements, key, version.cut(), what)
            }
            AgentChange::Acknowledge { machine, version, at, .. } => {
                let what = "acknowledge an engagement";
                let row = known(&mut self.engagements, &(tenant, (machine, version)), what)?;
                holds(row.acknowledged_at.is_none(), what, "it was acknowledged before")?;
                row.acknowledged_at = Some(at.cut());
                Ok(())
            }
        }
    }
}

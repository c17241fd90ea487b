//! Accounts that nobody has to order: which machines have one from the moment they are let in.
//!
//! A software agent's account is called as its nick, every other machine's as its identifier: what a machine says of itself
//! names nothing in another system. Nothing that another machine has is taken, but for the account of a software agent that is
//! over: whoever has its nick has its account, under a new passphrase.

use muster_model::text::Role;
use muster_model::{
    Account, AccountId, AccountName, Delivery, Machine, MachineKind, MachineState, ProvisionerName, Refusal,
    SiteCode, SoftwareAgent,
};

use super::{NewAccount, again, made};
use crate::agent::is_over;
use crate::plan::{AccountChange, Change, Context};

/// Which machines have an account at a provisioner without anybody ordering it: those of these sites that have one of
/// these roles. Where nothing is said of the one, the other decides; where nothing is said at all, nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Who makes the account.
    pub provisioner: ProvisionerName,
    /// The role of the machine, or what it is to the others as a software agent.
    pub roles: Vec<Role>,
    /// The site of the machine.
    pub sites: Vec<SiteCode>,
}

/// A rule, and the identifier of the account that it may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The rule.
    pub rule: Rule,
    /// The identifier.
    pub account: AccountId,
}

/// A wish for a software agent, and who has the account of its name.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The wish.
    pub wish: Wish,
    /// The account of that name, and the machine that has it.
    pub named: Option<(Account, Machine)>,
}

impl Rule {
    fn is_for(&self, site: &SiteCode, roles: &[Option<&str>]) -> bool {
        let says_nothing = self.roles.is_empty() && self.sites.is_empty();
        let has_role = |role: &Role| roles.contains(&Some(role.as_str()));
        let by_role = self.roles.is_empty() || self.roles.iter().any(has_role);
        let by_site = self.sites.is_empty() || self.sites.contains(site);
        !says_nothing && by_role && by_site
    }
}

/// The accounts of a machine that has just been let in. A software agent has none before it has a nick.
pub(crate) fn on_admission(
    wishes: &[Wish],
    machine: &Machine,
    site: &SiteCode,
    context: &Context,
) -> Vec<Change> {
    if machine.kind == MachineKind::SoftwareAgent {
        return Vec::new();
    }
    let role = machine.role.as_ref().map(Role::as_str);
    let fitting = wishes.iter().filter(|wish| wish.rule.is_for(site, &[role]));
    let account = |wish: &Wish| {
        let name = machine.id.to_string().parse().expect("an identifier is a valid name of an account");
        made(wish.order(machine, name), machine, context).ok()
    };
    fitting.filter_map(account).map(|account| AccountChange::Create(account).into()).collect()
}

/// The accounts that a software agent has from now on beside those it has already. One that was adopted has them from
/// elsewhere: nothing is done there before an operator says that they are its own.
///
/// # Errors
/// [`Refusal::NameTaken`] where another machine has the account of its nick.
pub(crate) fn of_agent(
    candidates: Vec<Candidate>,
    agent: &SoftwareAgent,
    machine: &Machine,
    site: &SiteCode,
    adopted: bool,
    context: &Context,
) -> Result<Vec<AccountChange>, Refusal> {
    let roles = [machine.role.as_ref().map(Role::as_str), Some(agent.role.as_str())];
    let mut changes = Vec::new();
    if matches!(machine.state, MachineState::Pending(_)) {
        return Ok(changes);
    }
    for Candidate { wish, named } in candidates {
        if !wish.rule.is_for(site, &roles) {
            continue;
        }
        match named {
            Some((account, _)) if account.machine == machine.id => {}
            Some((account, holder)) if was_an_agents(&holder) => {
                changes.push(AccountChange::Update(handed_over(account, machine, context)));
            }
            Some(_) => return Err(Refusal::NameTaken { what: "account" }),
            None => {
                let name: AccountName =
                    agent.nick.as_str().parse().expect("a nick is a valid name of an account");
                let account = made(wish.order(machine, name), machine, context)?;
                let foreign = Delivery::Conflict { at: context.now };
                let delivery = if adopted { foreign } else { account.delivery.clone() };
                changes.push(AccountChange::Create(Account { delivery, ..account }));
            }
        }
    }
    Ok(changes)
}

fn was_an_agents(holder: &Machine) -> bool {
    holder.kind == MachineKind::SoftwareAgent && is_over(&holder.state)
}

/// What an agent that is over had, under a passphrase that nobody knew before.
fn handed_over(account: Account, machine: &Machine, context: &Context) -> Account {
    let (wanted, secret) = (super::wanted_for(&machine.state), account.secret + 1);
    again(Account { machine: machine.id, wanted, secret, ..account }, context.now)
}

impl Wish {
    fn order(&self, machine: &Machine, name: AccountName) -> NewAccount {
        NewAccount { id: self.account, machine: machine.id, provisioner: self.rule.provisioner.clone(), name }
    }
}

#[cfg(test)]
mod tests;

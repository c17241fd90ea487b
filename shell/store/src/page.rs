//! Pages of lists: what is asked, and what is returned.

use std::collections::BTreeMap;

use muster_model::search::Term;
use muster_model::{Account, MachineId, MachineState, SiteId, Timestamp};

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Everything after this key, in the order of the list; from the start where it is `None`.
    pub after: Option<[u8; 16]>,
    /// At most this many.
    pub limit: u32,
}

/// A page, and the key to go on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// The key of the last item, where there is more.
    pub next: Option<[u8; 16]>,
}

/// Which machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineFilter {
    /// Of this site.
    pub site: Option<SiteId>,
    /// In this state: the name as [`MachineState::as_str`] gives it.
    pub state: Option<&'static str>,
    /// Each word of this begins a word of what a machine is found by: name, hostname, hardware id, identifier, labels, role,
    /// grant, address, agent version and operating system; case and punctuation are ignored.
    pub search: Option<String>,
    /// Each of these is what the machine says.
    pub terms: Vec<Term>,
}

impl MachineFilter {
    /// The state of that name, if there is one.
    pub fn state_named(name: &str) -> Option<&'static str> {
        ["pending", "active", "suspended", "retired"].into_iter().find(|state| *state == name)
    }

    /// Whether a state passes.
    pub fn takes(&self, state: &MachineState) -> bool {
        self.state.is_none_or(|wanted| wanted == state.as_str())
    }
}

/// Which accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Of this machine.
    pub machine: Option<MachineId>,
    /// That stand so: the name as [`Account::standing`] gives it.
    pub standing: Option<&'static str>,
}

impl AccountFilter {
    /// The standing of that name, if there is one.
    pub fn standing_named(name: &str) -> Option<&'static str> {
        ["pending", "live", "locked", "removed", "conflict", "dead"].into_iter().find(|one| *one == name)
    }

    /// Whether an account passes.
    pub fn takes(&self, account: &Account) -> bool {
        self.machine.is_none_or(|machine| machine == account.machine)
            && self.standing.is_none_or(|standing| standing == account.standing())
    }

    /// What the standing says of the delivery, and of what is wanted.
    pub fn columns(&self) -> (Option<&'static str>, Option<&'static str>) {
        match self.standing {
            None => (None, None),
            Some("pending") => (Some("due"), None),
            Some(standing @ ("conflict" | "dead")) => (Some(standing), None),
            Some(wanted) => (Some("done"), Some(wanted)),
        }
    }
}

/// Which audit entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Older than this place in the log (exclusive): newest first.
    pub before: Option<u64>,
    /// Newer than this place in the log (exclusive): oldest first. Wins over `before`.
    pub after: Option<u64>,
    /// On this object, in text form.
    pub object: Option<String>,
    /// Of this actor, in text form.
    pub actor: Option<String>,
    /// Of this sort.
    pub action: Option<String>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Only alarms, their ends, and what was said of them.
    pub alarms: bool,
    /// At most this many.
    pub limit: u32,
}

/// An audit entry as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place in the log.
    pub seq: u64,
    /// Its identifier, in text form.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who, in text form.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what, in text form.
    pub object: String,
    /// Why, or with which outcome.
    pub reason: String,
    /// From where.
    pub source: Option<String>,
    /// What else.
    pub detail: BTreeMap<String, String>,
}

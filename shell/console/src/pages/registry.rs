//! Software agents: who they are, what they are to do, and the accounts that machines have in other systems.

use askama::Template;
use muster_wire::Page;
use muster_wire::account::Account;
use muster_wire::engagement::{EngagedAgent, ListedAgent, WrittenEngagement};

use crate::act::{Act, Field, Gives, Kind};
use crate::frame::{Frame, Place};

/// Software agents, and the accounts that are not as they are wanted.
#[derive(Debug, Template)]
#[template(path = "registry.html")]
pub struct Registry {
    frame: Frame,
    place: Place,
    agents: Page<ListedAgent>,
    accounts: Vec<(Account, Vec<Act>)>,
    reconcile: Act,
}

/// One software agent, and what it is to do.
#[derive(Debug, Template)]
#[template(path = "agent.html")]
pub struct AgentPage {
    frame: Frame,
    place: Place,
    agent: EngagedAgent,
    versions: Vec<WrittenEngagement>,
    accounts: Vec<(Account, Vec<Act>)>,
}

impl Registry {
    /// The registry, with the accounts that have not come to be as they are wanted.
    pub fn new(frame: Frame, agents: Page<ListedAgent>, accounts: Vec<Account>) -> Self {
        let accounts = accounts.into_iter().map(with_acts).collect();
        Self { frame, place: Place::Registry, agents, accounts, reconcile: reconcile() }
    }
}

impl AgentPage {
    /// An agent with the newest versions of its engagement, the one in force first.
    pub fn new(
        frame: Frame,
        agent: EngagedAgent,
        versions: Vec<WrittenEngagement>,
        accounts: Vec<Account>,
    ) -> Self {
        let accounts = accounts.into_iter().map(with_acts).collect();
        Self { frame, place: Place::Registry, agent, versions, accounts }
    }
}

/// What each role is to the others.
const ROLES: [(&str, &str); 4] = [
    ("observer", "looks, and says nothing"),
    ("worker", "does what it is told"),
    ("orchestrator", "tells workers what to do"),
    ("operator", "acts with the rights of a person who operates; made by admins alone"),
];

fn with_acts(account: Account) -> (Account, Vec<Act>) {
    let acts = acts(&account);
    (account, acts)
}

/// What can be done about an account that stands like this.
fn acts(account: &Account) -> Vec<Act> {
    let act = |name, label, effect| Act {
        name,
        label,
        effect,
        method: "POST",
        path: format!("/v1/accounts/{}/{name}", account.id),
        fields: Vec::new(),
        command: format!("provision {name} {}", account.id),
        ends: false,
        gives: Gives::Nothing,
    };
    let rotate = Act {
        gives: Gives::Secret("passphrase"),
        ..act(
            "rotate",
            "New passphrase",
            "The one before ends. Whoever is connected by it stays so until it logs in again.",
        )
    };
    let retry = act("retry", "Try again", "What is behind is tried again now.");
    let adopt = Act {
        gives: Gives::Secret("passphrase"),
        ..act(
            "adopt",
            "Adopt",
            "There is an account of that name which Muster did not make. It is this machine's from now on, under a new passphrase.",
        )
    };
    let remove = Act { ends: true, ..act("remove", "Remove", "It ends for good in the other system, too.") };
    match account.state.as_str() {
        "live" => vec![rotate, remove],
        "conflict" => vec![adopt, remove],
        "dead" => vec![retry, remove],
        "pending" if account.attempts.is_some_and(|attempts| attempts > 0) => vec![retry],
        _ => Vec::new(),
    }
}

fn reconcile() -> Act {
    Act {
        name: "reconcile",
        label: "Look for drift",
        effect: "Each account is looked at in the other system. What is not as it is wanted is told, and brought back if you say so.",
        method: "POST",
        path: "/v1/accounts/reconcile".to_owned(),
        fields: vec![Field::new("dry_run", "Only tell", "--dry-run", Kind::Check)],
        command: "provision reconcile".to_owned(),
        ends: false,
        gives: Gives::Drift,
    }
}

/// A list as an editor shows it.
fn lines(entries: &[String]) -> String {
    entries.join("\n")
}

/// Free data as an editor shows it.
fn json(data: &serde_json::Map<String, serde_json::Value>) -> String {
    match data.is_empty() {
        true => String::new(),
        false => serde_json::to_string_pretty(data).unwrap_or_default(),
    }
}

//! What stands around every page: where somebody is, who they are, and what waits for them.

use jiff::Timestamp;
use muster_model::OperatorRole;

use crate::time::Moment;

/// A page of the console, in the order of its navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What waits for a person.
    Desk,
    /// What the fleet did.
    Overview,
    /// The fleet.
    Machines,
    /// How machines come in.
    Doors,
    /// Software agents and what they are to do.
    Registry,
    /// What was done.
    Audit,
    /// The deployment itself.
    Settings,
    /// Somewhere without an entry of its own.
    Nowhere,
}

impl Place {
    /// Everything that the navigation leads to.
    pub const ALL: [Self; 7] = [
        Self::Desk,
        Self::Overview,
        Self::Machines,
        Self::Doors,
        Self::Registry,
        Self::Audit,
        Self::Settings,
    ];

    /// As people call it, where it is, and the key that leads there after `g`.
    fn told(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Desk => ("Desk", "/", "d"),
            Self::Overview => ("Overview", "/overview", "v"),
            Self::Machines => ("Machines", "/machines", "m"),
            Self::Doors => ("Doors", "/doors", "o"),
            Self::Registry => ("Registry", "/registry", "r"),
            Self::Audit => ("Audit", "/audit", "a"),
            Self::Settings => ("Settings", "/settings", "s"),
            Self::Nowhere => ("Muster", "/", ""),
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        self.told().0
    }

    /// Where it is.
    pub fn path(self) -> &'static str {
        self.told().1
    }

    /// The key that leads there, after `g`.
    pub fn key(self) -> &'static str {
        self.told().2
    }
}

/// Who looks.
#[derive(Debug, Clone)]
pub struct Who {
    /// What people call them.
    pub name: String,
    /// What they may do.
    pub role: OperatorRole,
}

/// What stands around every page.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Who looks.
    pub who: Who,
    /// Shows the API that one of these pages asks.
    pub csrf: String,
    /// Where machines and command lines reach the server.
    pub url: String,
    /// How many holds wait for a person.
    pub holds: u64,
    /// The place in the audit log that the page is as new as.
    pub seen: u64,
    /// What an operator should look at.
    pub warnings: Vec<String>,
    /// Version of the server.
    pub version: String,
    /// The server's clock.
    pub now: Timestamp,
}

impl Frame {
    /// Whether they may run the fleet.
    pub fn may_operate(&self) -> bool {
        self.who.role >= OperatorRole::Operator
    }

    /// Whether they may change who may do what, and the deployment.
    pub fn may_administer(&self) -> bool {
        self.who.role >= OperatorRole::Admin
    }

    /// A time as it is seen now.
    pub fn moment(&self, at: &Timestamp) -> Moment {
        Moment::new(*at, self.now)
    }
}

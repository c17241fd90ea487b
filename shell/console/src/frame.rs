//! What stands around every page: where somebody is, who they are, and what waits for them.

use jiff::Timestamp;
use muster_model::OperatorRole;

use crate::time::Moment;

/// A page of the console, in the order of its navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What waits for a person.
    Desk,
    /// The fleet.
    Machines,
    /// Somewhere without an entry of its own.
    Nowhere,
}

impl Place {
    /// Everything that the navigation leads to.
    pub const ALL: [Self; 2] = [Self::Desk, Self::Machines];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Desk => "Desk",
            Self::Machines => "Machines",
            Self::Nowhere => "Muster",
        }
    }

    /// Where it is.
    pub fn path(self) -> &'static str {
        match self {
            Self::Desk | Self::Nowhere => "/",
            Self::Machines => "/machines",
        }
    }

    /// The key that leads there, after `g`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Desk => "d",
            Self::Machines => "m",
            Self::Nowhere => "",
        }
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

    /// A time as it is seen now.
    pub fn moment(&self, at: &Timestamp) -> Moment {
        Moment::new(*at, self.now)
    }
}

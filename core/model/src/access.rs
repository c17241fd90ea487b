//! People and scripts that use the management API, and what they show to prove it.

use jiff::Timestamp;
use unicode_normalization::UnicodeNormalization as _;

use crate::second_factor::SecondFactor;
use crate::text::{DisplayName, Team};
use crate::{AccessTokenId, OperatorId, PasswordHash, SecretHash, SecretId, TenantId};

/// A person or script that uses the management API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its identifier.
    pub id: OperatorId,
    /// The tenant it works in.
    pub tenant: TenantId,
    /// What people call it.
    pub name: DisplayName,
    /// What it may do.
    pub role: OperatorRole,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was disabled: since then it may do nothing.
    pub disabled_at: Option<Timestamp>,
    /// The hash of its password, where it has one.
    pub password: Option<PasswordHash>,
    /// What it shows beside the password, where it has set that up.
    pub second: Option<SecondFactor>,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatorRole {
    /// Look.
    Viewer,
    /// Look, and run the fleet.
    Operator,
    /// Everything.
    Admin,
}

/// A token, session or login link of an operator. Its rights never exceed its operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Its identifier.
    pub id: AccessTokenId,
    /// The tenant it works in.
    pub tenant: TenantId,
    /// Whose it is.
    pub operator: OperatorId,
    /// What it is.
    pub kind: AccessKind,
    /// What it is for, in its maker's words.
    pub name: DisplayName,
    /// What it may do, at most.
    pub role: OperatorRole,
    /// Selects the row.
    pub secret: SecretId,
    /// Proves it.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was ended or, for a login link, spent.
    pub ended_at: Option<Timestamp>,
    /// What it is confined to, where it is.
    pub scope: Option<TokenScope>,
    /// By what a session was opened. Nothing else was, and sessions of before this was kept tell nothing.
    pub entrance: Option<Entrance>,
}

/// By what somebody got in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entrance {
    /// By a one-time link.
    Link,
    /// By a password, or as whoever had shown it.
    Password,
}

/// What a token is confined to, below its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScope {
    /// What it may do on the wire of software agents.
    pub scopes: Scopes,
    /// The team whose agents alone it reaches.
    pub team: Option<Team>,
}

/// Something that a confined token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Register and run software agents.
    Agents,
    /// Look at channels.
    Channels,
    /// Arrange channels.
    Topology,
    /// Run bots.
    Bots,
    /// Change the configuration.
    Config,
    /// Look.
    Read,
    /// Speak for an agent.
    Chat,
    /// Ask whose key a machine shows.
    Introspect,
}

/// A set of scopes. Its text form is their names, each once and in order, with a space between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

/// What sort of token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// For scripts.
    Api,
    /// Opens one session, once.
    Login,
    /// A browser's session.
    Session,
}

impl AccessKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Api, Self::Login, Self::Session];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Login => "login",
            Self::Session => "session",
        }
    }
}

impl Entrance {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Link, Self::Password];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Password => "password",
        }
    }
}

impl OperatorRole {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 9] = [
        Self::Admin,
        Self::Agents,
        Self::Channels,
        Self::Topology,
        Self::Bots,
        Self::Config,
        Self::Read,
        Self::Chat,
        Self::Introspect,
    ];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Agents => "agents",
            Self::Channels => "channels",
            Self::Topology => "topology",
            Self::Bots => "bots",
            Self::Config => "config",
            Self::Read => "read",
            Self::Chat => "chat",
            Self::Introspect => "introspect",
        }
    }

    /// The least role that may do this.
    pub fn role(self) -> OperatorRole {
        match self {
            Self::Admin => OperatorRole::Admin,
            Self::Read | Self::Introspect => OperatorRole::Viewer,
            Self::Agents | Self::Channels | Self::Topology | Self::Bots | Self::Config | Self::Chat => {
                OperatorRole::Operator
            }
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or("is not a scope")
    }
}

impl Scopes {
    /// Each of the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & (1 << *scope as u8) != 0)
    }

    /// Whether this may be done: an admin may do everything.
    pub fn allow(self, scope: Scope) -> bool {
        self.iter().any(|one| one == scope || one == Scope::Admin)
    }

    /// The role of a token with these scopes: no higher than any of them needs.
    pub fn role(self) -> OperatorRole {
        self.iter().map(Scope::role).max().unwrap_or(OperatorRole::Viewer)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | (1 << scope as u8)))
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

impl std::str::FromStr for Scopes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scopes: Self =
            text.split(' ').map(str::parse).collect::<Result<Vec<Scope>, _>>()?.into_iter().collect();
        if scopes.to_string() == text { Ok(scopes) } else { Err("is not a list of scopes") }
    }
}

impl std::str::FromStr for OperatorRole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|r| r.as_str() == text).ok_or("is not one of viewer, operator, admin")
    }
}

impl Operator {
    /// Whether it may do anything.
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// The name as names are compared: two that people take for one fold to one.
    pub fn folded(&self) -> String {
        folded(self.name.as_str())
    }
}

/// A name as names of operators are compared. Lowering may undo a normal form, so it is made again.
pub fn folded(name: &str) -> String {
    let lowered: String = name.nfkc().flat_map(char::to_lowercase).collect();
    lowered.nfkc().collect()
}

impl AccessToken {
    /// Whether it still opens anything.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_an_admin_may_do_everything() {
        let scopes: Scopes = [Scope::Chat, Scope::Agents, Scope::Chat].into_iter().collect();
        assert_eq!(scopes.to_string(), "agents chat");
        assert_eq!("agents chat".parse(), Ok(scopes));
        for odd in ["", "chat agents", "agents  chat", "agents agents", "root"] {
            assert!(odd.parse::<Scopes>().is_err(), "{odd:?}");
        }
        let admin: Scopes = [Scope::Admin].into_iter().collect();
        assert!(Scope::ALL.into_iter().all(|scope| admin.allow(scope)));
        assert!(scopes.allow(Scope::Agents) && !scopes.allow(Scope::Read) && !scopes.allow(Scope::Admin));
    }

    #[test]
    fn q_10_names_that_people_take_for_one_fold_to_one() {
        for alike in [["Ada", "ADA"], ["ada", "\u{ff21}da"], ["Zo\u{eb}", "zoe\u{308}"], ["\u{fb01}n", "FIN"]]
        {
            assert_eq!(folded(alike[0]), folded(alike[1]), "{alike:?}");
        }
        assert_ne!(folded("ada"), folded("adam"));
        for name in ["Ada", "\u{130}", "\u{1e9e}", "\u{3f4}", "\u{2126}"] {
            assert_eq!(folded(&folded(name)), folded(name), "{name:?}");
        }
    }

    #[test]
    fn a_scope_that_only_looks_is_worth_a_viewer() {
        let role = |scope: Scope| Scopes::from_iter([scope]).role();
        let expected = Scope::ALL.map(|scope| match scope {
            Scope::Admin => OperatorRole::Admin,
            Scope::Read | Scope::Introspect => OperatorRole::Viewer,
            _ => OperatorRole::Operator,
        });
        assert_eq!(Scope::ALL.map(role), expected);
    }
}

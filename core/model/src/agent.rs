//! Software agents: machines that are programs acting for people, under a nick, in a role, with an engagement.
//!
//! A nick is compared as IRC servers compare it (RFC 2812 §2.2, casemapping `rfc1459`): `A[` and `a{` are one. Whoever
//! holds a nick keeps it until it is freed; one whose holder was revoked is freed by an operator alone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::engagement::Engagement;
use crate::text::{Skill, Team};
use crate::{Actor, MachineId, TenantId, TextError};

/// The name of a software agent among its like.
#[derive(Debug, Clone)]
pub struct Nick(String);

/// What a software agent is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentRole {
    /// Looks and says nothing.
    Observer,
    /// Does what it is told.
    Worker,
    /// Tells workers what to do.
    Orchestrator,
    /// Acts with the rights of a person who operates.
    Operator,
}

/// The record of a software agent, beside that of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftwareAgent {
    /// The tenant of its machine.
    pub tenant: TenantId,
    /// The machine that it is.
    pub machine: MachineId,
    /// Its nick. Unique among those of a tenant that are not freed.
    pub nick: Nick,
    /// What it is to the others.
    pub role: AgentRole,
    /// The team it belongs to.
    pub team: Option<Team>,
    /// What it can do.
    pub skills: Vec<Skill>,
    /// The version of its engagement that is in force. Rises by one with every change; never falls.
    pub version: u32,
    /// When its nick was freed for others.
    pub freed_at: Option<Timestamp>,
}

/// One version of a software agent's engagement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngagementVersion {
    /// The tenant of its machine.
    pub tenant: TenantId,
    /// Whose engagement it is.
    pub machine: MachineId,
    /// Which one, from one on.
    pub version: u32,
    /// What it says.
    pub engagement: Engagement,
    /// Who made it so.
    pub author: Actor,
    /// When.
    pub at: Timestamp,
    /// When its agent said that it goes by it.
    pub acknowledged_at: Option<Timestamp>,
}

impl Nick {
    /// The longest nick, in characters.
    pub const MAX: usize = 32;

    /// The nick as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form by which nicks are compared.
    pub fn folded(&self) -> String {
        folded(&self.0)
    }
}

/// A name as IRC compares it.
pub(crate) fn folded(name: &str) -> String {
    name.chars().map(fold).collect()
}

/// `{}|^` are the lower case of `[]\~`, for IRC comes from Scandinavia (RFC 2812 §2.2).
fn fold(c: char) -> char {
    match c {
        '[' => '{',
        ']' => '}',
        '\\' => '|',
        '~' => '^',
        other => other.to_ascii_lowercase(),
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '[' | ']' | '\\' | '`' | '_' | '^' | '{' | '|' | '}')
}

impl FromStr for Nick {
    type Err = TextError;

    /// Letters, digits, `-` and ``[]\`_^{|}``, not beginning with a digit or `-` (RFC 2812 §2.3.1). What would be trimmed
    /// elsewhere is wrong here: a nick goes into commands of another protocol as it is.
    fn from_str(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.chars().count() > Self::MAX {
            return Err(TextError::TooLong { max: Self::MAX });
        }
        let fits = |(place, c): &(usize, char)| {
            c.is_ascii_alphabetic() || is_special(*c) || *place > 0 && (c.is_ascii_digit() || *c == '-')
        };
        match text.char_indices().find(|at| !fits(at)) {
            Some((_, found)) => Err(TextError::Character { found }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl PartialEq for Nick {
    fn eq(&self, other: &Self) -> bool {
        self.0.chars().map(fold).eq(other.0.chars().map(fold))
    }
}

impl Eq for Nick {}

impl fmt::Display for Nick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AgentRole {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Observer, Self::Worker, Self::Orchestrator, Self::Operator];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::Worker => "worker",
            Self::Orchestrator => "orchestrator",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for AgentRole {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or("is not one of observer, worker, orchestrator, operator")
    }
}

impl SoftwareAgent {
    /// The most skills of one agent.
    pub const MAX_SKILLS: usize = 64;
}

impl Team {
    /// Whether both are one team: teams are told apart without regard to case.
    pub fn is(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }

    /// Whether channels of one of two teams would be the other's as well.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mine, others) = (self.prefix(), other.prefix());
        !self.is(other) && (mine.starts_with(&others) || others.starts_with(&mine))
    }

    /// How the names of channels begin that are this team's own.
    pub fn prefix(&self) -> String {
        format!("#team-{}-", self.as_str().to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nick(text: &str) -> Nick {
        text.parse().expect("a nick")
    }

    #[test]
    fn nicks_are_one_where_irc_servers_take_them_for_one() {
        assert_eq!(nick("W-TWO"), nick("w-two"));
        assert_eq!(nick("a[]\\^"), nick("A{}|^"));
        assert_eq!(nick("Bot[1]").folded(), "bot{1}");
        assert_ne!(nick("w-two"), nick("w_two"));
        assert_eq!(nick("W-TWO").to_string(), "W-TWO", "shown as it was given");
    }

    #[test]
    fn nothing_that_would_be_another_word_of_a_command_is_a_nick() {
        let long = "n".repeat(33);
        for bad in
            ["", "evil +o evil", "bad nick", " a", "a ", "-a", "1a", "a.b", "a\r\nQUIT", "é", "#a", &long]
        {
            assert!(bad.parse::<Nick>().is_err(), "{bad:?}");
        }
        for good in ["a", "[bot]", "claude-scuttlebot-a1b2c3d4", &"n".repeat(32)] {
            assert!(good.parse::<Nick>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn there_are_four_roles_and_no_emperor() {
        for role in AgentRole::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("emperor".parse::<AgentRole>().is_err());
        assert!("Worker".parse::<AgentRole>().is_err());
    }

    #[test]
    fn a_team_is_told_without_regard_to_case() {
        let team = |text: &str| text.parse::<Team>().expect("a team");
        assert!(team("Red").is(&team("red")) && !team("red").is(&team("reds")));
        assert_eq!(team("Red").prefix(), "#team-red-");
    }
}

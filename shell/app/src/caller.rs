//! Who calls, and what they may do.
//!
//! One question is asked before any use case runs: may this caller do this? The answer is one table.

use std::net::IpAddr;

use muster_lifecycle::rotate::Right;
use muster_model::{
    AccessTokenId, Actor, CredentialId, KeyFingerprint, MachineId, OperatorId, OperatorRole, Refusal, Scope,
    TenantId, TokenScope,
};
use muster_wire::rotate::Slot;

/// Who calls, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub caller: Caller,
    /// From where, as far as it is counted.
    pub source: Option<IpAddr>,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An operator, by token, session or the local socket.
    Operator(OperatorCaller),
    /// A machine, by certificate, signed request or bearer key.
    Machine(MachineCaller),
    /// Somebody who has shown nothing.
    Anonymous,
}

/// An operator who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCaller {
    /// Its tenant.
    pub tenant: TenantId,
    /// Which.
    pub operator: OperatorId,
    /// The token or session it has shown; `None` over the local socket.
    pub token: Option<AccessTokenId>,
    /// What it may do by what it has shown.
    pub role: OperatorRole,
    /// Whether it sits on the server's own host.
    pub local: bool,
    /// What its token is confined to.
    pub scope: Option<TokenScope>,
}

/// A machine that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineCaller {
    /// Its tenant.
    pub tenant: TenantId,
    /// Which.
    pub machine: MachineId,
    /// By what it showed who it is.
    pub proof: Proof,
    /// What that is good for.
    pub right: Right,
    /// What it said of its own store and of this life of its agent, as far as it did.
    pub slot: Option<Slot>,
    /// The place of the nonce that it used, where it signed this request.
    pub nonce: Option<u64>,
    /// Whether its credential is past its life: then it may ask for the next one and nothing else.
    pub expired: bool,
    /// Whether it is paused.
    pub suspended: bool,
}

/// By what a machine showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By its key.
    Key(KeyFingerprint),
    /// By a secret that it was given: this bearer key, or the refresh token beside which what it shows was issued.
    Secret(CredentialId),
}

impl Proof {
    /// The key that was proved.
    pub fn key(self) -> Option<KeyFingerprint> {
        match self {
            Self::Key(key) => Some(key),
            Self::Secret(_) => None,
        }
    }
}

/// Something a caller may want to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// What anybody may: health, trust, discovery, enrolling, logging in.
    Public,
    /// Look at anything.
    Read,
    /// Run the fleet: machines, holds, grants, invites.
    Operate,
    /// Change who may do what, and the deployment itself.
    Administer,
    /// Ask whose key somebody shows: for services that machines show theirs to.
    Introspect,
    /// Register and run software agents on their wire.
    Agents,
    /// Speak for a software agent on their wire.
    AgentChat,
    /// Hand out tokens on the wire of software agents.
    AgentKeys,
    /// Ask how it goes on the wire of software agents.
    AgentStatus,
    /// A machine looks at itself, holds its channel, leaves.
    Self_,
    /// A machine says that it is alive.
    SelfBeat,
    /// A machine signs itself off. One that is paused may not: whoever rejoined by policy must not end what it took.
    SelfLeave,
    /// A machine asks for its next certificate.
    SelfRenew,
    /// A machine asks for a certificate for its next key.
    SelfRotate,
    /// A machine asks for a token to show to others.
    SelfToken,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Public,
        Self::Read,
        Self::Operate,
        Self::Administer,
        Self::Introspect,
        Self::Agents,
        Self::AgentChat,
        Self::AgentKeys,
        Self::AgentStatus,
        Self::Self_,
        Self::SelfBeat,
        Self::SelfLeave,
        Self::SelfRenew,
        Self::SelfRotate,
        Self::SelfToken,
    ];

    /// The name in refusals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Administer => "administer",
            Self::Introspect => "introspect",
            Self::Agents => "agents",
            Self::AgentChat => "agents.chat",
            Self::AgentKeys => "agents.keys",
            Self::AgentStatus => "agents.status",
            Self::Self_ => "machine.self",
            Self::SelfBeat => "machine.beat",
            Self::SelfLeave => "machine.leave",
            Self::SelfRenew => "machine.renew",
            Self::SelfRotate => "machine.rotate",
            Self::SelfToken => "machine.token",
        }
    }

    /// Whether a caller may do this.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] for a caller who has shown nothing, [`Refusal::Forbidden`] for one who may not,
    /// [`Refusal::CredentialExpired`], [`Refusal::MachineSuspended`] and [`Refusal::RotationNeeded`] for a machine that may
    /// not now.
    pub fn permit(self, caller: &Caller) -> Result<(), Refusal> {
        let forbidden = Err(Refusal::Forbidden { action: self.as_str() });
        match (self, caller) {
            (Self::Public, _) => Ok(()),
            (_, Caller::Anonymous) => Err(Refusal::NotAuthenticated { cause: "nothing_shown" }),
            (
                Self::Read | Self::Operate | Self::Administer | Self::Introspect,
                Caller::Operator(operator),
            ) => {
                let reaches = operator.role >= self.least_role() && self.is_within(operator);
                if reaches { Ok(()) } else { forbidden }
            }
            (
                Self::Agents | Self::AgentChat | Self::AgentKeys | Self::AgentStatus,
                Caller::Operator(operator),
            ) => self.is_in_scope(operator),
            (Self::SelfRotate, Caller::Machine(_)) => Ok(()),
            (_, Caller::Machine(machine)) if machine.right == Right::Rotation => Err(Refusal::RotationNeeded),
            // A software agent speaks for itself.
            (Self::AgentChat, Caller::Machine(machine)) if machine.expired => Err(Refusal::CredentialExpired),
            (Self::AgentChat, Caller::Machine(machine)) if machine.suspended => {
                Err(Refusal::MachineSuspended)
            }
            (Self::AgentChat, Caller::Machine(_)) => Ok(()),
            (Self::SelfRenew, Caller::Machine(_)) => Ok(()),
            (Self::Self_ | Self::SelfBeat | Self::SelfLeave | Self::SelfToken, Caller::Machine(machine))
                if machine.expired =>
            {
                Err(Refusal::CredentialExpired)
            }
            (Self::SelfBeat | Self::SelfLeave | Self::SelfToken, Caller::Machine(machine))
                if machine.suspended =>
            {
                Err(Refusal::MachineSuspended)
            }
            (Self::Self_ | Self::SelfBeat | Self::SelfLeave | Self::SelfToken, Caller::Machine(_)) => Ok(()),
            (
                Self::Read
                | Self::Operate
                | Self::Administer
                | Self::Introspect
                | Self::Agents
                | Self::AgentKeys
                | Self::AgentStatus,
                Caller::Machine(_),
            )
            | (
                Self::Self_
                | Self::SelfBeat
                | Self::SelfLeave
                | Self::SelfRenew
                | Self::SelfRotate
                | Self::SelfToken,
                Caller::Operator(_),
            ) => forbidden,
        }
    }

    /// Whether a confined token reaches what is not of the wire that it was made for: one that is bound to a team reaches
    /// nothing there, for teams are known on that wire alone.
    fn is_within(self, operator: &OperatorCaller) -> bool {
        let Some(TokenScope { scopes, team }) = &operator.scope else { return true };
        let needed = match self {
            Self::Read => Scope::Read,
            Self::Introspect => Scope::Introspect,
            _ => Scope::Admin,
        };
        team.is_none() && scopes.allow(needed)
    }

    /// Whether a caller may do this on the wire of software agents. A token that is bound to a team makes no tokens: they
    /// would not be bound.
    fn is_in_scope(self, operator: &OperatorCaller) -> Result<(), Refusal> {
        let needed = match self {
            Self::AgentChat => Scope::Chat,
            Self::AgentKeys => Scope::Admin,
            Self::AgentStatus => Scope::Read,
            _ => Scope::Agents,
        };
        let is_in_scope = match &operator.scope {
            Some(TokenScope { scopes, team }) => {
                scopes.allow(needed) && (team.is_none() || needed != Scope::Admin)
            }
            None => true,
        };
        match is_in_scope && operator.role >= needed.role() {
            true => Ok(()),
            false => Err(Refusal::ScopeMissing { scope: needed.as_str() }),
        }
    }

    fn least_role(self) -> OperatorRole {
        match self {
            Self::Operate | Self::Agents | Self::AgentChat => OperatorRole::Operator,
            Self::Administer | Self::AgentKeys => OperatorRole::Admin,
            Self::AgentStatus
            | Self::Public
            | Self::Read
            | Self::Introspect
            | Self::Self_
            | Self::SelfBeat
            | Self::SelfLeave
            | Self::SelfRenew
            | Self::SelfRotate
            | Self::SelfToken => OperatorRole::Viewer,
        }
    }
}

impl Caller {
    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Operator(operator) => Actor::Operator(operator.operator),
            Self::Machine(machine) => Actor::Machine(machine.machine),
            Self::Anonymous => Actor::Anonymous,
        }
    }

    /// The machine that calls.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] for anybody else.
    pub fn machine(&self) -> Result<&MachineCaller, Refusal> {
        match self {
            Self::Machine(machine) => Ok(machine),
            Self::Operator(_) | Self::Anonymous => Err(Refusal::Forbidden { action: Action::Self_.as_str() }),
        }
    }

    /// The operator that calls.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] for anybody else.
    pub fn operator(&self) -> Result<&OperatorCaller, Refusal> {
        match self {
            Self::Operator(operator) => Ok(operator),
            Self::Machine(_) | Self::Anonymous => Err(Refusal::Forbidden { action: Action::Read.as_str() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(role: OperatorRole) -> Caller {
        Caller::Operator(OperatorCaller {
            tenant: TenantId::new(1, [1; 10]),
            operator: OperatorId::new(1, [1; 10]),
            token: None,
            role,
            local: false,
            scope: None,
        })
    }

    fn confined(scopes: &str, team: Option<&str>) -> Caller {
        let scopes: muster_model::Scopes = scopes.parse().expect("scopes");
        let Caller::Operator(caller) = operator(scopes.role()) else { panic!("an operator") };
        let team = team.map(|team| team.parse().expect("a team"));
        Caller::Operator(OperatorCaller { scope: Some(TokenScope { scopes, team }), ..caller })
    }

    fn machine(expired: bool, suspended: bool) -> Caller {
        Caller::Machine(MachineCaller {
            tenant: TenantId::new(1, [1; 10]),
            machine: MachineId::new(1, [1; 10]),
            proof: Proof::Secret(CredentialId::new(1, [1; 10])),
            right: Right::Everything,
            slot: None,
            nonce: None,
            expired,
            suspended,
        })
    }

    fn rotating(caller: Caller) -> Caller {
        let Caller::Machine(caller) = caller else { panic!("a machine") };
        Caller::Machine(MachineCaller { right: Right::Rotation, ..caller })
    }

    /// One line a caller, one column an action, in the order of [`Action::ALL`].
    #[test]
    fn q_24_the_whole_table_of_who_may_do_what() {
        let table = [
            (Caller::Anonymous, "y--------------"),
            (operator(OperatorRole::Viewer), "yy--y---y------"),
            (operator(OperatorRole::Operator), "yyy-yyy-y------"),
            (operator(OperatorRole::Admin), "yyyyyyyyy------"),
            (confined("read", None), "yy------y------"),
            (confined("read", Some("red")), "y-------y------"),
            (confined("introspect", None), "y---y----------"),
            (confined("introspect", Some("red")), "y--------------"),
            (confined("agents", None), "y----y---------"),
            (confined("agents read chat", Some("red")), "y----yy-y------"),
            (confined("channels topology bots config", None), "y--------------"),
            (confined("admin", None), "yyyyyyyyy------"),
            (confined("admin", Some("red")), "y----yy-y------"),
            (machine(false, false), "y-----y--yyyyyy"),
            (machine(false, true), "y--------y--yy-"),
            (machine(true, false), "y-----------yy-"),
            (machine(true, true), "y-----------yy-"),
            (rotating(machine(false, false)), "y------------y-"),
            (rotating(machine(true, true)), "y------------y-"),
        ];
        for (caller, expected) in table {
            let row: String = Action::ALL
                .map(|action| if action.permit(&caller).is_ok() { 'y' } else { '-' })
                .iter()
                .collect();
            assert_eq!(row, expected, "{caller:?}");
        }
    }
}

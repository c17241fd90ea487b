//! The enrolled thing and the states of its life: `Pending → Active ⇄ Suspended → Retired`.
//!
//! A state carries the times and reasons that exist in it; a transition consumes the old state and lists every
//! variant. Online, offline and expired are computed from facts and the clock and are never stored.
//!
//! Invariant: nothing leaves `Retired` by enrolling, but for what an operator permitted beforehand, once.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::{
    Actor, Alarm, Attributes, GrantId, HardwareId, Hostname, KeyFingerprint, Labels, MachineId, MachineName,
    ReasonText, Refusal, Role, SiteId, TenantId,
};

/// When a machine was last heard of, and whether it holds a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Presence {
    /// When it was last heard of, as far as is written; a machine online has been heard of since.
    pub last_seen: Option<Timestamp>,
    /// Whether its row says that it holds a channel.
    pub online: bool,
}

/// What sort of thing a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MachineKind {
    /// A computer that people or workloads use.
    Host,
    /// A computer that takes jobs.
    Worker,
    /// A program that acts for people.
    SoftwareAgent,
}

/// The record of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its identifier, for ever.
    pub id: MachineId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// The site it belongs to.
    pub site: SiteId,
    /// What operators call it.
    pub name: MachineName,
    /// What it calls itself.
    pub hostname: Option<Hostname>,
    /// What sort of thing it is.
    pub kind: MachineKind,
    /// The hardware signal it enrolled with. Unique among the live machines of a tenant.
    pub hardware_id: Option<HardwareId>,
    /// Its current key; `None` while pending and for clients that have no key of their own.
    pub key: Option<KeyFingerprint>,
    /// Rises by one with every new key or keyless re-use; never falls.
    pub generation: u32,
    /// Role stamped by the grant.
    pub role: Option<Role>,
    /// Labels stamped by the grant.
    pub labels: Labels,
    /// What it says of itself.
    pub attributes: Attributes,
    /// The grant it came in by.
    pub grant: Option<GrantId>,
    /// Where it stands in its life.
    pub state: MachineState,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it last enrolled. A key that its own key vouched for changes nothing of it.
    pub enrolled_at: Option<Timestamp>,
    /// Since when it has its present key, where that is not the one it enrolled with.
    pub key_since: Option<Timestamp>,
    /// What was told last of a copy of it. The next key does not wash that off.
    pub alarm: Option<Alarm>,
    /// How it was let in, the last time that somebody other than itself vouched for it.
    pub lineage: Lineage,
}

/// How a machine was let in. A key that the machine's own key vouches for changes nothing of it: whoever came in wrongly
/// does not wash that off by rotating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lineage {
    /// When.
    pub at: Option<Timestamp>,
    /// From where it asked.
    pub source: Option<IpAddr>,
    /// Who approved it; `None` where its grant sufficed.
    pub approved_by: Option<Actor>,
    /// The grant it came in by, where its own key vouched for the next one by another grant since.
    pub grant: Option<GrantId>,
}

/// Where a machine stands in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineState {
    /// Made by an operator ahead of its machine.
    Pending(Pending),
    /// At work.
    Active(Active),
    /// Paused by an operator, or on probation after a rejoin.
    Suspended(Suspended),
    /// Ended. A tombstone.
    Retired(Retired),
}

/// Made ahead of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Since when.
    pub since: Timestamp,
}

/// At work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Since when.
    pub since: Timestamp,
}

/// Paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: SuspendCause,
}

/// Why a machine is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuspendCause {
    /// An operator said so.
    Operator(Option<ReasonText>),
    /// It came back under a new key by the site's re-image policy and nobody has confirmed it yet.
    Probation,
    /// Its key or all its credentials were revoked.
    Revoked(Option<ReasonText>),
    /// It was not heard of for too long.
    Silent,
    /// Two hold its key, and nobody has looked yet which of them is the machine.
    Quarantine,
}

/// Ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: RetireCause,
    /// Until when its hardware may come back as it, once: an operator permitted that.
    pub readmit: Option<Timestamp>,
}

/// How long the end of a machine for its silence can be undone.
pub const UNDONE_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Why a machine was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetireCause {
    /// An operator said so.
    Operator(Option<ReasonText>),
    /// It signed itself off.
    Left,
    /// It was not heard of for too long, not even after it had been paused for that.
    Silent,
}

impl Machine {
    /// When its present key came into use.
    pub fn keyed_at(&self) -> Option<Timestamp> {
        self.key_since.or(self.enrolled_at)
    }

    /// Whether a pause keeps its keys as they are: somebody looks, or is to look, which of two is the machine.
    pub fn keys_rest(&self) -> bool {
        match &self.state {
            MachineState::Suspended(Suspended { cause, .. }) => {
                matches!(cause, SuspendCause::Operator(_) | SuspendCause::Quarantine)
            }
            MachineState::Pending(_) | MachineState::Active(_) | MachineState::Retired(_) => false,
        }
    }
}

impl MachineKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Host, Self::Worker, Self::SoftwareAgent];

    /// The name in wires and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Worker => "worker",
            Self::SoftwareAgent => "software_agent",
        }
    }
}

impl std::str::FromStr for MachineKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or("is not one of host, worker, software_agent")
    }
}

impl MachineState {
    /// The name in wires and tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Active(_) => "active",
            Self::Suspended(_) => "suspended",
            Self::Retired(_) => "retired",
        }
    }

    /// Since when it stands so.
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Pending(Pending { since })
            | Self::Active(Active { since })
            | Self::Suspended(Suspended { since, .. })
            | Self::Retired(Retired { since, .. }) => *since,
        }
    }

    /// First enrollment, or a rekey that the old key vouched for. A pause stays a pause.
    pub fn enrolled(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Pending(_) => Ok(Self::Active(Active { since: now })),
            Self::Active(active) => Ok(Self::Active(active)),
            Self::Suspended(suspended) => Ok(Self::Suspended(suspended)),
            Self::Retired(_) => Err(self.refuse("enroll")),
        }
    }

    /// A rekey that a person decided: ends every pause but one that an operator ordered.
    pub fn vouched_for(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Suspended(Suspended {
                cause:
                    SuspendCause::Revoked(_)
                    | SuspendCause::Probation
                    | SuspendCause::Silent
                    | SuspendCause::Quarantine,
                ..
            }) => Ok(Self::Active(Active { since: now })),
            other => other.enrolled(now),
        }
    }

    /// A rejoin by policy, with nobody's word for it: paused until somebody confirms. A pause for silence would end by the
    /// next call of whoever has the new key.
    pub fn on_probation(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Active(_) | Self::Suspended(Suspended { cause: SuspendCause::Silent, .. }) => {
                Ok(Self::Suspended(Suspended { since: now, cause: SuspendCause::Probation }))
            }
            Self::Suspended(suspended) => Ok(Self::Suspended(suspended)),
            Self::Pending(_) | Self::Retired(_) => Err(self.refuse("rejoin")),
        }
    }

    /// A revocation: paused under whatever it was before, until an operator lets it in again.
    pub fn revoked(self, now: Timestamp, reason: Option<ReasonText>) -> Result<Self, Refusal> {
        match self {
            Self::Active(_) | Self::Suspended(_) => {
                Ok(Self::Suspended(Suspended { since: now, cause: SuspendCause::Revoked(reason) }))
            }
            Self::Pending(_) | Self::Retired(_) => Err(self.refuse("revoke")),
        }
    }

    /// A pause by an operator. One for silence, which the machine could end itself, becomes one that it cannot.
    pub fn suspended(self, now: Timestamp, reason: Option<ReasonText>) -> Result<Self, Refusal> {
        match self {
            Self::Active(_) | Self::Suspended(Suspended { cause: SuspendCause::Silent, .. }) => {
                Ok(Self::Suspended(Suspended { since: now, cause: SuspendCause::Operator(reason) }))
            }
            Self::Pending(_) | Self::Suspended(_) | Self::Retired(_) => Err(self.refuse("suspend")),
        }
    }

    /// A pause because two hold its key.
    pub fn quarantined(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            // A pause for silence would end with the next call of either of the two.
            Self::Active(_) | Self::Suspended(Suspended { cause: SuspendCause::Silent, .. }) => {
                Ok(Self::Suspended(Suspended { since: now, cause: SuspendCause::Quarantine }))
            }
            Self::Pending(_) | Self::Suspended(_) | Self::Retired(_) => Err(self.refuse("quarantine")),
        }
    }

    /// The end of a pause, or the confirmation of a rejoin.
    pub fn resumed(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Suspended(_) => Ok(Self::Active(Active { since: now })),
            Self::Pending(_) | Self::Active(_) | Self::Retired(_) => Err(self.refuse("resume")),
        }
    }

    /// The end. One for silence, which could be undone, becomes one for good where somebody says so.
    pub fn retired(self, now: Timestamp, cause: RetireCause) -> Result<Self, Refusal> {
        match self {
            Self::Retired(Retired { cause: RetireCause::Silent, .. }) if cause != RetireCause::Silent => {
                Ok(Self::Retired(Retired { since: now, cause, readmit: None }))
            }
            Self::Pending(_) | Self::Active(_) | Self::Suspended(_) => {
                Ok(Self::Retired(Retired { since: now, cause, readmit: None }))
            }
            Self::Retired(_) => Err(self.refuse("retire")),
        }
    }

    /// A pause because it is not heard of.
    pub fn silenced(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Active(_) => Ok(Self::Suspended(Suspended { since: now, cause: SuspendCause::Silent })),
            Self::Pending(_) | Self::Suspended(_) | Self::Retired(_) => Err(self.refuse("reap")),
        }
    }

    /// The end of a pause for silence: the machine was heard of again.
    pub fn heard(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Suspended(Suspended { cause: SuspendCause::Silent, .. }) => {
                Ok(Self::Active(Active { since: now }))
            }
            Self::Pending(_) | Self::Active(_) | Self::Suspended(_) | Self::Retired(_) => {
                Err(self.refuse("hear"))
            }
        }
    }

    /// Whether it is paused for its silence alone.
    pub fn is_silenced(&self) -> bool {
        matches!(self, Self::Suspended(Suspended { cause: SuspendCause::Silent, .. }))
    }

    /// Until when the end of it can be undone, where it ended for its silence.
    pub fn undone_until(&self) -> Option<Timestamp> {
        match self {
            Self::Retired(Retired { since, cause: RetireCause::Silent, .. }) => Some(*since + UNDONE_FOR),
            Self::Pending(_) | Self::Active(_) | Self::Suspended(_) | Self::Retired(_) => None,
        }
    }

    /// The end of a reaping, by an operator: what was paused or ended for its silence alone goes on.
    pub fn restored(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Suspended(Suspended { cause: SuspendCause::Silent, .. })
            | Self::Retired(Retired { cause: RetireCause::Silent, .. }) => {
                Ok(Self::Active(Active { since: now }))
            }
            Self::Pending(_) | Self::Active(_) | Self::Suspended(_) | Self::Retired(_) => {
                Err(self.refuse("restore"))
            }
        }
    }

    /// An operator permits that a tombstone's hardware comes back as it, once, until then.
    pub fn readmissible(self, until: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Retired(retired) => Ok(Self::Retired(Retired { readmit: Some(until), ..retired })),
            Self::Pending(_) | Self::Active(_) | Self::Suspended(_) => Err(self.refuse("readmit")),
        }
    }

    /// The one way out of `Retired` for somebody who enrolls: by the permit that an operator gave, which is spent by it.
    pub fn readmitted(self, now: Timestamp) -> Result<Self, Refusal> {
        match self {
            Self::Retired(Retired { readmit: Some(until), .. }) if now < until => {
                Ok(Self::Active(Active { since: now }))
            }
            Self::Pending(_) | Self::Active(_) | Self::Suspended(_) | Self::Retired(_) => {
                Err(self.refuse("readmit"))
            }
        }
    }

    /// Whether somebody of a tombstone's hardware may come back as it now.
    pub fn may_return(&self, now: Timestamp) -> bool {
        matches!(self, Self::Retired(Retired { readmit: Some(until), .. }) if now < *until)
    }

    fn refuse(&self, verb: &'static str) -> Refusal {
        Refusal::WrongState { verb, state: self.as_str() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time in range")
    }

    fn every_state() -> [MachineState; 4] {
        let since = at(0);
        [
            MachineState::Pending(Pending { since }),
            MachineState::Active(Active { since }),
            MachineState::Suspended(Suspended { since, cause: SuspendCause::Operator(None) }),
            MachineState::Retired(Retired { since, cause: RetireCause::Left, readmit: None }),
        ]
    }

    #[test]
    fn nothing_leaves_retired() {
        let [.., retired] = every_state();
        for moved in [
            retired.clone().enrolled(at(1)),
            retired.clone().on_probation(at(1)),
            retired.clone().suspended(at(1), None),
            retired.clone().resumed(at(1)),
            retired.clone().vouched_for(at(1)),
            retired.clone().revoked(at(1), None),
            retired.clone().silenced(at(1)),
            retired.clone().restored(at(1)),
            retired.clone().readmitted(at(1)),
            retired.retired(at(1), RetireCause::Left),
        ] {
            assert!(matches!(moved, Err(Refusal::WrongState { state: "retired", .. })));
        }
    }

    #[test]
    fn a_permit_opens_the_way_back_until_it_ends_and_only_to_what_was_retired() {
        let [pending, active, suspended, retired] = every_state();
        for other in [pending, active, suspended] {
            assert!(other.readmissible(at(9)).is_err());
        }
        let permitted = retired.readmissible(at(9)).expect("it is retired");
        assert!(permitted.may_return(at(8)) && !permitted.may_return(at(9)));
        assert_eq!(permitted.clone().readmitted(at(8)), Ok(MachineState::Active(Active { since: at(8) })));
        assert!(permitted.readmitted(at(9)).is_err());
    }

    #[test]
    fn only_what_was_reaped_is_restored() {
        let silent = Retired { since: at(0), cause: RetireCause::Silent, readmit: None };
        assert!(MachineState::Retired(silent).restored(at(1)).is_ok());
        let paused = Suspended { since: at(0), cause: SuspendCause::Silent };
        assert!(MachineState::Suspended(paused).restored(at(1)).is_ok());
        assert!(every_state().into_iter().all(|state| state.restored(at(1)).is_err()));
    }

    #[test]
    fn who_was_silent_is_heard_again_and_an_operators_word_outweighs_the_reapers() {
        let silent = || MachineState::Suspended(Suspended { since: at(0), cause: SuspendCause::Silent });
        assert_eq!(silent().heard(at(1)), Ok(MachineState::Active(Active { since: at(1) })));
        assert!(every_state().into_iter().all(|state| state.heard(at(1)).is_err()));
        let cause = |state: Result<MachineState, Refusal>| match state {
            Ok(MachineState::Suspended(Suspended { cause, .. })) => cause,
            other => panic!("not paused: {other:?}"),
        };
        assert_eq!(cause(silent().suspended(at(1), None)), SuspendCause::Operator(None));
        assert_eq!(cause(silent().on_probation(at(1))), SuspendCause::Probation);
        let retired = |cause| MachineState::Retired(Retired { since: at(0), cause, readmit: None });
        assert_eq!(retired(RetireCause::Silent).undone_until(), Some(at(30 * 24 * 3600)));
        let ended =
            retired(RetireCause::Silent).retired(at(1), RetireCause::Operator(None)).expect("for good");
        assert_eq!(ended.undone_until(), None);
        assert!(retired(RetireCause::Silent).retired(at(1), RetireCause::Silent).is_err());
    }

    #[test]
    fn enrolling_again_never_lifts_a_pause() {
        let [_, _, suspended, _] = every_state();
        assert_eq!(suspended.clone().enrolled(at(9)), Ok(suspended));
    }

    #[test]
    fn only_active_machines_are_paused_and_only_paused_ones_resumed() {
        let pausable: Vec<bool> = every_state().map(|s| s.suspended(at(1), None).is_ok()).to_vec();
        let resumable: Vec<bool> = every_state().map(|s| s.resumed(at(1)).is_ok()).to_vec();
        assert_eq!(pausable, [false, true, false, false]);
        assert_eq!(resumable, [false, false, true, false]);
    }
}

//! Times as they are kept: whole milliseconds, what is finer is cut off.

use muster_lifecycle::Remembered;
use muster_lifecycle::fork::Boots;
use muster_model::second_factor::SecondFactor;
use muster_model::{
    AccessToken, Account, Active, Alarm, Binding, Ca, CaPhase, Credential, CredentialState, Delivery,
    EngagementVersion, Grant, GrantState, Hold, HoldState, Lineage, Machine, MachineState, Minted, Operator,
    Pending, Retired, Site, SoftwareAgent, Suspended, Tenant, Timestamp, Uses,
};

/// The same with every time cut to the millisecond.
pub(super) trait Cut {
    fn cut(self) -> Self;
}

impl Cut for Timestamp {
    fn cut(self) -> Self {
        // The last millisecond that there is has no whole one of its own.
        Self::from_millisecond(self.as_millisecond()).unwrap_or(self)
    }
}

impl<T: Cut> Cut for Option<T> {
    fn cut(self) -> Self {
        self.map(Cut::cut)
    }
}

impl Cut for Boots {
    fn cut(self) -> Self {
        let earlier = self.earlier.into_iter().map(|(boot, at)| (boot, at.cut())).collect();
        Self { earlier, ..self }
    }
}

impl Cut for Ca {
    fn cut(self) -> Self {
        let phase = match self.phase {
            CaPhase::Tainted { before } => CaPhase::Tainted { before: before.cut() },
            phase @ (CaPhase::Settled | CaPhase::Prepared | CaPhase::Published | CaPhase::Activated) => phase,
        };
        let rotate_before = self.rotate_before.cut();
        Self { phase, since: self.since.cut(), signs_since: self.signs_since.cut(), rotate_before, ..self }
    }
}

impl Cut for Tenant {
    fn cut(self) -> Self {
        Self { created_at: self.created_at.cut(), ..self }
    }
}

impl Cut for Account {
    fn cut(self) -> Self {
        let delivery = match self.delivery {
            Delivery::Due { at, attempts, last } => Delivery::Due { at: at.cut(), attempts, last },
            Delivery::Done { at } => Delivery::Done { at: at.cut() },
            Delivery::Conflict { at } => Delivery::Conflict { at: at.cut() },
            Delivery::Dead { at, attempts, last } => Delivery::Dead { at: at.cut(), attempts, last },
        };
        Self { delivery, created_at: self.created_at.cut(), ..self }
    }
}

impl Cut for Site {
    fn cut(self) -> Self {
        Self { created_at: self.created_at.cut(), ..self }
    }
}

impl Cut for Binding {
    fn cut(self) -> Self {
        Self { at: self.at.cut(), ..self }
    }
}

impl Cut for Uses {
    fn cut(self) -> Self {
        match self {
            Self::Once(binding) => Self::Once(binding.cut()),
            Self::Capped { .. } | Self::Unlimited => self,
        }
    }
}

impl Cut for GrantState {
    fn cut(self) -> Self {
        match self {
            Self::Live => Self::Live,
            Self::RotatedOut(at) => Self::RotatedOut(at.cut()),
            Self::Revoked(at) => Self::Revoked(at.cut()),
        }
    }
}

impl Cut for Grant {
    fn cut(self) -> Self {
        Self {
            uses: self.uses.cut(),
            expires_at: self.expires_at.cut(),
            state: self.state.cut(),
            created_at: self.created_at.cut(),
            ..self
        }
    }
}

impl Cut for MachineState {
    fn cut(self) -> Self {
        match self {
            Self::Pending(Pending { since }) => Self::Pending(Pending { since: since.cut() }),
            Self::Active(Active { since }) => Self::Active(Active { since: since.cut() }),
            Self::Suspended(Suspended { since, cause }) => {
                Self::Suspended(Suspended { since: since.cut(), cause })
            }
            Self::Retired(Retired { since, cause, readmit }) => {
                Self::Retired(Retired { since: since.cut(), cause, readmit: readmit.cut() })
            }
        }
    }
}

impl Cut for Machine {
    fn cut(self) -> Self {
        Self {
            state: self.state.cut(),
            created_at: self.created_at.cut(),
            enrolled_at: self.enrolled_at.cut(),
            key_since: self.key_since.cut(),
            alarm: self.alarm.map(|alarm| Alarm { at: alarm.at.cut(), ..alarm }),
            lineage: Lineage { at: self.lineage.at.cut(), ..self.lineage },
            ..self
        }
    }
}

impl Cut for HoldState {
    fn cut(self) -> Self {
        match self {
            Self::Open => Self::Open,
            Self::Approved { machine, at, by } => Self::Approved { machine, at: at.cut(), by },
            Self::Rejected { at, by, reason } => Self::Rejected { at: at.cut(), by, reason },
        }
    }
}

impl Cut for Hold {
    fn cut(self) -> Self {
        Self {
            state: self.state.cut(),
            created_at: self.created_at.cut(),
            expires_at: self.expires_at.cut(),
            ..self
        }
    }
}

impl Cut for CredentialState {
    fn cut(self) -> Self {
        match self {
            Self::Ended { at, reason } => Self::Ended { at: at.cut(), reason },
            Self::Issued(Minted::Refresh { used_at }) => {
                Self::Issued(Minted::Refresh { used_at: used_at.cut() })
            }
            Self::Reserved | Self::Issued(_) => self,
        }
    }
}

impl Cut for Credential {
    fn cut(self) -> Self {
        Self {
            not_before: self.not_before.cut(),
            not_after: self.not_after.cut(),
            state: self.state.cut(),
            ..self
        }
    }
}

impl Cut for Operator {
    fn cut(self) -> Self {
        let (created_at, disabled_at) = (self.created_at.cut(), self.disabled_at.cut());
        Self { created_at, disabled_at, second: self.second.map(SecondFactor::cut), ..self }
    }
}

impl Cut for SecondFactor {
    fn cut(self) -> Self {
        match self {
            Self::Proposed { salt, at } => Self::Proposed { salt, at: at.cut() },
            Self::Confirmed { salt, since, step, recovery } => {
                Self::Confirmed { salt, since: since.cut(), step, recovery }
            }
        }
    }
}

impl Cut for SoftwareAgent {
    fn cut(self) -> Self {
        Self { freed_at: self.freed_at.cut(), ..self }
    }
}

impl Cut for EngagementVersion {
    fn cut(self) -> Self {
        let acknowledged_at = self.acknowledged_at.map(Cut::cut);
        Self { at: self.at.cut(), acknowledged_at, ..self }
    }
}

impl Cut for AccessToken {
    fn cut(self) -> Self {
        Self {
            created_at: self.created_at.cut(),
            expires_at: self.expires_at.cut(),
            ended_at: self.ended_at.cut(),
            ..self
        }
    }
}

impl Cut for Remembered {
    fn cut(self) -> Self {
        Self { at: self.at.cut(), ..self }
    }
}

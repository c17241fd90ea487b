//! How far the deployment has come from one certificate authority to the next.
//!
//! The authority that a deployment was founded with is in the data directory; the ones after it are here, sealed under
//! a key that the database never sees.

use crate::Timestamp;

/// Where the change of the authority stands. The whole of it is one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ca {
    /// Rises with each step, the ones back too. Of two that are found, the higher one counts.
    pub revision: u64,
    /// The version of the bundle of roots that everybody is given; rises where that changes.
    pub bundle: u64,
    /// Where it stands.
    pub phase: CaPhase,
    /// Since when.
    pub since: Timestamp,
    /// Since when the authority signs that does now, or does so again; `None` where another one never did. Certificates
    /// that were drawn before may be by the other one.
    pub signs_since: Option<Timestamp>,
    /// Keys from before then are to be replaced: an authority was declared tainted then. It outlasts the change.
    pub rotate_before: Option<Timestamp>,
    /// The authorities that are not in the data directory, sealed. Bound to everything above.
    pub sealed: Vec<u8>,
}

/// Where the change of the authority stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaPhase {
    /// There is one authority, and nothing is on its way.
    Settled,
    /// The next one is made. Nobody has seen it.
    Prepared,
    /// Its roots are in the bundle. Nothing is signed by it.
    Published,
    /// It signs. What the one before signed is good.
    Activated,
    /// It signs. A certificate by the one before proves nothing.
    Tainted {
        /// Which keys were to be replaced already, by an earlier taint.
        before: Option<Timestamp>,
    },
}

impl CaPhase {
    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Prepared => "prepared",
            Self::Published => "published",
            Self::Activated => "activated",
            Self::Tainted { .. } => "tainted",
        }
    }

    /// What it carries beside its name.
    pub fn before(self) -> Option<Timestamp> {
        match self {
            Self::Settled | Self::Prepared | Self::Published | Self::Activated => None,
            Self::Tainted { before } => before,
        }
    }

    /// The phase that is written so; `None` for what no phase is written as.
    pub fn from_parts(name: &str, before: Option<Timestamp>) -> Option<Self> {
        let all = [Self::Settled, Self::Prepared, Self::Published, Self::Activated, Self::Tainted { before }];
        all.into_iter().find(|phase| phase.as_str() == name && phase.before() == before)
    }
}

impl Ca {
    /// The state of a deployment that never changed its authority.
    pub fn founding() -> Self {
        Self {
            revision: 0,
            bundle: 1,
            phase: CaPhase::Settled,
            since: Timestamp::UNIX_EPOCH,
            signs_since: None,
            rotate_before: None,
            sealed: Vec::new(),
        }
    }

    /// Whether the next authority signs already.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, CaPhase::Activated | CaPhase::Tainted { .. })
    }

    /// When the authority before the signing one was declared tainted.
    pub fn tainted_at(&self) -> Option<Timestamp> {
        matches!(self.phase, CaPhase::Tainted { .. }).then_some(self.since)
    }

    /// What a seal is bound to: everything but the sealed bytes.
    pub fn context(&self) -> String {
        let at = |at: Option<Timestamp>| at.map_or(-1, Timestamp::as_millisecond);
        format!(
            "muster ca v1\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.revision,
            self.bundle,
            self.phase.as_str(),
            self.since.as_millisecond(),
            at(self.signs_since),
            at(self.rotate_before),
            at(self.phase.before())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_phase_reads_back_from_its_parts_and_parts_that_fit_no_phase_are_none() {
        for phase in [
            CaPhase::Settled,
            CaPhase::Prepared,
            CaPhase::Published,
            CaPhase::Activated,
            CaPhase::Tainted { before: None },
            CaPhase::Tainted { before: Some(at(3)) },
        ] {
            assert_eq!(CaPhase::from_parts(phase.as_str(), phase.before()), Some(phase));
        }
        for odd in ["settled", "prepared", "published", "activated", "Tainted", ""] {
            assert_eq!(CaPhase::from_parts(odd, Some(at(3))), None, "{odd}");
        }
    }

    #[test]
    fn no_two_states_have_one_context() {
        let ca = |revision, phase| Ca { revision, phase, ..Ca::founding() };
        let all = [
            ca(0, CaPhase::Settled),
            ca(1, CaPhase::Settled),
            ca(1, CaPhase::Activated),
            ca(1, CaPhase::Tainted { before: None }),
            ca(1, CaPhase::Tainted { before: Some(at(1)) }),
            Ca { signs_since: Some(at(1)), ..ca(1, CaPhase::Settled) },
            Ca { rotate_before: Some(at(1)), ..ca(1, CaPhase::Settled) },
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other.context() != one.context()), "{one:?}");
        }
    }
}

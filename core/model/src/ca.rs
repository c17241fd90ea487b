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
    /// Since when the authority signs that does now; never for the one that the deployment was founded with.
    pub signs_since: Option<Timestamp>,
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
    Activated {
        /// Since when the one before had signed.
        before: Option<Timestamp>,
    },
    /// It signs. A certificate by the one before proves nothing.
    Tainted {
        /// Since when the one before had signed.
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
            Self::Activated { .. } => "activated",
            Self::Tainted { .. } => "tainted",
        }
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
            sealed: Vec::new(),
        }
    }

    /// Whether the next authority signs already.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, CaPhase::Activated { .. } | CaPhase::Tainted { .. })
    }

    /// When the authority before the signing one was declared tainted.
    pub fn tainted_at(&self) -> Option<Timestamp> {
        matches!(self.phase, CaPhase::Tainted { .. }).then_some(self.since)
    }

    /// Certificates from before are by an authority that counts no more.
    pub fn counts_since(&self) -> Option<Timestamp> {
        match self.phase {
            CaPhase::Activated { before } => before,
            CaPhase::Settled | CaPhase::Prepared | CaPhase::Published | CaPhase::Tainted { .. } => {
                self.signs_since
            }
        }
    }

    /// What a seal is bound to: everything but the sealed bytes.
    pub fn context(&self) -> String {
        let at = |at: Option<Timestamp>| at.map_or(-1, Timestamp::as_millisecond);
        let before = match self.phase {
            CaPhase::Activated { before } | CaPhase::Tainted { before } => before,
            CaPhase::Settled | CaPhase::Prepared | CaPhase::Published => None,
        };
        format!(
            "muster ca v1\n{}\n{}\n{}\n{}\n{}\n{}",
            self.revision,
            self.bundle,
            self.phase.as_str(),
            self.since.as_millisecond(),
            at(self.signs_since),
            at(before)
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
    fn a_taint_makes_the_signing_authority_the_only_one_that_counts_and_an_activation_does_not() {
        let ca = |phase| Ca { phase, signs_since: Some(at(9)), ..Ca::founding() };
        assert_eq!(ca(CaPhase::Activated { before: None }).counts_since(), None);
        assert_eq!(ca(CaPhase::Activated { before: Some(at(3)) }).counts_since(), Some(at(3)));
        assert_eq!(ca(CaPhase::Tainted { before: None }).counts_since(), Some(at(9)));
        assert_eq!(ca(CaPhase::Settled).counts_since(), Some(at(9)));
        assert_eq!(Ca::founding().counts_since(), None);
    }

    #[test]
    fn no_two_states_have_one_context() {
        let ca = |revision, phase| Ca { revision, phase, ..Ca::founding() };
        let all = [
            ca(0, CaPhase::Settled),
            ca(1, CaPhase::Settled),
            ca(1, CaPhase::Activated { before: None }),
            ca(1, CaPhase::Activated { before: Some(at(1)) }),
            ca(1, CaPhase::Tainted { before: None }),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other.context() != one.context()), "{one:?}");
        }
    }
}

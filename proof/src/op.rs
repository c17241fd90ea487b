//! Operations and sequences of them, drawn from a seed.
//!
//! An operation is a kind and three numbers that say with what: places in lists that count round, so that any numbers
//! fit any history and a sequence stays one when some of its operations are left out.

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// What is done.
    pub kind: Kind,
    /// With what.
    pub with: [u8; 3],
}

/// The longest sequence.
pub(crate) const LONGEST: usize = 60;
/// The shortest.
const SHORTEST: usize = 4;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident)+) => {
        /// What is done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {$(
            $(#[$doc])*
            $kind,
        )+}

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];
        }
    };
}

kinds! {
    /// Makes a grant.
    CreateGrant
    /// Ends one.
    RevokeGrant
    /// Makes the next generation of a site's key.
    RotateKey
    /// Makes a site.
    CreateSite
    /// Makes a machine ahead of itself.
    CreateMachine
    /// Enrolls by a token.
    EnrollByToken
    /// Enrolls by a site's key.
    EnrollBySiteKey
    /// Enrolls without a secret.
    EnrollByRequest
    /// Enrolls by the invite of a pending machine.
    EnrollByInvite
    /// Enrolls without a key.
    EnrollKeyless
    /// Sends an earlier request once more.
    EnrollAgain
    /// Enrolls under another key that the present one signed for.
    Rekey
    /// Asks with what is wrong, unknown or malformed.
    EnrollWrongly
    /// Lets in who waits.
    Approve
    /// Turns away who waits.
    Reject
    /// One who waits asks again.
    Collect
    /// Renews over a certificate.
    Renew
    /// Renews over a signature.
    RenewSigned
    /// Signs off.
    Leave
    /// Takes a token to show to others.
    MachineToken
    /// Looks at itself by a bearer key.
    UseBearer
    /// Pauses.
    Suspend
    /// Ends a pause.
    Resume
    /// Ends a machine.
    Retire
    /// Ends its credentials.
    Revoke
    /// Ends one of them.
    RevokeOne
    /// Tells what would end.
    RevokeDry
    /// Tells a machine to ask for its next certificate.
    OrderRenewal
    /// Makes an API token.
    CreateToken
    /// Ends one.
    RevokeToken
    /// Shows a token or session.
    UseToken
    /// Makes a login link.
    LoginLink
    /// Spends one.
    Login
    /// Ends a session.
    Logout
    /// Sends an earlier request again under its idempotency key.
    Repeat
    /// Sends another request under an earlier one's key.
    Mismatch
    /// Time passes.
    Pass
    /// A machine opens its channel.
    Connect
    /// One closes.
    Disconnect
    /// The server stops without a word and starts again.
    Restart
    /// Writes what was counted or kept for later.
    Flush
    /// Deletes what is old.
    Prune
    /// A page of machines.
    ListMachines
    /// A page of sites.
    ListSites
    /// A page of grants.
    ListGrants
    /// A page of holds.
    ListHolds
    /// A page of tokens.
    ListTokens
    /// A page of the audit log.
    ListAudit
    /// The next page of an earlier list.
    NextPage
    /// One machine.
    ShowMachine
    /// One hold.
    ShowHold
    /// The deployment at a glance.
    Status
}

impl Kind {
    /// How much more often than the rest it is drawn: what the rest needs to have something to work on.
    fn weight(self) -> u64 {
        match self {
            Self::EnrollByToken | Self::EnrollBySiteKey | Self::EnrollByRequest => 4,
            Self::CreateGrant | Self::RotateKey | Self::Approve | Self::Collect => 3,
            Self::EnrollKeyless
            | Self::EnrollByInvite
            | Self::CreateMachine
            | Self::Connect
            | Self::Disconnect => 2,
            _ => 1,
        }
    }
}

/// Numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014). The same ones on every machine, for ever.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    /// Those of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn kind(&mut self) -> Kind {
        let all: u64 = Kind::ALL.iter().map(|kind| kind.weight()).sum();
        let mut place = self.below(all);
        for kind in Kind::ALL {
            match place.checked_sub(kind.weight()) {
                Some(left) => place = left,
                None => return *kind,
            }
        }
        unreachable!("the place is below the sum of the weights")
    }

    fn op(&mut self) -> Op {
        let [a, b, c, ..] = self.next().to_le_bytes();
        Op { kind: self.kind(), with: [a, b, c] }
    }
}

/// The sequence of a seed.
pub(crate) fn sequence(seed: u64) -> Vec<Op> {
    let mut draws = Draws::new(seed);
    let length = SHORTEST as u64 + draws.below((LONGEST - SHORTEST) as u64 + 1);
    (0..length).map(|_| draws.op()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_sequence_and_others_give_others() {
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn no_sequence_is_longer_than_it_may_be() {
        let lengths: Vec<usize> = (0..1000).map(|seed| sequence(seed).len()).collect();
        assert_eq!(lengths.iter().max(), Some(&LONGEST));
        assert_eq!(lengths.iter().min(), Some(&SHORTEST));
    }
}

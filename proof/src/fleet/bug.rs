//! Mistakes in the protocol that an exploration must find: each is a wrapper around the real decisions, in `server.rs`
//! or `mod.rs`, and none is in the product.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The old key ends when the next one is certified, and not when it is used.
    EndsAtIssue,
    /// What the agent says of its durable slot is not heard.
    DeafToBase,
    /// A proposal counts as often as it arrives.
    TakesTwice,
    /// The key before the current one is forgotten at the first use of the next.
    ForgetsPrevious,
    /// A second proposal leaves the first one as it is.
    KeepsBoth,
    /// What was read is not read again when somebody else has written meanwhile.
    CommitsStale,
    /// A token is not bound to the key that spends it.
    TokenUnbound,
    /// A token that is spent is so for the key that spent it, too.
    TokenBurnt,
    /// Asking a second time is taken for an approval.
    HoldApprovesItself,
    /// A hold ends the credentials of the machine that it is about.
    HoldTouches,
    /// Approving a claimant as the same machine leaves its older keys as they are.
    MergeKeepsKeys,
    /// Revoking ends the present key and leaves the next one, and the machine, as they are.
    RevokeMissesNext,
    /// What was ended while it was signed becomes valid when it is confirmed.
    ConfirmsEnded,
    /// After a restore, a key that is known to be ended is adopted.
    AdoptsDead,
    /// After a restore, nothing is adopted.
    NeverAdopts,
    /// After a restore, what is adopted takes the place of the key that the database knows, whatever the agent says of its
    /// durable slot.
    AdoptsDeaf,
    /// After a restore, requests of before are heard.
    HearsBefore,
    /// Proposals are not ordered by their nonces.
    Unordered,
    /// They are when they are authenticated, and not where they are decided on.
    OrderedOnce,
}

impl Bug {
    /// Every one.
    pub const ALL: [Self; 19] = [
        Self::EndsAtIssue,
        Self::DeafToBase,
        Self::TakesTwice,
        Self::ForgetsPrevious,
        Self::KeepsBoth,
        Self::CommitsStale,
        Self::TokenUnbound,
        Self::TokenBurnt,
        Self::HoldApprovesItself,
        Self::HoldTouches,
        Self::MergeKeepsKeys,
        Self::RevokeMissesNext,
        Self::ConfirmsEnded,
        Self::AdoptsDead,
        Self::NeverAdopts,
        Self::AdoptsDeaf,
        Self::HearsBefore,
        Self::Unordered,
        Self::OrderedOnce,
    ];
}

//! The one type of a decided no.
//!
//! Each refusal has a stable code. What it says to the outside (status, sentence, advice) stands in one table, in the
//! server's `problem/table.rs`; nothing else turns a refusal into words.

use thiserror::Error;

/// A decided no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Row 9: the grant is unknown, wrong, expired, spent by another key, rotated out or of another site. Which of
    /// these it was is for the audit log alone.
    #[error("enrollment refused: {cause}")]
    NotEntitled {
        /// For the audit log alone.
        cause: &'static str,
    },
    /// Row 8: the caller proved a key that was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The caller proved a key whose place a newer one of its machine took.
    #[error("a newer key took the place of this one")]
    Superseded,
    /// The caller proved the key before its machine's present one: it is good for a rotation, and for nothing else.
    #[error("this key may only ask for a rotation")]
    RotationNeeded,
    /// The caller proved a key that belongs to no machine here.
    #[error("no machine has this key")]
    UnknownMachine,
    /// The caller showed a key of a machine that was ended. Said to bearer keys alone: who proves a key of its own is told
    /// that it was revoked.
    #[error("the machine was retired")]
    MachineRetired,
    /// The machine was ended because nothing was heard of it for long. That can still be undone, so that nobody is told that
    /// a key or an identity is over.
    #[error("the machine was retired for its silence")]
    Reaped,
    /// A person turned this enrollment away.
    #[error("rejected by an operator")]
    Rejected {
        /// What they said.
        reason: Option<String>,
    },
    /// The machine is paused.
    #[error("the machine is suspended")]
    MachineSuspended,
    /// Too many enrollments wait for a person already.
    #[error("too many enrollments are waiting")]
    TooManyHolds,
    /// The site takes no enrollments without a secret, or there is no such site. The two look the same from outside.
    #[error("requests are not taken here")]
    RequestsNotTaken,
    /// The grant admits another kind of machine.
    #[error("the grant admits only machines of kind {expected}")]
    WrongKind {
        /// The kind it admits.
        expected: &'static str,
    },
    /// No such object, or none that the caller may see.
    #[error("no such {what}")]
    NotFound {
        /// The noun.
        what: &'static str,
    },
    /// The object stands where this verb does not apply.
    #[error("cannot {verb}: it is {state}")]
    WrongState {
        /// What was asked.
        verb: &'static str,
        /// Where it stands.
        state: &'static str,
    },
    /// Approving needs a word on who this is.
    #[error("this hold needs a choice: the same machine or another one")]
    ChoiceNeeded,
    /// The choice does not fit the hold.
    #[error("this hold offers no such choice: {choice}")]
    ChoiceUnavailable {
        /// What was chosen.
        choice: &'static str,
    },
    /// The name is in use.
    #[error("there is a {what} of that name already")]
    NameTaken {
        /// The noun.
        what: &'static str,
    },
    /// The change would leave nobody who may change who may do what.
    #[error("it is the last admin")]
    LastAdmin,
    /// In the other system there is an account of that name which Muster did not make.
    #[error("the account of that name is somebody else's")]
    AccountForeign,
    /// The key was proposed or in use before: each is the next one once.
    #[error("the key was proposed before")]
    KeyTaken,
    /// The nick's holder was revoked, and no operator has freed it.
    #[error("the nick belongs to an agent that was revoked")]
    NickBarred,
    /// The caller is bound to a team, and this is outside of it.
    #[error("outside the team of the token")]
    OutsideTeam,
    /// The caller's token is confined to less.
    #[error("the token lacks the scope {scope}")]
    ScopeMissing {
        /// The scope it lacks.
        scope: &'static str,
    },
    /// The caller has shown no identity, or one that does not hold.
    #[error("not authenticated: {cause}")]
    NotAuthenticated {
        /// For the log alone.
        cause: &'static str,
    },
    /// The password is right, and a code is asked for beside it.
    #[error("a code of the second factor is needed")]
    CodeNeeded,
    /// The credential's life is over; the identity is not.
    #[error("the credential has expired")]
    CredentialExpired,
    /// A signed request without a fresh nonce of ours.
    #[error("a fresh nonce is needed")]
    NonceNeeded,
    /// The caller may not do this.
    #[error("not allowed: {action}")]
    Forbidden {
        /// The action it lacks.
        action: &'static str,
    },
    /// An identity in path or body differs from the proved one.
    #[error("the identity in the request is not the caller's")]
    IdentityMismatch,
    /// Asked again too soon.
    #[error("too many requests")]
    SlowDown {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// Another number of machines is meant than the caller expected.
    #[error("{found} machines are meant, not {expected}")]
    CountDiffers {
        /// How many were expected.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Machines do not hold the roots yet that they will need.
    #[error("machines that are not ready for it: {machines}")]
    TrustBehind {
        /// How many.
        machines: u64,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotEntitled { .. } => "not_entitled",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::RotationNeeded => "rotation_needed",
            Self::UnknownMachine => "unknown_machine",
            Self::MachineRetired => "retired",
            Self::Reaped => "reaped",
            Self::Rejected { .. } => "rejected",
            Self::MachineSuspended => "suspended",
            Self::TooManyHolds => "too_many_holds",
            Self::RequestsNotTaken => "requests_not_taken",
            Self::WrongKind { .. } => "wrong_kind",
            Self::NotFound { .. } => "not_found",
            Self::WrongState { .. } => "wrong_state",
            Self::ChoiceNeeded => "choice_needed",
            Self::ChoiceUnavailable { .. } => "choice_unavailable",
            Self::NameTaken { .. } => "name_taken",
            Self::LastAdmin => "last_admin",
            Self::AccountForeign => "account_foreign",
            Self::KeyTaken => "key_taken",
            Self::NickBarred => "nick_barred",
            Self::OutsideTeam => "outside_team",
            Self::ScopeMissing { .. } => "insufficient_scope",
            Self::NotAuthenticated { .. } => "not_authenticated",
            Self::CodeNeeded => "code_needed",
            Self::CredentialExpired => "credential_expired",
            Self::NonceNeeded => "nonce_needed",
            Self::Forbidden { .. } => "forbidden",
            Self::IdentityMismatch => "identity_mismatch",
            Self::SlowDown { .. } => "slow_down",
            Self::CountDiffers { .. } => "count_differs",
            Self::TrustBehind { .. } => "trust_behind",
            Self::IdempotencyMismatch => "idempotency_mismatch",
        }
    }
}

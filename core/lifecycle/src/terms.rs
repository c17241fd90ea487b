//! The lifetimes in force. Every path that issues something reads them here and nowhere else.

use muster_model::{SignedDuration, Timestamp};

/// The lifetimes in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Of machine certificates.
    pub certificate_life: SignedDuration,
    /// Of bearer keys.
    pub bearer_life: SignedDuration,
    /// Of refresh tokens, each from when it was issued.
    pub refresh_life: SignedDuration,
    /// Of the tokens that a machine shows at each heartbeat, issued beside a refresh token.
    pub session_life: SignedDuration,
    /// Of the certificates of keys that are made for clients who insist. Far longer than the tokens beside them, so that
    /// none lapses before its client comes for the next.
    pub serving_life: SignedDuration,
    /// Of holds that nobody decides.
    pub hold_life: SignedDuration,
    /// How long after its approval a client without a key may collect, again and again.
    pub collect_life: SignedDuration,
    /// How far back a certificate's life begins, for machines whose clock is behind.
    pub backdate: SignedDuration,
    /// How old a machine's key may become before its rotation is overdue.
    pub key_life: SignedDuration,
    /// How long after its end a certificate's key may still ask for a new one.
    pub renew_grace: SignedDuration,
    /// Certificates that were drawn before may be by another authority than the one that signs now: nobody is given one of
    /// them again.
    pub certified_since: Option<Timestamp>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            certificate_life: SignedDuration::from_hours(24),
            bearer_life: SignedDuration::from_hours(24 * 365),
            refresh_life: SignedDuration::from_hours(24 * 60),
            session_life: SignedDuration::from_hours(24),
            serving_life: SignedDuration::from_hours(24 * 7),
            hold_life: SignedDuration::from_hours(24 * 7),
            collect_life: SignedDuration::from_hours(24 * 30),
            backdate: SignedDuration::from_mins(10),
            key_life: SignedDuration::from_hours(24 * 30),
            renew_grace: SignedDuration::from_hours(24 * 30),
            certified_since: None,
        }
    }
}

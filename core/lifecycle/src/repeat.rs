//! Recognising a management request that was carried out before.
//!
//! A caller marks a request with an idempotency key. The answer to its repetition is what the first one made; the
//! secrets in it are derived from the same key, so nothing secret has to be kept for that.

use muster_model::Refusal;

use crate::plan::{Context, MemoryChange, Plan, Remembered};

/// How a caller marked a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// MAC over the caller and its idempotency key.
    pub key: [u8; 32],
    /// MAC over what is asked.
    pub request: [u8; 32],
}

/// The text form of what the same request made before, if it was carried out before.
///
/// # Errors
/// [`Refusal::IdempotencyMismatch`] where the key was used for another request.
pub fn earlier<'a>(
    mark: Option<&Mark>,
    remembered: Option<&'a Remembered>,
) -> Result<Option<&'a str>, Refusal> {
    match (mark, remembered) {
        (Some(mark), Some(known)) if mark.request == known.request => Ok(Some(&known.object)),
        (Some(_), Some(_)) => Err(Refusal::IdempotencyMismatch),
        _ => Ok(None),
    }
}

/// The same plan, remembered under its mark.
pub fn remember<O>(plan: Plan<O>, mark: Option<&Mark>, object: String, context: &Context) -> Plan<O> {
    match mark {
        Some(mark) if !plan.is_unchanged() => {
            let Mark { key, request } = *mark;
            plan.and(MemoryChange::Request(Remembered { key, request, object, at: context.now }))
        }
        _ => plan,
    }
}

#[cfg(test)]
mod tests;

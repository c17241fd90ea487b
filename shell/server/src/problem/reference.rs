//! The table of problems as a whole, for the reference and its readers.

use muster_model::{Refusal, Timestamp};
use muster_wire::problem::Problem;

use super::Failed;
use super::table::{BROKEN, MALFORMED, RESTORED, Row, TOO_SLOW, UNAVAILABLE, WRONG_METHOD, refusal_row};

/// The whole table, for the reference: every problem that can leave the server.
pub fn problems() -> Vec<Problem> {
    let blank = |row: Row| Failed::of(row).document("", Timestamp::UNIX_EPOCH);
    let refusals = every_refusal();
    let rows = refusals.iter().map(refusal_row).chain([
        MALFORMED,
        TOO_SLOW,
        WRONG_METHOD,
        UNAVAILABLE,
        RESTORED,
        BROKEN,
    ]);
    rows.map(blank).map(|problem| Problem { request_id: None, server_time: None, ..problem }).collect()
}

fn every_refusal() -> Vec<Refusal> {
    vec![
        Refusal::NotEntitled { cause: "" },
        Refusal::Revoked,
        Refusal::UnknownMachine,
        Refusal::MachineRetired,
        Refusal::Reaped,
        Refusal::Rejected { reason: None },
        Refusal::MachineSuspended,
        Refusal::TooManyHolds,
        Refusal::RequestsNotTaken,
        Refusal::WrongKind { expected: "" },
        Refusal::NotFound { what: "" },
        Refusal::WrongState { verb: "", state: "" },
        Refusal::ChoiceNeeded,
        Refusal::ChoiceUnavailable { choice: "" },
        Refusal::NameTaken { what: "" },
        Refusal::LastAdmin,
        Refusal::AccountForeign,
        Refusal::Superseded,
        Refusal::RotationNeeded,
        Refusal::KeyTaken,
        Refusal::NickBarred,
        Refusal::OutsideTeam,
        Refusal::ScopeMissing { scope: "" },
        Refusal::NotAuthenticated { cause: "" },
        Refusal::CodeNeeded,
        Refusal::CredentialExpired,
        Refusal::NonceNeeded,
        Refusal::Forbidden { action: "" },
        Refusal::IdentityMismatch,
        Refusal::SlowDown { retry_after: 1 },
        Refusal::CountDiffers { expected: 0, found: 0 },
        Refusal::TrustBehind { machines: 1 },
        Refusal::IdempotencyMismatch,
    ]
}

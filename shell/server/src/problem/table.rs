//! The rows: what each problem says to the outside.

use http::StatusCode;
use muster_model::Refusal;
use muster_wire::problem::AgentAction;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) action: AgentAction,
    pub(crate) help: &'static str,
}

const fn row(
    code: &'static str,
    status: StatusCode,
    action: AgentAction,
    title: &'static str,
    help: &'static str,
) -> Row {
    Row { code, status, title, action, help }
}

pub(super) const MALFORMED: Row = row(
    "malformed",
    StatusCode::BAD_REQUEST,
    AgentAction::Stop,
    "The request is not one that Muster understands.",
    "Correct the fields listed under errors and send it again. Nothing was spent.",
);
pub(super) const TOO_SLOW: Row = row(
    "too_slow",
    StatusCode::REQUEST_TIMEOUT,
    AgentAction::Retry,
    "The request did not arrive in time.",
    "Send it again; nothing was changed. Look at the network between the machine and the server.",
);
pub(super) const WRONG_METHOD: Row = row(
    "wrong_method",
    StatusCode::METHOD_NOT_ALLOWED,
    AgentAction::Stop,
    "This path does not take that method.",
    "Use one of the methods that the Allow header lists.",
);
pub(super) const UNAVAILABLE: Row = row(
    "unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    AgentAction::Retry,
    "The server cannot answer just now.",
    "Ask again after a while: repeating the same request is safe. On the server, muster doctor names the cause.",
);
pub(super) const RESTORED: Row = row(
    "restored",
    StatusCode::SERVICE_UNAVAILABLE,
    AgentAction::Retry,
    "The database was put back to an older day; nothing is changed until an operator accepts that.",
    "See in muster status what is missing; to go on without it: muster restore accept.",
);
pub(super) const BROKEN: Row = row(
    "broken",
    StatusCode::INTERNAL_SERVER_ERROR,
    AgentAction::Retry,
    "The server failed.",
    "Report the request id to the operator: the server's log tells what happened.",
);

/// The row of a refusal. One line each, no wildcard: a new refusal does not compile without its row.
pub(super) fn refusal_row(refusal: &Refusal) -> Row {
    use AgentAction::{EnrollAgain, Retry, Rotate, Stop, Wait};
    let (status, action, title, help) = match refusal {
        Refusal::NotEntitled { .. } => (
            StatusCode::UNAUTHORIZED,
            Stop,
            "This token does not open anything here.",
            "Ask an operator for a new invite: muster invite create.",
        ),
        Refusal::Revoked => (
            StatusCode::FORBIDDEN,
            EnrollAgain,
            "This key or credential was revoked.",
            "Ask an operator for a new invite, then: muster enroll --reset.",
        ),
        Refusal::Superseded => (
            StatusCode::FORBIDDEN,
            Stop,
            "A newer key of this machine took the place of this one.",
            "The agent uses its other key by itself. Where that is lost: ask an operator for a new invite, then: muster enroll --reset.",
        ),
        Refusal::RotationNeeded => (
            StatusCode::UNAUTHORIZED,
            Rotate,
            "This key may only ask for a rotation.",
            "Nothing: the agent makes another key and asks for its rotation.",
        ),
        Refusal::UnknownMachine => (
            StatusCode::FORBIDDEN,
            EnrollAgain,
            "No machine here has this key.",
            "Ask an operator for a new invite, then: muster enroll --reset.",
        ),
        Refusal::MachineRetired => {
            (StatusCode::FORBIDDEN, Stop, "This machine was retired.", "Ask an operator to let it in anew.")
        }
        Refusal::Reaped => (
            StatusCode::FORBIDDEN,
            Wait,
            "This machine was retired because nothing was heard of it for long.",
            "An operator restores it within 30 days with: muster machine restore. Its key and its files are good then.",
        ),
        Refusal::Rejected { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "An operator rejected this enrollment.",
            "Talk to the operator. To ask again with a new key: muster enroll --reset.",
        ),
        Refusal::MachineSuspended => (
            StatusCode::FORBIDDEN,
            Wait,
            "This machine is suspended.",
            "An operator resumes it with: muster machine resume.",
        ),
        Refusal::TooManyHolds => (
            StatusCode::TOO_MANY_REQUESTS,
            Retry,
            "Too many enrollments wait for approval here.",
            "An operator decides them with: muster hold ls, muster hold approve, muster hold reject.",
        ),
        Refusal::RequestsNotTaken => (
            StatusCode::FORBIDDEN,
            Stop,
            "Requests without a token are not taken here.",
            "Name a site with --site CODE if there are several, or ask an operator for an invite.",
        ),
        Refusal::WrongKind { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "This token admits another kind of machine.",
            "Use --kind, or ask an operator for a token of the right kind.",
        ),
        Refusal::NotFound { .. } => (
            StatusCode::NOT_FOUND,
            Stop,
            "There is no such object, or none that you may see.",
            "List what there is, for example with: muster machine ls.",
        ),
        Refusal::WrongState { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "This cannot be done to the object as it stands.",
            "Look at its state first: muster machine show, muster hold show, muster operator show, muster ca status.",
        ),
        Refusal::ChoiceNeeded => (
            StatusCode::CONFLICT,
            Stop,
            "This hold needs a choice.",
            "Compare both claimants with muster hold show, then approve --as-same or --as-new.",
        ),
        Refusal::ChoiceUnavailable { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "This hold does not offer that choice.",
            "muster hold show lists the choices.",
        ),
        Refusal::NameTaken { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "There is one of that name already.",
            "Choose another name, or use the one there is.",
        ),
        Refusal::LastAdmin => (
            StatusCode::CONFLICT,
            Stop,
            "This is the last admin who is not disabled.",
            "Make another operator an admin first: muster operator edit NAME --role admin.",
        ),
        Refusal::AccountForeign => (
            StatusCode::CONFLICT,
            Stop,
            "In the other system there is an account of that name which Muster did not make.",
            "muster provision ls --state conflict shows it; an admin may adopt it.",
        ),
        Refusal::KeyTaken => (
            StatusCode::CONFLICT,
            Rotate,
            "This key was proposed before.",
            "Nothing: the agent makes another key and asks again.",
        ),
        Refusal::NickBarred => (
            StatusCode::FORBIDDEN,
            Stop,
            "This nick belongs to an agent that was revoked.",
            "An operator allows it to be registered again with: muster engagement free NICK.",
        ),
        Refusal::OutsideTeam => (
            StatusCode::FORBIDDEN,
            Stop,
            "This is outside the team of your token.",
            "Name your own team and its channels, or ask an admin for a token without a team.",
        ),
        Refusal::ScopeMissing { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "Your token is confined to less.",
            "Ask an admin for a token with the scope that is named.",
        ),
        Refusal::NotAuthenticated { .. } => (
            StatusCode::UNAUTHORIZED,
            Retry,
            "You have not shown who you are.",
            "On the server's host use the local socket; elsewhere a token: muster token create.",
        ),
        Refusal::CodeNeeded => (
            StatusCode::UNAUTHORIZED,
            Stop,
            "Name and password are right, and a code is asked for beside them.",
            "Send the code that the authenticator shows now, or a recovery code, as code. Without either, an admin takes the second factor away: muster operator reset-second-factor.",
        ),
        Refusal::CredentialExpired => (
            StatusCode::UNAUTHORIZED,
            Rotate,
            "This credential is past its life; the identity is not.",
            "The agent renews it by itself with a signed request.",
        ),
        Refusal::NonceNeeded => (
            StatusCode::UNAUTHORIZED,
            Retry,
            "A signed request needs a fresh nonce.",
            "Get one from /v1/nonce and sign again; check the machine's clock.",
        ),
        Refusal::Forbidden { .. } => (
            StatusCode::FORBIDDEN,
            Stop,
            "You may not do this.",
            "Ask an admin for a token with a role that may.",
        ),
        Refusal::IdentityMismatch => (
            StatusCode::FORBIDDEN,
            Stop,
            "The identity in the request is not yours.",
            "Use the credential of the machine that is meant.",
        ),
        Refusal::SlowDown { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            Retry,
            "Too many requests from here.",
            "Wait as long as Retry-After says.",
        ),
        Refusal::CountDiffers { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "Another number of machines is meant.",
            "Look again: with --dry-run, or in `muster ca status`.",
        ),
        Refusal::TrustBehind { .. } => (
            StatusCode::CONFLICT,
            Stop,
            "Machines are not ready for it: they do not hold the new roots, or have certificates of the old ones.",
            "See who in `muster ca status`, and wait; or go on without them: --even-so with --expect and their number.",
        ),
        Refusal::IdempotencyMismatch => (
            StatusCode::CONFLICT,
            Stop,
            "This idempotency key was used for another request.",
            "Use a new key for a new request.",
        ),
    };
    row(refusal.code(), status, action, title, help)
}

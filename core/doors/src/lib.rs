//! Join methods: the ways in which a caller shows itself entitled to enroll. One folder each, one line in the list.
//!
//! A door turns untrusted evidence into a [`Claim`](muster_model::Claim). It does no I/O: it asks for a fetch and gets
//! what was fetched. It permits nothing: the grant behind the claim does. Nothing outside this crate knows one door
//! from another; the list drives parsing, documentation and `GET /v1/join-methods`.

pub mod credential;
mod door;
#[macro_use]
mod list;
pub mod request;
pub mod token;

pub use door::{Door, EvidenceError, Fetch, Given, Step};
pub use list::Method;

doors! {
    token::TokenDoor as Token,
    request::RequestDoor as Request,
    credential::CredentialDoor as Credential,
}

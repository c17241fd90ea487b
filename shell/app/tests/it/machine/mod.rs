//! What operators do to machines, and what machines may do then.

mod leave;
mod revoked;
mod search;
mod suspended;

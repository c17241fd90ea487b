//! Whole use cases over SQLite and a real authority, without HTTP.

mod access;
mod audit;
mod enroll;
mod hold;
mod idempotency;
mod machine;
mod presence;
mod renew;
mod signature;
mod support;
mod token;

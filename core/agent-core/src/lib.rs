//! The agent's state machine: enroll, wait for a person, run, renew, rotate, back off, recover, end.
//!
//! Owns every decision the agent takes about its identity. Never touches a socket, a file, a timer, a clock or a
//! random generator: what happened enters as an [`Event`] with the hour and drawn numbers ([`Fresh`]), what is to
//! be done leaves as [`Effect`]s.
//! Invariants: an identity ends only by an authenticated word of the server ([`Proved`], or an order on the channel), said
//! to each of its keys; a key is not given up before the next one has worked.

mod agent;
mod answer;
mod enrolling;
mod event;
mod pace;
mod rotating;
mod running;
mod state;
#[cfg(test)]
mod tests;

pub use agent::Agent;
pub use answer::{Answer, EndReason, Proved, Verdict};
pub use event::{Effect, Event, Hook, Proof, Timer};
pub use pace::{Draw, Fresh, Life, MAX_BACKOFF, MAX_RETRY_AFTER, backoff};
pub use state::{Channel, Ending, Keys, Patience, Renewal, Rotation, Running, Standing, State, Step};

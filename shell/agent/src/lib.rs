//! Runs the agent on a machine: files, sockets, timers, hooks, service notifications.
//!
//! Every decision about the identity is `muster-agent-core`'s; this crate carries out what it says and reports what
//! happened. Never prints, never puts a secret into an argument, an environment or a log line, never deletes a
//! key but one that another has taken the place of.

mod begin;
mod drive;
mod effects;
mod enroll;
mod error;
mod keep;
mod key;
mod leave;
mod links;
mod machine;
mod net;
mod notify;
mod ports;
mod progress;
mod rotate;
mod run;
mod status;
mod store;
#[cfg(test)]
mod tests;

pub use enroll::enroll;
pub use error::AgentError;
pub use leave::leave;
pub use machine::facts::attributes;
pub use machine::hardware::{HardwareMode, Signal};
pub use machine::hooks::check as check_hooks;
pub use muster_agent_core::{Ending, Hook, Life, Standing};
pub use progress::Progress;
pub use run::{EnrollOptions, Joining, ROTATE_AFTER, RunOptions, Way, run};
pub use status::{AgentStatus, SlotStatus, Trouble, status};
pub use store::records::{EndedNote, Identity, Pending, PendingHold};
pub use store::repair_permissions;

//! What must hold on every store, shown by comparing them and by racing on them.
//!
//! [`compare_all`] plays generated sequences of operations over the reference store and over each database, and compares
//! every answer and, in the end, everything that can be read. [`race`] lets many clients act at the same moment, at
//! three replicas of one store.
//!
//! [`fleet`] explores every order in which agents can come in and change their keys, by the real decisions: two agents, two
//! replicas, a thief and an operator.
//!
//! [`herd`] is a fleet of agents whose server is away for a while.
//!
//! [`sim`] is the whole system in one process, under faults that a seed draws.
//!
//! Never part of a release. The stores here are real ones; the use cases are those of `muster-app`, without HTTP.

mod cases;
mod differential;
pub mod fleet;
mod fold;
mod ground;
pub mod herd;
mod line;
mod op;
mod pairs;
mod plain;
mod player;
mod races;
mod side;
pub mod sim;
mod spy;

pub use cases::{Cases, run as compare_all};
pub use differential::{Difference, Finding};
pub use line::Line;
pub use op::{Kind, Op};
pub use pairs::{Outcomes, Pairs};
pub use races::{Heat, Race, race};
pub use side::Which;

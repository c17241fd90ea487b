//! What must hold on every store, shown by comparing them and by racing on them.
//!
<<<<<<< HEAD
//! [`compare_all`] plays generated sequences of operations over the reference store and over each database, and compares
=======
//! [`differential`] plays generated sequences of operations over the reference store and over each database, and compares
>>>>>>> 6bca64d (wip)
//! every answer and, in the end, everything that can be read.
//!
//! Never part of a release. The stores here are real ones; the use cases are those of `muster-app`, without HTTP.

<<<<<<< HEAD
mod cases;
mod differential;
mod fold;
mod ground;
mod op;
mod pairs;
=======
pub mod differential;
mod fold;
mod ground;
pub mod op;
>>>>>>> 6bca64d (wip)
mod plain;
mod player;
mod side;
mod spy;

<<<<<<< HEAD
pub use cases::{Cases, run as compare_all};
pub use differential::{Difference, Finding};
pub use op::{Kind, Op};
pub use pairs::{Outcomes, Pairs};
pub use side::Which;
=======
pub use ground::Ground;
pub use plain::Answer;
pub use side::{Sides, Which};
>>>>>>> 6bca64d (wip)

//! The pages, a file each with its template of the same name.

mod desk;
mod door;
mod machine;
mod machines;

pub use desk::Desk;
pub use door::{Failure, Login};
pub use machine::MachinePage;
pub use machines::Machines;

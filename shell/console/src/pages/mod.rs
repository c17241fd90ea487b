//! The pages, a file each with its template of the same name.

mod audit;
mod desk;
mod door;
mod doors;
mod machine;
mod machines;
mod overview;
mod registry;
mod settings;

pub use audit::{Audit, Days, EntryPage};
pub use desk::Desk;
pub use door::{Failure, Login};
pub use doors::Doors;
pub use machine::MachinePage;
pub use machines::Machines;
pub use overview::OverviewPage;
pub use registry::{AgentPage, Registry};
pub use settings::{Access, Deployment, Settings};

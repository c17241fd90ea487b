//! The web console: the shapes of the API, as pages for the people who watch a fleet.
//!
//! A page is a function of values: nothing here asks the store, knows who may do what, or speaks HTTP. What a page offers to do
//! is a call of the API that is in it as data ([`act::Act`]), beside the command that does the same; one script sends it.
//!
//! Invariants: whatever a machine says of itself is escaped by the templates. No page holds a script, a style or an address of
//! anybody else: all files are [`asset::ASSETS`].

pub mod act;
pub mod asset;
mod frame;
mod pages;
mod qr;
mod time;

pub use frame::{Frame, Place, Who};
pub use pages::{
    Access, AgentPage, Audit, Days, Deployment, Desk, Doors, EntryPage, Failure, Login, MachinePage,
    Machines, OverviewPage, Registry, Settings,
};
pub use qr::qr;
pub use time::{Moment, relative};

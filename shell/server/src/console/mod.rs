//! The web console: a page for each path, its files, and the stream that tells open pages what has changed.
//!
//! A page takes what it shows from the use cases, as the caller, and leaves how it looks to `muster-console`. Nothing is changed
//! from here: what a page offers to do is a call of the API.

mod files;
mod frame;
mod live;
mod pages;

use muster_app::Action::Read;
use muster_app::Store;

use crate::route::Routes;

pub(crate) use files::mount as mount_files;
pub(crate) use frame::page_of;
pub use live::{Feed, follow, look};

/// Every page.
pub(crate) fn mount<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .page("/", Read, pages::desk::<S>)
        .page("/overview", Read, pages::overview::<S>)
        .page("/machines", Read, pages::machines::<S>)
        .page("/machines/{machine}", Read, pages::machine::<S>)
        .page("/doors", Read, pages::doors::<S>)
        .page("/registry", Read, pages::registry::<S>)
        .page("/registry/{machine}", Read, pages::agent::<S>)
        .page("/audit", Read, pages::audit::<S>)
        .page("/audit/{entry}", Read, pages::entry::<S>)
        .page("/settings", Read, pages::settings::<S>)
        .drawing("/qr", Read, pages::qr::<S>)
        .page("/events", Read, live::events::<S>)
}

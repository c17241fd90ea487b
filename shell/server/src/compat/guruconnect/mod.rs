//! The wire of the GuruConnect agent: enrolling by a site's key, that key's generations, the keys of machines, and
//! asking whose key one is.
//!
//! Owns shapes and statuses; decides nothing. Its clients ask again for ever: after 30 s where an answer sounds like
//! trouble (429, 5xx, 400), after 300 s where it sounds like somebody's turn (202, 401, 409), whatever `Retry-After` says.

mod enroll;
mod introspect;
mod manage;
mod shapes;
mod told;

use muster_app::Action::{Administer, Introspect, Operate, Read};
use muster_app::Store;

use super::Wire;
use crate::route::Routes;

pub(super) fn wire<S: Store>() -> Wire<S> {
    Wire {
        name: "guruconnect",
        roots: &["/api/enroll", "/api/sites", "/api/machines", "/api/introspect"],
        mount: mount::<S>,
        told: told::told,
    }
}

fn mount<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add_proving::<enroll::__path_enroll, _, _>(enroll::enroll::<S>)
        .add::<manage::__path_generation, _, _>(Read, manage::generation::<S>)
        .add::<manage::__path_rotate, _, _>(Administer, manage::rotate::<S>)
        .add::<manage::__path_keys, _, _>(Read, manage::keys::<S>)
        .add::<manage::__path_end_key, _, _>(Operate, manage::end_key::<S>)
        .add::<introspect::__path_introspect, _, _>(Introspect, introspect::introspect::<S>)
}

//! What is said where the configuration and the directory disagree about where the database is.

use std::path::Path;

use crate::failure::{Exit, Failure};

/// The configuration names the file, and the database has moved.
pub(crate) fn away(to: Option<&str>) -> Failure {
    let failure = Failure::new(Exit::Config, "the database of this directory is on a PostgreSQL server now");
    let url = to.unwrap_or("postgres://…");
    failure
        .hint(format!("say where in the configuration: database = \"{url}\", and its password if it has one"))
}

/// The configuration names a PostgreSQL database, and the deployment is still in the file.
pub(crate) fn not_yet(dir: &Path) -> Failure {
    Failure::new(Exit::Config, format!("the database of {} is still the file in it", dir.display()))
        .hint("move it with `muster db migrate-to URL`, with the server stopped; or begin elsewhere with --data-dir")
}

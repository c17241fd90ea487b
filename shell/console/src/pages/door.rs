//! What stands before the console: logging in, and what is said where a page cannot be shown.

use askama::Template;
use muster_wire::Problem;

/// The page that a login link opens.
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub struct Login;

/// A page that cannot be shown, and why.
#[derive(Debug, Template)]
#[template(path = "failure.html")]
pub struct Failure {
    /// What happened.
    pub problem: Problem,
}

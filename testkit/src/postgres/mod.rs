//! A private PostgreSQL for tests: an unprivileged user, a temporary directory, a random port.
//!
//! Tests that are content with a database share one server a run ([`shared`]); those that stop, kill or promote have
//! their own ([`Server::start`]). Either ends when nobody uses it any more, however that came about: a watcher beside it
//! waits for that, and nothing is left behind.

mod programs;
mod server;
mod shared;
mod wire;

pub use programs::programs;
pub use server::{Server, Stop};
pub use shared::{Database, Shared, shared};
pub use wire::query;

/// Says loudly that a test is skipped because PostgreSQL is missing.
///
/// # Panics
/// Where `MUSTER_TEST_REQUIRE` asks for it.
pub(crate) fn missing() {
    let required = std::env::var("MUSTER_TEST_REQUIRE").unwrap_or_default();
    let required = required.split(',').any(|word| word.trim() == "postgres");
    assert!(!required, "MUSTER_TEST_REQUIRE asks for PostgreSQL, and it is not here");
    #[expect(clippy::print_stderr, reason = "a test that is skipped is said so")]
    {
        eprintln!("SKIPPED: PostgreSQL is not here (MUSTER_TEST_POSTGRES_BIN is the directory of initdb)");
    }
}

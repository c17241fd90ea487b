//! The database: whether it answers, and whether it and the directory belong together.

use std::path::Path;

use super::report::Check;
use crate::compose::database::status;
use crate::config::Database;

const NAME: &str = "database";

/// Looks at the database that the configuration names. A file is looked at with the other files; and a server that runs
/// tells itself whether it reaches its database, for which it may have a password that is not given to us.
pub(super) async fn check(dir: &Path, database: &Database, running: bool) -> Option<Check> {
    let status = match status(dir, database).await {
        Ok(status) => status,
        Err(_) if running || database.url.is_sqlite() => return None,
        Err(failure) => {
            let check = Check::of(NAME, &failure);
            let fix = "see that it runs, that this host reaches it, and user, password and name";
            return Some(Check { fix: check.fix.or_else(|| Some(fix.to_owned())), ..check });
        }
    };
    if !status.fits() {
        let fix = "check `database` in the configuration and --data-dir; `muster db status` shows both sides";
        let text = format!("{} does not belong to this directory", status.place);
        return Some(Check::fail(NAME, text, fix));
    }
    if database.url.is_sqlite() {
        return None;
    }
    Some(match status.found {
        "foreign" => Check::fail(
            NAME,
            format!("{} holds tables that are not Muster's", status.place),
            "give Muster a database of its own",
        ),
        found => Check::ok(NAME, format!("{} answers ({found})", status.place)),
    })
}

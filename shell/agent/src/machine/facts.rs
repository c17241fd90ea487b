//! What the machine says of itself. Evidence for people, never authority; nothing secret, nothing that follows a
//! person.

use std::collections::BTreeMap;
use std::path::Path;

use muster_model::text::is_printable;

/// The attributes of the machine whose files are below `root` (`/` for this one).
pub fn attributes(root: &Path) -> BTreeMap<String, String> {
    let uname = rustix::system::uname();
    let mut facts = BTreeMap::new();
    let mut note = |name: &str, value: String| {
        // Longer or odder values would be refused by the server with everything else.
        let value: String = value.trim().chars().filter(|c| is_printable(*c)).take(256).collect();
        if !value.is_empty() {
            facts.insert(name.to_owned(), value);
        }
    };
    note("agent_version", env!("CARGO_PKG_VERSION").to_owned());
    note("arch", uname.machine().to_string_lossy().into_owned());
    note("kernel", uname.release().to_string_lossy().into_owned());
    note("os", os_name(root).unwrap_or_else(|| uname.sysname().to_string_lossy().into_owned()));
    note("cpus", std::thread::available_parallelism().map(|n| n.to_string()).unwrap_or_default());
    note("memory_mib", memory_mib(root).map(|mib| mib.to_string()).unwrap_or_default());
    facts
}

/// The host name, as the machine says it.
pub(crate) fn hostname() -> Option<String> {
    gethostname::gethostname().into_string().ok().filter(|name| !name.is_empty())
}

fn os_name(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("etc/os-release")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

fn memory_mib(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_this_machine_are_taken_by_the_server() {
        let facts = attributes(Path::new("/"));
        assert!(facts.contains_key("kernel") && facts.contains_key("agent_version"), "{facts:?}");
        assert!(muster_model::Attributes::new(&facts).is_ok());
    }

    #[test]
    fn q_26_odd_files_make_no_odd_facts() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join("etc")).expect("made");
        let text = format!("PRETTY_NAME=\"a\u{1b}[2J\u{202e}{}\"\n", "x".repeat(9000));
        std::fs::write(root.path().join("etc/os-release"), text).expect("written");
        let facts = attributes(root.path());
        assert!(facts["os"].starts_with("a[2Jx"), "{}", facts["os"]);
        assert!(muster_model::Attributes::new(&facts).is_ok());
    }
}

//! Crates that are in no build of ours: TLS and cryptography come from rustls on aws-lc-rs alone.
//!
//! Asks `cargo tree`, which resolves features as the build does. `Cargo.lock` and `cargo metadata` also list what an
//! optional feature of a dependency would pull in if somebody turned it on, so they cannot answer this.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::run;

const BANNED: [(&str, &str); 5] = [
    ("ring", "aws-lc-rs is the one provider: turn the dependency's default features off"),
    ("openssl-sys", "rustls is the one TLS: turn the dependency's native-tls feature off"),
    ("native-tls", "rustls is the one TLS: turn the dependency's native-tls feature off"),
    ("sqlx", "one driver a store, used directly (SQLite: rusqlite)"),
    ("chrono", "jiff is the one calendar"),
];

/// Machines that Muster is built for.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for target in TARGETS {
        let mut tree = run::cargo(root);
        tree.args(["tree", "--workspace", "--quiet", "--edges", "normal,build,dev", "--target", target]);
        let list = run::output(tree.args(["--prefix", "none", "--format", "{p}"]))?;
        findings.extend(banned(&list, target));
    }
    Ok(findings)
}

/// `list` has a crate a line: name, version, more.
fn banned(list: &str, target: &str) -> Vec<Finding> {
    let present = |name: &str| list.lines().any(|line| line.split(' ').next() == Some(name));
    let banned = BANNED.iter().filter(|(name, _)| present(name));
    let advice =
        |name, why| format!("{name} is banned: {why} (who wants it: cargo tree -i {name} --target {target})");
    banned.map(|(name, why)| Finding::new("Cargo.lock", 0, "ban", advice(name, why))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_found_by_its_whole_name() {
        let found = banned("muster v0.1.0\nring v0.17.14 (*)\n", TARGETS[0]);
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.starts_with("ring is banned"));
        assert!(banned("ringbuffer v0.1.0\nopenssl-probe v0.2.0\n", TARGETS[0]).is_empty());
    }
}

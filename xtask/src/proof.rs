//! `cargo xtask differential` and `cargo xtask races`: hands over to the member that proves, in the release profile.

use anyhow::{Result, bail};

use crate::run;

const PACKAGE: &str = "muster-proof";

pub(crate) fn run(proof: &str, args: &[String]) -> Result<()> {
    let metadata = run::members()?;
    if !metadata.packages.iter().any(|package| package.name.as_str() == PACKAGE) {
        bail!("there is nothing to prove with: the workspace has no member `{PACKAGE}`");
    }
    let root = metadata.workspace_root.as_std_path();
    let mut cargo = run::cargo(root);
    cargo.args(["run", "--release", "--quiet", "-p", PACKAGE, "--", proof]);
    run::echoed(cargo.args(args))
}

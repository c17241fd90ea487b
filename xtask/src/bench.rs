//! `cargo xtask bench NAME`: hands over to the benchmark member, in the release profile.

use anyhow::{Result, bail};

use crate::run;

const PACKAGE: &str = "muster-bench";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let metadata = run::members()?;
    if !metadata.packages.iter().any(|package| package.name.as_str() == PACKAGE) {
        bail!("there is nothing to bench yet: the workspace has no member `{PACKAGE}`");
    }
    if args.is_empty() {
        bail!("say which benchmark: `cargo xtask bench NAME`");
    }
    let root = metadata.workspace_root.as_std_path();
    run::echoed(run::cargo(root).args(["run", "--release", "--quiet", "-p", PACKAGE, "--"]).args(args))
}

//! `cargo xtask screenshots`: the pictures in `docs/img` are taken by the browser scenario that looks at every page.

use anyhow::{Context, Result};

use crate::{run, test};

const STORY: &str = "looks::every_page_is_for_everybody_in_both_looks_on_a_desk_and_on_a_telephone";

pub(crate) fn run() -> Result<()> {
    let root = run::root()?;
    let pictures = root.join("docs").join("img");
    std::fs::create_dir_all(&pictures).with_context(|| format!("cannot make {}", pictures.display()))?;
    let mut cargo = run::cargo(&root);
    cargo.args(["test", "--quiet", "-p", "muster-cli", "--test", "scenarios", "--", "--exact", STORY]);
    // Without a browser the scenario would skip itself, and nothing would be drawn.
    cargo.envs(test::tools_with("browser")?).env("MUSTER_SCREENSHOTS", pictures);
    run::echoed(&mut cargo)
}

//! Running other programs from the workspace's root, and knowing that root.
//!
//! Output is passed through untouched: what a test runner or a compiler says is the report.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

/// The members of the workspace and what each declares, without resolving the rest of the world.
pub(crate) fn members() -> Result<Metadata> {
    MetadataCommand::new().no_deps().exec().context("cargo metadata cannot read the workspace")
}

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> Result<PathBuf> {
    Ok(members()?.workspace_root.into_std_path_buf())
}

/// The cargo that runs this program, so that a `+toolchain` is kept.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Says what is run, runs it with its output passed through, and fails when it does.
pub(crate) fn echoed(command: &mut Command) -> Result<()> {
    let line = shown(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("`{line}` cannot be started"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs it silently and returns what it wrote to its standard output; its errors are passed through.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let out =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("`{line}` cannot be started"))?;
    if !out.status.success() {
        bail!("`{line}` failed ({})", out.status);
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{line}` wrote something that is not UTF-8"))
}

/// Whether the cargo subcommand `cargo NAME` is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    on_path(&format!("cargo-{name}")).is_some()
}

/// The first executable of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether a file is there and may be run by somebody.
pub(crate) fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

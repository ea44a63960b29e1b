//! In: the sources and the daemon's arguments. Out: the daemon built, or this very process turned
//! into it.

use std::{convert::Infallible, env, os::unix::process::CommandExt as _, path::Path};

use anyhow::{Context as _, Result, anyhow};

use crate::{as_root, cargo, setup, succeed};

const DAEMON: &str = "msgget-trace";

/// Builds the daemon, and installs first what that takes.
pub(crate) fn build(workspace: &Path, release: bool) -> Result<()> {
    setup::toolchain(workspace)?;
    succeed(cargo(workspace).args(["build", "--package", DAEMON]).args(release.then_some("--release")))
}

/// Builds the daemon for release and becomes it, so that signals reach it and its exit status is
/// ours.
pub(crate) fn run(workspace: &Path, mut arguments: Vec<String>) -> Result<Infallible> {
    // Cargo puts the daemon where it put us, whatever folder, triple and profile that is made of.
    // Asked before the build, which may replace us.
    let own = env::current_exe().context("finding the folder that cargo builds into")?;
    build(workspace, true)?;
    let daemon = own.ancestors().nth(2).unwrap_or(Path::new("/")).join("release").join(DAEMON);
    if arguments.is_empty() {
        arguments.push("run".into());
    }
    let error = as_root(daemon.as_os_str(), "it loads programs into the kernel")?.args(arguments).exec();
    Err(anyhow!(error).context(format!("cannot start {}", daemon.display())))
}

//! In: the names of Debian packages and what they are for. Out: the packages installed, or an error
//! that says what to install by hand.

use std::{ffi::OsStr, path::Path};

use anyhow::{Result, anyhow, bail};

use crate::{as_root, succeed};

/// Installs packages with nothing that they merely recommend; `by_hand` says what to do where
/// they cannot be had.
pub(crate) fn install(packages: &[&str], why: &str, by_hand: &str) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").is_file() {
        bail!("{why}, but this system has no apt-get.\nBy hand: {by_hand}");
    }
    eprintln!("setup: apt-get install {}: {why}", packages.join(" "));
    // The lists of a fresh machine are old: they name versions that the mirrors no longer have.
    if let Err(error) = apt_get(&["update"]) {
        eprintln!("setup: {error:#}; going on with the package lists as they are");
    }
    // --no-remove: a package of ours is not worth one of yours.
    let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt_get(&[&install, packages].concat()).map_err(|error| anyhow!("{why}, but {error:#}.\nBy hand: {by_hand}"))
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = as_root(OsStr::new("env"), "apt-get changes the system")?;
    // Another apt may be at work, such as a nightly upgrade's.
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
        "--option",
        "DPkg::Lock::Timeout=120",
    ]);
    succeed(command.args(arguments))
}

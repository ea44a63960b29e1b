//! In: the names of Debian packages and what they are for. Out: the packages installed, or unpacked
//! into a folder of ours, or an error that says what to install by hand.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::Path,
    process::Command,
    sync::Once,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{as_root, is_root, succeed};

/// Installs packages with nothing that they merely recommend; `by_hand` says what to do where
/// they cannot be had.
pub(crate) fn install(packages: &[&str], why: &str, by_hand: &str) -> Result<()> {
    check(why, by_hand)?;
    eprintln!("setup: apt-get install {}: {why}", packages.join(" "));
    update();
    // --no-remove: a package of ours is not worth one of yours.
    let install = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt_get(&[&install, packages].concat()).map_err(|error| anyhow!("{why}, but {error:#}.\nBy hand: {by_hand}"))
}

/// What to unpack.
pub(crate) enum Unpack<'a> {
    /// One package.
    Alone(&'a str),
    /// A package and what it depends on and this system does not have.
    WithDependencies(&'a str),
}

/// Unpacks packages into a folder, which must not be there yet: nothing is installed, and nobody
/// need be root.
pub(crate) fn unpack(what: Unpack<'_>, folder: &Path, why: &str, by_hand: &str) -> Result<()> {
    check(why, by_hand)?;
    let (package, how) = match what {
        Unpack::Alone(package) => (package, ["download"].as_slice()),
        Unpack::WithDependencies(package) => {
            (package, ["install", "--yes", "--no-install-recommends", "--download-only"].as_slice())
        }
    };
    eprintln!("setup: unpacking {package} into {}: {why}", folder.display());
    if is_root() {
        update();
    }
    // Under another name until it is complete.
    let mut scratch = folder.as_os_str().to_owned();
    scratch.push(".part");
    let scratch = Path::new(&scratch);
    let packages = scratch.join("packages");
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context("cannot remove an old download");
        }
        _ => {}
    }
    fs::create_dir_all(packages.join("partial")).with_context(|| format!("cannot make {}", packages.display()))?;
    let mut cache = OsString::from("Dir::Cache::archives=");
    cache.push(&packages);
    succeed(
        Command::new("apt-get")
            .args(["--quiet", "--option"])
            .arg(cache)
            // Only our own folder is written to, and it may be closed to apt's own user.
            .args(["--option", "Debug::NoLocking=1", "--option", "APT::Sandbox::User=root"])
            .args(how)
            .arg(package)
            .current_dir(&packages),
    )
    .map_err(|error| anyhow!("{why}, but {error:#}.\nBy hand: {by_hand}"))?;
    for entry in fs::read_dir(&packages).with_context(|| format!("cannot list {}", packages.display()))? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("deb")) {
            succeed(Command::new("dpkg-deb").arg("--extract").arg(path).arg(scratch))?;
        }
    }
    fs::remove_dir_all(&packages).context("cannot remove the packages that are unpacked")?;
    fs::rename(scratch, folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The names of all packages that begin like this.
pub(crate) fn names(prefix: &str) -> Result<Vec<String>> {
    if is_root() {
        update();
    }
    let output = Command::new("apt-cache").args(["pkgnames", prefix]).output();
    let output = output.context("cannot start apt-cache")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn check(why: &str, by_hand: &str) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").is_file() {
        bail!("{why}, but this system has no apt-get.\nBy hand: {by_hand}");
    }
    Ok(())
}

/// Renews the package lists. Those of a fresh machine are old: they name versions that the mirrors
/// no longer have. Once is enough; and whoever unpacks without being root is not asked to become it.
fn update() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = apt_get(&["update"]) {
            eprintln!("setup: {error:#}; going on with the package lists as they are");
        }
    });
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = as_root(OsStr::new("env"), "apt-get changes the system")?;
    // Another apt may be at work, such as a nightly upgrade's.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=120"]);
    succeed(command.args(arguments))
}

//! Cgroups made for a test: a name goes in, a folder that processes can move to comes out, and is gone at the end.

use std::{fs, path::PathBuf};

/// Where cgroup v2 is mounted.
pub(crate) fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    mount.split(' ').nth(4).map(PathBuf::from)
}

/// A cgroup, removed when dropped.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    pub(crate) fn make(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Moves this process there.
    pub(crate) fn enter(&self) {
        fs::write(self.0.join("cgroup.procs"), "0").unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

//! Daemons that are killed: a folder for their pins goes in, what they recorded while nobody ran goes to the next one.

use std::{env, fs, path::PathBuf, process::Command};

use super::{Program, binary, patience, sys};

/// A BPF file system of its own, gone with everything pinned in it at the end.
pub(crate) struct Bpffs(pub(crate) tempfile::TempDir);

impl Bpffs {
    pub(crate) fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(dir.path()).status().unwrap();
        assert!(mount.success());
        Self(dir)
    }

    /// Where the daemon is to put its pins.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("pins")
    }

    /// `run`, pinned here, with these further options.
    pub(crate) fn daemon(&self, options: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["run", "--status-socket", "none", "--pin"]).arg(self.folder());
        if let Some(hook) = env::var_os("MSGGET_TRACE_HOOK").filter(|_| !options.contains(&"--hook")) {
            command.arg("--hook").arg(hook);
        }
        command.args(options);
        command
    }

    /// What is pinned, by the names of the sets.
    pub(crate) fn sets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Ends it as a crash does.
pub(crate) fn kill(daemon: &Program) {
    daemon.signal(libc::SIGKILL);
    assert!(sys::await_exit(daemon.pid(), patience()));
}

//! Daemons that are killed: a folder for their pins goes in, what they recorded while nobody ran goes to the next one.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{Line, Program, binary, live::End, patience, sys};

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

/// Calls on the keys from 1 on, 500 a second, in a namespace of its own, while `act` runs. Returns the thread and the last key.
pub(crate) fn while_calling<T>(act: impl FnOnce() -> T) -> ((i32, i32), T) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls = scope.spawn(|| call_until(&ended));
        let end = End(&ended);
        let done = act();
        drop(end);
        (calls.join().unwrap(), done)
    })
}

fn call_until(ended: &AtomicBool) -> (i32, i32) {
    sys::private_ipc(|| {
        let mut key = 0;
        while !ended.load(Ordering::Relaxed) {
            key += 1;
            sys::msgget_only(key, 0);
            thread::sleep(Duration::from_millis(2));
        }
        (sys::thread_id(), key)
    })
}

/// The calls of `tid`: on each key from 1 to `last` one or more lines, all with one id. Returns how many lines are too many.
pub(crate) fn all_told(lines: &[Line], tid: i32, last: i32) -> usize {
    let mut ids: HashMap<i64, (String, usize)> = HashMap::new();
    for line in lines.iter().filter(|line| line.is_call() && line.by_thread(tid)) {
        let (id, count) = ids.entry(line.result().0).or_insert_with(|| (line.text("id").to_owned(), 0));
        assert_eq!(id, line.text("id"), "told of twice as two: {line:?}");
        *count += 1;
    }
    let missing: Vec<_> = (1..=last).filter(|key| !ids.contains_key(&i64::from(*key))).collect();
    assert!(missing.is_empty(), "of {last} calls {} are missing: {missing:?}", missing.len());
    ids.values().map(|(_, count)| count - 1).sum()
}

/// The lines of a file, of which only the last may be torn by a crash.
pub(crate) fn lines_of(file: &Path) -> Vec<Line> {
    let text = fs::read_to_string(file).unwrap();
    super::lines_of(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
}

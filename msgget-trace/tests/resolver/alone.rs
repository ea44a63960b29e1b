//! A test goes in, and runs in a process of one thread: the resolver can be forked from no other.

use std::{env, io, os::unix::process::CommandExt as _, process::Command, thread, time::Duration};

use crate::common::{live::Bound, sys};

/// The environment variable that tells a test that it is the only thread of its process.
const ALONE: &str = "MSGGET_TRACE_TEST_ALONE";

/// Opens a test: runs the rest of it as root in a process of one thread, which the resolver is to be forked from. The
/// test runner's has several: so the test starts this program once more, for itself only, and forks there.
#[macro_export]
macro_rules! alone {
    ($seconds:expr) => {
        if !$crate::alone::started() {
            if $crate::common::sys::effective_uid() != 0 {
                $crate::skip!("needs root");
            }
            return $crate::alone::start($crate::test_name!(), std::time::Duration::from_secs($seconds));
        }
        let Some(_exit) = $crate::alone::fork() else {
            return;
        };
    };
}

/// True in the program that was started for one test.
pub(crate) fn started() -> bool {
    env::var_os(ALONE).is_some()
}

/// Starts it, and panics unless the test passes within `limit`.
pub(crate) fn start(name: &'static str, limit: Duration) {
    let _bound = Bound::new(name, limit);
    let (_, path) = name.split_once("::").unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([path, "--exact", "--test-threads=1", "--nocapture"]).env(ALONE, "1");
    // SAFETY: `prctl` is async-signal-safe.
    unsafe { command.pre_exec(sys::die_with_parent) };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    for line in said.lines().filter(|line| line.contains("us/ask")) {
        println!("{line}");
    }
}

/// Returns in the child only, which ends when it drops what it got.
pub(crate) fn fork() -> Option<Exit> {
    // SAFETY: the only other thread waits for this one and holds no lock that the child could want.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        sys::die_with_parent().unwrap();
        return Some(Exit);
    }
    assert!(pid > 0, "fork: {}", io::Error::last_os_error());
    let status = sys::reap(pid);
    assert!(status.success(), "{status}");
    None
}

/// Ends a child, also when it panics, before it gets back into the test runner.
pub(crate) struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        // SAFETY: flushes nothing that belongs to the parent.
        unsafe { libc::_exit(if thread::panicking() { 101 } else { 0 }) };
    }
}

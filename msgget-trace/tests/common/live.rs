//! How a live test begins and ends: not at all where it cannot, and never too late.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::sys;

/// Ends the test here, because this machine cannot run it; says so on stderr and in the file `MSGGET_TRACE_SKIPS` names.
/// In CI (`CI=true`) nothing may be skipped.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::common::live::skipped($crate::test_name!(), &format!($($reason)*));
        return;
    }};
}

/// Path of the function it stands in.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        std::any::type_name_of_val(&here).trim_end_matches("::here")
    }};
}

/// Opens every live test: skips it where the kernel cannot be traced, waits for its [`Share`] of the machine, and ends the
/// whole run if the test has not ended that many seconds later. `live!(60, floods)` opens one that calls without end or
/// faster than every daemon can print: it runs while no other live test does. So does `live!(60, alone)`, whose calls other
/// tests would take for malformed.
#[macro_export]
macro_rules! live {
    ($seconds:expr) => {
        $crate::live!($seconds, in $crate::common::live::Share::among_others());
    };
    ($seconds:expr, floods) => {
        $crate::live!($seconds, in $crate::common::live::Share::alone());
    };
    ($seconds:expr, alone) => {
        $crate::live!($seconds, in $crate::common::live::Share::alone());
    };
    ($seconds:expr, in $share:expr) => {
        if let Some(reason) = $crate::common::live::unable() {
            $crate::skip!("{reason}");
        }
        let _share = $share;
        let _bound = $crate::common::live::Bound::new($crate::test_name!(), std::time::Duration::from_secs($seconds));
    };
}

/// Why live tests cannot run here.
pub(crate) fn unable() -> Option<String> {
    if sys::effective_uid() != 0 {
        return Some("needs root".into());
    }
    let btf = "/sys/kernel/btf/vmlinux";
    (!Path::new(btf).exists()).then(|| format!("this kernel has no {btf}"))
}

/// How many times slower than a machine of its own this one is: 4 in an emulated guest.
pub(crate) fn slowness() -> u32 {
    std::env::var("MSGGET_TRACE_PATIENCE").map_or(1, |times| times.parse().expect("a whole number"))
}

/// See [`skip!`].
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("{test}: {reason}\n");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}skipped, but in CI every test must run");
    // Not eprint!, which the test runner swallows.
    io::stderr().write_all(format!("SKIPPED: {line}").as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("MSGGET_TRACE_SKIPS") {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// A live test's share of the machine, until it is dropped.
///
/// Every daemon sees every call on the host, so the flood of one test overflows the ring of another, which then has lost
/// calls or says so on stderr, and is right. On slow machines, where several daemons share a processor, little makes a flood.
/// So floods have the machine to themselves. Locks on files, because not only the tests of one binary meet, but also those of
/// two checkouts.
pub(crate) struct Share(File);

impl Share {
    /// Waits until no flood runs.
    pub(crate) fn among_others() -> Self {
        Self::wait(File::lock_shared)
    }

    /// Waits until no other live test runs.
    pub(crate) fn alone() -> Self {
        Self::wait(File::lock)
    }

    fn wait(lock: impl FnOnce(&File) -> io::Result<()>) -> Self {
        // Who waits keeps the turn: nobody who comes later gets ahead, so a flood's turn comes although others go on coming.
        let turn = Self::file("turn");
        turn.lock().expect("the turn");
        let calls = Self::file("calls");
        lock(&calls).expect("a share");
        turn.unlock().expect("an end of the turn");
        Self(calls)
    }

    /// In a folder where only root can put anything in the way.
    fn file(name: &str) -> File {
        let path = format!("/run/msgget-trace-tests.{name}");
        File::options().create(true).append(true).open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Closing would not do: children forked meanwhile have the same open file.
        let _ = self.0.unlock();
    }
}

/// Ends the process when it is not dropped in time, so that no test can hang.
pub(crate) struct Bound(#[expect(dead_code, reason = "dropping it is the signal")] mpsc::Sender<()>);

impl Bound {
    pub(crate) fn new(test: &'static str, limit: Duration) -> Self {
        let limit = limit * slowness();
        let (alive, ended) = mpsc::channel::<()>();
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = writeln!(io::stderr(), "{test} has not ended after {limit:?}");
                std::process::abort();
            }
        });
        Self(alive)
    }
}

/// Lets threads that wait for it end, also when the test fails.
pub(crate) struct End<'a>(pub(crate) &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

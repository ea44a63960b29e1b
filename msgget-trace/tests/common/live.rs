//! How a live test begins and ends: not at all where it cannot, and never too late.

use std::{fs::OpenOptions, io::Write, path::Path, sync::mpsc, thread, time::Duration};

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

/// Opens every live test: skips it where the kernel cannot be traced, and ends the whole run if the test has not ended
/// after that many seconds.
#[macro_export]
macro_rules! live {
    ($seconds:expr) => {
        if let Some(reason) = $crate::common::live::unable() {
            $crate::skip!("{reason}");
        }
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
    std::io::stderr().write_all(format!("SKIPPED: {line}").as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("MSGGET_TRACE_SKIPS") {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
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
                let _ = writeln!(std::io::stderr(), "{test} has not ended after {limit:?}");
                std::process::abort();
            }
        });
        Self(alive)
    }
}

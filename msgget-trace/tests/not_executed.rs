//! Calls that seccomp kept from the kernel: they return something, perhaps even what looks like a queue id, but did nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::File,
    os::{fd::FromRawFd, unix::process::ExitStatusExt},
    sync::mpsc,
    thread,
};

use common::{
    Did, Line, Program, run,
    seccomp::{self, filter_msgget},
    sys::{self, clock, msgget, sleep_until},
};
use libc::{ENOENT, ENOSYS, EPERM, IPC_CREAT};

/// Starts the daemon and waits a second: until then a return without its beginning may belong to a call that began before
/// the hooks were attached, and is shown as `unpaired`.
fn settled(arguments: &[&str]) -> Program {
    let daemon = run(arguments);
    sleep_until(clock(libc::CLOCK_MONOTONIC) + 1_000_000_000);
    daemon
}

/// True on the hooks inside the kernel's msgget, which see nothing of what never came there.
fn inside() -> bool {
    std::env::var("MSGGET_TRACE_HOOK").is_ok_and(|hook| hook == "fexit")
}

/// As `common::observe`, with a daemon that has settled; for a single call, of which the hooks may see nothing.
fn observe(calls: impl FnOnce() -> Vec<Did> + Send) -> (Did, Option<Line>) {
    let daemon = settled(&[]);
    let did = sys::private_ipc(calls);
    let lines = daemon.stop().balanced();
    if inside() && !lines.iter().any(|line| line.by_thread(did[0].tid)) {
        return (did[0], None);
    }
    let [(did, line)] = common::line::pair(&did, &lines).try_into().expect("one call");
    (did, Some(line))
}

/// Asserts that a line claims nothing but that the call was not executed; or that there is none, where none can be.
fn not_executed(line: Option<&Line>) {
    assert_eq!(line.is_none(), inside());
    let Some(line) = line else { return };
    assert_eq!(line["outcome"], "not_executed");
    // Least of all a queue, whose id the number that came back might be.
    for claim in ["queue", "outcomeSource", "errno", "durationNs"] {
        assert!(!line.has(claim), "{claim}");
    }
}

/// One call on a thread whose filter answers it with `action`.
fn refuse(action: u32) -> (Did, Option<Line>) {
    observe(|| {
        filter_msgget(action, None, 0).unwrap();
        vec![msgget(9, IPC_CREAT | 0o600)]
    })
}

#[test]
fn refused_with_an_errno() {
    live!(60);
    let (did, line) = refuse(libc::SECCOMP_RET_ERRNO | EPERM.cast_unsigned());
    assert_eq!(did.result, -EPERM);
    not_executed(line.as_ref());
}

#[test]
fn traced_without_a_tracer() {
    live!(60);
    let (did, line) = refuse(libc::SECCOMP_RET_TRACE);
    assert_eq!(did.result, -ENOSYS);
    not_executed(line.as_ref());
}

#[test]
fn trapped() {
    live!(60);
    seccomp::ignore_sigsys();
    let (did, line) = refuse(libc::SECCOMP_RET_TRAP);
    assert_eq!(i64::from(did.result), libc::SYS_msgget, "the number of the call comes back, as if it were a queue");
    not_executed(line.as_ref());
}

#[test]
fn logged_is_executed() {
    live!(60);
    let (did, line) = refuse(libc::SECCOMP_RET_LOG);
    assert!(did.result >= 0);
    assert_eq!(line.unwrap()["outcome"], "created");
}

/// One call that a supervisor answers with this value, or lets through.
fn supervise(value: Option<i64>) -> (Did, Option<Line>) {
    observe(|| {
        thread::scope(|scope| {
            let (listener, listeners) = mpsc::channel();
            let caller = scope.spawn(move || {
                let fd =
                    filter_msgget(libc::SECCOMP_RET_USER_NOTIF, None, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).unwrap();
                listener.send(i32::try_from(fd).unwrap()).unwrap();
                vec![msgget(9, 0)]
            });
            // SAFETY: the descriptor is open and owned by nobody else.
            let listener = unsafe { File::from_raw_fd(listeners.recv().unwrap()) };
            seccomp::answer(&listener, value);
            caller.join().unwrap()
        })
    })
}

#[test]
fn answered_by_a_supervisor() {
    live!(60);
    let (did, line) = supervise(Some(777));
    assert_eq!(did.result, 777);
    not_executed(line.as_ref());
}

#[test]
fn let_through_by_a_supervisor() {
    live!(60);
    let (did, line) = supervise(None);
    assert_eq!(did.result, -ENOENT);
    let line = line.unwrap();
    assert_eq!((line.text("outcome"), line.text("errno")), ("failed", "ENOENT"));
}

#[test]
fn killed() {
    live!(60);
    let daemon = settled(&[]);
    let (pid, (status, calls)) = sys::private_ipc(|| {
        let child = sys::fork(|| {
            filter_msgget(libc::SECCOMP_RET_KILL_PROCESS, None, 0).unwrap();
            vec![msgget(9, IPC_CREAT | 0o600)]
        });
        (child.pid, child.wait())
    });
    assert_eq!((status.signal(), calls.as_slice()), (Some(libc::SIGSYS), [].as_slice()));
    let lines = daemon.stop().balanced();
    let lines: Vec<_> = lines.iter().filter(|line| line.by_thread(pid)).collect();
    assert_eq!(lines.len(), usize::from(!inside()), "{lines:#?}");
    not_executed(lines.first().copied());
    for line in lines {
        assert_eq!(line.result(), (9, (IPC_CREAT | 0o600).into(), libc::SYS_msgget));
    }
}

#[test]
fn a_made_up_enoent_is_no_check() {
    live!(60);
    let daemon = settled(&[]);
    let calls = sys::private_ipc(|| {
        filter_msgget(libc::SECCOMP_RET_ERRNO | ENOENT.cast_unsigned(), Some(0), 0).unwrap();
        // A key of its own: the number of another test's namespace may be given to this one's, and then its checks would count.
        vec![msgget(0x0e0e, 0), msgget(0x0e0e, IPC_CREAT | 0o600)]
    });
    assert_eq!(calls[0].result, -ENOENT);
    let lines = daemon.stop().balanced();
    let tid = calls[0].tid;
    assert!(!lines.iter().any(|line| line.finds("check_then_create") && line.by_thread(tid)), "a finding: {lines:#?}");
    let seen = if inside() { &calls[1..] } else { &calls[..] };
    let pairs = common::line::pair(seen, &lines);
    if !inside() {
        not_executed(Some(&pairs[0].1));
    }
    assert_eq!(pairs[pairs.len() - 1].1["tags"], serde_json::json!(["U", "TOCTOU"]));
}

#[test]
fn the_kernel_side_tells_of_it_when_asked() {
    live!(60);
    if inside() {
        return; // there is nothing to tell
    }
    let daemon = run(&["--kernel-log", "debug"]);
    let did = sys::private_ipc(|| {
        filter_msgget(libc::SECCOMP_RET_ERRNO | EPERM.cast_unsigned(), None, 0).unwrap();
        msgget(0x7e11, 0)
    });
    let key = 0x7e11.to_string();
    daemon.stderr.find(|line| line.contains(&did.tid.to_string()) && line.contains(&key));
    daemon.stop().balanced();
}

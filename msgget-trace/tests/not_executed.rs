//! Calls that seccomp kept from the kernel: they return something, perhaps even what looks like a queue id, but did nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test fails by panicking"
)]

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

/// As `common::observe`, with a daemon that has settled; for a single call.
fn observe(calls: impl FnOnce() -> Vec<Did> + Send) -> (Did, Line) {
    let daemon = settled(&[]);
    let did = sys::private_ipc(calls);
    let [pair] = common::line::pair(&did, &daemon.stop().balanced())
        .try_into()
        .expect("one call");
    pair
}

/// Asserts that a line claims nothing but that the call was not executed.
fn not_executed(line: &Line) {
    assert_eq!(line["outcome"], "not_executed");
    for claim in ["outcomeSource", "errno", "durationNs"] {
        assert!(!line.has(claim), "{claim}");
    }
}

/// One call on a thread whose filter answers it with `action`.
fn refuse(action: u32) -> (Did, Line) {
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
    not_executed(&line);
}

#[test]
fn traced_without_a_tracer() {
    live!(60);
    let (did, line) = refuse(libc::SECCOMP_RET_TRACE);
    assert_eq!(did.result, -ENOSYS);
    not_executed(&line);
}

#[test]
fn trapped() {
    live!(60);
    seccomp::ignore_sigsys();
    let (did, line) = refuse(libc::SECCOMP_RET_TRAP);
    assert_eq!(
        i64::from(did.result),
        libc::SYS_msgget,
        "the number of the call comes back, as if it were a queue"
    );
    not_executed(&line);
}

#[test]
fn logged_is_executed() {
    live!(60);
    let (did, line) = refuse(libc::SECCOMP_RET_LOG);
    assert!(did.result >= 0);
    assert_eq!(line["outcome"], "ambiguous");
}

/// One call that a supervisor answers with this value, or lets through.
fn supervise(value: Option<i64>) -> (Did, Line) {
    observe(|| {
        thread::scope(|scope| {
            let (listener, listeners) = mpsc::channel();
            let caller = scope.spawn(move || {
                let fd = filter_msgget(
                    libc::SECCOMP_RET_USER_NOTIF,
                    None,
                    libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                )
                .unwrap();
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
    not_executed(&line);
}

#[test]
fn let_through_by_a_supervisor() {
    live!(60);
    let (did, line) = supervise(None);
    assert_eq!(did.result, -ENOENT);
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
    let [line] = *lines.iter().filter(|line| line.by_thread(pid)).collect::<Vec<_>>() else {
        panic!("not one: {lines:#?}")
    };
    assert_eq!(line.result(), (9, (IPC_CREAT | 0o600).into(), libc::SYS_msgget));
    not_executed(line);
}

#[test]
fn a_made_up_enoent_is_no_check() {
    live!(60);
    let daemon = settled(&[]);
    let calls = sys::private_ipc(|| {
        filter_msgget(libc::SECCOMP_RET_ERRNO | ENOENT.cast_unsigned(), Some(0), 0).unwrap();
        vec![msgget(9, 0), msgget(9, IPC_CREAT | 0o600)]
    });
    assert_eq!(calls[0].result, -ENOENT);
    let lines = daemon.stop().balanced();
    let tid = calls[0].tid;
    assert!(
        !lines.iter().any(|line| !line.is_call() && line.by_thread(tid)),
        "a finding: {lines:#?}"
    );
    let pairs = common::line::pair(&calls, &lines);
    not_executed(&pairs[0].1);
    assert_eq!(pairs[1].1["tags"], serde_json::json!(["U", "TOCTOU"]));
}

#[test]
fn the_kernel_side_tells_of_it_when_asked() {
    live!(60);
    let daemon = run(&["--kernel-log", "debug"]);
    let did = sys::private_ipc(|| {
        filter_msgget(libc::SECCOMP_RET_ERRNO | EPERM.cast_unsigned(), None, 0).unwrap();
        msgget(0x7e11, 0)
    });
    let key = 0x7e11.to_string();
    daemon
        .stderr
        .find(|line| line.contains(&did.tid.to_string()) && line.contains(&key));
    daemon.stop().balanced();
}

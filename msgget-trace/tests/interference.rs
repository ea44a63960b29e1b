//! Calls that a tracer, a signal or the program itself interferes with: what the kernel executed is told, whatever the caller
//! was made to believe, and nothing else is told as executed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![cfg(target_arch = "x86_64")]

mod common;

use std::{
    fs::{self, File},
    os::{fd::FromRawFd as _, unix::process::ExitStatusExt as _},
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    Did, Line, run,
    seccomp::{self, filter_msgget},
    sys::{self, msgget, msgget_only},
    tracer::{Traced, dispatching},
};
use libc::{ENOENT, ENOSYS, IPC_CREAT, SYS_msgget};

const CREATE: i32 = IPC_CREAT | 0o600;

/// What seccomp returns of a call that ended while a supervisor thought about it; no program sees it.
const ERESTARTSYS: i32 = 512;

/// True on the hooks inside the kernel's msgget, which see nothing of what never came there.
fn inside() -> bool {
    std::env::var("MSGGET_TRACE_HOOK").is_ok_and(|hook| hook == "fexit")
}

/// The lines of one thread.
fn of(lines: &[Line], tid: i32) -> Vec<&Line> {
    lines.iter().filter(|line| line.is_call() && line.by_thread(tid)).collect()
}

/// Asserts that these lines tell of a call with this result that was not executed; or nothing, where nothing can be seen.
fn not_executed(lines: &[&Line], asked: (i32, i32), result: i64) {
    if inside() {
        assert!(lines.is_empty(), "{lines:?}");
        return;
    }
    let [line] = lines else { panic!("not one line: {lines:?}") };
    assert_eq!(line.result(), (asked.0.into(), asked.1.into(), result));
    assert_eq!(line["outcome"], "not_executed");
    for claim in ["queue", "outcomeSource", "errno", "durationNs"] {
        assert!(!line.has(claim), "{claim}: {line:?}");
    }
}

/// The only line of `lines`: its outcome, key, flags and result.
fn told<'a>(lines: &[&'a Line]) -> (&'a str, (i64, i64, i64)) {
    let [line] = lines else { panic!("not one line: {lines:?}") };
    (line.text("outcome"), line.result())
}

/// As [`Did`] reports it, a result of `tid` that no call of ours returned.
fn did(tid: i32, result: i32) -> Did {
    Did { key: 0, flags: 0, result, tid, pid: 0, parent: 0, before: 0, after: 0 }
}

/// A child that `interfere` does something to before it is left alone; returns its calls.
fn traced(body: impl FnOnce() -> Vec<Did>, interfere: impl FnOnce(&Traced)) -> Vec<Did> {
    let traced = Traced::fork(body);
    interfere(&traced);
    traced.release().calls()
}

#[test]
fn what_a_tracer_makes_of_a_call() {
    live!(60);
    let daemon = run(&[]);
    let [changed, made, none, answered] = sys::private_ipc(|| {
        let changed = traced(
            || vec![msgget(0x71, 0)],
            |traced| {
                traced.until_entry(SYS_msgget);
                traced.change(|registers| (registers.rdi, registers.rsi) = (0x72, CREATE as u64));
                traced.until_edge();
            },
        );
        let parent = || {
            // SAFETY: no preconditions.
            let result = unsafe { libc::syscall(libc::SYS_getppid) };
            vec![did(sys::thread_id(), result.try_into().unwrap())]
        };
        let made = traced(parent, |traced| {
            traced.until_entry(libc::SYS_getppid);
            traced.change(|registers| {
                (registers.orig_rax, registers.rdi, registers.rsi) = (SYS_msgget as u64, 0x73, CREATE as u64);
            });
            traced.until_edge();
        });
        let none = traced(
            || vec![msgget(0x74, CREATE), msgget(0x75, 0)],
            |traced| {
                traced.until_entry(SYS_msgget);
                traced.change(|registers| registers.orig_rax = u64::MAX);
            },
        );
        let answered = traced(
            || vec![msgget(0x76, 0)],
            |traced| {
                traced.until_entry(SYS_msgget);
                traced.until_edge();
                traced.change(|registers| registers.rax = 4242);
            },
        );
        for (key, exists) in [(0x71, false), (0x72, true), (0x73, true), (0x74, false)] {
            assert_eq!(msgget_only(key, 0) >= 0, exists, "the queue of key {key:#x}");
        }
        [changed, made, none, answered]
    });
    let lines = daemon.stop().balanced();
    let told = |did: &Did| told(&of(&lines, did.tid));
    let enoent = i64::from(-ENOENT);

    assert!(changed[0].result >= 0);
    assert_eq!(told(&changed[0]), ("created", (0x72, CREATE.into(), changed[0].result.into())), "what was executed");
    assert!(made[0].result >= 0);
    assert_eq!(told(&made[0]), ("created", (0x73, CREATE.into(), made[0].result.into())));
    assert_eq!(none[0].result, -ENOSYS);
    assert_eq!(told(&none[0]), ("failed", (0x75, 0, enoent)), "the second call, for the first was none");
    assert_eq!(answered[0].result, 4242, "what the caller was made to believe");
    assert_eq!(told(&answered[0]), ("failed", (0x76, 0, enoent)), "what the kernel answered");
    for did in [&changed, &made, &answered] {
        assert_eq!(of(&lines, did[0].tid)[0]["traced"], true, "until the call returned");
    }
    assert_eq!(of(&lines, none[0].tid)[0]["traced"], false, "no longer");
}

#[test]
fn killed_on_the_threshold() {
    live!(60);
    let daemon = run(&[]);
    let pid = sys::private_ipc(|| {
        let traced = Traced::fork(|| vec![msgget(0x77, CREATE)]);
        traced.until_entry(SYS_msgget);
        let pid = traced.pid();
        let (status, calls) = traced.kill().wait();
        assert_eq!((status.signal(), calls.len()), (Some(libc::SIGKILL), 0));
        assert_eq!(msgget_only(0x77, 0), -ENOENT, "it came no further");
        pid
    });
    let lines = daemon.stop().balanced();
    not_executed(&of(&lines, pid), (0x77, CREATE), (-ENOSYS).into());
}

#[test]
fn killed_while_a_supervisor_thinks() {
    live!(60);
    let daemon = run(&[]);
    let pid = sys::private_ipc(|| {
        let child = sys::fork(|| {
            filter_msgget(libc::SECCOMP_RET_USER_NOTIF, None, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).unwrap();
            vec![msgget(0x78, CREATE)]
        });
        // The call a sleeping process is in, proc_pid_syscall(5).
        let waits = || fs::read_to_string(format!("/proc/{}/syscall", child.pid)).unwrap().starts_with("68 ");
        let deadline = Instant::now() + common::patience();
        while !waits() {
            assert!(Instant::now() < deadline, "it does not wait");
            thread::sleep(Duration::from_millis(1));
        }
        let pid = child.pid;
        sys::kill(pid, libc::SIGKILL);
        let (status, calls) = child.wait();
        assert_eq!((status.signal(), calls.len()), (Some(libc::SIGKILL), 0));
        pid
    });
    let lines = daemon.stop().balanced();
    not_executed(&of(&lines, pid), (0x78, CREATE), (-ERESTARTSYS).into());
}

/// A forked child in which one thread is killed by its filter amid a call; then another call, by the one that is left.
fn lose_a_thread() -> Vec<Did> {
    let survived: &'static AtomicBool = Box::leak(Box::default());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        tell.send(sys::thread_id()).unwrap();
        filter_msgget(libc::SECCOMP_RET_KILL_THREAD, None, 0).unwrap();
        msgget_only(0x79, CREATE);
        survived.store(true, Ordering::SeqCst);
    });
    let tid = told.recv().unwrap();
    while Path::new(&format!("/proc/self/task/{tid}")).exists() {
        thread::sleep(Duration::from_millis(1));
    }
    vec![did(tid, survived.load(Ordering::SeqCst).into()), msgget(0x7a, 0)]
}

#[test]
fn what_leaves_no_trace() {
    live!(60);
    let daemon = run(&[]);
    let (killed, dispatched) = sys::private_ipc(|| {
        let killed = sys::fork(lose_a_thread).calls();
        let dispatched = sys::fork(|| {
            let result = dispatching(|| msgget_only(0x7b, CREATE));
            vec![did(sys::thread_id(), result), msgget(0x7c, 0)]
        });
        let dispatched = dispatched.calls();
        for key in [0x79, 0x7b] {
            assert_eq!(msgget_only(key, 0), -ENOENT, "the kernel did nothing");
        }
        (killed, dispatched)
    });
    assert_eq!(killed[0].result, 0, "the thread is gone");
    assert_eq!(i64::from(dispatched[0].result), SYS_msgget, "the number of the call comes back, as if it were a queue");
    let lines = daemon.stop().balanced();
    assert!(of(&lines, killed[0].tid).is_empty(), "not even a return");
    // What the same process called next is seen.
    assert_eq!(told(&of(&lines, killed[1].tid)), ("failed", (0x7a, 0, (-ENOENT).into())));
    assert_eq!(told(&of(&lines, dispatched[1].tid)), ("failed", (0x7c, 0, (-ENOENT).into())));
}

/// The hooks arrive while a call waits at a supervisor's: it has begun, and then it is executed.
#[test]
fn the_daemon_starts_amid_a_call() {
    live!(60, floods); // another daemon has the kernel watch out for beginnings already, and there is nothing to miss
    let (daemon, called) = thread::scope(|scope| {
        let (listener, listeners) = mpsc::channel();
        let call = move || {
            let new = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
            let fd = filter_msgget(libc::SECCOMP_RET_USER_NOTIF, None, new).unwrap();
            listener.send(i32::try_from(fd).unwrap()).unwrap();
            msgget(0x7d, 0)
        };
        let caller = scope.spawn(|| sys::private_ipc(call));
        // SAFETY: the descriptor is open and owned by nobody else.
        let listener = unsafe { File::from_raw_fd(listeners.recv().unwrap()) };
        seccomp::await_call(&listener);
        let daemon = run(&[]);
        seccomp::answer(&listener, None);
        (daemon, caller.join().unwrap())
    });
    assert_eq!(called.result, -ENOENT);
    let lines = daemon.stop().balanced();
    let (outcome, result) = told(&of(&lines, called.tid));
    assert_eq!(result, (0x7d, 0, (-ENOENT).into()));
    // Executed it was; the other answers would be wrong.
    let paired = of(&lines, called.tid)[0].has("durationNs");
    assert_eq!(outcome, if paired || inside() { "failed" } else { "unpaired" });
}

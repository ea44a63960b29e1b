//! A daemon that was made blind, or whose output stalls: the first it says, and when it is over; of the other nobody notices
//! anything but the delay.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    env, fs, io,
    io::{BufRead, BufReader},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use common::{
    Program, binary, msgget_trace, sys,
    tracer::Thief,
    unparsed::{KEY, number},
};

/// The hooks to test, none of which has a lower rung to go to.
fn hooks() -> Vec<String> {
    match env::var("MSGGET_TRACE_HOOK") {
        Ok(hook) => vec![hook],
        Err(_) => ["tracepoint", "tp_btf"].map(str::to_owned).to_vec(),
    }
}

/// `run` on this hook, with a canary every second.
fn daemon(hook: &str) -> Program {
    let mut command = Command::new(binary());
    command.args(["run", "--no-pin", "--status-socket", "none", "--heartbeat", "1", "--hook", hook]);
    Program::start(&mut command).ready()
}

/// A tracer keeps the canaries from the kernel, which for the daemon is the same as hooks that do not fire any more.
#[test]
fn a_daemon_that_is_blind_says_so_and_when_it_sees_again() {
    live!(120);
    for hook in hooks() {
        let daemon = daemon(&hook);
        let event = |name: &str| format!("\"eventName\":\"{name}\"");
        daemon.stdout.find(|line| line.contains(&event("heartbeat")));
        let thief = Thief::of(daemon.pid(), libc::SYS_msgget);
        daemon.stdout.find(|line| line.contains(&event("degraded")));
        // Further canaries are lost, too, but that is said once.
        thread::sleep(Duration::from_secs(3));
        drop(thief);
        daemon.stdout.find(|line| line.contains(&event("recovered")));
        let report = daemon.stop();
        report.balanced();
        let degraded = report.health("degraded");
        assert_eq!(degraded.len(), 1, "{hook}: {degraded:#?}");
        assert_eq!(degraded[0]["reason"], "canary_lost", "{hook}: {degraded:#?}");
        assert_eq!(report.health("recovered").len(), 1, "{hook}");
    }
}

/// A copy of descriptor `fd` of another process.
fn copy(pid: i32, fd: i32) -> OwnedFd {
    // SAFETY: these calls take integers; their results are checked and owned by nobody else.
    unsafe {
        let pidfd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        assert!(pidfd >= 0, "pidfd_open: {}", io::Error::last_os_error());
        let pidfd = OwnedFd::from_raw_fd(i32::try_from(pidfd).unwrap());
        let copy = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0);
        assert!(copy >= 0, "pidfd_getfd: {}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(i32::try_from(copy).unwrap())
    }
}

/// All hooks are links, also those of tracepoints: the daemon has no perf event that somebody could switch off by ioctl(2), for
/// the link keeps it to itself. And links of these kinds cannot be detached while somebody holds them: `bpf_tracing_link_lops`
/// and `bpf_perf_link_lops` have no `detach` (kernel/bpf/syscall.c).
#[test]
fn hooks_cannot_be_taken_away() {
    const LINK_DETACH: i32 = 34;
    live!(60);
    for hook in hooks() {
        let daemon = daemon(&hook);
        let files = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().map(|file| file.unwrap().path());
        let mut links = 0;
        for file in files {
            let Ok(target) = fs::read_link(&file) else { continue };
            let target = target.display().to_string();
            assert!(!target.contains("perf_event"), "{hook}: {target}");
            if target.contains("bpf_link") || target.contains("bpf-link") {
                links += 1;
                let fd = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
                let link = copy(daemon.pid(), fd);
                let attributes = [link.as_raw_fd().cast_unsigned(), 0];
                // SAFETY: `attributes` is valid for its size.
                let detached =
                    unsafe { libc::syscall(libc::SYS_bpf, LINK_DETACH, attributes.as_ptr(), size_of_val(&attributes)) };
                let error = io::Error::last_os_error();
                assert_eq!((detached, error.raw_os_error()), (-1, Some(libc::EOPNOTSUPP)), "{hook}: {error}");
            }
        }
        assert!(links >= 2, "{hook}: {links}");
        let tid = sys::private_ipc(|| sys::msgget(7, 0)).tid;
        let report = daemon.stop();
        assert_eq!(report.balanced().iter().filter(|line| line.is_call() && line.by_thread(tid)).count(), 1, "{hook}");
        assert!(report.health("degraded").is_empty(), "{hook}");
    }
}

#[test]
fn an_output_that_stalls_loses_nothing_and_is_no_reason_to_worry() {
    const CALLS: i32 = 2_000;
    live!(120);
    let (daemon, stdout) = Program::start_unread(&mut msgget_trace(["run", "--heartbeat", "1"]));
    let daemon = daemon.ready();
    let tid = sys::private_ipc(|| {
        // More than a pipe holds, in twenty seconds.
        for key in 1..=CALLS {
            sys::msgget_only(key, 0);
            thread::sleep(Duration::from_millis(10));
        }
        sys::thread_id()
    });
    // Until it has caught up, and twice looked at itself again.
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        let (mut text, mut caught_up) = (String::new(), false);
        for line in BufReader::new(stdout).lines().map(Result::unwrap) {
            caught_up |= number(&line, KEY) == Some(CALLS.into()) && number(&line, "\"threadId\":") == Some(tid.into());
            if caught_up && line.contains("\"eventName\":\"heartbeat\"") {
                let _ = tell.send(());
            }
            text += &line;
            text.push('\n');
        }
        text
    });
    for _ in 0..2 {
        told.recv_timeout(common::patience()).unwrap();
    }
    let report = daemon.stop();
    let text = reader.join().unwrap();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert_eq!(report.stderr.len(), 2, "{:#?}", report.stderr);

    for (raw, sequence) in text.lines().zip(1..) {
        let line: serde_json::Value = serde_json::from_str(raw).unwrap();
        assert_eq!(line["sequence"], sequence, "a gap");
        assert!(!["degraded", "recovered", "loss"].iter().any(|name| line["eventName"] == *name), "{raw}");
    }
    let lines = common::lines_of(&text);
    let keys: Vec<_> =
        lines.iter().filter(|line| line.is_call() && line.by_thread(tid)).map(|line| line.result().0).collect();
    assert_eq!(keys, (1..=CALLS).map(i64::from).collect::<Vec<_>>());
    let (calls, others): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.is_call());
    let controls = others.iter().filter(|line| line.is_control()).count();
    report.add_up(calls.len(), controls, others.len() - controls);
    assert_eq!(report.balance()["lost"], 0);
}

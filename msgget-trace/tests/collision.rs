//! Two threads whose ids share a slot of the kernel program, both inside msgget at once: neither loses or hides a call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    sync::atomic::Ordering,
    time::Duration,
};

use common::{
    Program, msgget_trace,
    sys::{self, msgget_only},
    unparsed::{Counted, KEY, number},
};

/// Puts the limit of process ids back.
struct PidMax(String);

const PID_MAX: &str = "/proc/sys/kernel/pid_max";

impl PidMax {
    fn raise() -> Self {
        let old = fs::read_to_string(PID_MAX).unwrap();
        fs::write(PID_MAX, "4194304").unwrap();
        Self(old)
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        fs::write(PID_MAX, &self.0).unwrap();
    }
}

/// Calls of each of the two, of which fewer do where the machine is slow: their lines must find room there, too.
fn calls() -> i32 {
    200_000 / common::live::slowness() as i32
}

/// Forks two children whose ids share a slot. On a processor each, and from the same moment on, they call msgget on `calls()`
/// keys of their own, up from the given ones.
fn fork_colliding(first_keys: [i32; 2]) -> [i32; 2] {
    let arrived = sys::shared_counter();
    let work = |cpu: usize| {
        move || {
            sys::move_to_processor(cpu);
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < 2 {
                std::hint::spin_loop();
            }
            (first_keys[cpu]..first_keys[cpu] + calls()).for_each(|key| _ = msgget_only(key, 0));
        }
    };
    // Above the usual limit of process ids, so that no other thread is likely to share the slot.
    for low in 40_000..65_000 {
        let Ok(one) = sys::fork_as(0x2_0000 + low, work(0)) else {
            continue;
        };
        match sys::fork_as(0x3_0000 + low, work(1)) {
            Ok(other) => return [one, other],
            Err(_) => sys::kill(one, libc::SIGKILL),
        }
        sys::reap(one);
        arrived.store(0, Ordering::SeqCst);
    }
    panic!("no two free process ids that share a slot: {}", std::io::Error::last_os_error());
}

#[test]
fn colliding_thread_ids_hide_nothing() {
    live!(180, floods);
    if !sys::in_host_pid_namespace() {
        skip!("the host's process ids cannot be chosen inside a pid namespace");
    }
    if std::thread::available_parallelism().unwrap().get() < 2 {
        skip!("two threads can be inside a call at once on two processors only");
    }
    let _limit = PidMax::raise();
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = file.path().to_str().unwrap();
    // 400,000 records at full speed have to wait for their lines: 70 MB.
    let daemon =
        Program::start(&mut msgget_trace(["run", "--no-budget", "--ring-size", "134217728", "--output", output]))
            .ready();
    let first_keys = [0x1000_0000, 0x2000_0000];
    let children = sys::private_ipc(|| {
        let children = fork_colliding(first_keys);
        assert!(children.iter().all(|child| sys::reap(*child).success()));
        children
    });
    assert_eq!(children[0] & 0xffff, children[1] & 0xffff);
    daemon.signal(libc::SIGTERM);
    let report = daemon.wait_for(Duration::from_secs(120)); // it has that much to write

    let mut next = first_keys;
    let mut unpaired = 0;
    let mut counted = Counted::default();
    let lines = BufReader::new(File::open(output).unwrap()).lines().map(Result::unwrap);
    for line in lines {
        if !counted.take(&line) {
            continue;
        }
        let tid = number(&line, "\"hostThreadId\":");
        let Some(child) = children.iter().position(|child| Some((*child).into()) == tid) else {
            continue;
        };
        assert_eq!(number(&line, KEY), Some(next[child].into()), "{line}");
        assert_eq!(number(&line, "\"returnValue\":"), Some((-libc::ENOENT).into()), "{line}");
        assert!(!line.contains("\"not_executed\""), "hidden as not executed: {line}");
        unpaired += u64::from(line.contains("\"unpaired\""));
        next[child] += 1;
    }
    assert_eq!(next, first_keys.map(|key| key + calls()), "calls are missing: {:#?}", report.stderr);
    report.add_up(counted.calls, counted.controls, counted.findings);
    let balance = report.balance();
    assert_eq!(balance["lost"], 0, "{balance:?}");
    assert!(balance["collisions"] > 0, "they never met: {balance:?}");
    assert!(balance["unpaired"] >= unpaired && unpaired <= balance["collisions"], "{unpaired}: {balance:?}");
}

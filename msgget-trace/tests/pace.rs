//! A million calls at a steady 20,000 a second: every one printed once and in order, and the counters agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    thread,
};

use common::{
    run,
    sys::{self, clock, msgget_only, sleep_until},
    unparsed::{Counted, KEY, number},
};

const THREADS: i32 = 2;
const CALLS: i32 = 500_000;

/// Makes `CALLS` calls on the keys from `first` on, ten every millisecond, and returns the thread's id.
fn paced(first: i32) -> i64 {
    let start = clock(libc::CLOCK_MONOTONIC);
    for (batch, key) in (0..).zip((first..first + CALLS).step_by(10)) {
        sleep_until(start + batch * 1_000_000);
        (key..key + 10).for_each(|key| assert_eq!(msgget_only(key, 0), -libc::ENOENT));
    }
    sys::thread_id().into()
}

#[test]
fn a_million_calls_at_20_000_a_second() {
    live!(300, floods);
    let file = tempfile::NamedTempFile::new().unwrap();
    let daemon = run(&["--no-budget", "--output", file.path().to_str().unwrap()]); // where it falls behind, it catches up in a burst
    // Key 0 is IPC_PRIVATE, so the numbers start at 1.
    let first_keys: Vec<_> = (0..THREADS).map(|n| 1 + n * CALLS).collect();
    let threads: Vec<_> = sys::private_ipc(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = first_keys.iter().map(|first| scope.spawn(|| paced(*first))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    });
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert_eq!(report.balance()["lost"], 0, "{:#?}", report.stderr);

    let mut next = first_keys.clone();
    let mut counted = Counted::default();
    for (line, sequence) in BufReader::new(File::open(file.path()).unwrap()).lines().map(Result::unwrap).zip(1..) {
        assert_eq!(number(&line, "\"sequence\":"), Some(sequence), "a gap: {line}");
        if !counted.take(&line) {
            continue;
        }
        let tid = number(&line, "\"threadId\":");
        let Some(thread) = threads.iter().position(|thread| Some(*thread) == tid) else {
            continue;
        };
        assert_eq!(number(&line, KEY), Some(next[thread].into()), "{line}");
        next[thread] += 1;
    }
    assert_eq!(next, first_keys.iter().map(|key| key + CALLS).collect::<Vec<_>>(), "calls are missing");
    report.add_up(counted.calls, counted.controls, counted.findings);
}

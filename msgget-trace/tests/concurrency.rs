//! Many callers at once: every call printed with what its caller asked and got, each caller's in its order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{sync::Barrier, thread};

use common::{
    Did, run,
    sys::{self, msgget},
};
use libc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE};

/// `count` calls, most of them on a few keys that all callers fight for; the same for the same seed.
fn mixed(seed: u32, count: usize) -> Vec<Did> {
    let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = |below: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random % below
    };
    let mut calls = Vec::with_capacity(count);
    for _ in 0..count {
        let key = if next(10) == 0 { IPC_PRIVATE } else { next(6).cast_signed() + 1 };
        let flags = [0, 0o600, IPC_CREAT | 0o600, IPC_CREAT | IPC_EXCL | 0o600][next(4) as usize];
        let did = msgget(key, flags);
        calls.push(did);
        // What exists is removed again now and then; somebody else may have been first.
        if did.result >= 0 && (key == IPC_PRIVATE || next(3) == 0) {
            sys::try_remove_queue(did.result);
        }
    }
    calls
}

#[test]
fn threads_and_processes_at_once() {
    live!(120, floods);
    let each = 500 / common::live::slowness() as usize;
    let daemon = run(&["--no-budget"]); // together they are one owner, and past what one may send at once
    let calls = sys::private_ipc(|| {
        let start = Barrier::new(9);
        thread::scope(|scope| {
            let start = &start;
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || (start.wait(), mixed(seed, each)).1)).collect();
            let forks: Vec<_> = (8..16).map(|seed| sys::fork(|| mixed(seed, each))).collect();
            start.wait();
            let mut calls: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            calls.extend(forks.into_iter().flat_map(sys::Fork::calls));
            calls
        })
    });
    assert_eq!(calls.len(), 16 * each);
    let pairs = common::line::pair(&calls, &daemon.stop().balanced());
    assert_eq!(pairs.len(), calls.len());
    for (_, line) in pairs {
        assert!(!matches!(line.text("outcome"), "unpaired" | "not_executed"), "{line:?}");
    }
}

//! Every outcome POSIX knows for msgget(2), each made by a real call and read back from the line it became.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{
    Did, Line, observe,
    sys::{become_user, clock, msgget, queue},
};
use libc::{EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE};
use serde_json::json;

const KEY: i32 = 0x5ca1_ab1e;

/// The only call that `call` makes, and its line.
fn one(call: impl FnOnce() -> Did + Send) -> (Did, Line) {
    observe(|| vec![call()]).pop().unwrap()
}

/// The call that came last of several, and its line.
fn last(calls: impl FnOnce() -> Vec<Did> + Send) -> (Did, Line) {
    observe(calls).pop().unwrap()
}

fn failed(line: &Line, errno: &str) {
    assert_eq!((line.text("outcome"), line.text("errno")), ("failed", errno));
    assert_eq!(line.text("outcomeSource"), if line["hook"] == "fexit" { "kernel" } else { "flags" });
}

fn succeeded(did: &Did, line: &Line, outcome: &str) {
    assert!(did.result >= 0, "{did:?}");
    assert_eq!(line["outcome"], outcome, "{line:?}");
    assert!(line.has("outcomeSource"), "{line:?}");
}

/// Asserts what POSIX promises of a queue just created with these flags.
fn is_new(id: i32, flags: i32, [uid, gid]: [u32; 2], [before, after]: [i64; 2]) {
    let ds = queue(id);
    let perm = ds.msg_perm;
    assert_eq!([perm.uid, perm.cuid], [uid; 2], "owner and creator");
    assert_eq!([perm.gid, perm.cgid], [gid; 2], "their groups");
    assert_eq!(i32::from(perm.mode), flags & 0o777, "the low nine bits of msgflg");
    assert_eq!((ds.msg_qnum, ds.msg_lspid, ds.msg_lrpid, ds.msg_stime, ds.msg_rtime), (0, 0, 0, 0, 0));
    assert_eq!(ds.msg_qbytes.to_string(), fs::read_to_string("/proc/sys/kernel/msgmnb").unwrap().trim());
    // The kernel takes msg_ctime from the coarse clock, which may lag by a tick.
    let earliest = (before - 10_000_000) / 1_000_000_000;
    assert!((earliest..=after / 1_000_000_000).contains(&ds.msg_ctime), "{} not in {before}..={after}", ds.msg_ctime);
}

#[test]
fn created_by_ipc_private() {
    live!(60);
    let flags = IPC_CREAT | 0x7f_0000 | 0o640; // unknown bits do not end up in the mode
    let (did, line) = one(|| {
        let did = msgget(IPC_PRIVATE, flags);
        is_new(did.result, flags, [0, 0], [did.before, did.after]);
        did
    });
    succeeded(&did, &line, "created");
    assert_eq!(line["tags"], json!(["U", "IPC_PRIVATE"]));
    assert_eq!((line.text("mode"), line.text("keyHex")), ("0640", "0x00000000"));
}

#[test]
fn ipc_private_needs_no_flag_and_never_opens() {
    live!(60);
    let pairs = observe(|| [0, 0o600, IPC_EXCL | 0o600].map(|flags| msgget(IPC_PRIVATE, flags)).to_vec());
    assert_eq!(pairs.len(), 3);
    for (did, line) in pairs {
        succeeded(&did, &line, "created");
    }
}

#[test]
fn created_exclusively_by_another_user() {
    live!(60);
    let flags = IPC_CREAT | IPC_EXCL | 0o604;
    let (did, line) = one(|| {
        become_user([1000, 1001], [2000, 2001]);
        let did = msgget(KEY, flags);
        is_new(did.result, flags, [1001, 2001], [did.before, did.after]);
        did
    });
    succeeded(&did, &line, "created");
    // Anybody may read, and whoever started it is another user.
    assert_eq!(line["tags"], json!(["U", "WEAK_MODE", "PRIVILEGED"]));
    assert_eq!(line["flags"], json!(["IPC_CREAT", "IPC_EXCL"]));
    assert_eq!((line.text("mode"), line.text("keyHex")), ("0604", "0x5ca1ab1e"));
}

#[test]
fn creation_without_exclusion_is_told_from_opening() {
    live!(60);
    let pairs = observe(|| vec![msgget(KEY, IPC_CREAT | 0o604), msgget(KEY, IPC_CREAT | 0o600)]);
    assert_eq!(pairs[0].0.result, pairs[1].0.result, "created, then opened");
    let tags = [json!(["U", "TOCTOU", "WEAK_MODE"]), json!(["U", "TOCTOU"])];
    for (((did, line), outcome), tags) in pairs.iter().zip(["created", "opened"]).zip(tags) {
        succeeded(did, line, outcome);
        assert_eq!(line.text("outcomeSource"), if line["hook"] == "fexit" { "kernel" } else { "counters" });
        assert_eq!(line["tags"], tags);
        // Whose the queue is, the kernel or the resolver says of an opened one; of a created one the caller's ids say it.
        if outcome == "created" || line["hook"] == "fexit" {
            let owner =
                json!({"ownerUserId": 0, "ownerGroupId": 0, "creatorUserId": 0, "creatorGroupId": 0, "mode": "0604"});
            assert_eq!(line["queue"], owner);
        }
    }
}

#[test]
fn opened() {
    live!(60);
    // IPC_EXCL without IPC_CREAT means nothing.
    for flags in [0, 0o600, IPC_EXCL, IPC_NOWAIT | 0o600] {
        let (did, line) = last(|| vec![msgget(KEY, IPC_CREAT | IPC_EXCL | 0o600), msgget(KEY, flags)]);
        succeeded(&did, &line, "opened");
        assert_eq!(line["tags"], json!(["U"]));
    }
}

#[test]
fn refused_because_it_exists() {
    live!(60);
    let flags = IPC_CREAT | IPC_EXCL | 0o600;
    let (did, line) = last(|| vec![msgget(KEY, flags), msgget(KEY, flags)]);
    assert_eq!(did.result, -EEXIST);
    failed(&line, "EEXIST");
}

#[test]
fn refused_to_another_user() {
    live!(60);
    let (did, line) = last(|| {
        let created = msgget(KEY, IPC_CREAT | IPC_EXCL | 0o600);
        become_user([1000, 1000], [1000, 1000]);
        vec![created, msgget(KEY, 0o400)]
    });
    assert_eq!(did.result, -EACCES);
    failed(&line, "EACCES");
    assert_eq!((line.int("userId"), line.int("effectiveUserId")), (1000, 1000));
}

#[test]
fn opened_without_asking_for_access() {
    live!(60);
    let (did, line) = last(|| {
        let created = msgget(KEY, IPC_CREAT | IPC_EXCL | 0o600);
        become_user([1000, 1000], [1000, 1000]);
        vec![created, msgget(KEY, 0)]
    });
    succeeded(&did, &line, "opened");
}

#[test]
fn refused_because_there_is_none() {
    live!(60);
    let (did, line) = one(|| msgget(-2, 0o600));
    assert_eq!(did.result, -ENOENT);
    failed(&line, "ENOENT");
    assert_eq!((line.arg("key"), line.text("keyHex")), (&json!(-2), "0xfffffffe"));
}

#[test]
fn refused_for_lack_of_space() {
    live!(60);
    let (did, line) = last(|| {
        fs::write("/proc/sys/kernel/msgmni", "1").unwrap(); // of this IPC namespace
        [1, 2].map(|key| msgget(key, IPC_CREAT | IPC_EXCL | 0o600)).to_vec()
    });
    assert_eq!(did.result, -ENOSPC);
    failed(&line, "ENOSPC");
    assert_eq!(line["flags"], json!(["IPC_CREAT", "IPC_EXCL"]));
}

#[test]
fn unknown_flag_bits_are_shown() {
    live!(60);
    let pairs = observe(|| vec![msgget(KEY, !IPC_CREAT), msgget(KEY, 0x4000_0000 | IPC_NOWAIT)]);
    for (did, line) in &pairs {
        assert_eq!(did.result, -ENOENT, "the kernel ignores what it does not know, so no {EINVAL}");
        failed(line, "ENOENT");
    }
    assert_eq!(pairs[0].1["flags"], json!(["IPC_EXCL", "IPC_NOWAIT", "0xfffff000"]));
    assert_eq!(pairs[0].1["mode"], "0777");
    assert_eq!(pairs[1].1["flags"], json!(["IPC_NOWAIT", "0x40000000"]));
}

#[test]
fn times_enclose_the_call() {
    live!(60);
    /// The two clocks are read one after the other to learn their distance.
    const SLACK: i64 = 1_000_000;
    let before = clock(libc::CLOCK_REALTIME);
    for (did, line) in observe(|| (1..=100).map(|key| msgget(key, 0)).collect()) {
        let (entered, left) = (line.int("timestamp"), line.int("exitTimestamp"));
        assert!(before < did.before && entered <= left);
        assert!(did.before - SLACK <= entered && left <= did.after + SLACK, "{did:?}: {entered}..{left}");
        assert!(line.int("durationNs") <= did.after - did.before);
    }
}

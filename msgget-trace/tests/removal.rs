//! What becomes of queues: removals and changes, by whom and with what success, on every rung as much as it can see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{io::Write as _, process::Command, process::Stdio, thread};

use common::{
    Line, Program, Report, msgget_trace, run,
    seccomp::filter,
    sys::{self, clock, control, msgget_only, sleep_until},
};
use libc::{EINVAL, EPERM, IPC_CREAT, IPC_PRIVATE, IPC_RMID, IPC_SET};

/// The rung in use.
fn hook(report: &Report) -> String {
    report.start()["hook"].as_str().unwrap().to_owned()
}

/// The removals and changes of one thread, of a run in which nothing was lost.
fn controls(report: &Report, tid: i32) -> Vec<Line> {
    report.balanced();
    report.controls().into_iter().filter(|line| line.by_thread(tid)).collect()
}

/// Queue, command, what came back, and what we say of it.
fn told(line: &Line) -> (i64, i64, i64, &str) {
    let [id, cmd] = ["msqid", "cmd"].map(|name| line.arg(name).as_i64().unwrap());
    (id, cmd, line.int("returnValue"), line.text("outcome"))
}

/// A new private queue of this mode.
fn create(mode: i32) -> i32 {
    let id = msgget_only(IPC_PRIVATE, mode);
    assert!(id >= 0, "{id}");
    id
}

#[test]
fn every_attempt_and_what_came_of_it() {
    live!(60);
    const KEY: i32 = 0x4e40;
    let daemon = run(&[]);
    let (owner, stranger, id) = sys::private_ipc(|| {
        let id = msgget_only(KEY, IPC_CREAT | 0o600);
        let stranger = thread::scope(|scope| {
            let attempt = || {
                sys::become_user([4001, 4001], [4002, 4002]);
                assert_eq!(control(id, IPC_RMID), -EPERM);
                sys::thread_id()
            };
            scope.spawn(attempt).join().unwrap()
        });
        sys::change_queue(id, 0o640);
        assert_eq!(control(id, IPC_RMID), 0);
        assert_eq!(control(id, IPC_RMID), -EINVAL, "it is gone");
        (sys::thread_id(), stranger, id)
    });
    let report = daemon.stop();
    let (ours, theirs) = (controls(&report, owner), controls(&report, stranger));
    let (id, rmid, set) = (i64::from(id), i64::from(IPC_RMID), i64::from(IPC_SET));
    let told: Vec<_> = ours.iter().map(told).collect();
    if hook(&report) == "fexit" {
        assert_eq!(told, [(id, rmid, 0, "removed")]);
        assert!(theirs.is_empty(), "{theirs:#?}");
        let queue = &ours[0]["queue"];
        let ids = ["ownerUserId", "ownerGroupId", "creatorUserId", "creatorGroupId"].map(|key| &queue[key]);
        assert_eq!((ids, &queue["mode"]), ([&0.into(); 4], &"0640".into()), "as it was changed");
        assert_eq!(ours[0]["keyHex"], format!("{KEY:#010x}"));
        return;
    }
    let gone = i64::from(-EINVAL);
    assert_eq!(told, [(id, set, 0, "changed"), (id, rmid, 0, "removed"), (id, rmid, gone, "failed")]);
    assert_eq!(ours[2]["errno"], "EINVAL");
    let [theirs] = &theirs[..] else { panic!("one attempt of the stranger: {theirs:#?}") };
    assert_eq!(self::told(theirs), (id, rmid, i64::from(-EPERM), "failed"));
    assert_eq!((theirs.text("errno"), theirs.int("effectiveUserId")), ("EPERM", 4001));
    for line in ours.iter().chain([theirs]) {
        assert_eq!(line["outcomeSource"], "flags");
        assert!(line.int("durationNs") > 0);
        assert_eq!(line.door(), ("x86_64", "syscall", 71, None, false));
        assert_eq!(line["tags"], serde_json::json!(["U"]));
    }
}

#[test]
fn the_program_that_removes_is_named() {
    live!(60);
    let daemon = run(&[]);
    let (tid, id, ns) = sys::private_ipc(|| {
        let id = create(0o600);
        let mut ipcrm = Command::new("ipcrm").args(["-q", &id.to_string()]).spawn().unwrap();
        let tid = ipcrm.id().cast_signed();
        assert!(ipcrm.wait().unwrap().success());
        (tid, id, sys::namespace("ipc"))
    });
    let report = daemon.stop();
    let lines = controls(&report, tid);
    let [line] = &lines[..] else { panic!("one removal: {lines:#?}") };
    assert_eq!(told(line), (id.into(), 0, 0, "removed"));
    assert_eq!((line.text("processName"), line["ipcNamespace"].as_u64()), ("ipcrm", Some(ns)));
    if !sys::confidential() {
        assert!(line["executable"]["path"].as_str().unwrap().ends_with("/ipcrm"), "{line:?}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn by_every_door() {
    use common::int80::int80;

    live!(60);
    const MSGCTL: i32 = 402;
    const IPC: i32 = 117;
    const IPC_MSGCTL: i32 = 14;
    /// `IPC_64`, which the multiplexer takes out of a command and the direct call does not.
    const VERSION: i32 = 0x100;
    if int80(MSGCTL, [-1, IPC_RMID, 0]) != -EINVAL {
        skip!("this kernel does not answer to int 0x80");
    }
    let daemon = run(&[]);
    let (tid, ids) = sys::private_ipc(|| {
        let ids = [(); 4].map(|()| create(0o600));
        assert_eq!(int80(MSGCTL, [ids[0], IPC_RMID, 0]), 0);
        assert_eq!(int80(IPC, [IPC_MSGCTL, ids[1], IPC_RMID]), 0);
        assert_eq!(int80(IPC, [IPC_MSGCTL | 7 << 16, ids[2], IPC_RMID]), 0);
        assert_eq!(int80(IPC, [IPC_MSGCTL, ids[3], IPC_RMID | VERSION]), 0);
        // IPC_STAT on no address changes nothing.
        assert!(int80(MSGCTL, [ids[0], 2, 0]) < 0);
        (sys::thread_id(), ids)
    });
    let report = daemon.stop();
    let lines = controls(&report, tid);
    if hook(&report) == "tracepoint" {
        assert!(lines.is_empty(), "it claims to be blind to them: {lines:#?}");
        return;
    }
    let doors: Vec<_> =
        lines.iter().map(|line| (told(line).0, line["cmdName"].as_str().unwrap(), line.door())).collect();
    let by = |id: i32, number, ipc| (i64::from(id), "IPC_RMID", ("i386", "int80_64bit", number, ipc, true));
    let wanted = [
        by(ids[0], 402, None),
        by(ids[1], 117, Some(14)),
        by(ids[2], 117, Some(14 | 7 << 16)),
        by(ids[3], 117, Some(14)),
    ];
    assert_eq!(doors, wanted);
    assert!(lines.iter().all(|line| line["outcome"] == "removed"), "{lines:#?}");
    assert_eq!(lines[3].arg("cmd"), VERSION, "as the caller wrote it");
}

#[test]
fn refused_by_seccomp_it_was_not_executed() {
    live!(60);
    let daemon = run(&[]);
    // Until then it may have begun before the hooks were attached.
    sleep_until(clock(libc::CLOCK_MONOTONIC) + 1_000_000_000);
    let (tid, id) = sys::private_ipc(|| {
        let id = create(0o600);
        // Only IPC_RMID, and it seems to succeed.
        filter(libc::SYS_msgctl, libc::SECCOMP_RET_ERRNO, Some(IPC_RMID), 0).unwrap();
        assert_eq!(control(id, IPC_RMID), 0);
        assert_eq!(sys::queue(id).msg_perm.mode, 0o600, "it still exists");
        (sys::thread_id(), id)
    });
    let report = daemon.stop();
    let lines = controls(&report, tid);
    if hook(&report) == "fexit" {
        assert!(lines.is_empty(), "{lines:#?}");
        return;
    }
    let [line] = &lines[..] else { panic!("one attempt: {lines:#?}") };
    assert_eq!(told(line), (id.into(), 0, 0, "not_executed"));
    assert!(!line.has("durationNs"));
}

#[test]
fn a_namespace_takes_its_queues_along() {
    live!(60);
    const KEY: i32 = 0x4e41;
    let daemon = run(&[]);
    let (tid, mut ids, ns) = sys::private_ipc(|| {
        let ids = vec![create(0o600), msgget_only(KEY, IPC_CREAT | 0o640)];
        (sys::thread_id(), ids, sys::namespace("ipc"))
    });
    let ended =
        |line: &str| line.contains(r#""namespaceTeardown":true"#) && line.contains(&format!(r#""ipcNamespace":{ns},"#));
    let fexit = std::env::var("MSGGET_TRACE_HOOK").is_ok_and(|hook| hook == "fexit");
    if fexit {
        // A thread of the kernel does it, some time later.
        for id in &ids {
            let argument = format!(r#""name":"msqid","type":"int32","value":{id}}}"#);
            daemon.stdout.find(|line| ended(line) && line.contains(&argument));
        }
    }
    let report = daemon.stop();
    assert!(controls(&report, tid).is_empty(), "nobody removed them");
    let lines: Vec<_> = report.controls().into_iter().filter(|line| line.has("namespaceTeardown")).collect();
    if !fexit {
        assert!(hook(&report) == "fexit" || lines.is_empty(), "{lines:#?}");
        return;
    }
    let lines: Vec<_> = lines.iter().filter(|line| line["ipcNamespace"] == ns).collect();
    // Whoever had the namespace's number before may have left queues, too.
    let ours: Vec<_> = lines.iter().filter(|line| line["keyHex"] == format!("{KEY:#010x}")).collect();
    let [keyed] = ours[..] else { panic!("one end of the queue: {lines:#?}") };
    ids.sort_unstable();
    assert_eq!(told(keyed), (i64::from(ids[1]), 0, 0, "removed"));
    assert_eq!((keyed["queue"]["mode"].as_str(), keyed["tags"].as_array().unwrap().len()), (Some("0640"), 0));
    assert!(keyed.text("processName").starts_with("kworker"), "{keyed:?}");
}

#[test]
fn exec_tells_of_its_own_only() {
    live!(60);
    let script = "ipcmk -Q; ipcmk -Q; read end; ipcrm --all=msg";
    let mut command = msgget_trace(["exec", "--", "unshare", "--ipc", "sh", "-c", script]);
    let mut exec = Program::start(command.stdin(Stdio::piped()));
    exec.stderr.find(|line| line.starts_with("Message queue id"));
    let stranger = sys::private_ipc(|| {
        assert_eq!(control(create(0o600), IPC_RMID), 0);
        sys::thread_id()
    });
    exec.stdin().unwrap().write_all(b"\n").unwrap();
    let report = exec.wait();
    assert!(controls(&report, stranger).is_empty());
    let lines = report.controls();
    let told: Vec<_> = lines.iter().map(|line| (line.text("processName"), line.text("outcome"))).collect();
    assert_eq!(told, [("ipcrm", "removed"); 2]);
}

//! Uses of queues that are not there: which are told of with `--stale-ids`, on every rung and by every door, and that nothing
//! of that is there without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, fs, io::Write as _, process::Stdio, sync::mpsc, thread};

use common::{
    Line, Program, Report,
    bpffs::{Bpffs, kill},
    msgget_trace, run,
    seccomp::filter,
    sys::{self, await_sleep_in, control, msgget_only, receive, send},
};
use libc::{E2BIG, EIDRM, EINVAL, ENOMSG, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID, SYS_msgrcv, SYS_msgsnd};

/// The rung in use.
fn hook(report: &Report) -> String {
    report.start()["hook"].as_str().unwrap().to_owned()
}

/// The uses of one thread, of a run in which nothing was lost.
fn uses(report: &Report, tid: i32) -> Vec<Line> {
    report.balanced();
    report.uses().into_iter().filter(|line| line.by_thread(tid)).collect()
}

/// Which call, of which queue, with what size, type and flags, and what came back.
fn told(line: &Line) -> (&str, i64, u64, Option<i64>, i64, i64) {
    let [id, flags] = ["msqid", "msgflg"].map(|name| line.arg(name).as_i64().unwrap());
    let typed = line["argsNum"] == 4;
    let r#type = typed.then(|| line.arg("msgtyp").as_i64().unwrap());
    (line.text("eventName"), id, line.arg("msgsz").as_u64().unwrap(), r#type, flags, line.int("returnValue"))
}

fn create() -> i32 {
    let id = msgget_only(IPC_PRIVATE, 0o600);
    assert!(id >= 0, "{id}");
    id
}

/// Runs `sleeps`, which sleeps in the system call `number` on a queue, and removes that queue under it. Also returns the id of
/// the thread.
fn remove_under<T: Send>(id: i32, number: i64, sleeps: impl FnOnce() -> T + Send) -> (i32, T) {
    thread::scope(|scope| {
        let (tell, tid) = mpsc::channel();
        let sleeper = scope.spawn(move || {
            tell.send(sys::thread_id()).unwrap();
            sleeps()
        });
        let tid = tid.recv().unwrap();
        await_sleep_in(tid, number);
        assert_eq!(control(id, IPC_RMID), 0);
        (tid, sleeper.join().unwrap())
    })
}

#[test]
fn what_finds_no_queue_is_told_once_and_nothing_else() {
    live!(60);
    let daemon = run(&["--stale-ids"]);
    let (us, receiver, sender, ids) = sys::private_ipc(|| {
        let ids = [create(), create()];
        // What succeeds, and what fails for another reason.
        assert_eq!(send(ids[0], 8, 0), 0);
        assert_eq!(receive(ids[0], 7, 0, 0), -E2BIG);
        assert_eq!(receive(ids[0], 8, 0, 0), 8);
        assert_eq!(receive(ids[0], 8, 0, IPC_NOWAIT), -ENOMSG);
        // Removed during the call.
        let (receiver, result) = remove_under(ids[0], SYS_msgrcv, || receive(ids[0], 64, 5, 0));
        assert_eq!(result, -EIDRM);
        while send(ids[1], 4096, IPC_NOWAIT) == 0 {}
        let (sender, result) = remove_under(ids[1], SYS_msgsnd, || send(ids[1], 4096, 0));
        assert_eq!(result, -EIDRM);
        // And before it.
        assert_eq!(send(ids[0], 9, IPC_NOWAIT), -EINVAL);
        assert_eq!(receive(ids[1], 10, -3, IPC_NOWAIT), -EINVAL);
        assert_eq!(receive(-1, 11, 0, 0), -EINVAL, "it never was one");
        (sys::thread_id(), receiver, sender, ids)
    });
    let report = daemon.stop();
    let [first, second] = ids.map(i64::from);
    let (nowait, gone, under) = (i64::from(IPC_NOWAIT), i64::from(-EINVAL), i64::from(-EIDRM));
    let lines = uses(&report, us);
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            ("msgsnd", first, 9, None, nowait, gone),
            ("msgrcv", second, 10, Some(-3), nowait, gone),
            ("msgrcv", -1, 11, Some(0), 0, gone),
        ]
    );
    let received = uses(&report, receiver);
    assert_eq!(received.iter().map(told).collect::<Vec<_>>(), [("msgrcv", first, 64, Some(5), 0, under)]);
    let sent = uses(&report, sender);
    assert_eq!(sent.iter().map(told).collect::<Vec<_>>(), [("msgsnd", second, 4096, None, 0, under)]);
    // One story, whoever of our threads begins it: we removed the queues ourselves.
    let mut found = report.lines();
    found.retain(|line| line.finds("stale_id_used") && line["ipcNamespace"] == lines[0]["ipcNamespace"]);
    let [finding] = &found[..] else { panic!("one story: {found:#?}") };
    assert_eq!(finding["metadata"]["Properties"]["Severity"], 0, "{finding:?}");
    let source = if hook(&report) == "fexit" { "kernel" } else { "flags" };
    for line in lines.iter().chain(&received).chain(&sent) {
        let number = if line["eventName"] == "msgsnd" { SYS_msgsnd } else { SYS_msgrcv };
        assert_eq!(line.door(), ("x86_64", "syscall", number, None, false));
        assert_eq!(line["outcomeSource"], source, "{line:?}");
        if !sys::confidential() {
            assert!(line["executable"]["path"].as_str().unwrap().contains("stale_ids"), "{line:?}");
        }
    }
}

/// How many instructions the verifier looked at, of each program that the daemon holds.
fn verified(daemon: &Program) -> Vec<u64> {
    let mut programs = BTreeMap::new();
    for file in fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid())).unwrap() {
        let info = fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(instructions)) = (number("prog_id:"), number("verified_insns:")) {
            programs.insert(id, instructions);
        }
    }
    programs.into_values().collect()
}

#[test]
fn without_the_option_there_is_no_such_program() {
    live!(60);
    let (without, with) = (run(&[]), run(&["--stale-ids"]));
    let (small, large) = (verified(&without), verified(&with));
    sys::private_ipc(|| {
        let id = create();
        assert_eq!(control(id, IPC_RMID), 0);
        assert_eq!(send(id, 1, 0), -EINVAL);
    });
    let (without, with) = (without.stop(), with.stop());
    assert!(!with.uses().is_empty());
    without.balanced();
    assert_eq!((without.uses().len(), without.balance()["uses_seen"]), (0, 0));
    if hook(&without) == "tp_btf" {
        // The same programs, of which the verifier removed a part before it was ever looked at.
        assert_eq!((small.len(), large.len()), (2, 2));
        assert!(small.iter().sum::<u64>() < large.iter().sum(), "{small:?} {large:?}");
    } else {
        assert_eq!(small.len() + 2, large.len(), "{small:?} {large:?}");
    }
}

/// A page below 4 GiB, where 32-bit calls can point to; it begins with the type of a message.
#[cfg(target_arch = "x86_64")]
fn low_message() -> i32 {
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT);
    // SAFETY: a new mapping, never unmapped, aligned for the one number that is written.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), 4096, access, kind, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<i32>().write(1);
        i32::try_from(page as u64).unwrap()
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn by_every_door() {
    use common::int80::{int80, int80_six};

    live!(60);
    const MSGSND: i32 = 400;
    const MSGRCV: i32 = 401;
    const IPC: i32 = 117;
    if int80(MSGRCV, [-1, 0, 0]) != -EINVAL {
        skip!("this kernel does not answer to int 0x80");
    }
    let daemon = run(&["--stale-ids"]);
    let (tid, id) = sys::private_ipc(|| {
        let (id, message) = (create(), low_message());
        assert_eq!(int80_six(MSGSND, [id, message, 4, 0, 0, 0]), 0, "it is there");
        assert_eq!(control(id, IPC_RMID), 0);
        assert_eq!(int80_six(MSGSND, [id, message, 4, IPC_NOWAIT, 0, 0]), -EINVAL);
        assert_eq!(int80_six(MSGRCV, [id, message, 5, -6, IPC_NOWAIT, 0]), -EINVAL);
        assert_eq!(int80_six(IPC, [11, id, 7, IPC_NOWAIT, message, 0]), -EINVAL);
        assert_eq!(int80_six(IPC, [12 | 1 << 16, id, 8, 0, message, -9]), -EINVAL);
        // Of version 0 the type stands in memory.
        assert_eq!(int80_six(IPC, [12, id, 10, 0, message, -9]), -EINVAL);
        // semop on no semaphore is no use of a queue.
        assert_eq!(int80_six(IPC, [1, -1, 1, 0, message, 0]), -EINVAL);
        (sys::thread_id(), id)
    });
    let report = daemon.stop();
    let lines = uses(&report, tid);
    if hook(&report) == "tracepoint" {
        assert!(lines.is_empty(), "it claims to be blind to them: {lines:#?}");
        return;
    }
    // Where the kernel's own function says it: the first word of the page, and after it.
    let in_memory = (hook(&report) == "fexit").then_some(0);
    let (id, nowait, gone) = (i64::from(id), i64::from(IPC_NOWAIT), i64::from(-EINVAL));
    let by = |number, ipc| ("i386", "int80_64bit", number, ipc, true);
    let found: Vec<_> = lines.iter().map(|line| (told(line), line.door())).collect();
    assert_eq!(
        found,
        [
            (("msgsnd", id, 4, None, nowait, gone), by(400, None)),
            (("msgrcv", id, 5, Some(-6), nowait, gone), by(401, None)),
            (("msgsnd", id, 7, None, nowait, gone), by(117, Some(11))),
            (("msgrcv", id, 8, Some(-9), 0, gone), by(117, Some(12 | 1 << 16))),
            (("msgrcv", id, 10, in_memory, 0, gone), by(117, Some(12))),
        ]
    );
}

#[test]
fn another_answer_than_the_kernels_is_not_taken_for_its_own() {
    live!(60);
    let daemon = run(&["--stale-ids"]);
    let (tid, id) = sys::private_ipc(|| {
        let id = create();
        filter(SYS_msgsnd, libc::SECCOMP_RET_ERRNO | EINVAL.cast_unsigned(), None, 0).unwrap();
        assert_eq!(send(id, 1, 0), -EINVAL);
        assert_eq!(sys::queue(id).msg_qnum, 0, "it is there");
        (sys::thread_id(), id)
    });
    let report = daemon.stop();
    let lines = uses(&report, tid);
    if hook(&report) == "fexit" {
        assert!(lines.is_empty(), "the kernel was not asked: {lines:#?}");
        return;
    }
    let [line] = &lines[..] else { panic!("one call: {lines:#?}") };
    assert_eq!(told(line), ("msgsnd", id.into(), 1, None, 0, i64::from(-EINVAL)));
    assert!(!line.has("outcomeSource"), "{line:?}");
}

#[test]
fn past_a_budget_they_are_counted() {
    live!(60);
    const ATTEMPTS: u64 = 5000;
    let daemon = run(&["--stale-ids", "--budget-process", "10", "--budget-burst", "20"]);
    let tid = sys::private_ipc(|| {
        (0..ATTEMPTS).for_each(|_| assert_eq!(send(-1, 1, 0), -EINVAL));
        sys::thread_id()
    });
    let report = daemon.stop();
    let lines = uses(&report, tid).len() as u64;
    let balance = report.balance();
    assert!((20..ATTEMPTS / 2).contains(&lines), "{lines} lines, {balance:?}");
    assert!(balance["uses_seen"] >= ATTEMPTS && balance["uses_past_budget"] >= ATTEMPTS - lines, "{balance:?}");
}

#[test]
fn exec_tells_of_its_own_only() {
    const OURS: &str = "MSGGET_TRACE_TEST_USES";
    if std::env::var_os(OURS).is_some() {
        // The command that is traced is this very test.
        assert_eq!(receive(-2, 8, 0, 0), -EINVAL);
        return;
    }
    live!(60);
    let script = r#""$0" --exact exec_tells_of_its_own_only; echo made >&2; read end"#;
    let mut command = msgget_trace(["exec", "--stale-ids", "--", "sh", "-c", script]);
    let mut exec = Program::start(command.arg(std::env::current_exe().unwrap()).env(OURS, "1").stdin(Stdio::piped()));
    exec.stderr.find(|line| line == "made");
    assert_eq!(receive(-3, 8, 0, 0), -EINVAL);
    exec.stdin().unwrap().write_all(b"\n").unwrap();
    let report = exec.wait();
    report.balanced();
    let lines = report.uses();
    let [line] = &lines[..] else { panic!("one use: {lines:#?}") };
    assert_eq!(told(line), ("msgrcv", -2, 8, Some(0), 0, i64::from(-EINVAL)));
}

/// What was asked for of the daemon that is gone is told to its end, and nothing of it stays with the next one.
#[test]
fn who_comes_after_has_wishes_of_its_own() {
    live!(60);
    let bpffs = Bpffs::mount();
    let start = |options: &[&str]| Program::start(&mut bpffs.daemon(options)).ready();
    let attempt = || {
        sys::private_ipc(|| {
            assert_eq!(send(-1, 1, 0), -EINVAL);
            sys::thread_id()
        })
    };
    for ([before, after], changes, told) in [
        ([&["--stale-ids"][..], &[]], 1, [1, 0]),
        ([&[], &["--stale-ids"]], 1, [0, 1]),
        ([&["--stale-ids"], &["--stale-ids"]], 0, [1, 1]),
    ] {
        kill(&start(before));
        let waited = attempt();
        let daemon = start(after);
        let seen = attempt();
        let report = daemon.stop();
        let found = [waited, seen].map(|tid| uses(&report, tid).len());
        assert_eq!((found, report.health("config_change").len()), (told, changes), "{before:?} {after:?}");
        assert!(bpffs.sets().is_empty(), "{:?}", bpffs.sets());
    }
}

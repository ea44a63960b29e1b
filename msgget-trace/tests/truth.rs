//! Created or opened, and by whom: processes of different users fight over the same keys in several namespaces and note
//! down, by an IPC_STAT of their own after each call, what the truth was. No line may contradict it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::Path,
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use common::{Line, run, sys};
use libc::IPC_CREAT;

const UIDS: [u32; 4] = [4001, 4002, 4003, 4004];
/// How many, each of two calls; fewer where processors are emulated, which takes turns of them and meetings rare.
fn rounds() -> usize {
    if common::live::slowness() == 1 { 2500 } else { 250 }
}
/// The bits of the flags above those that have a name.
const NTH: u32 = 13;
/// Few keys, so that the processes meet.
const KEYS: u32 = 3;

/// What a process knows of one of its calls.
#[derive(Debug, PartialEq)]
struct Truth {
    tid: i64,
    /// Which call of its process; also stands in the flags, in bits that the kernel ignores.
    nth: i64,
    key: i64,
    id: i64,
    created: bool,
    /// Nobody knows when the queue was gone before it could be asked.
    cuid: Option<u32>,
}

impl Truth {
    fn parse(line: &str) -> Self {
        let [tid, nth, key, id, created, cuid] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let number = |text: &str| text.parse::<i64>().unwrap();
        let [tid, nth, key, id] = [tid, nth, key, id].map(number);
        Self { tid, nth, key, id, created: created == "true", cuid: cuid.parse().ok() }
    }
}

/// A number that depends on `seed` and nothing else (xorshift).
fn next(seed: &mut u32) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    *seed
}

/// Sets this process's effective user; its real one stays root, so that it can go back.
fn effective(uid: u32) {
    // SAFETY: numbers only; u32::MAX leaves an id as it is.
    assert_eq!(unsafe { libc::setresuid(u32::MAX, uid, u32::MAX) }, 0);
}

/// Creates, opens and removes as `uid` in one namespace after the other, and writes the truth to `log`.
fn fight(uid: u32, namespaces: &[File], log: &Path) {
    let (mut seed, mut text) = (uid, String::new());
    for round in 0..rounds() {
        if round % 50 == 0 {
            effective(0);
            let namespace = &namespaces[(round / 50 + uid as usize) % namespaces.len()];
            // SAFETY: a descriptor of a namespace.
            assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWIPC) }, 0);
            effective(uid);
        }
        let mut mine = HashSet::new();
        for half in 0..2 {
            let nth = 2 * round + half;
            let key = (1 + next(&mut seed) % KEYS).cast_signed();
            let id = sys::msgget_only(key, IPC_CREAT | 0o666 | (nth as i32) << NTH);
            assert!(id >= 0, "{}", std::io::Error::last_os_error());
            // SAFETY: zeros are valid, and the kernel fills it in.
            let mut queue: libc::msqid_ds = unsafe { std::mem::zeroed() };
            // SAFETY: `queue` is valid for writing.
            let known = unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut queue) } == 0;
            // Only we remove what we created, so if it is gone it was not ours.
            let ours = known && queue.msg_perm.cuid == uid;
            let cuid = known.then_some(queue.msg_perm.cuid);
            let created = ours && mine.insert(id);
            let cuid = cuid.map_or("-".to_owned(), |cuid| cuid.to_string());
            writeln!(text, "{} {nth} {key} {id} {created} {cuid}", sys::thread_id()).unwrap();
        }
        for id in mine {
            sys::try_remove_queue(id);
        }
    }
    effective(0);
    fs::write(log, text).unwrap();
}

/// The lines of one thread must tell the truth; returns how many leave it open, and how many there are. Unless `all` calls have
/// one, those that leave it open may have a reason that is not seen.
fn judge(truths: &[Truth], lines: &[Line], fexit: bool, all: bool) -> (usize, usize) {
    let tid = truths[0].tid;
    let ours: Vec<_> = lines.iter().filter(|line| line.is_call() && line.by_thread(tid.try_into().unwrap())).collect();
    assert!(!all || ours.len() == truths.len(), "calls of {tid}");
    let (mut open, mut needless, told) = (0, 0, ours.len());
    for line in ours {
        let (key, flags, id) = line.result();
        let truth = &truths[(flags >> NTH) as usize];
        assert_eq!((flags >> NTH, key, id), (truth.nth, truth.key, truth.id), "{line:?}");
        match line.text("outcome") {
            "created" => {
                assert!(truth.created, "{truth:?} {line:?}");
                assert_eq!(line["queue"]["creatorUserId"].as_u64().map(|uid| uid as u32), truth.cuid, "{line:?}");
            }
            "opened" => {
                assert!(!truth.created, "{truth:?} {line:?}");
                let said = line["queue"]["creatorUserId"].as_u64().map(|uid| uid as u32);
                assert!(said.is_some() || !fexit, "{line:?}");
                assert!(said.is_none() || truth.cuid.is_none() || said == truth.cuid, "{truth:?} {line:?}");
            }
            "ambiguous" => {
                assert!(!fexit, "{line:?}");
                needless += usize::from(all && !overlapped(line, lines));
                open += 1;
            }
            other => panic!("{other}: {line:?}"),
        }
    }
    // On a slow machine a call in another namespace may keep others waiting for longer than decide does.
    assert!(needless * 100 <= told, "{needless} of {told} are open without need");
    (open, told)
}

/// Whether another call in its namespace was under way together with `line`.
fn overlapped(line: &Line, lines: &[Line]) -> bool {
    let span = |line: &Line| (line.int("timestamp"), line.int("exitTimestamp"));
    let (begin, end) = span(line);
    lines.iter().filter(|other| other.is_call() && other["ipcNamespace"] == line["ipcNamespace"]).any(|other| {
        let (other_begin, other_end) = span(other);
        other["id"] != line["id"] && other_begin < end && begin < other_end
    })
}

/// Has the processes fight under a daemon with these options and judges its lines; returns how many calls there were, how many
/// lines, and how many of them leave it open.
fn fought(options: &[&str], all: bool) -> (usize, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let namespaces: Vec<_> =
        (0..3).map(|_| sys::private_ipc(|| File::open("/proc/thread-self/ns/ipc").unwrap())).collect();
    let daemon = run(&[&["--ring-size", "16777216"], options].concat());
    let logs: Vec<_> = UIDS.iter().map(|uid| dir.path().join(uid.to_string())).collect();
    let fighters: Vec<_> = UIDS
        .iter()
        .zip(&logs)
        .map(|(uid, log)| {
            sys::fork(|| {
                fight(*uid, &namespaces, log);
                Vec::new()
            })
        })
        .collect();
    for fighter in fighters {
        assert!(fighter.wait().0.success());
    }
    let report = daemon.stop();
    let (lines, fexit) = (report.balanced(), report.start()["hook"] == "fexit");
    let (mut open, mut calls, mut told) = (0, 0, 0);
    for log in logs {
        let truths: Vec<_> = fs::read_to_string(log).unwrap().lines().map(Truth::parse).collect();
        assert_eq!(truths.len(), 2 * rounds());
        calls += truths.len();
        let (still_open, with_a_line) = judge(&truths, &lines, fexit, all);
        open += still_open;
        told += with_a_line;
    }
    (calls, told, open)
}

#[test]
fn created_and_opened_are_never_confused() {
    live!(120, floods);
    let (calls, _, open) = fought(&["--no-budget"], true);
    eprintln!("{open} of {calls} calls ambiguous");
    assert!(open * 2 < calls, "more than half of all calls stay open: {open} of {calls}");
}

/// Two users ask for each key at the same moment and leave the queue, so that its creator tells who came first.
#[test]
fn of_different_users_the_creator_tells() {
    live!(60, floods);
    let races = 300 / common::live::slowness().cast_signed();
    let daemon = run(&[]);
    let dir = tempfile::tempdir().unwrap();
    let counter = sys::shared_counter();
    let logs: Vec<_> = UIDS[..2].iter().map(|uid| dir.path().join(uid.to_string())).collect();
    sys::private_ipc(|| {
        let race = |nth: usize, uid: u32, log: &Path| {
            sys::go_first(nth);
            effective(uid);
            let mut text = String::new();
            for key in 1..=races {
                // Nobody starts before both are there, twice as many times as this is the race.
                counter.fetch_add(1, Ordering::SeqCst);
                while counter.load(Ordering::SeqCst) < 2 * key.cast_unsigned() {
                    thread::yield_now();
                }
                let nth = key - 1;
                let id = sys::msgget_only(key, IPC_CREAT | 0o666 | nth << NTH);
                let cuid = sys::queue(id).msg_perm.cuid;
                writeln!(text, "{} {nth} {key} {id} {} {cuid}", sys::thread_id(), cuid == uid).unwrap();
                // The resolver answers within 100 ms or not at all, and needs a processor for it.
                thread::sleep(Duration::from_millis(3));
            }
            effective(0);
            fs::write(log, text).unwrap();
        };
        let racers: Vec<_> = UIDS[..2]
            .iter()
            .zip(&logs)
            .enumerate()
            .map(|(nth, (uid, log))| {
                sys::fork(|| {
                    race(nth, *uid, log);
                    Vec::new()
                })
            })
            .collect();
        assert!(racers.into_iter().all(|racer| racer.wait().0.success()));
        // The resolver can enter the namespace as long as somebody is in it.
        daemon.stdout.find(|line| line.contains(&format!("\"value\":{races}}}")));
        thread::sleep(Duration::from_millis(300));
    });
    let report = daemon.stop();
    let (lines, fexit) = (report.balanced(), report.start()["hook"] == "fexit");
    let mut open = 0;
    for log in logs {
        let truths: Vec<_> = fs::read_to_string(log).unwrap().lines().map(Truth::parse).collect();
        assert_eq!(truths.len(), races as usize);
        open += judge(&truths, &lines, fexit, true).0;
    }
    let settled = lines.iter().filter(|line| line["outcomeSource"] == "ipc_stat").count();
    eprintln!("{settled} of {} calls settled by the creator, {open} left open", 2 * races);
    // The processors of an emulated machine take turns, so nobody meets anybody there but by chance.
    let may_not_meet = fexit || common::live::slowness() > 1;
    assert!(may_not_meet || settled > 0, "they never met, or the resolver never answered");
}

/// Creators that are only counted may be those of the queues that others were handed.
#[test]
fn not_even_past_their_budgets() {
    live!(120, floods);
    let (calls, told, open) = fought(&["--budget-process", "500", "--budget-burst", "20"], false);
    eprintln!("{open} of {told} lines of {calls} calls ambiguous");
    assert!(told < calls, "nobody was past a budget");
}

#[test]
fn a_new_namespace_under_an_old_number_is_new() {
    live!(60);
    let daemon = run(&["--ring-size", "16777216"]); // for what others do meanwhile
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(sys::private_ipc(|| {
            let made = sys::msgget_only(0x0d0e, IPC_CREAT | 0o600);
            let found = sys::msgget_only(0x0d0e, IPC_CREAT | 0o600);
            assert_eq!(made, found);
            (sys::thread_id(), made)
        }));
        thread::sleep(Duration::from_millis(500));
    }
    assert!(ids.iter().all(|(_, id)| *id == ids[0].1), "ids begin anew: {ids:?}");
    let lines = daemon.stop().balanced();
    for (tid, _) in ids {
        let outcomes: Vec<_> = lines
            .iter()
            .filter(|line| line.is_call() && line.by_thread(tid))
            .map(|line| line.text("outcome"))
            .collect();
        assert_eq!(outcomes, ["created", "opened"]);
    }
}

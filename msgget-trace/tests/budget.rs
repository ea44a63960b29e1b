//! Floods that count their own calls: each of these is printed, or counted in an aggregate, or lost and counted; and whoever is
//! another user in another cgroup loses nothing by them.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::atomic::Ordering,
    thread,
};

use common::{
    Did, Program, Report, binary, finish,
    sys::{self, become_user, clock, msgget_only, sleep_until},
    unparsed::{Counted, KEY, number},
};
use libc::IPC_CREAT;
use serde_json::Value;

const FLOODER: u32 = 4101;
const VICTIM: u32 = 4102;
/// A key of nobody else's.
const VICTIMS: i32 = 0x3141_0000;

/// Where cgroup v2 is mounted.
fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    mount.split(' ').nth(4).map(PathBuf::from)
}

/// A cgroup, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(mount: &std::path::Path, name: &str) -> Self {
        let path = mount.join(format!("msgget-trace-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    /// Forks a child that lives in it as `uid`.
    fn fork(&self, uid: u32, body: impl FnOnce()) -> sys::Fork {
        sys::fork(|| {
            fs::write(self.0.join("cgroup.procs"), "0").unwrap();
            become_user([uid, uid], [uid, uid]);
            body();
            Vec::<Did>::new()
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Budgets: the default ones, and a fraction of them where the machine, and so the daemon, is slow: twice, for while there is a
/// flood the daemon has no more than its share of it.
fn rates() -> [u64; 2] {
    let slowness = u64::from(common::live::slowness());
    [25_000, 50_000].map(|rate| rate / slowness / slowness)
}

/// `msgget-trace` with such budgets.
fn traced(arguments: &[&str]) -> std::process::Command {
    let [subcommand, arguments @ ..] = arguments else { panic!("no subcommand") };
    let [process, owner] = rates().map(|rate| rate.to_string());
    let budgets = ["--budget-process", &process, "--budget-owner", &owner];
    let own = arguments.iter().any(|argument| argument.contains("budget"));
    let budgets = if own { &[][..] } else { &budgets };
    common::msgget_trace([&[*subcommand], budgets, arguments].concat())
}

/// What became of the calls of one user in one cgroup.
#[derive(Debug, Default)]
struct Fate {
    delivered: u64,
    aggregated: u64,
    /// The aggregates.
    lines: Vec<Value>,
}

/// Reads the output and checks what holds for every flood: the numbering has no gap, the balance is that of the lines, and the
/// victim's calls stand there one by one in their order.
fn judge(report: &Report, output: &std::path::Path, cgroup: u64, victims: i32) -> Fate {
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert_eq!(report.balance()["lost"], 0, "{:#?}", report.stderr);
    let mut fate = Fate::default();
    let mut told = Counted::default();
    let (mut aggregates, mut counted, mut unattributed, mut next) = (0, 0, 0, VICTIMS);
    for (line, sequence) in BufReader::new(File::open(output).unwrap()).lines().map(Result::unwrap).zip(1..) {
        assert_eq!(number(&line, "\"sequence\":"), Some(sequence), "a gap: {line}");
        if common::is_health(&line) {
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["eventName"] != "aggregate" {
                continue;
            }
            aggregates += 1;
            let count = value["count"].as_u64().unwrap();
            let by_outcome = value["byOutcome"].as_object().unwrap();
            assert!(count > 0 && by_outcome.values().all(|count| count.as_u64().unwrap() > 0), "{line}");
            assert_eq!(by_outcome.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), count, "{line}");
            counted += count;
            if value["attributedTo"] == "nobody" {
                unattributed += count;
            } else {
                let time = |name: &str| value[name].as_u64().unwrap();
                assert!(time("firstTimestamp") <= time("lastTimestamp"), "{line}");
            }
            if value["effectiveUserId"] == FLOODER && value["cgroupId"] == cgroup {
                fate.aggregated += count;
                fate.lines.push(value);
            }
            continue;
        }
        if !told.take(&line) {
            continue;
        }
        match number(&line, "\"effectiveUserId\":") {
            Some(uid) if uid == i64::from(FLOODER) => fate.delivered += 1,
            Some(uid) if uid == i64::from(VICTIM) => {
                assert_eq!(number(&line, KEY), Some(next.into()), "{line}");
                next += 1;
            }
            _ => {}
        }
    }
    assert_eq!(next, VICTIMS + victims, "calls of the victim are missing: {:#?}", report.stderr);
    report.add_up(told.calls, told.controls, told.findings);
    let balance = report.balance();
    assert_eq!(
        (balance["aggregates"], balance["aggregated"], balance["unattributed"]),
        (aggregates, counted, unattributed),
        "{balance:?}"
    );
    fate
}

/// Traces with `options` while `flood`, which returns the number of its calls, runs, and a victim makes 100 calls a second.
fn amid(options: &[&str], flood: impl Fn() -> u32 + Sync) -> Option<(Fate, u64, Report)> {
    const VICTIM_CALLS: i32 = 500;
    let mount = cgroup2()?;
    let (flooders, others) = (Cgroup::new(&mount, "flood"), Cgroup::new(&mount, "victim"));
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("lines");
    // Room for a second without a processor, of which others have a share.
    let arguments = [&["run", "--ring-size", "16777216", "--output", output.to_str().unwrap()], options].concat();
    let daemon = Program::start(&mut traced(&arguments)).ready();
    let made = sys::shared_counter();
    sys::private_ipc(|| {
        let flood = flooders.fork(FLOODER, || {
            made.store(flood(), Ordering::Relaxed);
        });
        let victim = others.fork(VICTIM, || {
            let start = clock(libc::CLOCK_MONOTONIC);
            for nth in 0..VICTIM_CALLS {
                sleep_until(start + i64::from(nth) * 10_000_000);
                assert_eq!(msgget_only(VICTIMS + nth, 0), -libc::ENOENT);
            }
        });
        assert!(victim.wait().0.success());
        assert!(flood.wait().0.success());
    });
    daemon.signal(libc::SIGTERM);
    let report = daemon.wait_for(3 * common::patience());
    let fate = judge(&report, &output, flooders.id(), VICTIM_CALLS);
    Some((fate, made.load(Ordering::Relaxed).into(), report))
}

/// Seconds that a flood lasts: as long as its victim calls.
const FLOOD: i64 = 5_000_000_000;

/// Calls `call` with rising numbers until the flood is over; returns how often it did.
fn for_a_while(call: impl Fn(i32)) -> u32 {
    let end = clock(libc::CLOCK_MONOTONIC) + FLOOD;
    let mut calls = 0;
    while clock(libc::CLOCK_MONOTONIC) < end {
        (0..100).for_each(|nth| call(calls + nth));
        calls += 100;
    }
    calls.cast_unsigned()
}

/// Calls that a budget of `rate` a second lets through in `FLOOD` and a little more, with what tells something.
fn at_most(rate: u64, elapsed: i64) -> u64 {
    let seconds = elapsed.cast_unsigned() / 1_000_000_000 + 2;
    5_000 + rate * seconds + 3 * 64 * seconds
}

#[test]
fn two_threads_in_a_loop_take_nothing_from_the_others() {
    live!(120, floods);
    let begun = clock(libc::CLOCK_MONOTONIC);
    let flood = || {
        thread::scope(|scope| {
            let thread = || for_a_while(|_| _ = msgget_only(7, 0));
            [scope.spawn(thread), scope.spawn(thread)].map(|thread| thread.join().unwrap()).iter().sum()
        })
    };
    let Some((fate, called, report)) = amid(&[], flood) else { skip!("no cgroup2 is mounted") };
    let elapsed = clock(libc::CLOCK_MONOTONIC) - begun;
    let balance = report.balance();
    assert_eq!(fate.delivered + fate.aggregated, called, "{balance:?}");
    assert!(fate.aggregated > 0 && fate.delivered <= at_most(rates()[0], elapsed), "{} of {called}", fate.delivered);
    assert!(fate.delivered >= 5_000, "{}", fate.delivered);
    for line in &fate.lines {
        assert_eq!((&line["attributedTo"], &line["sampleKeys"]), (&"process".into(), &vec![7].into()), "{line}");
        assert_eq!(line["byOutcome"]["failed"], line["count"], "{line}");
    }
}

#[test]
fn every_call_on_a_new_key_is_a_flood_like_any_other() {
    live!(120, floods);
    let begun = clock(libc::CLOCK_MONOTONIC);
    let flood = || for_a_while(|nth| _ = msgget_only(1 + nth, 0));
    let Some((fate, called, report)) = amid(&[], flood) else { skip!("no cgroup2 is mounted") };
    let elapsed = clock(libc::CLOCK_MONOTONIC) - begun;
    let balance = report.balance();
    assert_eq!(fate.delivered + fate.aggregated, called, "{balance:?}");
    assert!(fate.aggregated > 0 && fate.delivered <= at_most(rates()[0], elapsed), "{} of {called}", fate.delivered);
    assert!(fate.lines.iter().any(|line| line["sampleKeys"].as_array().unwrap().len() > 1), "{:?}", fate.lines);
}

/// A child that shares our memory, calls `calls` times and is gone; we wait for it. Faster than fork(2) by far.
fn vforked(key: i32, calls: u32) {
    let child: i64;
    // SAFETY: CLONE_VFORK: we run on only when the child has ended. The child shares our stack, but touches registers alone:
    // clone, msgget and exit are all it does, in this very block.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "2:",
            "mov eax, 68",
            "mov edi, {key:e}",
            "xor esi, esi",
            "syscall",
            "dec {calls:e}",
            "jnz 2b",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "3:",
            key = in(reg) key,
            calls = inout(reg) calls => _,
            inout("rax") libc::SYS_clone => child,
            inout("rdi") i64::from(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) => _,
            inout("rsi") 0_i64 => _,
            in("rdx") 0_i64,
            in("r10") 0_i64,
            in("r8") 0_i64,
            out("rcx") _,
            out("r11") _,
        );
    }
    assert!(child > 0, "clone: {child}");
    assert!(sys::reap(i32::try_from(child).unwrap()).success());
}

#[test]
fn a_flood_of_short_lived_processes_is_one_owners() {
    const CALLS: u32 = 256;
    live!(120, floods);
    let begun = clock(libc::CLOCK_MONOTONIC);
    let flood = || {
        let end = begun + FLOOD;
        let mut calls = 0;
        while clock(libc::CLOCK_MONOTONIC) < end {
            vforked(11, CALLS);
            calls += CALLS;
        }
        calls
    };
    let Some((fate, called, report)) = amid(&[], flood) else { skip!("no cgroup2 is mounted") };
    let elapsed = clock(libc::CLOCK_MONOTONIC) - begun;
    let balance = report.balance();
    assert_eq!(fate.delivered + fate.aggregated, called, "{balance:?}");
    assert!(fate.delivered <= at_most(rates()[1], elapsed), "{} of {called}", fate.delivered);
    assert!(fate.lines.iter().all(|line| line["attributedTo"] == "owner"), "{:?}", fate.lines);
    eprintln!("{called} calls, {} of them aggregated", fate.aggregated);
}

#[test]
fn past_a_budget_creations_first_keys_and_first_errnos_are_told() {
    live!(60, floods);
    let options = ["--budget-process", "200", "--budget-burst", "10"]; // the victim keeps to it
    let flood = || {
        (0..2_000).for_each(|_| _ = msgget_only(7, 0));
        assert_eq!(msgget_only(VICTIMS - 1, IPC_CREAT | 0o600), 0);
        assert_eq!(msgget_only(7, IPC_CREAT | 0o600), 1);
        assert_eq!(msgget_only(7, IPC_CREAT | libc::IPC_EXCL), -libc::EEXIST);
        2_003
    };
    let Some((fate, called, report)) = amid(&options, flood) else { skip!("no cgroup2 is mounted") };
    assert_eq!(fate.delivered + fate.aggregated, called, "{:?}", report.balance());
    assert!(fate.aggregated > 0, "{:?}", report.balance());
    let failed: u64 = fate.lines.iter().filter_map(|line| line["byOutcome"]["failed"].as_u64()).sum();
    assert_eq!(failed, fate.aggregated, "no creation is hidden among them: {:?}", fate.lines);
}

#[test]
fn exec_has_budgets_too() {
    const CALLS: u64 = 200_000;
    live!(60, floods);
    let script = format!("msgget(7, 0) for 1..{CALLS}");
    let report = finish(&mut traced(&["exec", "--", "perl", "-e", &script]));
    report.balanced();
    let balance = report.balance();
    assert_eq!(balance["delivered"] + balance["aggregated"], CALLS, "{balance:?}");
    assert!(balance["aggregated"] > 0 && balance["unattributed"] == 0, "{balance:?}");
    let aggregates = report.health("aggregate");
    assert!(aggregates.iter().all(|line| line["processName"] == "perl"), "{aggregates:?}");
}

#[test]
fn without_budgets_a_small_ring_loses_and_counts_every_one() {
    const CALLS: u64 = 200_000;
    live!(60, floods);
    let script = format!("msgget(7, 0) for 1..{CALLS}");
    let report = finish(&mut traced(&["exec", "--no-budget", "--ring-size", "65536", "--", "perl", "-e", &script]));
    report.consistent();
    let balance = report.balance();
    assert_eq!(balance["delivered"] + balance["lost"], CALLS, "{balance:?}");
    assert!(balance["lost"] > 0, "{balance:?}");
    assert_eq!((balance["aggregated"], balance["aggregates"]), (0, 0), "{balance:?}");
}

#[test]
fn budgets_that_cannot_be_kept_are_refused() {
    for (arguments, words) in [
        (["--budget-process", "1000001"], "--budget-process 1000001"),
        (["--budget-owner", "4294967295"], "--budget-owner 4294967295"),
        (["--budget-burst", "0"], "--budget-burst 0"),
        (["--no-budget", "--budget-burst=7"], "--no-budget"),
    ] {
        let report = finish(std::process::Command::new(binary()).args(["run", "--no-pin"]).args(arguments));
        assert_eq!(report.status.code(), Some(2), "{:#?}", report.stderr);
        assert!(report.stderr.iter().any(|line| line.contains(words)), "{words}: {:#?}", report.stderr);
    }
}

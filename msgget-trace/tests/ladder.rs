//! The ladder: which rung is taken on this kernel and why, and what becomes of one that turns out to be blind or half blind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashMap,
    env, fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{Line, Program, binary, finish, live::End, sys};

/// Threads that call at once: more than any machine here has processors.
const THREADS: i32 = 8;

/// `run` with these options, and with the hook that they name or none.
fn daemon(options: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["run", "--no-pin", "--status-socket", "none", "--no-budget"]).args(options);
    command
}

/// True in the tests of the `fexit` rung, so on machines whose kernel is known to allow it; but for one that does not let
/// anybody read its preemption model.
fn on_fexit() -> bool {
    env::var("MSGGET_TRACE_HOOK").is_ok_and(|hook| hook == "fexit") && !sys::confidential()
}

/// A switch of the kernel, put back when dropped.
struct Switch {
    path: &'static str,
    before: String,
}

impl Switch {
    fn set(path: &'static str, to: &str) -> Self {
        let shown = fs::read_to_string(path).unwrap();
        // Some show all positions, the one in force in brackets.
        let before = shown.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or(&*shown, |(word, _)| word);
        let switch = Self { path, before: before.trim().to_owned() };
        fs::write(path, to).unwrap();
        switch
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = fs::write(self.path, &self.before);
    }
}

const PREEMPTION: &str = "/sys/kernel/debug/sched/preempt";

/// The preemption models, the one in force in brackets; empty where they are not shown.
fn models() -> String {
    fs::read_to_string(PREEMPTION).unwrap_or_default()
}

fn fully_preemptible() -> bool {
    models().contains("(full)")
}

#[test]
fn auto_takes_the_best_that_is_right_and_says_why_not_a_better_one() {
    live!(60, floods); // of which none may be under way where the preemption model matters
    let fexit = finish_at_once(&mut daemon(&["--hook", "fexit"]));
    let start = Program::start(&mut daemon(&[])).ready().stop().start();
    let passed = start["passedOver"].as_array().unwrap();
    if fexit && ["(none)", "(voluntary)"].iter().any(|model| models().contains(model)) {
        assert_eq!(start["hook"], "fexit", "{start}");
        assert!(passed.is_empty(), "{start}");
    } else {
        assert!(!on_fexit(), "this machine should have it: {start}");
        assert_eq!(start["hook"], "tp_btf", "{start}");
        assert_eq!((passed.len(), &passed[0]["hook"]), (1, &"fexit".into()), "{start}");
        let reason = passed[0]["reason"].as_str().unwrap();
        let expected = if fully_preemptible() { "the preemption model is full" } else { "" };
        assert!(reason.contains(expected) && !reason.is_empty(), "{start}");
    }
}

/// Starts the daemon and stops it. True if it did start.
fn finish_at_once(command: &mut Command) -> bool {
    let daemon = Program::start(command);
    let message = daemon.stderr.find(|line| line.starts_with("msgget-trace: "));
    let ready = message.starts_with("msgget-trace: ready");
    assert_eq!(daemon.stop().status.success(), ready, "{message}");
    ready
}

/// With its switch off, ftrace attaches programs and never calls them.
#[test]
fn hooks_that_never_fire_are_not_taken() {
    live!(60, floods);
    if !on_fexit() {
        return; // nothing switches the hooks of the other rungs off
    }
    let _deaf = Switch::set("/proc/sys/kernel/ftrace_enabled", "0");
    finish(&mut daemon(&["--hook", "fexit"])).refused(7, &["canary", "did not come back", "did not fire"]);
    let start = Program::start(&mut daemon(&[])).ready().stop().start();
    assert_eq!(start["hook"], "tp_btf", "{start}");
    let passed = &start["passedOver"][0];
    assert_eq!(passed["hook"], "fexit", "{start}");
    assert!(passed["reason"].as_str().unwrap().contains("did not fire"), "{start}");
}

/// Where programs that are running can lose their processor, the kernel skips them for others, without a word.
#[test]
fn under_full_preemption_what_fexit_misses_is_counted() {
    const CALLS: i32 = 10_000;
    live!(120, floods);
    if !fully_preemptible() {
        return; // it misses nothing
    }
    let daemon = Program::start(&mut daemon(&["--hook", "fexit"])).ready();
    sys::private_ipc(|| {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (1..=CALLS).for_each(|key| _ = sys::msgget_only(key, 0)));
            }
        });
    });
    let report = daemon.stop();
    report.consistent();
    let balance = report.balance();
    let called = u64::from((THREADS * CALLS).cast_unsigned());
    assert!(balance["skipped"] > 0, "nothing was missed: {balance:?}");
    assert_eq!(balance["seen"] + balance["skipped"], called + balance["canaries"], "{balance:?}");
    let losses = report.health("loss");
    let missed = losses.iter().filter(|loss| loss["reason"] == "recursion_misses");
    assert_eq!(missed.map(|loss| loss["count"].as_u64().unwrap()).sum::<u64>(), balance["skipped"]);
    // It was told to take these hooks, so it keeps them.
    assert!(report.lines().iter().filter(|line| line.is_call()).all(|line| line["hook"] == "fexit"));
    let degraded = report.health("degraded");
    assert!(degraded.len() <= 1 && degraded.iter().all(|record| record["reason"] == "recursion_misses"));
}

/// The model can be changed at any time, and then the best hooks are no longer right.
#[test]
fn a_rung_that_begins_to_miss_calls_is_left_for_the_next() {
    live!(120, floods);
    if !on_fexit() {
        return; // no other rung misses any
    }
    let daemon = Program::start(&mut daemon(&["--ring-size", "67108864"])).ready();
    let _full = Switch::set(PREEMPTION, "full");
    let ended = AtomicBool::new(false);
    let begun = Instant::now();
    let call = || {
        let mut made = 0;
        while !ended.load(Ordering::Relaxed) {
            made += 1;
            sys::msgget_only(made, 0);
            // Enough to miss some; from then on not more than an emulated machine can tell of meanwhile.
            if begun.elapsed() > Duration::from_millis(300) {
                thread::sleep(Duration::from_millis(10));
            }
        }
        (sys::thread_id(), made)
    };
    let called: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| sys::private_ipc(call))).collect();
        let end = End(&ended);
        daemon.stderr.find(|line| line.contains("tp_btf took over from fexit"));
        thread::sleep(Duration::from_millis(500)); // some calls for the new hooks
        drop(end);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    daemon.signal(libc::SIGTERM);
    let report = daemon.wait_for(Duration::from_secs(100)); // it has that much to write
    let lines = report.balanced();

    let degraded = report.health("degraded");
    assert_eq!((degraded.len(), &degraded[0]["reason"]), (1, &"recursion_misses".into()), "{degraded:?}");
    let lines: Vec<_> = lines.into_iter().filter(Line::is_call).collect();
    let (before, after): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["hook"] == "fexit");
    assert!(!before.is_empty() && !after.is_empty());
    assert!(lines[before.len()..].iter().all(|line| line["hook"] == "tp_btf"), "the rungs are mixed");

    let mut told = HashMap::new();
    for (tid, _) in &called {
        for line in lines.iter().filter(|line| line.by_thread(*tid)) {
            let before = told.insert((tid, line.result().0), line);
            assert!(before.is_none(), "told of twice: {before:?} {line:?}");
        }
    }
    let told = told.len();
    let called: i32 = called.iter().map(|(_, made)| made).sum();
    // One that is missed while the other hooks take over may be told of by these.
    let accounted = told as u64 + report.balance()["skipped"];
    let called = u64::from(called.cast_unsigned());
    assert!((called..=called + THREADS as u64).contains(&accounted), "{called} called, {accounted} accounted for");
}

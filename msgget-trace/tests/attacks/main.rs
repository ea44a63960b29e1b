//! Proof of detection on a running kernel: attackers and victims, programs of their own, go in, the same victims without an attacker,
//! races that are run by the clock, and real programs that mean no harm; a table comes out, of what was rightly and wrongly found
//! and not found, rule by rule.
//!
//! `cargo test --release --test attacks -- --nocapture` shows it. Any wrong answer fails the test, but what the rules' blind spots
//! state, which is counted as not found. With MSGGET_TRACE_RECORD=FOLDER the real programs are recorded there, as tests/corpus was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![cfg(target_arch = "x86_64")]

#[path = "../common/mod.rs"]
mod common;

mod benign;
mod crowds;
mod lives;
mod patterns;
mod places;
mod races;
mod score;
mod seen;
mod stage;

use std::io::{self, Write as _};

use common::{Program, live, run};
use msgget_trace::detect::RULES;

use self::{benign::Benign, races::Races, score::Score, seen::Seen, stage::Stage};

/// A daemon on each of the hooks that are to be tested: all that this kernel has but `fexit`, which only guests have, or the one
/// that the environment names.
fn daemons() -> Vec<Program> {
    match std::env::var_os("MSGGET_TRACE_HOOK") {
        Some(_) => vec![run(&["--stale-ids"])],
        None => ["tp_btf", "tracepoint"].map(|hook| run(&["--stale-ids", "--hook", hook])).into(),
    }
}

/// Prints `text`; in a guest past the test runner's capture, for there nobody can pass `--nocapture`.
fn show(text: &str) {
    match live::slowness() {
        1 => println!("{text}"),
        _ => io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap(),
    }
}

#[test]
fn every_attack_is_found_and_nothing_else() {
    live!(120);
    let daemons = daemons();
    let stage = Stage::new();
    let scenarios = [patterns::runs, crowds::runs, places::runs, lives::runs];
    let runs: Vec<_> = scenarios.iter().flat_map(|scenario| scenario(&stage)).collect();
    let proved = |name: &str| runs.iter().flat_map(|run| &run.expected).any(|expected| expected.proves == name);
    let forgotten: Vec<_> = RULES.iter().map(|rule| rule.name).filter(|name| !proved(name)).collect();
    assert!(forgotten.is_empty(), "rules without an attack: {forgotten:?}");
    let races = Races::run(&stage);
    let benign = Benign::run();

    let mut all = Score::default();
    for daemon in daemons {
        let seen = Seen::new(&daemon.stop());
        let mut score = Score::default();
        runs.iter().for_each(|run| score.judge(run, &seen));
        show(&races.judge(&seen, &mut score));
        benign.judge(&seen, &mut score);
        if let Some(folder) = std::env::var_os("MSGGET_TRACE_RECORD") {
            benign.record(&seen, folder.as_ref());
        }
        show(&score.table(&seen.hook));
        all.add(score);
    }
    show(&all.table("all hooks"));
    assert!(all.wrong.is_empty(), "{} answers are wrong:\n{}", all.wrong.len(), all.wrong.join("\n"));
}

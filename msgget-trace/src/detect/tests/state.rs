//! What is remembered: bounded whatever comes, the newest of it, and the same every time.

use proptest::prelude::*;

use super::*;
use crate::event::{Aggregate, Attributed, Counts};

#[test]
fn the_newest_checks_survive_a_flood_of_keys() {
    let mut engine = Engine::new();
    for key in 1..=200_000 {
        engine.observe(&ALICE.gets(0, key, 0, -2));
    }
    let names = |verdict: Verdict| verdict.findings.iter().map(|finding| finding.rule.name).collect::<Vec<_>>();
    assert!(names(engine.observe(&created(ALICE.gets(1000, 200_000, CREAT, 5)))).contains(&"check_then_create"));
    assert!(!names(engine.observe(&created(ALICE.gets(1000, 1, CREAT, 6)))).contains(&"check_then_create"));
}

#[test]
fn calls_that_were_only_counted_add_up() {
    let calls: Vec<_> = (0..64).map(|nth| ALICE.gets(nth * 1000, 0, 0o600, nth as i64)).collect();
    let mut engine = Engine::new();
    calls.iter().for_each(|call| drop(engine.observe(call)));
    let mut counts = Counts::default();
    counts.0[msgget_trace_ebpf::COUNT_CREATED] = 5000;
    let caller = calls[0].caller();
    let last = BootTime(calls[63].left().0 + 1000);
    let aggregate = |key| Aggregate {
        at: last,
        counts,
        attributed: Some(Attributed {
            payer: Payer::Process { pid: caller.host.pid, started: caller.process_started },
            first: calls[63].left(),
            last,
            sample_keys: vec![key],
            comm: caller.comm,
            euid: caller.euid,
            cgroup_id: caller.cgroup_id,
            ipc_ns: caller.ipc_ns,
        }),
    };
    // Of a key that is shared it is no spray.
    assert!(engine.observe_aggregate(&aggregate(42)).findings.is_empty());
    let [finding] = &engine.observe_aggregate(&aggregate(0)).findings[..] else { panic!() };
    assert_eq!((finding.rule.name, finding.severity), ("queue_spray", Severity::Critical));
    assert_eq!(finding.values, [("queues", Value::Uint64(5064))]);
}

#[test]
fn a_new_namespace_of_an_old_number_knows_nothing_of_the_old_queues() {
    let old = [ALICE.gets(0, 42, EXCL, 7), ALICE.gets(1000, 43, EXCL, 8)];
    // Ids begin at 0 again, and nobody is there who was there before.
    let victim = Caller { pid: 500, ..BOB };
    let new = [victim.gets(2000, 41, EXCL, 0), victim.gets(3000, 42, EXCL, -17)];
    assert_eq!(found(&[&old[..], &new[..]].concat()), []);
    assert_eq!(found(&[&old[..], &new[1..]].concat()), [("squatted_key", Severity::Medium)]);
}

#[test]
fn a_check_in_a_new_namespace_of_an_old_number_is_one_in_the_new_namespace() {
    let old = ROOT.gets(0, 42, EXCL, 0);
    let new = [BOB.gets(1000, 42, 0, -2), BOB.gets(2000, 42, CREAT, 0)];
    assert_eq!(found(&[&[old][..], &new[..]].concat()), [("check_then_create", Severity::Medium)]);
}

#[test]
fn creations_at_once_whose_records_come_in_another_order_are_in_one_namespace() {
    let crowd = [BOB.gets(1000, 1, EXCL, 9), Caller { pid: 999, ..BOB }.gets(1200, 2, EXCL, 8)];
    let events = [&[ALICE.gets(0, 42, 0, -2)][..], &crowd, &[ALICE.gets(3000, 42, CREAT, 10)]].concat();
    assert_eq!(found(&events), [("check_then_create", Severity::Medium)]);
}

proptest! {
    /// The same events give the same verdicts, whatever they are, and none makes the engine fail.
    #[test]
    fn deterministic(raw in proptest::collection::vec((0..4u32, 0..4i32, any::<u16>(), -30..6i64, 0..5000u64, 0..4u8), 0..80)) {
        let mut at = 0;
        let events: Vec<_> = raw.iter().map(|(who, key, flags, ret, pause, kind)| {
            at += pause;
            let caller = Caller { pid: 10 + who, uid: *who, program: *who as u8 };
            match kind {
                0 => caller.removes(at, *key),
                1 => created(caller.gets(at, *key, i32::from(*flags), ret.abs())),
                _ => caller.gets(at, *key, i32::from(*flags), *ret),
            }
        }).collect();
        let told = |events: &[Event]| all(events).iter().map(|finding| format!("{finding:?}")).collect::<Vec<_>>();
        prop_assert_eq!(told(&events), told(&events));
    }
}

/// docs/DETECTIONS.md is what the rules say; `UPDATE_GOLDEN=1 cargo test` writes it anew, for the diff to be read.
#[test]
fn the_documentation_is_that_of_the_rules() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/DETECTIONS.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == document(), "{} is stale", path.display());
}

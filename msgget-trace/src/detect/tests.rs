//! The engine on calls made here.

use msgget_trace_ebpf::{Call as Record, EVICTED, NOT_EXECUTED};
use proptest::prelude::*;

use super::*;
use crate::event::sample::{SECOND, call, call_of, record};

const CREAT: i32 = 0o1600;
const EXCL: i32 = 0o3600;

/// Names of tags and findings of each call.
fn observe(calls: &[Call]) -> Vec<(Vec<&'static str>, Vec<Finding>)> {
    let mut engine = Engine::new();
    let judge = |call| {
        let verdict = engine.observe(call);
        (verdict.tags.names().collect(), verdict.findings)
    };
    calls.iter().map(judge).collect()
}

fn findings(calls: &[Call]) -> Vec<Finding> {
    observe(calls).into_iter().flat_map(|(_, findings)| findings).collect()
}

#[test]
fn calls_are_tagged_by_what_they_are_prone_to() {
    let tags = |key, msgflg| observe(&[call(0, 0, key, msgflg, 0)]).swap_remove(0).0;
    assert_eq!(tags(0, 0o600), ["U", "IPC_PRIVATE"]);
    assert_eq!(tags(0, CREAT), ["U", "IPC_PRIVATE"]);
    assert_eq!(tags(42, CREAT), ["U", "TOCTOU"]);
    assert_eq!(tags(42, EXCL), ["U"]);
    assert_eq!(tags(42, 0), ["U"]);
}

#[test]
fn check_then_create_states_window_and_evidence() {
    let calls = [call(100, 0, 42, 0, -2), call(200, 10_000, 42, CREAT, 5)];
    let [_, (tags, found)] = &observe(&calls)[..] else { panic!() };
    assert_eq!(*tags, ["U", "TOCTOU"]);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.evidence, [calls[0].id, calls[1].id]);
    assert_eq!(
        finding.values,
        [
            ("key", Value::Int32(42)),
            ("windowNs", Value::Uint64(10_000 - 700)),
            ("windowMaxNs", Value::Uint64(10_000)),
            ("checkId", Value::Call(calls[0].id)),
            ("createId", Value::Call(calls[1].id)),
        ]
    );
    assert_eq!(finding.severity, Severity::Medium);
}

#[test]
fn ids_of_findings_rest_on_the_evidence_alone() {
    let once = findings(&[call(100, 0, 42, 0, -2), call(200, 10_000, 42, CREAT, 5)]);
    let again = findings(&[call(50, 0, 7, 0, 3), call(100, 0, 42, 0, -2), call(200, 10_000, 42, CREAT, 5)]);
    let other = findings(&[call(100, 0, 42, 0, -2), call(300, 10_000, 42, CREAT, 5)]);
    assert_eq!(once[0].id(), again[0].id());
    assert_ne!(once[0].id(), other[0].id());
}

#[test]
fn exclusive_creation_is_the_lesser_evil_unless_it_lost() {
    let severity = |ret| findings(&[call(0, 0, 42, 0, -2), call(8, 10, 42, EXCL, ret)])[0].severity;
    assert_eq!(severity(5), Severity::Low);
    assert_eq!(severity(-17), Severity::Medium);
}

#[test]
fn no_check_no_finding() {
    let check = || call(0, 0, 42, 0, -2);
    // Opened, not missing; opened after it was missing; another key; the private key; too long ago.
    for calls in [
        vec![call(0, 0, 42, 0, 5), call(8, 10, 42, CREAT, 5)],
        vec![check(), call(4, 5, 42, 0, 5), call(8, 10, 42, CREAT, 5)],
        vec![check(), call(8, 10, 43, CREAT, 5)],
        vec![call(0, 0, 0, 0, -2), call(8, 10, 0, CREAT, 5)],
        vec![check(), call(8, 61 * SECOND, 42, CREAT, 5)],
    ] {
        assert!(findings(&calls).is_empty(), "{calls:?}");
    }
}

#[test]
fn one_check_serves_one_creation() {
    let calls = [call(0, 0, 42, 0, -2), call(8, 10, 42, CREAT, 5), call(16, 20, 42, CREAT, 5)];
    assert_eq!(findings(&calls).len(), 1);
}

#[test]
fn only_the_same_process_in_the_same_namespace() {
    let create = Record { msgflg: CREAT, ret: 5, ..record() };
    let late = |record: Record| Record { enter_ns: record.enter_ns + 9999, exit_ns: record.exit_ns + 9999, ..record };
    for other in [Record { pid: 5, ..create }, Record { process_start_ns: 5, ..create }, Record { ipc_ns: 5, ..create }]
    {
        assert!(findings(&[call(0, 0, 42, 0, -2), call_of(8, &late(other))]).is_empty(), "{other:?}");
    }
    // Another thread of it is the same process.
    let thread = Record { tid: 5, ns_tid: 5, ..create };
    assert_eq!(findings(&[call(0, 0, 42, 0, -2), call_of(8, &late(thread))]).len(), 1);
}

#[test]
fn what_was_not_executed_is_no_evidence_and_an_evicted_enter_is() {
    let check = |pairing| call_of(0, &Record { pairing, enter_ns: 0, ..record() });
    let create = call(8, 10_000, 42, CREAT, 5);
    assert!(findings(&[check(NOT_EXECUTED), create.clone()]).is_empty());
    assert_eq!(findings(&[check(EVICTED), create]).len(), 1);
    // Without its own enter a creation has no shortest window, but a longest.
    let raw =
        Record { pairing: EVICTED, enter_ns: 0, exit_ns: record().exit_ns + 500, msgflg: CREAT, ret: 5, ..record() };
    let found = findings(&[call(0, 0, 42, 0, -2), call_of(8, &raw)]);
    let names: Vec<_> = found[0].values.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["key", "windowMaxNs", "checkId", "createId"]);
}

#[test]
fn memory_is_bounded_and_the_newest_checks_survive() {
    let mut engine = Engine::new();
    for key in 1..=100_000 {
        engine.observe(&call(0, 0, key, 0, -2));
    }
    assert_eq!(engine.observe(&call(8, 10, 100_000, CREAT, 5)).findings.len(), 1);
    assert_eq!(engine.observe(&call(8, 10, 1, CREAT, 5)).findings.len(), 0);
}

proptest! {
    /// The same calls give the same verdicts, whatever they are.
    #[test]
    fn deterministic(raw in proptest::collection::vec((0..4i32, any::<u16>(), -30..3i64), 0..60)) {
        let calls: Vec<_> = (0..).zip(&raw).map(|(nth, (key, flags, ret))| call(nth * 176, nth * 1000, *key, i32::from(*flags), *ret)).collect();
        let ids = |calls: &[Call]| findings(calls).iter().map(Finding::id).collect::<Vec<_>>();
        prop_assert_eq!(ids(&calls), ids(&calls));
    }
}

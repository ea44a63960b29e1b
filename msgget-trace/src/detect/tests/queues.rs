//! What becomes of queues under those who use them, and of namespaces that fill with them.

use super::*;

#[test]
fn leaks_are_of_many_processes_and_end_with_removal() {
    let make = |nth: u64| {
        let worker = Caller { pid: 1000 + nth as u32, ..ALICE };
        worker.gets(nth * 2000, 1 + nth as i32, EXCL, nth as i64)
    };
    let leak: Vec<_> = (0..128).map(make).collect();
    assert_eq!(found(&leak), [("queue_leak", Severity::Medium)]);
    assert_eq!(found(&leak[..127]), []);
    // Two that take turns are two.
    let pair = (0..200)
        .map(|nth| Caller { pid: 1000 + nth as u32 % 2, ..ALICE }.gets(nth * 2000, 1 + nth as i32, EXCL, nth as i64));
    assert!(all(&pair.collect::<Vec<_>>()).iter().all(|finding| finding.rule.name != "queue_leak"));
    let tidy = (0..300).flat_map(|nth| [make(nth), ALICE.removes(nth * 2000 + 1000, nth as i32)]);
    assert!(all(&tidy.collect::<Vec<_>>()).iter().all(|finding| finding.rule.name != "queue_leak"));
}

#[test]
fn a_full_namespace_and_one_that_nearly_is() {
    assert_eq!(found(&[ALICE.gets(0, 42, EXCL, -28)]), [("exhaustion", Severity::High)]);
    let many: Vec<_> = (0..25_600).map(|nth| ALICE.gets(nth * 1000, 1 + nth as i32, EXCL, nth as i64)).collect();
    assert_eq!(only("exhaustion", &many).severity, Severity::Medium);
    assert!(all(&many[..25_599]).iter().all(|finding| finding.rule.name != "exhaustion"));
}

#[test]
fn queues_are_taken_from_under_their_users() {
    let shared = || vec![ALICE.gets(0, 42, EXCL, 5), opened(BOB.gets(1000, 42, 0o600, 5), 1000, 0o640)];
    let then = |event| found(&[shared(), vec![event]].concat());
    assert_eq!(then(ALICE.removes(2000, 5)), [("queue_removed_in_use", Severity::Low)]);
    assert_eq!(then(ROOT.removes(2000, 5)), [("queue_removed_in_use", Severity::Low)]);
    assert_eq!(then(BOB.removes(2000, 5)), [("queue_removed_in_use", Severity::High)]);
    assert_eq!(then(BOB.changes(2000, 5)), [("queue_changed_in_use", Severity::High)]);
    assert_eq!(found(&[ALICE.gets(0, 42, EXCL, 5), ALICE.removes(1000, 5)]), []);
    assert_eq!(then(ALICE.removes(2000, 6)), []);
}

#[test]
fn a_stale_id_may_also_mean_something_else() {
    let confidence = |errno| {
        let events = [ALICE.gets(0, 42, EXCL, 5), ALICE.removes(1000, 5), BOB.misses(2000, 5, errno)];
        only("stale_id_used", &events).confidence
    };
    // A message too long gives EINVAL, too.
    assert_eq!([confidence(Errno::EIDRM), confidence(Errno::EINVAL)], [Confidence::High, Confidence::Medium]);
}

#[test]
fn a_wrong_id_is_no_stale_one() {
    let stale = |events: &[Event]| found(events).iter().any(|(rule, _)| *rule == "stale_id_used");
    let (made, removed) = (ALICE.gets(0, 42, EXCL, 5), ALICE.removes(1000, 5));
    let fails = || BOB.misses(3000, 5, Errno::EINVAL);
    assert!(stale(&[made.clone(), removed.clone(), fails()]));
    assert!(!stale(&[fails()]), "of a queue nobody knows");
    assert!(!stale(&[made.clone(), fails()]), "of one that is there");
    assert!(!stale(&[made.clone(), ALICE.removes(1000, 6), fails()]), "another was removed");
    assert!(
        !stale(&[made.clone(), removed.clone(), ALICE.gets(2000, 43, EXCL, 5), fails()]),
        "the next of that id is there"
    );
    let Event::Use(mut elsewhere) = fails() else { panic!() };
    elsewhere.caller.ipc_ns = Some(7);
    assert!(!stale(&[made, removed, elsewhere.into()]), "of another namespace");
}

#[test]
fn an_id_is_used_again() {
    // Somebody who was there before makes a queue of a lower id: so it is the same namespace.
    let events =
        [ALICE.gets(0, 42, EXCL, 5), BOB.gets(1000, 43, EXCL, 9), ALICE.removes(2000, 5), BOB.gets(3000, 44, EXCL, 5)];
    let finding = only("id_reuse", &events);
    assert_eq!((finding.severity, finding.parties[0].actor.pid), (Severity::High, 100));
    // Whose record comes after that of somebody who got it made that very queue, and not its successor.
    let proof = BOB.gets(0, 43, EXCL, 1);
    let late = |at| [proof.clone(), ALICE.gets(3400, 44, 0o600, 5), BOB.gets(at, 44, EXCL, 5)];
    assert!(found(&late(3000)).iter().all(|(rule, _)| *rule != "id_reuse"));
    assert!(found(&late(5000)).iter().any(|(rule, _)| *rule == "id_reuse"));
    let removed = [&late(3000)[..], &[BOB.removes(6000, 5)]].concat();
    assert_eq!(only("queue_removed_in_use", &removed).parties[0].actor.pid, 100, "who got it first is remembered");
    // A stranger who does is in a new one that has the number of the old one.
    let stranger = Caller { pid: 999, ..BOB };
    assert_eq!(found(&[&events[..3], &[stranger.gets(3000, 44, EXCL, 5)]].concat()), []);
}

//! Stories: what is told of a program that does the same again and again.

use super::*;

fn private(nth: u64) -> Event {
    // Each by a process of its own, as a shell script does it.
    Caller { pid: 1000 + nth as u32, ..ALICE }.gets(nth * 1000, 0, 0o600, nth as i64)
}

#[test]
fn a_loop_is_told_by_powers_of_ten() {
    let findings: Vec<_> = all(&(0..1000).map(private).collect::<Vec<_>>())
        .into_iter()
        .filter(|one| one.rule.name == "private_key")
        .collect();
    assert_eq!(findings.iter().map(|finding| finding.story.count).collect::<Vec<_>>(), [1, 10, 100, 1000]);
    assert!(findings.iter().all(|finding| finding.story.id == findings[0].id()));
    let ids: std::collections::BTreeSet<_> = findings.iter().map(Finding::id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn another_user_or_program_or_namespace_is_another_story() {
    let again =
        |record: Record| all(&[private(0), event(1000, Record { key: 0, msgflg: 0o600, ret: 1, ..record })]).len();
    let alice = ALICE.record();
    assert_eq!(again(alice), 1);
    assert_eq!(again(Record { ipc_ns: 5, ..alice }), 2);
    assert_eq!(again(Caller { program: b'z', ..ALICE }.record()), 2);
    assert_eq!(again(Caller { uid: 5, ..ALICE }.record()), 2);
}

#[test]
fn what_gets_worse_is_told_again() {
    let open = |at| opened(ALICE.gets(at, 42, CREAT, 5), ALICE.uid, 0o600);
    let events = [open(0), open(1000), created(ALICE.gets(2000, 43, CREAT, 6)), open(3000)];
    let told: Vec<_> = all(&events).iter().map(|finding| (finding.severity, finding.story.count)).collect();
    assert_eq!(told, [(Severity::Info, 1), (Severity::Low, 3)]);
}

#[test]
fn what_gets_surer_is_told_again() {
    let race = |at, rival| {
        [ALICE.gets(at, 42, 0, -2), BOB.gets(at + rival, 42, EXCL, 5), ALICE.gets(at + 10_000, 42, EXCL, -17)]
    };
    // First one that overlaps, then one in the window, then that again.
    let events = [race(0, 10_300), race(SECOND, 5000), race(2 * SECOND, 5000)].concat();
    let raced: Vec<_> = all(&events).into_iter().filter_map(|finding| finding.certainty).collect();
    assert_eq!(raced, [Certainty::Possible, Certainty::Definite]);
}

#[test]
fn after_an_hour_it_begins_anew() {
    let later = ALICE.gets(3601 * SECOND, 0, 0o600, 9);
    let counts: Vec<_> = all(&[private(0), later]).iter().map(|finding| finding.story.count).collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn untold_calls_are_tagged_all_the_same() {
    let mut engine = Engine::new();
    engine.observe(&ALICE.gets(0, 42, 0o3666, 1));
    let second = engine.observe(&ALICE.gets(1000, 43, 0o3666, 2));
    assert!(second.findings.is_empty() && second.tags.contains(Tag::WeakMode));
}

#[test]
fn what_nobody_was_told_of_is_no_part_of_a_story() {
    let mut engine = Engine::new();
    let counts = |engine: &mut Engine, nth, told: bool| {
        let findings = engine.observe(&private(nth)).findings;
        findings.iter().filter(|_| !told).for_each(|finding| engine.withdraw(finding));
        findings.iter().map(|finding| finding.story.count).collect::<Vec<_>>()
    };
    // The first that is told begins it, and the tenth of those is told again.
    assert_eq!(counts(&mut engine, 0, false), [1]);
    assert_eq!(counts(&mut engine, 1, false), [1]);
    assert_eq!(counts(&mut engine, 2, true), [1]);
    (3..11).for_each(|nth| assert!(counts(&mut engine, nth, true).is_empty()));
    assert_eq!(counts(&mut engine, 11, false), [10]);
    assert_eq!(counts(&mut engine, 12, true), [10]);
    // Nor does it make what is worse seem known.
    let weak = |at, flags| created(ALICE.gets(at, 42, flags, 100 + at as i64));
    let severities = |engine: &mut Engine, event: &Event| {
        let findings = engine.observe(event).findings;
        findings.iter().filter(|finding| finding.rule.name == "weak_mode").cloned().collect::<Vec<_>>()
    };
    assert_eq!(severities(&mut engine, &weak(100_000, 0o3620)).len(), 1);
    let worse = severities(&mut engine, &weak(200_000, 0o3666));
    engine.withdraw(&worse[0]);
    assert_eq!(severities(&mut engine, &weak(300_000, 0o3666))[0].severity, Severity::Medium);
}

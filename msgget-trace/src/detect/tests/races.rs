//! Races that were run: who was in the window, how sure that is, and in whichever order the records came.

use super::*;
use crate::event::{Aggregate, Attributed, Counts, LossReason};

/// A victim that finds no queue and is then told that there is one.
fn victim() -> [Event; 2] {
    [ALICE.gets(0, 42, 0, -2), ALICE.gets(10_000, 42, EXCL, -17)]
}

fn rival(at: u64) -> Event {
    BOB.gets(at, 42, EXCL, 5)
}

#[test]
fn a_rival_in_the_window_is_named() {
    let [check, create] = victim();
    let events = [check, rival(5000), create];
    let finding = only("check_then_create_raced", &events);
    assert_eq!((finding.severity, finding.certainty), (Severity::High, Some(Certainty::Definite)));
    let parties: Vec<_> = finding.parties.iter().map(|party| (party.role, party.actor.pid, party.call)).collect();
    assert_eq!(parties, [("victim", 100, events[2].id()), ("rival", 200, events[1].id())]);
    assert_eq!(finding.evidence, events.iter().map(Event::id).collect::<Vec<_>>());
    assert!(finding.parties[1].entered.is_some());
    assert!(finding.summary.contains("pid 200 (uid 1001)"), "{}", finding.summary);
}

#[test]
fn nobody_in_the_window_no_race() {
    let [check, create] = victim();
    // Long before and long after; by the victim itself; in vain; of another key.
    let before = BOB.gets(0, 42, EXCL, 5);
    for events in [
        vec![before, ALICE.gets(SECOND, 42, 0, -2), ALICE.gets(SECOND + 10_000, 42, EXCL, -17)],
        vec![check.clone(), create.clone(), rival(20_000)],
        vec![check.clone(), ALICE.gets(5000, 42, EXCL, 5), create.clone()],
        vec![check.clone(), BOB.gets(5000, 42, EXCL, -17), create.clone()],
        vec![check.clone(), BOB.gets(5000, 43, EXCL, 5), create.clone()],
    ] {
        assert!(all(&events).iter().all(|finding| finding.certainty.is_none()), "{events:?}");
    }
    // The victim made the queue itself: it was not overtaken.
    let won = [check, BOB.gets(5000, 42, EXCL, -17), ALICE.gets(10_000, 42, EXCL, 5)];
    assert!(all(&won).iter().all(|finding| finding.certainty.is_none()));
}

#[test]
fn overlapping_is_only_possible_and_the_queue_that_was_got_proves_it() {
    let [check, create] = victim();
    // It overlaps the victim's second call, and its record comes after that: either order gives the same.
    let overlapping = rival(10_300);
    let late = only("check_then_create_raced", &[check.clone(), create.clone(), overlapping.clone()]);
    assert_eq!(late.certainty, Some(Certainty::Possible));
    let early = only("check_then_create_raced", &[check.clone(), overlapping.clone(), create]);
    assert_eq!((late.id(), late.severity, &late.evidence), (early.id(), early.severity, &early.evidence));
    // It got the very queue that the other made.
    let got = opened(ALICE.gets(10_000, 42, CREAT, 5), BOB.uid, 0o600);
    let proved = only("check_then_create_raced", &[check.clone(), got, overlapping]);
    assert_eq!(proved.certainty, Some(Certainty::Definite));
    // Who may have made it, may have.
    let maybe = BOB.gets(5000, 42, CREAT, 5);
    let possible = only("check_then_create_raced", &[check, maybe, ALICE.gets(10_000, 42, EXCL, -17)]);
    assert_eq!(possible.certainty, Some(Certainty::Possible));
}

/// Whoever really won is not known then: his call was lost, or only counted.
#[test]
fn whose_queue_it_cannot_have_been_is_not_certain_to_have_won() {
    let [check, create] = victim();
    let got = opened(ALICE.gets(10_000, 42, CREAT, 6), 4711, 0o600);
    let other = only("check_then_create_raced", &[check.clone(), rival(5000), got.clone()]);
    assert_eq!(other.certainty, Some(Certainty::Possible));
    assert!(other.summary.ends_with("the queue that was then got is another one"), "{}", other.summary);
    let late = only("check_then_create_raced", &[check.clone(), got, rival(5000)]);
    assert_eq!((late.certainty, &late.summary), (other.certainty, &other.summary));
    let removed =
        |at| only("check_then_create_raced", &[check.clone(), rival(5000), BOB.removes(at, 5), create.clone()]);
    assert_eq!(removed(7000).certainty, Some(Certainty::Possible));
    assert_eq!(removed(20_000).certainty, Some(Certainty::Definite));
}

#[test]
fn missing_calls_make_it_possible_and_silence_nothing() {
    let [check, create] = victim();
    let start = check.left();
    let after = |doubt: &dyn Fn(&mut Engine)| {
        let mut engine = Engine::new();
        engine.observe(&check);
        engine.observe(&rival(5000));
        doubt(&mut engine);
        let findings = engine.observe(&create).findings;
        findings.into_iter().find(|finding| finding.rule.name == "check_then_create_raced").unwrap().certainty
    };
    let loss = |since, at| Health {
        at,
        news: News::Loss { reason: LossReason::RingFull, count: 1, cpu: None, output: None, since },
    };
    let second = |seconds: u64| BootTime(start.0 + seconds * SECOND);
    assert_eq!(after(&|_| ()), Some(Certainty::Definite));
    assert_eq!(after(&|engine| engine.observe_health(&loss(start, second(1)))), Some(Certainty::Possible));
    assert_eq!(after(&|engine| engine.observe_health(&loss(second(1), second(2)))), Some(Certainty::Definite));
    let aggregate = |ipc_ns| Aggregate {
        at: second(1),
        counts: Counts::default(),
        attributed: Some(Attributed {
            payer: Payer::Owner,
            first: start,
            last: second(1),
            sample_keys: vec![42],
            comm: [0; 16],
            euid: Some(1001),
            cgroup_id: 1,
            ipc_ns,
        }),
    };
    let here = check.caller().ipc_ns;
    let counted = |ipc_ns| after(&|engine| drop(engine.observe_aggregate(&aggregate(ipc_ns))));
    assert_eq!(counted(here), Some(Certainty::Possible));
    assert_eq!(counted(Some(1)), Some(Certainty::Definite));
    let nobody = Aggregate { attributed: None, ..aggregate(None) };
    assert_eq!(after(&|engine| drop(engine.observe_aggregate(&nobody))), Some(Certainty::Possible));
}

#[test]
fn between_removal_and_creation() {
    let own = ALICE.gets(0, 42, EXCL, 4);
    let got = opened(ALICE.gets(9000, 42, CREAT, 5), BOB.uid, 0o600);
    let finding = only("destroy_and_recreate_raced", &[own, ALICE.removes(2000, 4), rival(5000), got]);
    assert_eq!((finding.certainty, finding.severity), (Some(Certainty::Definite), Severity::High));
}

#[test]
fn between_a_failed_creation_and_the_fallback() {
    let tried = ALICE.gets(0, 42, EXCL, -17);
    let got = opened(ALICE.gets(9000, 42, 0o600, 5), BOB.uid, 0o600);
    let finding = only("exclusive_then_fallback_raced", &[tried.clone(), rival(5000), got.clone()]);
    assert_eq!(finding.certainty, Some(Certainty::Definite));
    // What it ran into first may have been that very queue.
    let finding = only("exclusive_then_fallback_raced", &[rival(300), tried, got]);
    assert_eq!(finding.certainty, Some(Certainty::Possible));
}

#[test]
fn the_same_user_is_a_lesser_rival() {
    let [check, create] = victim();
    let twin = Caller { pid: 101, ..ALICE };
    assert_eq!(only("check_then_create_raced", &[check, twin.gets(5000, 42, EXCL, 5), create]).severity, Severity::Low);
}

#[test]
fn a_crowd_that_opens_does_not_make_it_forgotten() {
    let [check, _] = victim();
    let crowd = (0..100).map(|nth| opened(Caller { pid: 1000 + nth, ..BOB }.gets(6000, 42, 0o600, 5), BOB.uid, 0o666));
    let events: Vec<_> = [check, rival(5000)]
        .into_iter()
        .chain(crowd)
        .chain([opened(ALICE.gets(10_000, 42, CREAT, 5), BOB.uid, 0o666)])
        .collect();
    assert_eq!(only("check_then_create_raced", &events).certainty, Some(Certainty::Definite));
}

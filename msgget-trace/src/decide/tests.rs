//! Decide on interleavings made here, and on random ones against a model that knows the truth.

use msgget_trace_ebpf::{Call as Record, EVICTED, Position as Raw};
use proptest::prelude::*;

use super::*;
use crate::event::sample::{call_of, control_of, control_record, record};

const CREAT: i32 = 0o1600;
const EXCL: i32 = 0o3600;

/// Everybody returned, and was read.
const END: Progress = Progress { complete_until: BootTime(u64::MAX), now: BootTime(u64::MAX) };

/// The next event, which is a call.
fn next(decider: &mut Decider, progress: Progress) -> Option<Call> {
    decider.next(Some(progress)).and_then(|event| event.call().cloned())
}

fn raw(last_idx: i32) -> Raw {
    Raw { seq: 0, last_idx, valid: 1, reserved: 0 }
}

/// A call of `pid` from `enter` to `exit` that returned `ret`, while the last index was `before`, then `after`.
fn record_of(pid: u32, (enter, exit): (u64, u64), msgflg: i32, ret: i64, (before, after): (i32, i32)) -> Record {
    let at = record().enter_ns;
    let (before, after) = (raw(before), raw(after));
    Record { pid, tid: pid, enter_ns: at + enter, exit_ns: at + exit, key: 42, msgflg, ret, before, after, ..record() }
}

fn at(time: u64) -> BootTime {
    BootTime(record().enter_ns + time)
}

/// Outcomes of `records`, all read and everybody returned.
fn outcomes(records: &[Record]) -> Vec<(Outcome, Option<Source>)> {
    let mut decider = Decider::new(15);
    records.iter().for_each(|record| decider.push(Event::Call(call_of(0, record)), at(0)));
    std::iter::from_fn(|| next(&mut decider, END)).map(|call| (call.outcome, call.source)).collect()
}

const CREATED: (Outcome, Option<Source>) = (Outcome::Created, Some(Source::Counters));
const OPENED: (Outcome, Option<Source>) = (Outcome::Opened, Some(Source::Counters));
const OPEN: (Outcome, Option<Source>) = (Outcome::Ambiguous, None);

#[test]
fn ids_before_and_after_the_position() {
    assert_eq!(outcomes(&[record_of(1, (0, 9), CREAT, 5, (5, 5))]), [OPENED]);
    assert_eq!(outcomes(&[record_of(1, (0, 9), CREAT, 6, (5, 6))]), [CREATED]);
    // The first queue of a namespace.
    assert_eq!(outcomes(&[record_of(1, (0, 9), CREAT, 0, (-1, 0))]), [CREATED]);
}

#[test]
fn a_creation_belongs_to_its_caller() {
    let mut decider = Decider::new(15);
    decider.push(Event::Call(call_of(0, &record_of(1, (0, 9), 0o1640, 6, (5, 6)))), at(9));
    let call = next(&mut decider, END).unwrap();
    assert_eq!(call.queue, call.own_queue());
    assert_eq!(call.queue.map(|queue| (queue.cuid, queue.cgid, queue.mode)), Some((0, 1002, 0o640)));
}

#[test]
fn nothing_follows_from_positions_that_do_not_fit() {
    assert_eq!(outcomes(&[record_of(1, (0, 9), CREAT, 0, (7, 0))]), [OPEN], "backwards: a new namespace");
    assert_eq!(outcomes(&[record_of(1, (0, 9), CREAT, 900, (5, 6))]), [OPEN], "an id out of nowhere");
    let unread = Record { after: Raw::default(), ..record_of(1, (0, 9), CREAT, 6, (5, 6)) };
    assert_eq!(outcomes(&[unread]), [OPEN]);
}

#[test]
fn two_claims_on_one_id_are_both_open() {
    let pair = [record_of(1, (0, 9), CREAT, 6, (5, 6)), record_of(2, (1, 10), CREAT, 6, (5, 6))];
    assert_eq!(outcomes(&pair), [OPEN, OPEN]);
    let three = [pair[0], pair[1], record_of(3, (8, 11), CREAT, 6, (5, 6))];
    assert_eq!(outcomes(&three), [OPEN, OPEN, OPEN]);
    // On different ids, or in different namespaces, they are no rivals.
    assert_eq!(outcomes(&[pair[0], record_of(2, (1, 10), CREAT, 7, (5, 7))]), [CREATED, CREATED]);
    assert_eq!(outcomes(&[pair[0], Record { ipc_ns: 9, ..pair[1] }]), [CREATED, CREATED]);
}

/// A record of a claim on id 6, made by the user `euid`.
fn claim_of(pid: u32, times: (u64, u64), euid: u32) -> Record {
    Record { euid, ..record_of(pid, times, CREAT, 6, (5, 6)) }
}

/// The calls of `records`, told that the user `cuid` created the queue.
fn settled(records: &[Record], cuid: u32) -> Vec<(Outcome, Option<Source>)> {
    let mut decider = Decider::new(15);
    records.iter().for_each(|record| decider.push(Event::Call(call_of(0, record)), at(0)));
    let calls = std::iter::from_fn(|| next(&mut decider, END)).map(|mut call| {
        call.settle(cuid, record().egid);
        (call.outcome, call.source)
    });
    calls.collect()
}

#[test]
fn the_creator_of_the_queue_settles_a_contest() {
    const MADE: (Outcome, Option<Source>) = (Outcome::Created, Some(Source::IpcStat));
    const FOUND: (Outcome, Option<Source>) = (Outcome::Opened, Some(Source::IpcStat));
    let contest = [claim_of(1, (0, 9), 1000), claim_of(2, (5, 12), 2000), claim_of(3, (8, 15), 2000)];
    assert_eq!(settled(&contest[..2], 2000), [FOUND, MADE]);
    assert_eq!(settled(&contest[..2], 1000), [MADE, FOUND]);
    // Two with the ids of the creator.
    assert_eq!(settled(&contest, 2000), [FOUND, OPEN, OPEN]);
    assert_eq!(settled(&contest, 1000), [MADE, FOUND, FOUND]);
    // Whose entry was not seen may be of those ids, too, but it is not asked.
    let unseen = Record { pairing: EVICTED, enter_ns: 0, ..contest[1] };
    assert_eq!(settled(&[contest[0], unseen], 1000), [OPEN, (Outcome::Unpaired, None)]);
}

#[test]
fn an_id_out_of_turn_is_settled_by_nobody() {
    let chosen = record_of(1, (0, 9), CREAT, 99, (5, 6));
    assert_eq!(settled(&[chosen], 4711), [OPEN]);
}

#[test]
fn with_a_loss_the_creator_proves_nothing_but_its_opposite() {
    let mut decider = Decider::new(15);
    decider.lost(at(20));
    decider.push(Event::Call(call_of(0, &claim_of(1, (0, 9), 1000))), at(0));
    let call = next(&mut decider, END).unwrap();
    let told = |cuid| {
        let mut call = call.clone();
        call.settle(cuid, record().egid);
        call.outcome
    };
    assert_eq!((told(1000), told(2000)), (Outcome::Ambiguous, Outcome::Opened));
}

#[test]
fn an_exclusive_creator_settles_it() {
    let creator = record_of(2, (1, 8), EXCL, 6, (-1, -1));
    let claim = record_of(1, (0, 9), CREAT, 6, (5, 6));
    assert_eq!(outcomes(&[creator, claim]), [(Outcome::Created, Some(Source::Flags)), OPENED]);
    // Its record may come later than the claim's.
    let late = Record { exit_ns: claim.exit_ns + 1, ..creator };
    assert_eq!(outcomes(&[claim, late])[0], OPENED);
}

#[test]
fn an_unpaired_call_may_be_the_one() {
    let unpaired = Record { pairing: EVICTED, enter_ns: 0, ..record_of(2, (1, 8), CREAT, 6, (5, 6)) };
    assert_eq!(outcomes(&[unpaired, record_of(1, (0, 9), CREAT, 6, (5, 6))])[1], OPEN);
}

#[test]
fn a_claim_waits_for_whoever_is_in_flight_and_others_behind_it() {
    let mut decider = Decider::new(15);
    decider.push(Event::Call(call_of(0, &record_of(1, (0, 9), CREAT, 6, (5, 6)))), at(9));
    decider.push(Event::Call(call_of(8, &record_of(2, (20, 30), 0, 6, (-1, -1)))), at(9));
    let progress = |complete_until, now| Progress { complete_until: at(complete_until), now: at(now) };
    assert!(decider.undecided() && next(&mut decider, progress(9, 40)).is_none());
    assert_eq!(decider.oldest().map(|event| event.id().position), Some(0));
    assert_eq!(next(&mut decider, progress(10, 41)).map(|call| call.outcome), Some(Outcome::Created));
    assert_eq!(next(&mut decider, progress(10, 41)).map(|call| call.outcome), Some(Outcome::Opened));
    assert!(!decider.undecided() && decider.oldest().is_none());
}

#[test]
fn what_became_of_a_queue_keeps_its_place() {
    let mut decider = Decider::new(15);
    decider.push(Event::Call(call_of(0, &record_of(1, (0, 9), CREAT, 6, (5, 6)))), at(9));
    decider.push(Event::Control(control_of(8, &control_record(0, 0))), at(9));
    let before = Progress { complete_until: at(9), now: at(20) };
    assert!(decider.next(Some(before)).is_none(), "not before the call that waits");
    let positions: Vec<_> = std::iter::from_fn(|| decider.next(Some(END))).map(|event| event.id().position).collect();
    assert_eq!(positions, [0, 8]);
}

#[test]
fn patience_ends() {
    let mut decider = Decider::new(15);
    decider.push(Event::Call(call_of(0, &record_of(1, (0, 9), CREAT, 6, (5, 6)))), at(9));
    let stuck = |now| Progress { complete_until: at(5), now: at(now) };
    assert!(next(&mut decider, stuck(9 + PATIENCE)).is_none());
    assert_eq!(next(&mut decider, stuck(10 + PATIENCE)).map(|call| call.outcome), Some(Outcome::Ambiguous));
}

#[test]
fn a_loss_leaves_doubt_on_whoever_was_in_flight() {
    let mut decider = Decider::new(15);
    decider.lost(at(5));
    decider.push(Event::Call(call_of(0, &record_of(1, (0, 9), CREAT, 6, (5, 6)))), at(9));
    decider.push(Event::Call(call_of(0, &record_of(1, (10, 19), CREAT, 7, (6, 7)))), at(9));
    let outcomes: Vec<_> = std::iter::from_fn(|| next(&mut decider, END)).map(|call| call.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ambiguous, Outcome::Created]);
}

proptest! {
    /// A little kernel: calls begin, act under a lock, and end, in any order; records come in the order of their ends. What
    /// is decided must be what was done, and who overlaps nobody must be decided.
    #[test]
    fn never_wrong(steps in proptest::collection::vec((0..4usize, 0..3u8), 1..200)) {
        #[derive(Clone, Copy)]
        struct Inside { enter: u64, before: i32, key: i32, msgflg: i32, done: Option<(i64, bool)> }
        let (mut queues, mut last_idx, mut time) = (std::collections::HashMap::new(), -1i32, 0u64);
        let mut inside: [Option<Inside>; 4] = [None; 4];
        let (mut decider, mut truth, mut decided) = (Decider::new(15), Vec::new(), Vec::new());
        for (who, key) in steps {
            time += 10;
            match inside[who] {
                None => {
                    let (key, msgflg) = (i32::from(key) + 1, if who == 3 { EXCL } else { CREAT });
                    inside[who] = Some(Inside { enter: time, before: last_idx, key, msgflg, done: None });
                }
                Some(call @ Inside { done: None, .. }) => {
                    let made = !queues.contains_key(&call.key);
                    if made {
                        last_idx += 1;
                        queues.insert(call.key, i64::from(last_idx));
                    }
                    let failed = !made && call.msgflg == EXCL;
                    let ret = if failed { -17 } else { queues[&call.key] };
                    inside[who] = Some(Inside { done: Some((ret, made)), ..call });
                }
                Some(Inside { enter, before, key, msgflg, done: Some((ret, made)) }) => {
                    inside[who] = None;
                    let positions = if msgflg == EXCL { (-1, -1) } else { (before, last_idx) };
                    let record = Record { key, ..record_of(who as u32 + 1, (enter, time), msgflg, ret, positions) };
                    decider.push(Event::Call(call_of(truth.len() as u64, &record)), at(time));
                    truth.push((ret, made));
                    // Now and then somebody removes a queue, so that keys get new ids.
                    if time.is_multiple_of(70) && inside.iter().all(Option::is_none) {
                        queues.remove(&key);
                    }
                }
            }
            let complete_until = inside.iter().flatten().map(|call| call.enter).min().unwrap_or(time + 1);
            let progress = Progress { complete_until: at(complete_until), now: at(time) };
            decided.extend(std::iter::from_fn(|| next(&mut decider, progress)));
        }
        // Whoever is still inside never reports: the rest is decided without them, or not at all.
        let unseen = inside.iter().flatten().map(|call| call.enter).min().unwrap_or(time + 1);
        let end = Progress { complete_until: at(unseen), now: BootTime(u64::MAX) };
        decided.extend(std::iter::from_fn(|| next(&mut decider, end)));
        prop_assert_eq!(decided.len(), truth.len());
        for (call, (ret, made)) in decided.iter().zip(truth) {
            prop_assert_eq!(call.result, ret);
            match call.outcome {
                Outcome::Created => prop_assert!(made, "{call:?}"),
                Outcome::Opened => prop_assert!(!made, "{call:?}"),
                Outcome::Failed(_) => prop_assert!(ret < 0),
                Outcome::Ambiguous => {
                    let alone = decided.iter().filter(|other| overlap(other, call)).count() == 1;
                    prop_assert!(!alone || call.left >= at(unseen), "{call:?}");
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

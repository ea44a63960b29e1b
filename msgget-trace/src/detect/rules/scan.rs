//! `key_scan`: a process tries many keys. Calls go in, and aggregates that stand for some.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    memory::{Missed, Scan},
    scene::{Case, Findings, Scene},
};
use crate::event::{Attributed, BootTime, Call, CallId, Counts};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6809,
    id: "MSGGET-9",
    name: "key_scan",
    version: "1.0.0",
    tag: Tag::KeyScan,
    description: "A process tried many keys, most of which have no queue, or none it may have: it looks for queues of others",
    logic: "Within 10 s one process: 64 different keys without a queue, and nine such calls or more for every key whose queue it got; or 8 \
            different keys that it was refused. High. Calls that were only counted (aggregate) are added in, if their process is known.",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "A scan of fewer than 64 keys in 10 s, or by a new process for every few keys; one that also makes a queue for every nine. ipcs and lsipc \
                  show all queues without a single msgget.",
    false_positives: "Tests of msgget, and programs that try keys in turn until one is free. Trying one key again and again does not count.",
    response: "Find out who runs it. What a scan finds is what weak modes give away: look at the queues it opened.",
};

/// 10 s, in ns.
const SPAN: u64 = 10_000_000_000;
const MISSING: usize = 64;
const DENIED: usize = 8;
/// As many misses for each key got.
const MISSES: u64 = 9;

impl Scan {
    fn begin(&mut self, at: BootTime) {
        if at.since(self.since) > SPAN {
            *self = Self { since: at, ..Self::default() };
        }
    }

    /// The keys that were missed, if that makes it a scan.
    fn found(&self) -> Option<&Missed> {
        self.missed.as_deref().filter(|missed| {
            // Keys, not calls: who opens one queue again and again hides no scan.
            let empty = missed.missing.len() >= MISSING && u64::from(self.got.count_ones()) * MISSES <= self.misses;
            empty || missed.denied.len() >= DENIED
        })
    }

    /// The keys that were missed, `call` being such a call.
    fn missed(&mut self, call: CallId) -> &mut Missed {
        let none = || Box::new(Missed { first: call, missing: Vec::new(), denied: Vec::new() });
        self.missed.get_or_insert_with(none)
    }
}

/// Adds `key` unless it is there or `keys` are enough.
fn remember(keys: &mut Vec<i32>, key: i32, enough: usize) {
    if keys.len() < enough && !keys.contains(&key) {
        keys.push(key);
    }
}

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) {
    let at = scene.at;
    let scan = &mut scene.process.scan;
    scan.begin(at);
    match act.deed {
        Deed::Missing => {
            scan.misses += 1;
            remember(&mut scan.missed(call.id).missing, call.key, MISSING);
        }
        Deed::Denied => {
            scan.misses += 1;
            remember(&mut scan.missed(call.id).denied, call.key, DENIED);
        }
        _ => {
            scan.hits += 1;
            scan.got |= 1 << (call.key.cast_unsigned().wrapping_mul(0x9e37_79b9) >> 26);
        }
    }
    if matches!(act.deed, Deed::Missing | Deed::Denied) {
        tell(scene, call.id, found);
    }
}

/// Adds calls of the process of `scene` that were only counted.
pub(super) fn observe_aggregate(scene: &mut Scene<'_>, counts: &Counts, of: &Attributed, found: &mut Findings<'_>) {
    let at = scene.at;
    let scan = &mut scene.process.scan;
    scan.begin(at);
    let failed = counts.failed();
    scan.misses += failed;
    scan.hits += counts.total() - failed;
    // Of these it is not known what became of each; what most of them came to is taken for it.
    if failed * 10 >= counts.total() * 9 {
        let missing = &mut scan.missed(scene.event.id()).missing;
        of.sample_keys.iter().for_each(|key| remember(missing, *key, MISSING));
    }
    tell(scene, scene.event.id(), found);
}

fn tell(scene: &Scene<'_>, last: CallId, found: &mut Findings<'_>) {
    let scan = &scene.process.scan;
    let Some(Missed { first, missing, denied }) = scan.found() else { return };
    let evidence = if *first == last { vec![last] } else { vec![*first, last] };
    let span = scene.at.since(scan.since);
    // Keys that follow each other are no accident.
    let row = missing.windows(2).filter(|keys| keys[1].wrapping_sub(keys[0]) == 1).count() * 2 >= MISSING;
    let (missing, denied, misses, hits) = (missing.len(), denied.len(), scan.misses, scan.hits);
    found.add(scene, &INFO, Severity::High, None, &evidence, || {
        let values = vec![
            ("missingKeys", Value::Uint64(missing as u64)),
            ("deniedKeys", Value::Uint64(denied as u64)),
            ("misses", Value::Uint64(misses)),
            ("hits", Value::Uint64(hits)),
        ];
        let order = if row { ", one after the other" } else { "" };
        let summary = format!(
            "tried at least {missing} keys that have no queue and {denied} that it was refused within {}{order}; it got {hits}",
            super::duration(span)
        );
        Case::new(if row || denied >= DENIED { Confidence::High } else { Confidence::Medium }, values, summary)
    });
}

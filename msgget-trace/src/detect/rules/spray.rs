//! `queue_spray`: many queues without a key, made to fill kernel memory. Calls, removals and aggregates go in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    actor::INITIAL_USER_NS,
    memory::Spray,
    scene::{Case, Findings, Scene},
};
use crate::event::{Attributed, BootTime, Call, CallId, Control, Counts, IPC_PRIVATE, Outcome};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6811,
    id: "MSGGET-11",
    name: "queue_spray",
    version: "1.1.0",
    tag: Tag::Spray,
    description: "A process made hundreds of queues without a key at once and keeps them: that is how exploits shape kernel memory with \
                  messages (msg_msg)",
    logic: "Within 1 s one process made 256 more queues with IPC_PRIVATE than it removed. Critical in a user namespace other than the \
            initial one, or from 2,048 on; else medium. Confidence is high in such a user namespace and an IPC namespace younger than 10 s. \
            Calls that were only counted (aggregate) are added in, if their process is known.",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "Sprays of messages into few queues: msgsnd is not looked at. Many processes that make a few queues each (exhaustion).",
    false_positives: "Benchmarks that make queues before they remove any: stress-ng --msg makes 1,024, which is medium.",
    response: "Isolate the host: this is the start of a kernel exploit (CVE-2021-22555 makes 4096 queues so). Keep the process and its \
               memory if you can.",
};

/// 1 s, in ns.
const SPAN: u64 = 1_000_000_000;
const MANY: u64 = 256;
/// So many that it is no benchmark: twice what stress-ng makes, half of what the exploit of CVE-2021-22555 makes.
const HOARD: u64 = 2048;
/// How young an IPC namespace is that was made for it: 10 s, in ns.
const YOUNG: u64 = 10_000_000_000;

impl Spray {
    fn begin(&mut self, at: BootTime) {
        if at.since(self.since) > SPAN {
            *self = Self { since: at, ..Self::default() };
        }
    }

    fn kept(&self) -> u64 {
        self.created.saturating_sub(self.removed)
    }
}

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    if call.key != IPC_PRIVATE || call.outcome != Outcome::Created {
        return;
    }
    let at = scene.at;
    let spray = &mut scene.process.spray;
    spray.begin(at);
    spray.created += 1;
    spray.first.get_or_insert(call.id);
    tell(scene, call.id, found);
}

/// Takes note that the process removed a queue.
pub(super) fn observe_removal(scene: &mut Scene<'_>, control: &Control) {
    if control.outcome != Outcome::Removed {
        return;
    }
    let at = scene.at;
    let spray = &mut scene.process.spray;
    spray.begin(at);
    spray.removed += 1;
}

/// Adds calls of the process of `scene` that were only counted.
pub(super) fn observe_aggregate(scene: &mut Scene<'_>, counts: &Counts, of: &Attributed, found: &mut Findings<'_>) {
    let at = scene.at;
    if !of.sample_keys.contains(&IPC_PRIVATE) {
        return;
    }
    let spray = &mut scene.process.spray;
    spray.begin(at);
    spray.created += counts.created();
    tell(scene, scene.event.id(), found);
}

fn tell(scene: &mut Scene<'_>, last: CallId, found: &mut Findings<'_>) {
    let at = scene.at;
    let spray = &scene.process.spray;
    let (kept, span) = (spray.kept(), at.since(spray.since));
    if kept < MANY {
        return;
    }
    let evidence: Vec<_> = spray.first.into_iter().filter(|first| *first != last).chain([last]).collect();
    let own = scene.actor.namespaces[0].is_some_and(|user| user != INITIAL_USER_NS);
    let fresh = own && at.since(scene.space.since) < YOUNG;
    // What the kernel bugs need that are exploited so is mostly to be had in a user namespace of one's own only.
    let severity = if own || kept >= HOARD { Severity::Critical } else { Severity::Medium };
    found.add(scene, &INFO, severity, None, &evidence, || {
        let whose = if fresh { ", in namespaces of its own that are a few seconds old" } else { "" };
        let summary =
            format!("made {kept} queues without a key within {} and keeps them{whose}", super::duration(span));
        let confidence = if fresh { Confidence::High } else { Confidence::Medium };
        Case::new(confidence, vec![("queues", Value::Uint64(kept))], summary)
    });
}

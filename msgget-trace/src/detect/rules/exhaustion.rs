//! `exhaustion` and `queue_leak`: a namespace is filled with queues. A call goes in, with what is known of the queues that are alive.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    memory::Habits,
    scene::{Case, Findings, Scene},
};
use crate::event::{Call, Errno, Outcome};

pub(super) static FULL: RuleInfo = RuleInfo {
    event_id: 6810,
    id: "MSGGET-10",
    name: "exhaustion",
    version: "1.0.0",
    tag: Tag::Exhaustion,
    description: "The IPC namespace has no room for another queue, or soon will not: whoever needs one cannot work",
    logic: "A call failed with ENOSPC: high. Or 25,600 queues are known to be alive, four fifths of what kernel.msgmni allows by default: \
            medium.",
    cwe: Some("CWE-770"),
    attack: Some(("T1499", "Endpoint Denial of Service")),
    rises: false,
    blind_spots: "Queues made before the sensor started are not counted; a namespace may have another limit than the default. Who fills it \
                  need not be who is refused: queue_leak and queue_spray name those.",
    false_positives: "Tests that fill the table (LTP msgget03).",
    response: "ipcs -qc shows who created the queues; remove those of the program that leaks. kernel.msgmni is per namespace.",
};

pub(super) static LEAK: RuleInfo = RuleInfo {
    event_id: 6818,
    id: "MSGGET-18",
    name: "queue_leak",
    version: "1.0.0",
    tag: Tag::Exhaustion,
    description: "Process after process of one program makes queues and leaves them behind: in the end the namespace is full",
    logic: "One executable and user in one namespace has 128 queues alive, made by at least 16 of its processes. Medium.",
    cwe: Some("CWE-772"),
    attack: None,
    rises: false,
    blind_spots: "Queues made before the sensor started; one process that makes all of them (queue_spray, exhaustion).",
    false_positives: "A service with many workers that each keep a queue for their life.",
    response: "Remove queues whose creator has ended (ipcs -qp), and have the program remove them when it ends.",
};

/// The default of kernel.msgmni, include/uapi/linux/msg.h (`MSGMNI`).
const ROOM: u64 = 32_000;
const NEARLY: u64 = ROOM / 5 * 4;
const LEFT: u64 = 128;
const MAKERS: usize = 16;

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    let live = scene.space.live;
    let full = call.errno() == Some(Errno::ENOSPC);
    let made = call.outcome == Outcome::Created;
    if full || made && live + 1 >= NEARLY {
        let severity = if full { Severity::High } else { Severity::Medium };
        found.add(scene, &FULL, severity, None, &[call.id], || {
            let summary = match full {
                true => format!("got no queue because the namespace has no room for another; {live} of those in it were seen to be made"),
                false => format!("made one of {} queues in a namespace that by default has room for {ROOM}", live + 1),
            };
            let confidence = if full { Confidence::High } else { Confidence::Medium };
            Case::new(confidence, vec![("liveQueues", Value::Uint64(live))], summary)
        });
    }
    if !made {
        return;
    }
    let process = scene.actor.process();
    let habits = scene.programs.entry(scene.place, Habits::default);
    habits.live += 1;
    if habits.makers.len() < MAKERS && !habits.makers.contains(&process) {
        habits.makers.push(process);
    }
    let (left, makers) = (habits.live, habits.makers.len());
    if left >= LEFT && makers >= MAKERS {
        found.add(scene, &LEAK, Severity::Medium, None, &[call.id], || {
            let values = vec![("liveQueues", Value::Uint64(left)), ("processes", Value::Uint64(makers as u64))];
            let summary = format!("is one of at least {makers} processes of a program that left {left} queues behind");
            Case::new(Confidence::Medium, values, summary)
        });
    }
}

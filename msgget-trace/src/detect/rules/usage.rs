//! `queue_removed_in_use`, `queue_changed_in_use` and `stale_id_used`: what is done to a queue under those who use it, and what they
//! meet then. A control or a use goes in, with what is known of its queue.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    scene::{Case, Findings, Scene},
};
use super::user;
use crate::event::{Command, Control, Errno, Outcome, Use};

pub(super) static REMOVED: RuleInfo = RuleInfo {
    event_id: 6822,
    id: "MSGGET-22",
    name: "queue_removed_in_use",
    version: "1.0.0",
    tag: Tag::UsedByOthers,
    description: "A queue was removed that another user's process had created or opened: whoever holds its id fails from now on, or uses \
                  the next queue of that id",
    logic: "IPC_RMID succeeded, and a process of another user than the remover's had created or opened the queue. Low when the remover is \
            root or created the queue himself, else high: he got the right by IPC_SET or CAP_SYS_ADMIN.",
    cwe: Some("CWE-367"),
    attack: None,
    rises: false,
    blind_spots: "Processes that use the queue by its id alone, without msgget; and those that have ended since.",
    false_positives: "An administrator's ipcrm; a service that stops while clients of other users still have its queue.",
    response: "Find out whether the remover meant it. Users of the queue (parties) must ask for it again, and check its creator.",
};

pub(super) static CHANGED: RuleInfo = RuleInfo {
    event_id: 6823,
    id: "MSGGET-23",
    name: "queue_changed_in_use",
    version: "1.0.0",
    tag: Tag::UsedByOthers,
    description: "Owner, mode or size of a queue was changed by somebody else than its creator, or under users of it: what they checked no \
                  longer holds",
    logic: "IPC_SET succeeded on a queue that another user's process had created or opened. Low when the changer is root or created the \
            queue himself, else high.",
    cwe: Some("CWE-367"),
    attack: None,
    rises: false,
    blind_spots: "What was changed is not seen. The fexit hooks do not tell of changes.",
    false_positives: "A service that makes its queue as root and gives it to another user.",
    response: "Compare owner and mode now (ipcs -q -i) with what the service expects.",
};

pub(super) static STALE: RuleInfo = RuleInfo {
    event_id: 6824,
    id: "MSGGET-24",
    name: "stale_id_used",
    version: "1.0.0",
    tag: Tag::UsedByOthers,
    description: "A process used the id of a queue that was removed: it does not know yet that the queue is gone, and will use the next queue \
                  of that id as if it were the old one",
    logic: "msgsnd or msgrcv failed with EIDRM or EINVAL on the id of a queue that was seen in that namespace, and whose removal was seen. Medium \
            when another process removed it (remover), info when the same one did.",
    cwe: Some("CWE-386"),
    attack: None,
    rises: false,
    blind_spots: "Without --stale-ids nothing. Queues that nobody was seen to create, open or remove; a removal whose record comes after that of \
                  the call it ended.",
    false_positives: "A service that stops while its clients still send; an end that is told to others by removing the queue. EINVAL also stands \
                      for a message too long or of a wrong type.",
    response: "Find out whether the remover meant it. Whoever kept the id must ask for the queue again, and check its creator.",
};

pub(super) fn observe(scene: &mut Scene<'_>, control: &Control, found: &mut Findings<'_>) {
    let (rule, done) = match (control.command, control.outcome) {
        (Command::Remove, Outcome::Removed) if !control.teardown() => (&REMOVED, "removed"),
        (Command::Change, Outcome::Changed) => (&CHANGED, "changed"),
        _ => return,
    };
    let Some(queue) = scene.queue else { return };
    let of_others = queue.holders().filter(|(_, holder)| holder.actor.other_user(scene.actor.euid));
    let parties: Vec<_> = of_others.map(|(role, holder)| holder.party(role)).collect();
    let Some(first) = parties.first() else { return };
    let entitled = scene.actor.euid == Some(0) || queue.cuid.is_some() && queue.cuid == scene.actor.euid;
    let severity = if entitled { Severity::Low } else { Severity::High };
    let (key, evidence) = (queue.key, [first.call, control.id]);
    found.add(scene, rule, severity, Some((key, scene.actor.euid)), &evidence, || {
        let values = vec![("key", Value::Int32(key)), ("queue", Value::Int32(control.msqid))];
        let summary = format!(
            "{done} queue {} as {}, which pid {} ({}) had",
            control.msqid,
            user(scene.actor.euid),
            parties[0].actor.pid,
            user(parties[0].actor.euid)
        );
        Case { parties, ..Case::new(Confidence::Medium, values, summary) }
    });
}

pub(super) fn observe_use(scene: &mut Scene<'_>, used: &Use, found: &mut Findings<'_>) {
    let Some(queue) = scene.queue else { return };
    let Some(remover) = &queue.removed else { return };
    let own = remover.actor.process() == scene.actor.process();
    let severity = if own { Severity::Info } else { Severity::Medium };
    // The other errno has other reasons, too, and anybody can answer in the kernel's place.
    let sure = used.errno == Errno::EIDRM && used.source.is_some();
    let confidence = if sure { Confidence::High } else { Confidence::Medium };
    let (key, remover, evidence) = (queue.key, remover.party("remover"), [remover.call(), used.id]);
    found.add(scene, &STALE, severity, Some((key, scene.actor.euid)), &evidence, || {
        let values = vec![("key", Value::Int32(key)), ("queue", Value::Int32(used.msqid))];
        let by = match own {
            true => "it had removed itself".to_owned(),
            false => format!("pid {} ({}) had removed", remover.actor.pid, user(remover.actor.euid)),
        };
        let summary =
            format!("{} queue {} as {}, which {by}", used.operation.phrase(), used.msqid, user(scene.actor.euid));
        Case { parties: vec![remover], ..Case::new(confidence, values, summary) }
    });
}

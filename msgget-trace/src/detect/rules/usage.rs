//! `queue_removed_in_use` and `queue_changed_in_use`: what is done to a queue under those who use it. A control goes in, with what is
//! known of its queue.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    scene::{Case, Findings, Scene},
};
use super::user;
use crate::event::{Command, Control, Outcome};

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

//! `id_reuse`: an id names another queue than before. A call goes in, with the queue that had its id.

use super::super::{
    Certainty, Confidence, RuleInfo, Severity, Tag, Value,
    scene::{Case, Findings, Scene},
    story::Grade,
};
use crate::event::{Call, Outcome};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6817,
    id: "MSGGET-17",
    name: "id_reuse",
    version: "1.0.0",
    tag: Tag::IdReuse,
    description: "A new queue has the id of one that was removed: whoever kept the old id now uses the new queue",
    logic: "A queue was made whose id was that of a removed queue, which another process had created or opened, in the same namespace. High. \
            The kernel gives an id again after 4,194,240 creations (seconds, for who tries), or when kernel.msg_next_id asks for it.",
    cwe: Some("CWE-386"),
    attack: None,
    rises: false,
    blind_spots: "Namespaces take each other's numbers at once; where the maker had to do with no queue that was seen to be made in the old \
                  one, a new namespace is assumed. 65,536 queues are remembered. Creations that were only counted.",
    false_positives: "Restoring a process from a checkpoint (CRIU), which asks for its old ids.",
    response: "Whoever holds the old id (parties) should be started again; find out who made queues by the million, or set \
               kernel.msg_next_id.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    if call.outcome != Outcome::Created {
        return;
    }
    let id = call.result as i32;
    let Some(old) = scene.queue.filter(|old| !old.was_made_by(call)) else { return };
    let of_others = old.holders().filter(|(_, holder)| holder.actor.process() != scene.actor.process());
    let parties: Vec<_> = of_others.map(|(role, holder)| holder.party(role)).collect();
    let Some(first) = parties.first() else { return };
    let (old_key, evidence) = (old.key, [first.call, call.id]);
    let grade = Grade { severity: Severity::High, certainty: Some(Certainty::Possible) };
    found.add(scene, &INFO, grade, Some((id, scene.actor.euid)), &evidence, || {
        let values =
            vec![("key", Value::Int32(call.key)), ("formerKey", Value::Int32(old_key)), ("queue", Value::Int32(id))];
        let summary = format!(
            "made queue {id}, an id that named the queue of key {old_key:#010x} before, which {} processes had",
            parties.len()
        );
        Case { parties, ..Case::new(Confidence::Medium, values, summary) }
    });
}

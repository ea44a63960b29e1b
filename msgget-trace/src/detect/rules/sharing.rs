//! `shared_namespace`: a queue whose creator lives in another container than who opens it. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    scene::{Case, Findings, Scene},
};
use crate::event::Call;

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6812,
    id: "MSGGET-12",
    name: "shared_namespace",
    version: "1.0.0",
    tag: Tag::SharedNamespace,
    description: "A process opened a queue that was created from within another container: the two share an IPC namespace, and with it all \
                  queues",
    logic: "A queue was opened whose creator has the same IPC namespace, another cgroup, and another pid, mount or user namespace. Medium.",
    cwe: Some("CWE-668"),
    attack: None,
    rises: false,
    blind_spots: "A queue whose creation was not seen. Use by id alone.",
    false_positives: "Containers that share on purpose (a pod's, --ipc=host, --ipc=container): an exception for the container is right for \
                      these.",
    response: "Is the sharing meant? If not, give the container an IPC namespace of its own.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) {
    if act.deed != Deed::Opened {
        return;
    }
    let Some(queue) = scene.queue else { return };
    let Some(holder) = &queue.creator else { return };
    let creator = &holder.actor;
    let other = |one: Option<u32>, other: Option<u32>| matches!((one, other), (Some(one), Some(other)) if one != other);
    let contained = creator.namespaces.iter().zip(scene.actor.namespaces).any(|(one, this)| other(*one, this));
    if !contained || creator.cgroup_id == scene.actor.cgroup_id {
        return;
    }
    let party = holder.party("creator");
    found.add(scene, &INFO, Severity::Medium, Some((call.key, party.actor.euid)), &[party.call, call.id], || {
        let values = vec![("key", Value::Int32(call.key)), ("creatorCgroupId", Value::Uint64(party.actor.cgroup_id))];
        let summary = format!(
            "opened queue {} that was created in cgroup {}, from within other namespaces than its own",
            call.result, party.actor.cgroup_id
        );
        Case { parties: vec![party], ..Case::new(Confidence::Medium, values, summary) }
    });
}

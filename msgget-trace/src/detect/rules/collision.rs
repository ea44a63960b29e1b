//! `key_collision`: two programs that know nothing of each other create by one key, or one program by two that should be one. A call
//! goes in, with the acts on its key before.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    scene::{Case, Findings, Scene},
};
use crate::event::Call;

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6807,
    id: "MSGGET-7",
    name: "key_collision",
    version: "1.0.0",
    tag: Tag::KeyCollision,
    description: "Two different programs, of different users or cgroups, create queues by the same key: ftok keeps 24 bits of what it is \
                  given, so unrelated paths collide",
    logic: "A call with IPC_CREAT by a key that another executable, of another effective user or in another cgroup, created a queue by. \
            Medium. Where squatted_key matches, that is told instead. The parts of the key as ftok(3) makes them (project, device, inode) \
            are given; nothing proves that it was made so.",
    cwe: Some("CWE-694"),
    attack: None,
    rises: true,
    blind_spots: "Two programs of one user in one cgroup; a program whose executable is not known is told by its name.",
    false_positives: "The server and the client of one service, when both pass IPC_CREAT and run in cgroups of their own.",
    response: "Give the programs keys of their own (another path or project id), or IPC_PRIVATE and another way to pass the id on.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) {
    if !act.create || !matches!(act.deed, Deed::Opened | Deed::Exists | Deed::Denied) {
        return;
    }
    let Some(creation) = scene.history.latest_creation() else { return };
    let (one, other) = (&creation.by.actor, &act.by.actor);
    let apart = one.other_user(other.euid) || one.cgroup_id != other.cgroup_id;
    if one.program == other.program || !apart {
        return;
    }
    let creator = creation.by.party("creator");
    found.add(scene, &INFO, Severity::Medium, Some((call.key, creator.actor.euid)), &[creator.call, call.id], || {
        let key = call.key.cast_unsigned();
        let (project, device, inode) = (key >> 24, key >> 16 & 0xff, key & 0xffff);
        let values = vec![
            ("key", Value::Int32(call.key)),
            ("ftokProject", Value::Uint64(project.into())),
            ("ftokDevice", Value::Uint64(device.into())),
            ("ftokInode", Value::Uint64(inode.into())),
        ];
        let summary = format!(
            "asked for a queue of its own by key {key:#010x}, by which another program, pid {}, had created one; as ftok makes keys, \
             project {project}, device {device:#04x}, inode ending in {inode:#06x}",
            creator.actor.pid
        );
        Case { parties: vec![creator], ..Case::new(Confidence::Low, values, summary) }
    });
}

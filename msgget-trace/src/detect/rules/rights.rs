//! `handle_without_rights`: the id of a queue that its holder may not use. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    actor::passes_by_modes,
    scene::{Case, Findings, Scene},
};
use super::user;
use crate::event::Call;

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6814,
    id: "MSGGET-14",
    name: "handle_without_rights",
    version: "1.2.0",
    tag: Tag::UsedByOthers,
    description: "A process got the id of a queue whose mode grants it nothing: msgget with mode 0 asks for no right, so it succeeds on any \
                  queue",
    logic: "A queue was opened with mode 0, and its mode gives the caller neither as owner or creator nor as one of the group or others a \
            right. Root and CAP_IPC_OWNER excepted, which counts in the IPC namespaces of one's own user namespace. Info.",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "Supplementary groups are not known: a caller who has the right by one of these is told of, too. Where the queue could not \
                  be looked at, its owner and mode are taken to be those it was made with.",
    false_positives: "Programs that only look whether a queue is there.",
    response: "By itself little: the id can be guessed as well. Look at what the process does next: IPC_STAT and IPC_RMID fail with EACCES \
               and EPERM.",
};

/// Whose a queue is, and for whom: users, groups, mode.
struct Access {
    users: [Option<u32>; 2],
    groups: [Option<u32>; 2],
    mode: u16,
}

/// As it was stated, or as the queue was when it was seen to be made.
fn access(scene: &Scene<'_>, call: &Call) -> Option<Access> {
    if let Some(queue) = call.queue {
        let (users, groups) = ([queue.uid, queue.cuid], [queue.gid, queue.cgid]);
        return Some(Access { users: users.map(Some), groups: groups.map(Some), mode: queue.mode });
    }
    let queue = scene.queue?;
    let creator = &queue.creator.as_ref()?.actor;
    Some(Access { users: [creator.euid; 2], groups: [creator.egid; 2], mode: queue.mode? })
}

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) {
    let Some(euid) = scene.actor.euid else { return };
    if act.deed != Deed::Opened || call.flags.mode() != 0 || euid == 0 || passes_by_modes(&call.caller) {
        return;
    }
    let Some(Access { users, groups, mode }) = access(scene, call) else { return };
    // As `ipcperms`, ipc/util.c.
    let granted = if users.contains(&Some(euid)) {
        mode >> 6
    } else if scene.actor.egid.is_some() && groups.contains(&scene.actor.egid) {
        mode >> 3
    } else {
        mode
    };
    if granted & 0o6 != 0 {
        return;
    }
    found.add(scene, &INFO, Severity::Info, None, &[call.id], || {
        let values = vec![("key", Value::Int32(call.key)), ("mode", Value::Uint64(mode.into()))];
        let summary = format!(
            "got the id of queue {} of {}, whose mode {mode:04o} grants {} nothing",
            call.result,
            user(users[1]),
            user(Some(euid))
        );
        Case::new(Confidence::Medium, values, summary)
    });
}

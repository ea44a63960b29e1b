//! `handle_without_rights`: the id of a queue that its holder may not use. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    scene::{Case, Findings, Scene},
};
use super::user;
use crate::event::Call;

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6814,
    id: "MSGGET-14",
    name: "handle_without_rights",
    version: "1.0.0",
    tag: Tag::UsedByOthers,
    description: "A process got the id of a queue whose mode grants it nothing: msgget with mode 0 asks for no right, so it succeeds on any \
                  queue",
    logic: "A queue was opened with mode 0, and its mode gives the caller neither as owner or creator nor as one of the group or others a \
            right. Root and CAP_IPC_OWNER excepted. Info.",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "Supplementary groups are not known: a caller who has the right by one of these is told of, too.",
    false_positives: "Programs that only look whether a queue is there.",
    response: "By itself little: the id can be guessed as well. Look at what the process does next: IPC_STAT and IPC_RMID fail with EACCES \
               and EPERM.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) {
    let (Some(queue), Some(euid)) = (call.queue, scene.actor.euid) else { return };
    if act.deed != Deed::Opened || call.flags.mode() != 0 || euid == 0 || scene.actor.privilege == Some("CAP_IPC_OWNER")
    {
        return;
    }
    // As `ipcperms`, ipc/util.c.
    let granted = if euid == queue.uid || euid == queue.cuid {
        queue.mode >> 6
    } else if scene.actor.egid.is_some_and(|egid| egid == queue.gid || egid == queue.cgid) {
        queue.mode >> 3
    } else {
        queue.mode
    };
    if granted & 0o6 != 0 {
        return;
    }
    found.add(scene, &INFO, Severity::Info, None, &[call.id], || {
        let values = vec![("key", Value::Int32(call.key)), ("mode", Value::Uint64(queue.mode.into()))];
        let summary = format!(
            "got the id of queue {} of {}, whose mode {:04o} grants {} nothing",
            call.result,
            user(Some(queue.cuid)),
            queue.mode,
            user(Some(euid))
        );
        Case::new(Confidence::Medium, values, summary)
    });
}

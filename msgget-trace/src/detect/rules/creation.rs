//! `create_without_exclusive`: IPC_CREAT without IPC_EXCL takes whatever is there. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    scene::{Case, Findings, Scene},
};
use crate::event::{Call, MsgFlags};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6802,
    id: "MSGGET-2",
    name: "create_without_exclusive",
    version: "1.0.0",
    tag: Tag::Toctou,
    description: "A program asked for a queue to be created without IPC_EXCL: it gets whatever has the key, and cannot tell its own \
                  queue from one that somebody put there before",
    logic: "Shared key, IPC_CREAT without IPC_EXCL, success. Low when a queue was made, info when the user's own was opened. Who gets \
            another user's queue is told of by squatted_key.",
    cwe: Some("CWE-283"),
    attack: None,
    rises: true,
    blind_spots: "A program may look at the queue's creator afterwards (IPC_STAT), which would make this safe.",
    false_positives: "Processes that share a queue and do not care who makes it: fakeroot's, perl's IPC::Msg, PHP's msg_get_queue.",
    response: "Let the owner create with IPC_EXCL and all others open without IPC_CREAT; or check msg_perm.cuid before the first use.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) {
    if !act.create || call.flags.has(MsgFlags::IPC_EXCL) || call.result < 0 {
        return;
    }
    let (severity, what) = match act.deed {
        Deed::Created => (Severity::Low, "made"),
        Deed::Opened => (Severity::Info, "opened"),
        _ => (Severity::Low, "made or opened"),
    };
    found.add(scene, &INFO, severity, None, &[call.id], || {
        let summary = format!(
            "{what} queue {} by key {:#010x} with IPC_CREAT but without IPC_EXCL, so whose queue it would be was left to chance",
            call.result, call.key
        );
        Case::new(Confidence::Medium, vec![("key", Value::Int32(call.key))], summary)
    });
}

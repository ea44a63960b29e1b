//! `destroy_and_recreate`: a process removes a queue and creates it anew. A call goes in, with the acts on its key before.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed, Window},
    scene::{Case, Findings, Scene},
};
use super::{check::LONGEST, duration};
use crate::event::{Call, MsgFlags};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6805,
    id: "MSGGET-5",
    name: "destroy_and_recreate",
    version: "1.0.0",
    tag: Tag::Toctou,
    description: "A process removed the queue of a key and then created it anew: in between the key was anybody's, and others still \
                  hold the id of the old queue",
    logic: "One process, one key, within 60 s: IPC_RMID, then a call with IPC_CREAT, and nothing else on that key between. Medium; low \
            with IPC_EXCL.",
    cwe: Some("CWE-367"),
    attack: None,
    rises: true,
    blind_spots: "A queue whose creation was not seen has no known key, so its removal is not tied to one (but on fexit). Removal by one \
                  process and creation by another.",
    false_positives: "A server that starts afresh and is the only one to use the key.",
    response: "Keep the queue and drain it; or create with IPC_EXCL and treat EEXIST as an attack.",
};

/// The window that `act` closes, if the process had removed the queue.
pub(super) fn window<'a>(before: Option<&'a Act>, act: &'a Act) -> Option<Window<'a>> {
    let from = before.filter(|from| act.create && from.deed == Deed::Removed)?;
    (act.earliest().since(from.by.left) <= LONGEST).then_some(Window { from, to: act })
}

/// True if it matched.
pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) -> bool {
    let Some(window) = window(scene.history.before(act), act) else { return false };
    let (least, most, removal) = (window.least(), window.most(), window.from.by.call());
    let exclusive = call.flags.has(MsgFlags::IPC_EXCL);
    let lost = matches!(act.deed, Deed::Exists | Deed::Opened | Deed::Denied);
    let severity = if exclusive && !lost { Severity::Low } else { Severity::Medium };
    found.add(scene, &INFO, severity, None, &[removal, call.id], || {
        let mut values = vec![("key", Value::Int32(call.key))];
        values.extend(least.map(|least| ("windowNs", Value::Uint64(least))));
        values.push(("windowMaxNs", Value::Uint64(most)));
        let end = if lost { "; by then somebody else had created it" } else { "" };
        let time = duration(least.unwrap_or(most));
        let summary = format!("removed the queue of key {:#010x} and asked for a new one {time} later{end}", call.key);
        Case::new(Confidence::Medium, values, summary)
    });
    true
}

//! `check_then_create`: a process finds that a key has no queue, then creates one. A call goes in, with the acts on its key before.
//!
//! Between the two calls anybody may create the queue: without IPC_EXCL the second call then opens a stranger's, with it the call
//! fails.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed, Window},
    scene::{Case, Findings, Scene},
};
use super::duration;
use crate::event::{Call, Errno, MsgFlags};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6803,
    id: "MSGGET-3",
    name: "check_then_create",
    version: "2.0.0",
    tag: Tag::Toctou,
    description: "A process checked that a key had no message queue and then created one: in between, another process could have \
                  created it",
    logic: "One process, one key, within 60 s: ENOENT without IPC_CREAT, then a call with IPC_CREAT, and nothing else on that key \
            between. Low when IPC_EXCL made it safe; medium without it, or when IPC_EXCL failed, which proves that somebody was faster.",
    cwe: Some("CWE-367"),
    attack: None,
    rises: true,
    blind_spots: "A check by one process and the creation by another; a check that was only counted (aggregate) or lost; twelve other acts on the key in \
                  between.",
    false_positives: "PHP's msg_get_queue always does this, and most callers of it have no rival.",
    response: "Drop the check: create with IPC_CREAT and IPC_EXCL, and open on EEXIST only what has the right creator.",
};

/// A check older than this has been forgotten by the process, too: 60 s, in ns.
pub(super) const LONGEST: u64 = 60_000_000_000;

/// The window that `act` closes, if the process had found no queue.
pub(super) fn window<'a>(before: Option<&'a Act>, act: &'a Act) -> Option<Window<'a>> {
    let from = before.filter(|from| act.create && from.deed == Deed::Missing && !from.create)?;
    (act.earliest().since(from.by.left) <= LONGEST).then_some(Window { from, to: act })
}

/// True if it matched.
pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) -> bool {
    let Some(window) = window(scene.history.before(act), act) else { return false };
    let (least, most, check) = (window.least(), window.most(), window.from.by.call());
    let exclusive = call.flags.has(MsgFlags::IPC_EXCL);
    let lost = call.errno() == Some(Errno::EEXIST);
    // With IPC_EXCL the race can be lost but not exploited, unless it just was lost.
    let severity = if exclusive && !lost { Severity::Low } else { Severity::Medium };
    found.add(scene, &INFO, severity, None, &[check, call.id], || {
        let mut values = vec![("key", Value::Int32(call.key))];
        values.extend(least.map(|least| ("windowNs", Value::Uint64(least))));
        values.push(("windowMaxNs", Value::Uint64(most)));
        values.push(("checkId", Value::Call(check)));
        values.push(("createId", Value::Call(call.id)));
        let end = match () {
            () if lost => "somebody else had created it in between, and IPC_EXCL noticed",
            () if act.deed == Deed::Denied => "somebody else had created it in between, and the call was refused",
            () if exclusive => "IPC_EXCL would have noticed somebody else's",
            () if act.deed == Deed::Opened => "it got a queue that somebody else had created in between",
            () => "without IPC_EXCL it would have taken somebody else's",
        };
        let summary = format!(
            "found no queue by key {:#010x} and asked for one {} later: {end}",
            call.key,
            duration(least.unwrap_or(most))
        );
        Case::new(if lost { Confidence::High } else { Confidence::Medium }, values, summary)
    });
    true
}

//! `exclusive_then_fallback`: a process is told that the queue exists, and takes it as it is. A call goes in, with the acts on its key
//! before.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed, Window},
    scene::{Case, Findings, Scene},
};
use super::{check::LONGEST, duration, squatting};
use crate::event::Call;

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6804,
    id: "MSGGET-4",
    name: "exclusive_then_fallback",
    version: "1.0.0",
    tag: Tag::Toctou,
    description: "A process tried to create a queue with IPC_EXCL, was told that it exists, and then opened whatever was there: what \
                  IPC_EXCL is for was given away",
    logic: "One process, one key, within 60 s: EEXIST, then success without IPC_EXCL, and nothing else on that key between. Info when \
            the queue's creator is the same user, high when it is another (but root), low when that is not known.",
    cwe: Some("CWE-283"),
    attack: None,
    rises: true,
    blind_spots: "Whether the process looks at the queue's creator before it uses it (IPC_STAT).",
    false_positives: "A service that is restarted and finds the queue of its former self.",
    response: "After EEXIST use the queue only if msg_perm.cuid is a user you trust.",
};

/// The window that `act` closes, if the process had been told that there is a queue.
pub(super) fn window<'a>(before: Option<&'a Act>, act: &'a Act) -> Option<Window<'a>> {
    let from = before.filter(|from| from.deed == Deed::Exists)?;
    let got = matches!(act.deed, Deed::Opened | Deed::MayHaveCreated | Deed::Created);
    (got && act.earliest().since(from.by.left) <= LONGEST).then_some(Window { from, to: act })
}

/// True if it matched.
pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) -> bool {
    if act.deed == Deed::Created {
        return false;
    }
    let Some(window) = window(scene.history.before(act), act) else { return false };
    let (least, most, first) = (window.least(), window.most(), window.from.by.call());
    let cuid = squatting::creator(scene, call);
    let severity = match cuid {
        _ if squatting::stranger(scene, cuid) => Severity::High,
        Some(_) => Severity::Info,
        None => Severity::Low,
    };
    found.add(scene, &INFO, severity, None, &[first, call.id], || {
        let mut values = vec![("key", Value::Int32(call.key))];
        values.extend(cuid.map(|cuid| ("creatorUserId", Value::Uint64(cuid.into()))));
        values.extend(least.map(|least| ("windowNs", Value::Uint64(least))));
        values.push(("windowMaxNs", Value::Uint64(most)));
        let summary = format!(
            "was told that a queue has key {:#010x}, and took queue {} of {} {} later",
            call.key,
            call.result,
            super::user(cuid),
            duration(least.unwrap_or(most))
        );
        Case::new(Confidence::Medium, values, summary)
    });
    true
}

//! `weak_mode`: a queue that strangers may use. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    scene::{Case, Findings, Scene},
};
use super::user;
use crate::event::{Call, IPC_PRIVATE, Outcome};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6808,
    id: "MSGGET-8",
    name: "weak_mode",
    version: "1.0.0",
    tag: Tag::WeakMode,
    description: "The mode of a queue lets any user read from it or write to it",
    logic: "A queue was made with a mode that lets others read or write: medium with a shared key, low without a key, low where only the \
            group may write. High when another user than the creator, and not root, then opens it.",
    cwe: Some("CWE-732"),
    attack: None,
    rises: true,
    blind_spots: "Modes set later by IPC_SET. Use by id alone, which needs no msgget.",
    false_positives: "0666 is the default of PHP's msg_get_queue and common in examples; the umask is not applied to queues.",
    response: "Pass 0600 (0660 for a group). Until then, treat what is read from the queue as anybody's.",
};

/// Read or write for others; write for the group.
const OTHERS: u16 = 0o006;
const GROUP: u16 = 0o020;

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    match call.outcome {
        Outcome::Created => created(scene, call, found),
        Outcome::Opened => opened(scene, call, found),
        _ => {}
    }
}

fn created(scene: &Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    let mode = call.flags.mode();
    let severity = match mode {
        mode if mode & OTHERS != 0 && call.key != IPC_PRIVATE => Severity::Medium,
        mode if mode & (OTHERS | GROUP) != 0 => Severity::Low,
        _ => return,
    };
    found.add(scene, &INFO, severity, None, &[call.id], || {
        let whom = if mode & OTHERS != 0 { "any user" } else { "its group" };
        let summary = format!("made queue {} with mode {mode:04o}, which lets {whom} use it", call.result);
        Case::new(Confidence::High, values(call, mode), summary)
    });
}

fn opened(scene: &Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    let known = scene.queue;
    let mode = call.queue.map(|queue| queue.mode).or_else(|| known?.mode);
    let cuid = call.queue.map(|queue| queue.cuid).or_else(|| known?.cuid);
    let (Some(mode), Some(cuid)) = (mode, cuid) else { return };
    if mode & OTHERS == 0 || scene.actor.euid == Some(0) || !scene.actor.other_user(Some(cuid)) {
        return;
    }
    let creator = known.and_then(|queue| queue.creator.as_ref()).map(|creator| creator.party("creator"));
    let evidence: Vec<_> = creator.iter().map(|creator| creator.call).chain([call.id]).collect();
    found.add(scene, &INFO, Severity::High, Some((call.key, Some(cuid))), &evidence, || {
        let summary = format!(
            "opened queue {} of {} as {}: its mode {mode:04o} lets any user use it",
            call.result,
            user(Some(cuid)),
            user(scene.actor.euid)
        );
        Case { parties: creator.into_iter().collect(), ..Case::new(Confidence::Medium, values(call, mode), summary) }
    });
}

fn values(call: &Call, mode: u16) -> Vec<(&'static str, Value)> {
    vec![("key", Value::Int32(call.key)), ("mode", Value::Uint64(mode.into()))]
}

//! `squatted_key`: who believes a key to be his own finds another user's queue there. A call goes in, with what is known of the queue.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed},
    scene::{Case, Findings, Scene},
};
use super::user;
use crate::event::Call;

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6806,
    id: "MSGGET-6",
    name: "squatted_key",
    version: "1.0.0",
    tag: Tag::Squatted,
    description: "A program that asked for a queue to be created got, or ran into, one that another user had created under that key: \
                  its creator can read, forge and remove what goes through it",
    logic: "A call with IPC_CREAT on a shared key that opened a queue, or failed with EEXIST or EACCES, where the queue's creator is \
            neither root nor the caller's user. High when the caller is root, has more rights than whoever started it, or had the key \
            before; else medium.",
    cwe: Some("CWE-283"),
    attack: None,
    rises: true,
    blind_spots: "Of a queue that could not be opened the creator is only known if its creation was seen, and if its record \
                  came first: of a race as close as that only the race is told. A creator that was root.",
    false_positives: "Services that share a queue between users, and whose clients pass IPC_CREAT: an exception for the key and the \
                      executable is right for these.",
    response: "Find out who created the queue (parties) and whether that service should; remove it and start the victim again before the \
               squatter does.",
};

/// Effective user of the creator of the queue that `call` got or ran into, as far as that is known.
pub(super) fn creator(scene: &Scene<'_>, call: &Call) -> Option<u32> {
    if let Some(queue) = call.queue {
        return Some(queue.cuid);
    }
    if call.result >= 0 {
        return scene.queue?.cuid;
    }
    standing(scene)?.by.actor.euid
}

/// The act that created the queue which has the key now.
fn standing<'a>(scene: &Scene<'a>) -> Option<&'a Act> {
    let creation = scene.history.latest_creation()?;
    let alive = scene.queues.peek(&(scene.place.space, creation.queue?))?.removed.is_none();
    alive.then_some(creation)
}

/// True if that is somebody whom the caller has no reason to trust.
pub(super) fn stranger(scene: &Scene<'_>, cuid: Option<u32>) -> bool {
    cuid.is_some_and(|cuid| cuid != 0) && scene.actor.other_user(cuid)
}

/// True if it matched.
pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, act: &Act, found: &mut Findings<'_>) -> bool {
    let ran_into = matches!(act.deed, Deed::Opened | Deed::Exists | Deed::Denied);
    if !act.create || !ran_into {
        return false;
    }
    let cuid = creator(scene, call);
    if !stranger(scene, cuid) {
        return false;
    }
    let had_it = scene.history.made_by(scene.actor.euid);
    let severity = if scene.actor.euid == Some(0) || had_it { Severity::High } else { Severity::Medium };
    let made = standing(scene).map(|creation| creation.by.party("creator"));
    let evidence: Vec<_> = made.iter().map(|creator| creator.call).chain([call.id]).collect();
    found.add(scene, &INFO, severity, Some((call.key, cuid)), &evidence, || {
        let mut values = vec![("key", Value::Int32(call.key))];
        values.extend(cuid.map(|cuid| ("creatorUserId", Value::Uint64(cuid.into()))));
        let got = match act.deed {
            Deed::Opened => format!("got queue {}", call.result),
            Deed::Exists => "could not create its queue (EEXIST)".to_owned(),
            _ => "was refused (EACCES)".to_owned(),
        };
        let before = if had_it { ", which it had had before" } else { "" };
        let summary = format!(
            "asked as {} for a queue of its own by key {:#010x}{before}, and {got}: {} had created it",
            user(scene.actor.euid),
            call.key,
            user(cuid)
        );
        Case { parties: made.into_iter().collect(), ..Case::new(Confidence::Medium, values, summary) }
    });
    true
}

//! The races that were run: somebody made the queue in the window that a process had left. An act goes in, with those before it on
//! its key; it may be the one that closes a window, or one that was in it and whose record comes later.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    act::{Act, Deed, Window},
    finding::Certainty,
    scene::{Case, Findings, Scene},
    story::Grade,
};
use super::{check, duration, fallback, recreate, user};

/// The text that is the same for all of them.
macro_rules! raced {
    ($event_id:literal, $id:literal, $name:literal, $what:literal) => {
        RuleInfo {
            event_id: $event_id,
            id: $id,
            name: $name,
            version: "1.1.0",
            tag: Tag::Raced,
            description: concat!(
                "Another process created the queue of the same key in the window that a process had left open when it ",
                $what
            ),
            logic: "The pattern of the rule without _raced, and a creation of that key by another process that lies in the window \
                 (definite: by the order of the calls, or because the queue it made is the one that was got) or overlaps it, or \
                 may be a creation, or made another queue than the one that was got, or one that was gone by then, or stands where \
                 calls were lost or only counted (possible). High when the other one is another \
                 user, low when it is the same, and raised as the pattern's is.",
            cwe: Some("CWE-367"),
            attack: None,
            rises: true,
            blind_spots: "A rival whose call was only counted or lost is not named: then the pattern alone is told. The last twelve acts on \
                          a key are remembered.",
            false_positives: "Two instances of one service that start at once, as the same user.",
            response: "Treat what was read from or written to the queue since then as known to, and chosen by, the rival; stop both, \
                       remove the queue, find out what the rival is.",
        }
    };
}

pub(super) static CHECK: RuleInfo =
    raced!(6819, "MSGGET-19", "check_then_create_raced", "checked that there was none and then asked for one");
pub(super) static RECREATE: RuleInfo =
    raced!(6820, "MSGGET-20", "destroy_and_recreate_raced", "removed it and then asked for a new one");
pub(super) static FALLBACK: RuleInfo = raced!(
    6821,
    "MSGGET-21",
    "exclusive_then_fallback_raced",
    "was told that there was one and then opened what was there"
);

/// A race that was run.
struct Race {
    rule: &'static RuleInfo,
    from: Act,
    rival: Act,
    to: Act,
    certainty: Certainty,
    window: (Option<u64>, u64),
}

impl Race {
    fn new(rule: &'static RuleInfo, window: &Window<'_>, rival: &Act, certainty: Certainty) -> Self {
        let (from, to) = (window.from.clone(), window.to.clone());
        Self { rule, from, rival: rival.clone(), to, certainty, window: (window.least(), window.most()) }
    }
}

/// The rule whose pattern the two acts are.
fn pattern<'a>(from: Option<&'a Act>, to: &'a Act) -> Option<(&'static RuleInfo, Window<'a>)> {
    let raced = |rule| move |window| (rule, window);
    // Whoever made the queue himself was not overtaken.
    if to.deed == Deed::Created {
        return None;
    }
    check::window(from, to)
        .map(raced(&CHECK))
        .or_else(|| recreate::window(from, to).map(raced(&RECREATE)))
        .or_else(|| fallback::window(from, to).map(raced(&FALLBACK)))
}

pub(super) fn observe(scene: &mut Scene<'_>, act: &Act, found: &mut Findings<'_>) {
    let key = match scene.event.call() {
        Some(call) => call.key,
        None => return,
    };
    let history = scene.history;
    let mut races = Vec::new();
    if let Some((rule, window)) = pattern(history.before(act), act)
        && let Some((rival, certainty)) = history.rival(&window)
    {
        races.push(Race::new(rule, &window, rival, certainty));
    }
    if matches!(act.deed, Deed::Created | Deed::MayHaveCreated) {
        let missed = history.missed(act).filter_map(|(window, certainty)| {
            let (rule, window) = pattern(Some(window.from), window.to)?;
            Some(Race::new(rule, &window, act, certainty))
        });
        races.extend(missed);
    }
    for race in races {
        tell(scene, key, race, found);
    }
}

fn tell(scene: &Scene<'_>, key: i32, race: Race, found: &mut Findings<'_>) {
    let Race { rule, from, rival, to, certainty, window: (least, most) } = race;
    let certainty = scene.sure(certainty, from.earliest(), to.latest());
    let foreign = rival.by.actor.other_user(to.by.actor.euid);
    let severity = if foreign { Severity::High } else { Severity::Low };
    // In the order in which they happened, so that the id is the same in whichever order their records came.
    let mut evidence = [(from.by.left, from.by.call()), (rival.by.left, rival.by.call()), (to.by.left, to.by.call())];
    evidence.sort_by_key(|(left, id)| (*left, id.position));
    let evidence = evidence.map(|(_, id)| id);
    let grade = Grade { severity, certainty: Some(certainty) };
    found.add(scene, rule, grade, Some((key, rival.by.actor.euid)), &evidence, || {
        let mut values = vec![("key", Value::Int32(key))];
        values.extend(least.map(|least| ("windowNs", Value::Uint64(least))));
        values.push(("windowMaxNs", Value::Uint64(most)));
        values.push(("rivalId", Value::Call(rival.by.call())));
        let after = rival.latest().since(from.by.left);
        let summary = format!(
            "pid {} ({}) left key {key:#010x} open for {}, and pid {} ({}) created the queue {} after it began: {}",
            to.by.actor.pid,
            user(to.by.actor.euid),
            duration(least.unwrap_or(most)),
            rival.by.actor.pid,
            user(rival.by.actor.euid),
            duration(after),
            match to.deed {
                Deed::Exists => "the creation then failed",
                Deed::Denied => "the call was then refused",
                _ if rival.made_another(&to) => "the queue that was then got is another one",
                _ => "its queue is what was then got",
            }
        );
        Case {
            confidence: if certainty == Certainty::Definite { Confidence::High } else { Confidence::Medium },
            parties: vec![to.by.party("victim"), rival.by.party("rival")],
            values,
            summary,
        }
    });
}

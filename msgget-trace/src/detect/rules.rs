//! The rules, a file per family. A scene goes to each of them in turn; what matches comes out as findings.

mod check;
mod collision;
mod creation;
mod entry;
mod exhaustion;
mod fallback;
mod mode;
mod private;
mod privileged;
mod race;
mod recreate;
mod reuse;
mod rights;
mod scan;
mod sharing;
mod spray;
mod squatting;
mod usage;

use super::{
    RuleInfo,
    act::Act,
    scene::{Findings, Scene},
};
use crate::event::{Attributed, Call, Control, Counts, Use};

/// All rules, by number.
pub static RULES: [&RuleInfo; 24] = [
    &private::PRIVATE,
    &creation::INFO,
    &check::INFO,
    &fallback::INFO,
    &recreate::INFO,
    &squatting::INFO,
    &collision::INFO,
    &mode::INFO,
    &scan::INFO,
    &exhaustion::FULL,
    &spray::INFO,
    &sharing::INFO,
    &privileged::INFO,
    &rights::INFO,
    &entry::INFO,
    &private::ACCIDENTAL,
    &reuse::INFO,
    &exhaustion::LEAK,
    &race::CHECK,
    &race::RECREATE,
    &race::FALLBACK,
    &usage::REMOVED,
    &usage::CHANGED,
    &usage::STALE,
];

/// Asks every rule about `call`, which was executed.
pub(super) fn observe_call(scene: &mut Scene<'_>, call: &Call, act: Option<&Act>, found: &mut Findings<'_>) {
    entry::observe(scene, call, found);
    private::observe(scene, call, found);
    spray::observe(scene, call, found);
    mode::observe(scene, call, found);
    exhaustion::observe(scene, call, found);
    reuse::observe(scene, call, found);
    let Some(act) = act else { return };
    scan::observe(scene, call, act, found);
    let prone = check::observe(scene, call, act, found)
        || recreate::observe(scene, call, act, found)
        || fallback::observe(scene, call, act, found);
    let squatted = squatting::observe(scene, call, act, found);
    // These say all that the next two would say.
    if !prone && !squatted {
        creation::observe(scene, call, act, found);
    }
    if !squatted {
        collision::observe(scene, call, act, found);
    }
    sharing::observe(scene, call, act, found);
    rights::observe(scene, call, act, found);
    race::observe(scene, act, found);
}

/// Asks every rule about `control`, which was executed.
pub(super) fn observe_control(scene: &mut Scene<'_>, control: &Control, found: &mut Findings<'_>) {
    usage::observe(scene, control, found);
    spray::observe_removal(scene, control);
}

/// Asks every rule about `used`.
pub(super) fn observe_use(scene: &mut Scene<'_>, used: &Use, found: &mut Findings<'_>) {
    usage::observe_use(scene, used, found);
}

/// Asks the rules that count about calls of the process of `scene` that were only counted.
pub(super) fn observe_aggregate(scene: &mut Scene<'_>, counts: &Counts, of: &Attributed, found: &mut Findings<'_>) {
    scan::observe_aggregate(scene, counts, of, found);
    spray::observe_aggregate(scene, counts, of, found);
}

/// Nanoseconds, as people read them.
fn duration(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} us", ns / 1_000),
        10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

/// A user id, as people read it.
fn user(id: Option<u32>) -> String {
    id.map_or_else(|| "an unknown user".to_owned(), |id| format!("uid {id}"))
}

//! The end of a `msgsnd` or `msgrcv` that found no queue goes in, its record comes out. On every rung; and only where that was
//! asked for, because no other program of ours looks at messages.
//!
//! Only the end: noting the beginning would cost each message an atomic exchange, for the sake of the few that fail.

use msgget_trace_ebpf::{Call, EVICTED, Position};

use super::now;
use crate::{
    budget::affords,
    current::describe,
    door::used::Used,
    image::announce,
    maps,
    slot::Pairing,
    submit::{send, step},
    task::Task,
    wanted::followed,
};

/// `task`, the current one, was told by `ret` that there is no such queue. Its record is put together in the scratch element
/// `place`.
#[inline(always)]
pub(super) fn failed(place: u32, task: Task, used: &Used, ret: i64) {
    if !followed() {
        return;
    }
    let now = now();
    if !affords(task, now) {
        maps::count(|counters| {
            step(&mut counters.uses_seen, 1);
            step(&mut counters.uses_past_budget, 1);
        });
        return;
    }
    let pairing = Pairing { how: EVICTED, enter_ns: 0, before: Position::default(), noted: 0 };
    let Some(call) = describe(place, &used.door, &pairing, now, ret) else { return };
    call.header = Call::USE;
    call.before = used.message.into();
    announce(call, place);
    maps::count(|counters| {
        step(&mut counters.uses_seen, 1);
        step(&mut counters.uses_submitted, 1);
    });
    if !send(call) {
        maps::count(|counters| {
            step(&mut counters.uses_submitted, -1);
            step(&mut counters.uses_lost, 1);
        });
    }
}

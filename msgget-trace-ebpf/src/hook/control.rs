//! The edges of a `msgctl` that removes or changes a queue go in, its record comes out. On the rungs that pair edges by
//! thread; the record's last step is that of every rung.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::{debug, warn};
use msgget_trace_ebpf::{Call, PAIRED};

use super::now;
use crate::{
    current::describe,
    door::Door,
    image::announce,
    maps::{self, CONTROLS},
    slot,
    submit::{send, step},
    task::Task,
    wanted::followed,
};

/// It begins.
#[inline(always)]
pub(super) fn entered<C: EbpfContext>(ctx: &C, task: Task) {
    if !followed() {
        return;
    }
    let tid = task.tid();
    if slot::enter(tid, now(), None) {
        maps::count(|counters| counters.slot_collisions += 1);
        warn!(ctx, "thread {} evicted another from their common slot", tid);
    }
}

/// It ends, or was refused before it began.
#[inline(always)]
pub(super) fn left<C: EbpfContext>(ctx: &C, task: Task, door: &Door, ret: i64) {
    if !followed() {
        return;
    }
    let now = now();
    let tid = task.tid();
    let pairing = slot::exit(tid, now);
    let Some(call) = describe(CONTROLS, door, &pairing, now, ret) else { return };
    submit(call);
    slot::leave(tid, &pairing);
    if pairing.how != PAIRED {
        debug!(ctx, "thread {} left msgctl({}, {}) = {} but had not entered it", tid, door.key, door.msgflg, ret);
    }
}

/// Sends `call`, which the current task made and which is described but for its kind, and counts it as calls are.
#[inline(always)]
pub(super) fn submit(call: &mut Call) {
    call.header = Call::CONTROL;
    announce(call, CONTROLS);
    maps::count(|counters| {
        step(&mut counters.controls_seen, 1);
        step(&mut counters.controls_submitted, 1);
    });
    if !send(call) {
        maps::count(|counters| {
            step(&mut counters.controls_submitted, -1);
            step(&mut counters.controls_lost, 1);
        });
    }
}

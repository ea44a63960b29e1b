//! The ways in. Each file is one rung's programs: what the kernel calls goes in, an edge of a call comes out. Both edges
//! are the same on every rung that pairs them by thread, and stand here.

mod control;
mod fexit;
mod lifecycle;
mod tp_btf;
mod tracepoint;
mod used;

use aya_ebpf::{EbpfContext, helpers::generated::bpf_ktime_get_boot_ns};
use aya_log_ebpf::{debug, warn};
use msgget_trace_ebpf::{Call, EVICTED, FACT_NONE, NOT_EXECUTED, PAIRED, Position};

use crate::{
    budget::{Returned, admits},
    current::{describe, is_daemon},
    door::Door,
    image::announce,
    maps::{self, CALLS},
    position::position,
    slot,
    submit::{step, submit},
    task::Task,
    wanted::{followed, in_scope},
};

/// `IPC_CREAT` and `IPC_EXCL`, include/uapi/linux/ipc.h.
pub(crate) const IPC_CREAT: i32 = 0o1000;
pub(crate) const IPC_EXCL: i32 = 0o2000;

/// The boot clock, ns.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// True for a call whose flags do not tell, should it succeed, whether it created or opened.
#[inline(always)]
fn undecided(key: i32, msgflg: i32) -> bool {
    key != 0 && msgflg & (IPC_CREAT | IPC_EXCL) == IPC_CREAT
}

/// True for a call that, whoever makes it, may have created what a wanted and undecided one returned.
#[inline(always)]
fn may_create(key: i32, msgflg: i32) -> bool {
    key != 0 && msgflg & IPC_CREAT != 0
}

/// A call begins: who and when is noted, and where the allocation of ids stands if that will be needed.
#[inline(always)]
fn entered<C: EbpfContext>(ctx: &C, task: Task, key: i32, msgflg: i32) {
    if !may_create(key, msgflg) && !followed() {
        return;
    }
    // The time first: whoever creates a queue after it, and so after the position is read, overlaps this call.
    let now = now();
    let before = if undecided(key, msgflg) { Some(position()) } else { None };
    let tid = task.tid();
    if slot::enter(tid, now, before) {
        maps::count(|counters| counters.slot_collisions += 1);
        warn!(ctx, "thread {} evicted another from their common slot", tid);
    }
}

/// A call ends, or was refused before it began: either way this is where it becomes a record.
#[inline(always)]
fn left<C: EbpfContext>(ctx: &C, task: Task, door: &Door, ret: i64) {
    let (followed, witness) = (followed(), may_create(door.key, door.msgflg));
    if !followed && !witness {
        return;
    }
    let after = if ret >= 0 && undecided(door.key, door.msgflg) { position() } else { Position::default() };
    // The position first: whoever created a queue before it was read overlaps this call.
    let now = now();
    let tid = task.tid();
    let pairing = slot::exit(tid, now);
    let wanted = followed && in_scope(door);
    let returned = Returned { door, pairing: &pairing, fact: FACT_NONE, after, ret, now, witness: !wanted };
    let needed = wanted || (witness && ret >= 0);
    if !needed && followed {
        left_out();
    }
    if needed && admits(task, &returned) {
        let Some(call) = describe(CALLS, door, &pairing, now, ret) else { return };
        call.witness = u32::from(!wanted);
        call.after = after;
        if after.valid == 0 {
            call.before = after;
        }
        if wanted {
            announce(call, CALLS);
        }
        submit(call);
        count_canary(call);
    }
    slot::leave(tid, &pairing);
    if pairing.how != PAIRED {
        maps::count(|counters| {
            counters.not_executed += u64::from(pairing.how == NOT_EXECUTED);
            counters.unpaired += u64::from(pairing.how == EVICTED);
        });
        debug!(ctx, "thread {} left msgget({}, {}) = {} but had not entered it", tid, door.key, door.msgflg, ret);
    }
}

/// Counts a call that no policy can want.
#[inline(always)]
fn left_out() {
    maps::count(|counters| {
        step(&mut counters.seen, 1);
        step(&mut counters.out_of_scope, 1);
    });
}

/// Counts the daemon's own proving calls, so that it knows how far a lost one came.
#[inline(always)]
fn count_canary(call: &Call) {
    if call.key as u32 == maps::reader().canary_key && is_daemon() {
        maps::count(|counters| counters.canaries += 1);
    }
}

//! The `tracepoint` rung: `syscalls:sys_enter_msgget` and `sys_exit_msgget` go in, records of 64-bit calls come out.
//!
//! Blind to 32-bit entry (`int 0x80`): `perf_syscall_enter` finds no number for such calls (kernel/trace/trace_syscalls.c).

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_ktime_get_boot_ns, macros::tracepoint, programs::TracePointContext,
};
use aya_log_ebpf::{debug, warn};
use msgget_trace_ebpf::{EVICTED, NOT_EXECUTED, PAIRED};

use crate::{
    hook::wanted,
    maps, slot,
    submit::submit,
    task::{Task, frozen},
};

/// Where the return value stands: `events/syscalls/sys_exit_msgget/format`, the same on every 64-bit kernel since 2.6.31.
const RET: usize = 16;

/// A call begins: nothing is known yet but who and when.
#[tracepoint]
fn msgget_enter(ctx: TracePointContext) -> u32 {
    if wanted() {
        let tid = ctx.pid();
        // SAFETY: no preconditions.
        if slot::enter(tid, unsafe { bpf_ktime_get_boot_ns() }) {
            maps::count(|counters| counters.slot_collisions += 1);
            warn!(&ctx, "thread {} evicted another from their common slot", tid);
        }
    }
    0
}

/// A call ends, or was refused before it began: either way this is where it becomes a record.
#[tracepoint]
fn msgget_exit(ctx: TracePointContext) -> u32 {
    if !wanted() {
        return 0;
    }
    // SAFETY: a plain load from the context, which the verifier bounds; `read_at` would be a helper call.
    let ret = unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u8>().add(RET).cast::<i64>()) };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let task = Task::current();
    let pairing = slot::exit(ctx.pid(), now);
    let call = task.call(pairing, now, ret);
    submit(&call);
    if call.key as u32 == frozen!(CONFIG.canary_key) && task.is_daemon() {
        maps::count(|counters| counters.canaries += 1);
    }
    if pairing.how != PAIRED {
        maps::count(|counters| {
            counters.not_executed += u64::from(pairing.how == NOT_EXECUTED);
            counters.unpaired += u64::from(pairing.how == EVICTED);
        });
        debug!(
            &ctx,
            "thread {} left msgget({}, {}) = {} but had not entered it", call.tid, call.key, call.msgflg, ret
        );
    }
    0
}

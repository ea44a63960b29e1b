//! The `tracepoint` rung: `syscalls:sys_{enter,exit}_msgget` and `_msgctl` go in, the edges of 64-bit calls come out; and if
//! asked for, `sys_exit_msgsnd` and `_msgrcv`, and the ends of those that found no queue.
//!
//! Blind to 32-bit entry (`int 0x80`): `perf_syscall_enter` finds no number for such calls (kernel/trace/trace_syscalls.c).

use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};

use crate::{
    door::{
        Door, changes, registers,
        used::{MSGRCV_64, MSGSND_64, Used, stale},
    },
    hook::{control, entered, left, used::failed},
    maps::{RECEIPTS, SENDS},
    task::Task,
};

/// Where arguments and result stand: `events/syscalls/sys_{enter,exit}_msg{get,ctl,snd,rcv}/format`, the same on every 64-bit
/// kernel since 2.6.31.
const KEY: usize = 16;
const MSGFLG: usize = 24;
const CMD: usize = 24;
const RET: usize = 16;

/// A plain load from the context, which the verifier bounds; aya's `read_at` would be a helper call.
#[inline(always)]
fn word(ctx: &TracePointContext, offset: usize) -> i64 {
    // SAFETY: all offsets above lie inside the context of their tracepoint.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u8>().add(offset).cast::<i64>()) }
}

#[tracepoint]
fn msgget_enter(ctx: TracePointContext) -> u32 {
    entered(&ctx, Task::current(), word(&ctx, KEY) as i32, word(&ctx, MSGFLG) as i32);
    0
}

#[tracepoint]
fn msgget_exit(ctx: TracePointContext) -> u32 {
    let task = Task::current();
    left(&ctx, task, &Door::native(registers(task)), word(&ctx, RET));
    0
}

#[tracepoint]
fn msgctl_enter(ctx: TracePointContext) -> u32 {
    if changes(word(&ctx, CMD) as i32) {
        control::entered(&ctx, Task::current());
    }
    0
}

#[tracepoint]
fn msgctl_exit(ctx: TracePointContext) -> u32 {
    let task = Task::current();
    if let Some(door) = Door::native_control(registers(task)) {
        control::left(&ctx, task, &door, word(&ctx, RET));
    }
    0
}

#[tracepoint]
fn msgsnd_exit(ctx: TracePointContext) -> u32 {
    used(&ctx, SENDS, MSGSND_64);
    0
}

#[tracepoint]
fn msgrcv_exit(ctx: TracePointContext) -> u32 {
    used(&ctx, RECEIPTS, MSGRCV_64);
    0
}

/// The end of a 64-bit call `number`, which is one of these two.
#[inline(always)]
fn used(ctx: &TracePointContext, place: u32, number: u64) {
    let ret = word(ctx, RET);
    if stale(ret) {
        let task = Task::current();
        failed(place, task, &Used::native(registers(task), number), ret);
    }
}

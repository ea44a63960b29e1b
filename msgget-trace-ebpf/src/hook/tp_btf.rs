//! The `tp_btf` rung: `sys_enter` and `sys_exit` of every system call go in, the edges of each `msgget` and of each
//! `msgctl` that removes or changes come out, by whichever door they came; and if asked for, the ends of each `msgsnd` and
//! `msgrcv` that found no queue.
//!
//! What is neither pays for a few comparisons, so the number is looked at first and nothing else is touched.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    door::{
        self, Door, IPC_32, MSGCTL_32, MSGCTL_64, MSGCTL_X32, MSGGET_32, MSGGET_64, MSGGET_X32,
        used::{self, Used, stale},
    },
    hook::{control, entered, left, used::failed},
    maps::SENDS,
    object::{Object, frozen},
    task::Task,
};

/// True for the numbers that may be a `msgget`, in one ABI or another.
#[inline(always)]
fn candidate(number: u64) -> bool {
    number == MSGGET_64 || number == IPC_32 || number == MSGGET_32 || number == MSGGET_X32
}

/// The same of `msgctl`.
#[inline(always)]
fn control_candidate(number: u64) -> bool {
    number == MSGCTL_64 || number == IPC_32 || number == MSGCTL_32 || number == MSGCTL_X32
}

/// `sys_enter(struct pt_regs *regs, long id)`.
#[btf_tracepoint(function = "sys_enter")]
fn any_enter(ctx: BtfTracePointContext) -> i32 {
    let number = ctx.arg::<u64>(1) & u64::from(u32::MAX);
    if candidate(number) {
        let task = Task::current();
        if let Some(door) = Door::find(task, Object::new(ctx.arg(0)), number) {
            entered(&ctx, task, door.key, door.msgflg);
            return 0;
        }
    }
    if control_candidate(number) {
        let task = Task::current();
        if Door::control(task, Object::new(ctx.arg(0)), number).is_some() {
            control::entered(&ctx, task);
        }
    }
    0
}

/// `sys_exit(struct pt_regs *regs, long ret)`.
#[btf_tracepoint(function = "sys_exit")]
fn any_exit(ctx: BtfTracePointContext) -> i32 {
    let regs = Object::new(ctx.arg(0));
    let number = door::number(regs);
    if candidate(number) {
        let task = Task::current();
        if let Some(door) = Door::find(task, regs, number) {
            left(&ctx, task, &door, ctx.arg(1));
            return 0;
        }
    }
    if control_candidate(number) {
        let task = Task::current();
        if let Some(door) = Door::control(task, regs, number) {
            control::left(&ctx, task, &door, ctx.arg(1));
            return 0;
        }
    }
    // The result first: hardly any call has it. Where that is not asked for, the verifier removes all of this.
    if frozen!(CONFIG.stale_ids) != 0 && stale(ctx.arg(1)) && used::candidate(number) {
        let task = Task::current();
        if let Some(used) = Used::find(task, regs, number) {
            failed(SENDS, task, &used, ctx.arg(1));
        }
    }
    0
}

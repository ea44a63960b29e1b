//! The life of followed processes (`exec`): forks and exits go in, the member table stays true.
//!
//! `tp_btf` rather than plain tracepoints: their layouts changed between 6.12 and 6.18, the arguments did not, and only they tell a
//! new thread from a new process.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::warn;

use crate::{
    current::is_daemon,
    maps::{self, MEMBERS},
    object::Object,
    task::Task,
};

/// A child of a member, or of the daemon itself, is a member before it first runs.
#[btf_tracepoint(function = "sched_process_fork")]
fn member_fork(ctx: BtfTracePointContext) -> i32 {
    let parent = Task::from_object(Object::new(ctx.arg(0)));
    let child = Task::from_object(Object::new(ctx.arg(1)));
    let (parent_tgid, child_tgid) = (parent.tgid(), child.tgid());
    if parent_tgid == child_tgid {
        return 0; // a thread
    }
    // SAFETY: the value is not used.
    let follows = unsafe { MEMBERS.get(parent_tgid) }.is_some() || is_daemon();
    if follows && MEMBERS.insert(child_tgid, 1, 0).is_err() {
        maps::count(|counters| counters.follow_full += 1);
        warn!(&ctx, "member table full: process {} is not followed", child_tgid);
    }
    0
}

/// The last thread of a member leaves: its id may come back as somebody else.
#[btf_tracepoint(function = "sched_process_exit")]
fn member_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_object(Object::new(ctx.arg(0)));
    if task.last_thread() {
        let _ = MEMBERS.remove(task.tgid());
    }
    0
}

//! The `fexit` rung: `ipcget`, through which every `msgget` of every ABI passes, goes in with what it calls on its way;
//! calls come out with what the kernel really did.
//!
//! `newque` returning an id is a creation, `security_msg_queue_associate` a find that was allowed (unless a security
//! module then denies it, and `ipcget` fails). Both run under the namespace's lock, so their times are the order in which
//! things happened there. What seccomp refuses never comes here.

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use aya_log_ebpf::warn;
use msgget_trace_ebpf::{EVICTED, FACT_CREATED, FACT_OPENED, Fact, Owner, PAIRED};

use crate::{
    door::{self, Door, registers},
    hook::{count_canary, now, wanted},
    image::announce,
    maps::{self, FACTS, scratch},
    slot,
    submit::submit,
    task::{Object, Task, at},
};

/// `ipcget` serves queues, semaphores and shared memory: true if `ids` are the queues of namespace `ns`.
#[inline(always)]
fn queues(ns: *const u8, ids: *const u8) -> bool {
    ids as u64 == ns as u64 + u64::from(at!(ipc_msg_ids))
}

/// `ipcget(struct ipc_namespace *ns, struct ipc_ids *ids, const struct ipc_ops *ops, struct ipc_params *params)`.
#[fentry(function = "ipcget")]
fn ipcget_enter(ctx: FEntryContext) -> i32 {
    if queues(ctx.arg(0), ctx.arg(1)) && wanted() {
        let tid = Task::current().tid();
        if slot::enter(tid, now(), None) {
            maps::count(|counters| counters.slot_collisions += 1);
            warn!(&ctx, "thread {} evicted another from their common slot", tid);
        }
    }
    0
}

/// `newque(struct ipc_namespace *ns, struct ipc_params *params)`, which returns an id.
#[fexit(function = "newque")]
fn queue_created(ctx: FExitContext) -> i32 {
    let id: i32 = ctx.arg(2);
    if id >= 0 {
        note(&Fact { ns: now(), what: FACT_CREATED, ..Fact::default() });
    }
    0
}

/// `security_msg_queue_associate(struct kern_ipc_perm *msq, int msqflg)`.
#[fentry(function = "security_msg_queue_associate")]
fn queue_opened(ctx: FEntryContext) -> i32 {
    let queue = Object::new(ctx.arg(0));
    // SAFETY: kuid_t and kgid_t hold a u32 each, umode_t is a u16.
    let fact = unsafe {
        Fact {
            ns: now(),
            owner: Owner {
                uid: queue.load(at!(perm_uid)),
                gid: queue.load(at!(perm_gid)),
                cuid: queue.load(at!(perm_cuid)),
                cgid: queue.load(at!(perm_cgid)),
            },
            what: FACT_OPENED,
            mode: u32::from(queue.load::<u16>(at!(perm_mode))),
        }
    };
    note(&fact);
    0
}

/// Keeps what was found out until `ipcget` returns.
#[inline(always)]
fn note(fact: &Fact) {
    if wanted() && FACTS.insert(Task::current().tid(), *fact, 0).is_err() {
        maps::count(|counters| counters.facts_full += 1);
    }
}

/// `ipcget` returns an id or an errno.
#[fexit(function = "ipcget")]
fn ipcget_exit(ctx: FExitContext) -> i32 {
    if !queues(ctx.arg(0), ctx.arg(1)) || !wanted() {
        return 0;
    }
    let params = Object::new(ctx.arg(3));
    let ret: i32 = ctx.arg(4);
    let now = now();
    let task = Task::current();
    let tid = task.tid();
    let regs = registers(task);
    // SAFETY: key_t and int.
    let (key, msgflg) = unsafe { (params.load(at!(params_key)), params.load(at!(params_flg))) };
    let door = Door { key, msgflg, ..Door::find(task, regs, door::number(regs)).unwrap_or(Door::native(regs)) };
    let mut pairing = slot::exit(tid, now);
    if pairing.how != PAIRED {
        // Whatever became of its enter, it was executed, for we are inside.
        pairing.how = EVICTED;
        maps::count(|counters| counters.unpaired += 1);
    }
    let Some(call) = scratch() else { return 0 };
    task.describe(call, &door, &pairing, now, i64::from(ret));
    // SAFETY: only this thread writes its own element.
    if let Some(fact) = unsafe { FACTS.get(tid) } {
        let fact = *fact;
        let _ = FACTS.remove(tid);
        if ret >= 0 {
            call.fact = fact.what;
            call.fact_ns = fact.ns;
            call.owner = fact.owner;
            call.queue_mode = fact.mode;
        }
    }
    announce(task, call);
    submit(call);
    slot::leave(tid, &pairing);
    count_canary(task, call);
    0
}

//! The `fexit` rung: `ipcget`, through which every `msgget` of every ABI passes, goes in with what it calls on its way;
//! calls come out with what the kernel really did.
//!
//! `newque` returning an id is a creation, `security_msg_queue_associate` a find that was allowed (unless a security
//! module then denies it, and `ipcget` fails). Both run under the namespace's lock, so their times are the order in which
//! things happened there. What seccomp refuses never comes here.
//!
//! `freeque` goes in, too, and removals come out, the queue as it was. It runs in the `msgctl` of whoever removes, when
//! nothing can fail any more; and in a thread of the kernel for each queue of a namespace that has ended.
//!
//! If asked for, `do_msgsnd` and `do_msgrcv`, through which every `msgsnd` and `msgrcv` of every ABI passes, go in, and those
//! that found no queue come out.

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use aya_log_ebpf::warn;
use msgget_trace_ebpf::{
    EVICTED, FACT_CREATED, FACT_OPENED, FACT_REMOVED, FACT_TORN_DOWN, Fact, Message, Owner, PAIRED, Position,
};

use crate::{
    budget::{Returned, admits},
    current::describe,
    door::{
        self, Door, registers,
        used::{MSGRCV_64, MSGSND_64, Used, stale},
    },
    hook::{control, count_canary, left_out, now, used::failed},
    image::announce,
    maps::{self, CALLS, CONTROLS, FACTS, RECEIPTS, SENDS},
    object::{Object, at},
    slot::{self, Pairing},
    submit::submit,
    task::Task,
    wanted::{followed, in_scope},
};

/// `ipcget` serves queues, semaphores and shared memory: true if `ids` are the queues of namespace `ns`.
#[inline(always)]
fn queues(ns: *const u8, ids: *const u8) -> bool {
    ids as u64 == ns as u64 + u64::from(at!(ipc_msg_ids))
}

/// `ipcget(struct ipc_namespace *ns, struct ipc_ids *ids, const struct ipc_ops *ops, struct ipc_params *params)`.
#[fentry(function = "ipcget")]
fn ipcget_enter(ctx: FEntryContext) -> i32 {
    if queues(ctx.arg(0), ctx.arg(1)) && followed() {
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
    // SAFETY: umode_t is a u16.
    let mode = unsafe { u32::from(queue.load::<u16>(at!(perm_mode))) };
    note(&Fact { ns: now(), owner: owner(queue), what: FACT_OPENED, mode });
    0
}

/// Whose a queue is, a `struct kern_ipc_perm`.
#[inline(always)]
fn owner(queue: Object) -> Owner {
    // SAFETY: kuid_t and kgid_t hold a u32 each.
    unsafe {
        Owner {
            uid: queue.load(at!(perm_uid)),
            gid: queue.load(at!(perm_gid)),
            cuid: queue.load(at!(perm_cuid)),
            cgid: queue.load(at!(perm_cgid)),
        }
    }
}

/// Keeps what was found out until `ipcget` returns.
#[inline(always)]
fn note(fact: &Fact) {
    if followed() && FACTS.insert(Task::current().tid(), *fact, 0).is_err() {
        maps::count(|counters| counters.facts_full += 1);
    }
}

/// `ipcget` returns an id or an errno.
#[fexit(function = "ipcget")]
fn ipcget_exit(ctx: FExitContext) -> i32 {
    if !queues(ctx.arg(0), ctx.arg(1)) || !followed() {
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
    let ret = i64::from(ret);
    let mut fact = Fact::default();
    // SAFETY: only this thread writes its own element.
    if let Some(noted) = unsafe { FACTS.get(tid) } {
        // Of a call that failed it says nothing.
        if ret >= 0 {
            fact = *noted;
        }
        let _ = FACTS.remove(tid);
    }
    let (pairing, after) = (&pairing, Position::default());
    let returned = Returned { door: &door, pairing, fact: fact.what, after, ret, now, witness: false };
    if !in_scope(&door) {
        left_out();
    } else if admits(task, &returned) {
        let Some(call) = describe(CALLS, &door, pairing, now, ret) else { return 0 };
        call.fact = fact.what;
        call.fact_ns = fact.ns;
        call.owner = fact.owner;
        call.queue_mode = fact.mode;
        announce(call, CALLS);
        submit(call);
        count_canary(call);
    }
    slot::leave(tid, pairing);
    0
}

/// `freeque(struct ipc_namespace *ns, struct kern_ipc_perm *ipcp)`: the queue is whole still, and nothing keeps it.
#[fentry(function = "freeque")]
fn queue_removed(ctx: FEntryContext) -> i32 {
    if !followed() {
        return 0;
    }
    let (namespace, queue) = (Object::new(ctx.arg(0)), Object::new(ctx.arg(1)));
    let now = now();
    let task = Task::current();
    // SAFETY: an int.
    let id: i32 = unsafe { queue.load(at!(perm_id)) };
    let regs = registers(task);
    let torn_down = task.is_kernel();
    let door = if torn_down { None } else { Door::control(task, regs, door::number(regs)) };
    let door = Door { key: id, ..door.unwrap_or(Door::removal()) };
    // Its enter is nobody's concern here, and it is executed, for we are inside.
    let pairing = Pairing { how: EVICTED, enter_ns: 0, before: Position::default(), noted: 0 };
    let Some(call) = describe(CONTROLS, &door, &pairing, now, 0) else { return 0 };
    call.fact = if torn_down { FACT_TORN_DOWN } else { FACT_REMOVED };
    call.fact_ns = now;
    call.owner = owner(queue);
    // SAFETY: umode_t is a u16; key_t; an unsigned int.
    unsafe {
        call.queue_mode = u32::from(queue.load::<u16>(at!(perm_mode)));
        call.queue_key = queue.load(at!(perm_key));
        // Not the thread's own: the kernel's thread lives in the initial one.
        call.ipc_ns = namespace.load(at!(ipc_inum));
    }
    control::submit(call);
    0
}

/// `do_msgsnd(int msqid, long mtype, void __user *mtext, size_t msgsz, int msgflg)`, which returns 0 or an errno.
#[fexit(function = "do_msgsnd")]
fn message_sent(ctx: FExitContext) -> i32 {
    let ret: i64 = ctx.arg(5);
    if stale(ret) {
        used(SENDS, MSGSND_64, [ctx.arg(0), ctx.arg(4)], Message { size: ctx.arg(3), r#type: 0 }, ret);
    }
    0
}

/// `do_msgrcv(int msqid, void __user *buf, size_t bufsz, long msgtyp, int msgflg, msg_handler)`, which returns a size or an
/// errno.
#[fexit(function = "do_msgrcv")]
fn message_received(ctx: FExitContext) -> i32 {
    let ret: i64 = ctx.arg(6);
    if stale(ret) {
        used(RECEIPTS, MSGRCV_64, [ctx.arg(0), ctx.arg(4)], Message { size: ctx.arg(2), r#type: ctx.arg(3) }, ret);
    }
    0
}

/// What the function says is right; only the door stands in the registers.
#[inline(always)]
fn used(place: u32, number: u64, [key, msgflg]: [i32; 2], message: Message, ret: i64) {
    let task = Task::current();
    let regs = registers(task);
    let found = Used::find(task, regs, door::number(regs)).unwrap_or(Used::native(regs, number));
    failed(place, task, &Used { door: Door { key, msgflg, ..found.door }, message }, ret);
}

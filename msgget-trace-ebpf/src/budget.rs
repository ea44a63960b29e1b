//! Budgets: a call that has returned goes in; whether it is sent or only counted comes out. A caller in a loop must not
//! take the ring away from the others.
//!
//! Each process and each owner (an effective user id in a cgroup; floods of short-lived processes are why) may send so many
//! calls a second, and some more at once. Of what is past that, a few telling calls are sent all the same, the rest is counted
//! by outcome: into the caller's [`Account`], which may be evicted, and into this CPU's [`Counters`](msgget_trace_ebpf::Counters),
//! which cannot, in this order. So what the accounts hold never exceeds the counters, and what they lack is known.
//!
//! A budget is one word, the moment up to which calls have been paid for: no lock (tracepoints may not take one), and CPUs that
//! read it at once err by a call each. A call past the budget only reads it.

use core::{
    intrinsics::{AtomicOrdering, atomic_or, atomic_xadd},
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_get_current_cgroup_id,
};
use msgget_trace_ebpf::{
    ACCOUNT_OWNER, ACCOUNT_PROCESS, Account, AccountKey, COUNT_AMBIGUOUS, COUNT_CREATED, COUNT_FAILED,
    COUNT_NOT_EXECUTED, COUNT_OPENED, COUNT_UNPAIRED, COUNTS, EVICTED, FACT_CREATED, FACT_NONE, FACT_OPENED,
    NOT_EXECUTED, Position, SAMPLES, TELLING,
};

use crate::{
    current::{effective_user, ipc_namespace, of_daemon, process_start},
    door::Door,
    hook::{IPC_CREAT, IPC_EXCL},
    maps::{self, LISTED, OWNERS, PROCESSES, blank},
    object::frozen,
    slot::Pairing,
    submit::step,
    task::Task,
};

const ORDER: AtomicOrdering = AtomicOrdering::Relaxed;

/// Added to the boot clock, so that a burst does not reach back before it began.
const BIAS: u64 = 1 << 62;

/// Bits of the clock below a window: about a second.
const WINDOW: u32 = 30;

/// A call that has returned, or was refused before it began.
#[derive(Clone, Copy)]
pub(crate) struct Returned<'a> {
    pub(crate) door: &'a Door,
    pub(crate) pairing: &'a Pairing,
    /// What the hooks inside `ipcget` say of it.
    pub(crate) fact: u32,
    /// Id allocation after it.
    pub(crate) after: Position,
    pub(crate) ret: i64,
    /// Boot clock, ns.
    pub(crate) now: u64,
    /// It is not wanted for itself.
    pub(crate) witness: bool,
}

impl Returned<'_> {
    /// What became of it, as far as this side can tell: as decode and decide do (`msgget-trace/src`).
    #[inline(always)]
    fn outcome(&self) -> usize {
        let flags = self.door.msgflg & (IPC_CREAT | IPC_EXCL);
        match self.fact {
            FACT_CREATED => return COUNT_CREATED,
            FACT_OPENED => return COUNT_OPENED,
            _ => {}
        }
        match self.pairing.how {
            NOT_EXECUTED => COUNT_NOT_EXECUTED,
            _ if self.ret < 0 => COUNT_FAILED,
            EVICTED => COUNT_UNPAIRED,
            _ if self.door.key == 0 || flags == IPC_CREAT | IPC_EXCL => COUNT_CREATED,
            _ if flags & IPC_CREAT == 0 || self.older() => COUNT_OPENED,
            _ => COUNT_AMBIGUOUS,
        }
    }

    /// True if the queue it returned was certainly there before it began.
    #[inline(always)]
    fn older(&self) -> bool {
        let place = |seq: u32, index: i32| (u64::from(seq) << 32) | u64::from(index.wrapping_add(1) as u32);
        let bits = frozen!(CONFIG.id_index_bits) & 31;
        let id = place(self.ret as u32 >> bits, (self.ret as u32 & ((1 << bits) - 1)) as i32);
        let (before, after) = (self.pairing.before, self.after);
        let (began, ended) = (place(before.seq, before.last_idx), place(after.seq, after.last_idx));
        before.valid != 0 && after.valid != 0 && began <= ended && id <= began
    }

    /// True if it may have made a queue that another call, open to doubt, was handed by its key. To decide, such a call that
    /// is not sent is a lost one: whoever overlapped it stays ambiguous, for it must never be called the creator in its stead.
    /// What was certainly opened, or created without a key, decides nothing about others and may be left out.
    #[inline(always)]
    fn may_be_the_creator(&self, outcome: usize) -> bool {
        self.fact == FACT_NONE
            && self.ret >= 0
            && self.door.key != 0
            && self.door.msgflg & IPC_CREAT != 0
            && outcome != COUNT_OPENED
    }
}

/// True if the call of `task`, the current one, is to be sent; otherwise it has been counted.
#[inline(always)]
pub(crate) fn admits(task: Task, call: &Returned<'_>) -> bool {
    let (process_interval, owner_interval) = (frozen!(CONFIG.process_interval_ns), frozen!(CONFIG.owner_interval_ns));
    if process_interval == 0 && owner_interval == 0 {
        return true;
    }
    // The calls that prove the daemon's eyes.
    if call.door.key as u32 == maps::reader().canary_key && of_daemon() {
        return true;
    }
    if process_interval != 0 {
        let pid = task.tgid();
        let key = AccountKey { kind: ACCOUNT_PROCESS, id: pid, cgroup_id: 0 };
        // Without an account there is no such budget; the owner's, which a fresh process shares, is not as easily evicted.
        if let Some(account) = process(pid, process_start(), call.now)
            && exceeds(task, account, &key, process_interval, call)
        {
            return false;
        }
    }
    if owner_interval != 0 {
        // SAFETY: no preconditions.
        let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
        let key = AccountKey { kind: ACCOUNT_OWNER, id: effective_user(), cgroup_id };
        if let Some(account) = owner(&key, call.now)
            && exceeds(task, account, &key, owner_interval, call)
        {
            return false;
        }
    }
    true
}

/// The account of process `pid`, which was started at `start`.
#[inline(always)]
fn process(pid: u32, start: u64, now: u64) -> Option<*mut Account> {
    let mut flags = BPF_NOEXIST;
    if let Some(account) = PROCESSES.get_ptr_mut(pid) {
        // SAFETY: the element lives as long as the map; if it is evicted meanwhile, what is written goes to another account,
        // and is counted there.
        if unsafe { read_volatile(&raw const (*account).start_ns) } == start {
            return Some(account);
        }
        // That of a process that had this id before.
        flags = BPF_ANY;
    }
    // Should another thread have been first, its account is as good.
    let _ = PROCESSES.insert(pid, blank(start, now)?, flags.into());
    PROCESSES.get_ptr_mut(pid)
}

/// The account of an owner.
#[inline(always)]
fn owner(key: &AccountKey, now: u64) -> Option<*mut Account> {
    if let Some(account) = OWNERS.get_ptr_mut(key) {
        return Some(account);
    }
    let _ = OWNERS.insert(key, blank(0, now)?, BPF_NOEXIST.into());
    OWNERS.get_ptr_mut(key)
}

/// True if `task`, the current one, may send a record at `now` that is none of a call: its budgets are charged for it. Nothing
/// is counted if not.
#[inline(always)]
pub(crate) fn affords(task: Task, now: u64) -> bool {
    let (process_interval, owner_interval) = (frozen!(CONFIG.process_interval_ns), frozen!(CONFIG.owner_interval_ns));
    if process_interval != 0
        && let Some(account) = process(task.tgid(), process_start(), now)
        && !pays(account, process_interval, now)
    {
        return false;
    }
    if owner_interval != 0 {
        // SAFETY: no preconditions.
        let cgroup_id = unsafe { bpf_get_current_cgroup_id() };
        let key = AccountKey { kind: ACCOUNT_OWNER, id: effective_user(), cgroup_id };
        if let Some(account) = owner(&key, now)
            && !pays(account, owner_interval, now)
        {
            return false;
        }
    }
    true
}

/// Charges `account`, which may send a record every `interval` ns, for one at `now`; false if it is past its budget.
#[inline(always)]
fn pays(account: *mut Account, interval: u32, now: u64) -> bool {
    let interval = u64::from(interval);
    let now = now + BIAS;
    let horizon = now - u64::from(frozen!(CONFIG.burst)) * interval;
    // SAFETY: a map element, see `process`; each word is accessed by itself.
    let paid = unsafe { &raw mut (*account).paid_ns };
    // SAFETY: as above.
    unsafe {
        let until = read_volatile(paid);
        if until > now {
            return false;
        }
        if until < horizon {
            write_volatile(paid, horizon + interval);
        } else {
            atomic_xadd::<u64, u64, ORDER>(paid, interval);
        }
    }
    true
}

/// Charges `account` for a call, or, if it is past its budget of a call every `interval` ns, counts it. False if the call may
/// go on: it was paid for, or tells something.
#[inline(always)]
fn exceeds(task: Task, account: *mut Account, key: &AccountKey, interval: u32, call: &Returned<'_>) -> bool {
    if pays(account, interval, call.now) {
        return false;
    }
    let outcome = call.outcome();
    let creator = call.may_be_the_creator(outcome);
    if tells(task, account, key, outcome == COUNT_CREATED || creator, call) {
        return false;
    }
    let outcome = outcome & (COUNTS - 1);
    if !call.witness {
        record(account, outcome, call);
    }
    maps::count(|counters| {
        if !call.witness {
            step(&mut counters.seen, 1);
            step(&mut counters.aggregated[outcome], 1);
        }
        counters.creators_unsent += u64::from(creator);
    });
    true
}

/// True for the calls that are sent although `account` is past its budget: the first creations, the first on a key and the
/// first with an errno in each window, at most [`TELLING`] of each.
#[inline(always)]
fn tells(task: Task, account: *mut Account, key: &AccountKey, creates: bool, call: &Returned<'_>) -> bool {
    let window = (call.now >> WINDOW) + 1;
    // SAFETY: as in `exceeds`. A CPU that sees an old window beside another may send a few calls more.
    unsafe {
        if read_volatile(&raw const (*account).window) != window {
            write_volatile(&raw mut (*account).window, window);
            write_volatile(&raw mut (*account).keys, 0);
            write_volatile(&raw mut (*account).errnos, 0);
            write_volatile(&raw mut (*account).creations, 0);
            write_volatile(&raw mut (*account).sampled, 0);
            identify(task, account);
            // Every second anew, so that it does not matter when user space strikes it off. No room: unattributed.
            let _ = LISTED.insert(key, 1, 0);
        }
        let creations = &raw mut (*account).creations;
        let sent = read_volatile(creations);
        if creates && sent < TELLING {
            write_volatile(creations, sent + 1);
            return true;
        }
        // Another hash every window: keys that share a bit now will not for long.
        let hash = (call.door.key as u32 ^ window as u32).wrapping_mul(0x9e37_79b9) >> 26;
        first(&raw mut (*account).keys, hash)
            || (call.ret < 0 && first(&raw mut (*account).errnos, call.ret.wrapping_neg() as u32 & 63))
    }
}

/// Sets `bit` of the word at `bits`; true if it was not set.
///
/// # Safety
/// `bits` points into a map element.
#[inline(always)]
unsafe fn first(bits: *mut u64, bit: u32) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if read_volatile(bits) & (1 << bit) != 0 {
            return false;
        }
        atomic_or::<u64, u64, ORDER>(bits, 1 << bit);
    }
    true
}

/// Notes in `account` who `task`, the current one, is.
///
/// # Safety
/// `account` is a map element.
#[inline(always)]
unsafe fn identify(task: Task, account: *mut Account) {
    // SAFETY: the caller's promise.
    unsafe {
        write_volatile(&raw mut (*account).pid, task.tgid());
        write_volatile(&raw mut (*account).euid, effective_user());
        write_volatile(&raw mut (*account).ipc_ns, ipc_namespace());
        write_volatile(&raw mut (*account).cgroup_id, bpf_get_current_cgroup_id());
        (*account).comm = task.comm();
    }
}

/// Counts `call` in `account`.
#[inline(always)]
fn record(account: *mut Account, outcome: usize, call: &Returned<'_>) {
    let now = call.now;
    // SAFETY: as in `exceeds`.
    unsafe {
        let last = read_volatile(&raw const (*account).last_ns);
        if now > last + (1 << WINDOW) {
            write_volatile(&raw mut (*account).paused_ns, last);
            write_volatile(&raw mut (*account).first_ns, now);
        }
        write_volatile(&raw mut (*account).last_ns, now);
        // Each key has its place, so that they are different ones.
        let nth = ((call.door.key as u32).wrapping_mul(0x9e37_79b9) >> 30) as usize & (SAMPLES - 1);
        write_volatile(&raw mut (*account).samples[nth], call.door.key);
        let sampled = read_volatile(&raw const (*account).sampled);
        if sampled & (1 << nth) == 0 {
            write_volatile(&raw mut (*account).sampled, sampled | (1 << nth));
        }
        atomic_xadd::<u64, u64, ORDER>(&raw mut (*account).counts[outcome], 1);
    }
}

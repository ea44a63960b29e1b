//! Accounts: calls past a budget go in, counts by outcome come out, per process and per owner. They only attribute: an
//! account may be evicted at any time, and what all of them together must add up to stands in [`Counters`](crate::Counters).

use core::mem::{offset_of, size_of};

use crate::COMM_LEN;

/// Processes with an account; the least recently calling one is evicted for another.
pub const PROCESSES: u32 = 1 << 13;

/// Owners with an account.
pub const OWNERS: u32 = 1 << 12;

/// Accounts with something counted that user space can find at once; those beyond it wait for room, unattributed.
pub const LISTED: u32 = 1 << 12;

/// Calls of each telling class that an account past its budget sends per window of 2^30 ns: creations, first keys, first
/// errnos. The latter two are a word of bits each.
pub const TELLING: u32 = 64;

/// Index of an outcome in a row of counts: a queue was made.
pub const COUNT_CREATED: usize = 0;
/// An existing one was handed out.
pub const COUNT_OPENED: usize = 1;
/// Refused.
pub const COUNT_FAILED: usize = 2;
/// One of the first two.
pub const COUNT_AMBIGUOUS: usize = 3;
/// Executed, but the entry was not seen.
pub const COUNT_UNPAIRED: usize = 4;
/// Never executed.
pub const COUNT_NOT_EXECUTED: usize = 5;
/// Length of such a row: a power of two, so that the verifier sees an index bounded by a mask.
pub const COUNTS: usize = 8;

/// Keys that an account remembers.
pub const SAMPLES: usize = 4;

/// [`AccountKey::kind`]: a process, by its id.
pub const ACCOUNT_PROCESS: u32 = 0;
/// [`AccountKey::kind`]: all processes with an effective user id in a cgroup.
pub const ACCOUNT_OWNER: u32 = 1;

/// Whose account it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    /// [`ACCOUNT_PROCESS`] or [`ACCOUNT_OWNER`].
    pub kind: u32,
    /// Process id, or effective user id.
    pub id: u32,
    /// cgroup v2 id of an owner; 0 of a process.
    pub cgroup_id: u64,
}

/// What an account holds. Every word is written by itself, from several CPUs at once: counts by atomic additions, so that
/// none is lost as long as the account stays; the others by plain stores, of which the last one holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The budget: the moment up to which calls have been paid for, plus 2^62.
    pub paid_ns: u64,
    /// When the account was opened (boot clock), which tells it from a former one of the same key.
    pub opened_ns: u64,
    /// When its process was started; 0 of an owner.
    pub start_ns: u64,
    /// Calls that were counted, by outcome.
    pub counts: [u64; COUNTS],
    /// When the first of a run of counted calls returned: one with no pause of a second in it.
    pub first_ns: u64,
    /// When the last of the run before that returned; 0 if there was none.
    pub paused_ns: u64,
    /// When the last one returned.
    pub last_ns: u64,
    /// The window of 2^30 ns that the telling calls, the samples and the facts below belong to, plus one.
    pub window: u64,
    /// A bit for every hash of a key that was sent in this window.
    pub keys: u64,
    /// The same of errnos.
    pub errnos: u64,
    /// cgroup v2 id of the latest caller that was looked at.
    pub cgroup_id: u64,
    /// Creations that were sent in this window.
    pub creations: u32,
    /// Bit `n` is set if `samples[n]` holds a key of this window.
    pub sampled: u32,
    /// Keys of counted calls.
    pub samples: [i32; SAMPLES],
    /// Process id of that caller.
    pub pid: u32,
    /// Its effective user id.
    pub euid: u32,
    /// Its IPC namespace.
    pub ipc_ns: u32,
    /// Always 0.
    pub reserved: u32,
    /// Its command name.
    pub comm: [u8; COMM_LEN],
}

const _: () = assert!(size_of::<AccountKey>() == 16);
const _: () = assert!(size_of::<Account>() == 200);
const _: () = assert!(offset_of!(Account, counts) == 24);
const _: () = assert!(offset_of!(Account, comm) == 184);

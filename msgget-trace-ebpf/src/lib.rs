//! The ABI: what user space writes into the kernel program before it is loaded ([`Offsets`], [`Config`]) and what comes
//! back out of it ([`Call`] and [`Context`] records through the ring, [`Counters`] per CPU). `no_std`, integers only: no Rust `enum`
//! crosses this border, because a value the other side does not know must be an error there, not undefined behaviour.
//!
//! Both compilers check the layout below; a change to it is a change of [`ABI_VERSION`].
#![no_std]

mod account;
mod context;
mod counters;
mod message;
mod offsets;
mod scope;
mod state;

use core::mem::{offset_of, size_of};

pub use account::{
    ACCOUNT_OWNER, ACCOUNT_PROCESS, Account, AccountKey, COUNT_AMBIGUOUS, COUNT_CREATED, COUNT_FAILED,
    COUNT_NOT_EXECUTED, COUNT_OPENED, COUNT_UNPAIRED, COUNTS, LISTED, OWNERS, PROCESSES, SAMPLES, TELLING,
};
pub use context::{ARGUMENTS_LEN, CUT, Context, IMAGES, KIND_CONTEXT, PATH_LEN, UNREAD};
pub use counters::Counters;
pub use message::Message;
pub use offsets::Offsets;
pub use scope::{
    SCOPE_CGROUP, SCOPE_CGROUPS, SCOPE_COMM, SCOPE_EUID, SCOPE_FIELDS, SCOPE_GID, SCOPE_IPC_NS, SCOPE_MNT_NS,
    SCOPE_PID, SCOPE_PID_NS, SCOPE_UID, SCOPE_VALUES, ScopeKey, Scopes,
};
pub use state::{Mark, Reader, State};

/// Raised whenever a record, a global or a counter changes its layout or meaning.
pub const ABI_VERSION: u16 = 7;

/// Size of a `comm`, `TASK_COMM_LEN` in include/linux/sched.h; always NUL-terminated by the kernel.
pub const COMM_LEN: usize = 16;

/// The first bytes of the node name that a record carries: what fits beside the terminating NUL that decode demands.
pub const NODENAME_LEN: usize = 16;

/// Slots that hold the enter time of calls in flight, indexed by the low bits of the thread id.
///
/// A thread id has at most 22 bits (`PID_MAX_LIMIT`, include/linux/threads.h), so the six bits above the index tell the
/// threads that share a slot apart exactly: one bit each in [`Slot::evicted`].
pub const SLOTS: u32 = 1 << SLOT_BITS;

/// Bits of a thread id that index [`SLOTS`]; the remaining six are its tag.
pub const SLOT_BITS: u32 = 16;

/// Bits of [`Slot::entered`] that hold the enter time; a boot clock that overflows them has run for nine years.
pub const SLOT_TIME_BITS: u32 = 58;

/// Inode number of the initial pid namespace, `PROC_PID_INIT_INO` of include/linux/proc_ns.h.
pub const INITIAL_PID_NS: u32 = 0xefff_fffc;

/// An offset that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Processes that `exec` can follow at once; beyond it a fork is counted in [`Counters::follow_full`].
pub const MEMBERS: u32 = 1 << 16;

/// Threads that can be inside `ipcget` with something found out at once, on the `fexit` rung.
pub const FACTS: u32 = 1 << 14;

/// Size of the ring in bytes unless the user sets another: 13,000 records, or half a second of 20,000 calls.
pub const RING_BYTES: u32 = 4 << 20;

/// `Header::kind` of a [`Call`].
pub const KIND_CALL: u16 = 1;
/// `Header::kind` of a [`Call`] that is no `msgget` but a `msgctl` (or stands for one): a queue was to be removed or changed.
/// Four fields then mean something else, and say so; who did it and how stands where it always does.
pub const KIND_CONTROL: u16 = 3;
/// `Header::kind` of a [`Call`] that is a `msgsnd` or a `msgrcv` which failed as it does on a queue that is not there (any more).
/// Its enter is not noted, so its [`Call::pairing`] is always [`EVICTED`].
pub const KIND_USE: u16 = 4;

/// [`Call::pairing`]: the exit found the enter of the same thread.
pub const PAIRED: u32 = 0;
/// [`Call::pairing`]: nobody entered, so the kernel executed nothing (seccomp and its kin); the return value is no result.
pub const NOT_EXECUTED: u32 = 1;
/// [`Call::pairing`]: another thread with the same slot overwrote the enter; executed, but the enter time is unknown.
pub const EVICTED: u32 = 2;

/// The first 8 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`ABI_VERSION`] of the program that wrote it.
    pub version: u16,
    /// What follows: [`KIND_CALL`], [`KIND_CONTEXT`], [`KIND_CONTROL`] or [`KIND_USE`].
    pub kind: u16,
    /// Bytes of the whole record, this header included.
    pub size: u32,
}

/// [`Call::abi`]: the 64-bit calling convention of x86-64.
pub const ABI_X86_64: u32 = 0;
/// [`Call::abi`]: that of i386.
pub const ABI_I386: u32 = 1;
/// [`Call::abi`]: x32, 64-bit code with 32-bit pointers.
pub const ABI_X32: u32 = 2;

/// [`Call::entry`]: by the `syscall` instruction of 64-bit code.
pub const ENTRY_SYSCALL: u32 = 0;
/// [`Call::entry`]: by `int 0x80` from 64-bit code, which no compiler emits.
pub const ENTRY_INT80_64: u32 = 1;
/// [`Call::entry`]: from 32-bit code, by `int 0x80` or `sysenter`.
pub const ENTRY_32: u32 = 2;

/// [`Call::fact`]: the hooks do not say what became of it.
pub const FACT_NONE: u32 = 0;
/// [`Call::fact`]: the kernel made a queue (`newque` returned it).
pub const FACT_CREATED: u32 = 1;
/// [`Call::fact`]: the kernel found a queue and let the caller have it (`security_msg_queue_associate`).
pub const FACT_OPENED: u32 = 2;
/// [`Call::fact`] of a control: the kernel removed the queue (`freeque`) for the caller.
pub const FACT_REMOVED: u32 = 3;
/// [`Call::fact`] of a control: the kernel removed the queue because its namespace had ended; the caller is the kernel's
/// own thread, and there was no system call.
pub const FACT_TORN_DOWN: u32 = 4;

/// Where the allocation of queue ids stands in an IPC namespace: ids only grow from here (`ipc_idr_alloc`, ipc/util.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Sequence number of the ids given out now.
    pub seq: u32,
    /// Index of the last one; -1 when none was.
    pub last_idx: i32,
    /// 1 when the two belong together; 0 when they could not be read, or changed meanwhile, or the next id was chosen by
    /// checkpoint/restore, so that nothing follows from them.
    pub valid: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Of whom a queue is. Ids are those of the initial user namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Creating user: never changes.
    pub cuid: u32,
    /// Creating group.
    pub cgid: u32,
}

/// One `msgget`, or one `msgctl` that removes or changes ([`KIND_CONTROL`]), or one `msgsnd` or `msgrcv` that found no queue
/// ([`KIND_USE`]), written when it returned. Times are the boot clock (`CLOCK_BOOTTIME`) in ns; ids without a prefix are
/// the host's (initial pid namespace), those with `ns_` are as seen inside the caller's own pid namespace; user and group
/// ids are those of the initial user namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Version, kind and size.
    pub header: Header,
    /// When the kernel was entered; 0 unless `pairing` is [`PAIRED`].
    pub enter_ns: u64,
    /// When it returned.
    pub exit_ns: u64,
    /// When, under the namespace's lock, the queue was made, found or removed; 0 without a `fact`. Totally ordered in a
    /// namespace.
    pub fact_ns: u64,
    /// When the calling thread was started (`task_struct.start_boottime`).
    pub thread_start_ns: u64,
    /// When its process (thread group leader) was started.
    pub process_start_ns: u64,
    /// When its parent process was started.
    pub parent_start_ns: u64,
    /// Number of execve(2) calls of the process so far, give or take: another number, another program.
    pub exec_id: u64,
    /// The same of its parent.
    pub parent_exec_id: u64,
    /// cgroup v2 id of the caller (inode number of its directory).
    pub cgroup_id: u64,
    /// Effective capabilities, a bit each (capabilities(7)).
    pub capabilities: u64,
    /// What the call returned: a queue id (of a control 0), or a negative errno.
    pub ret: i64,
    /// Id allocation before the call; valid only where created and opened cannot be told otherwise. Of a use, the [`Message`]
    /// it was about.
    pub before: Position,
    /// Id allocation after it.
    pub after: Position,
    /// Of whom the queue is that was opened or removed, as of `fact_ns`.
    pub owner: Owner,
    /// First argument, `key_t key`; of a control and of a use `int msqid`.
    pub key: i32,
    /// Second argument, `int msgflg`; of a control `int cmd`, as the caller wrote it; of a use the last, `int msgflg`.
    pub msgflg: i32,
    /// Process id (thread group id).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent.
    pub ppid: u32,
    /// Process id inside the caller's pid namespace.
    pub ns_pid: u32,
    /// Thread id inside the caller's pid namespace.
    pub ns_tid: u32,
    /// Parent inside the caller's pid namespace; 0 when it lives in another (as getppid(2)).
    pub ns_ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Effective user id: the one that owns what is created and that `ipcperms` checks (ipc/util.c).
    pub euid: u32,
    /// Saved user id.
    pub suid: u32,
    /// User id for file system access.
    pub fsuid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Audit login user id; `u32::MAX` when nobody logged in.
    pub loginuid: u32,
    /// Audit session id; `u32::MAX` when there is none.
    pub sessionid: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Inode number of the caller's own pid namespace (not the one for its children).
    pub pid_ns: u32,
    /// Inode number of the user namespace.
    pub user_ns: u32,
    /// Inode number of the IPC namespace, of a control that of the queue: keys and queue ids mean nothing without it.
    pub ipc_ns: u32,
    /// CPU the call returned on.
    pub cpu: u32,
    /// [`PAIRED`], [`NOT_EXECUTED`] or [`EVICTED`].
    pub pairing: u32,
    /// [`FACT_NONE`], [`FACT_CREATED`] or [`FACT_OPENED`]; of a control [`FACT_NONE`], [`FACT_REMOVED`] or
    /// [`FACT_TORN_DOWN`].
    pub fact: u32,
    /// Permission bits of the queue that was opened or removed, as of `fact_ns`.
    pub queue_mode: u32,
    /// [`ABI_X86_64`], [`ABI_I386`] or [`ABI_X32`].
    pub abi: u32,
    /// [`ENTRY_SYSCALL`], [`ENTRY_INT80_64`] or [`ENTRY_32`].
    pub entry: u32,
    /// Number of the system call in its ABI.
    pub number: u32,
    /// First argument of the multiplexer `ipc(2)`, its version half included; 0 for other numbers.
    pub ipc_call: u32,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp: u32,
    /// Not 0 while a tracer is attached to the thread.
    pub ptrace: u32,
    /// 1 when the call itself is not wanted, but is needed to tell what others did: it may have created what they opened.
    pub witness: u32,
    /// Key of the queue that was removed, where `fact` says so; else 0.
    pub queue_key: i32,
    /// Command name of the thread: bytes, not text; the caller chooses them.
    pub comm: [u8; COMM_LEN],
    /// Start of the node name (`uname -n`) in the caller's UTS namespace.
    pub nodename: [u8; NODENAME_LEN],
}

const _: () = assert!(size_of::<Header>() == 8);
const _: () = assert!(size_of::<Position>() == 16);
const _: () = assert!(size_of::<Owner>() == 16);
const _: () = assert!(size_of::<Call>() == 304);
const _: () = assert!(offset_of!(Call, before) == 96);
const _: () = assert!(offset_of!(Call, key) == 144);
const _: () = assert!(offset_of!(Call, comm) == 272);

impl Call {
    /// The header a call record carries.
    pub const HEADER: Header = Header { version: ABI_VERSION, kind: KIND_CALL, size: size_of::<Self>() as u32 };

    /// The header of a control.
    pub const CONTROL: Header = Header { kind: KIND_CONTROL, ..Self::HEADER };

    /// The header of a use.
    pub const USE: Header = Header { kind: KIND_USE, ..Self::HEADER };

    /// Copies a record out of the ring. `None` unless `bytes` is exactly one record long; the content is not judged.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, the read needs no alignment, and every bit pattern is a valid `Call`
        // because it consists of integers only.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }

    /// The record as the ring holds it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `Call` is `repr(C)`, made of integers, and the asserts above leave no room for padding.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

/// Where a call in flight is noted down: a word that is written by one atomic exchange, and two that hang on it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// 0 when free, else the thread's tag above the low [`SLOT_TIME_BITS`] bits of its enter time.
    pub entered: u64,
    /// Bit `n` is set while the thread with tag `n` is inside a call whose enter another thread overwrote.
    pub evicted: u64,
    /// Id allocation before the call, with enough of `entered` to tell whose it is; see `slot.rs`.
    pub position: u64,
}

/// What the hooks inside `ipcget` state about the call of a thread that is still in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// As [`Call::fact_ns`].
    pub ns: u64,
    /// As [`Call::owner`].
    pub owner: Owner,
    /// As [`Call::fact`].
    pub what: u32,
    /// As [`Call::queue_mode`].
    pub mode: u32,
}

/// Set by user space before the program is loaded and frozen then: the verifier removes what is switched off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// 1: only the daemon's own calls and those of its children and their descendants; 0: every call.
    pub follow: u32,
    /// The reader is woken when this many bytes are waiting in the ring.
    pub wake_bytes: u32,
    /// 1: the helpers that read kernel memory by address are allowed (not under lockdown=confidentiality).
    pub read_kernel: u32,
    /// 1: the command lines of callers are read.
    pub command_lines: u32,
    /// From one call of a process to the next within its budget, ns; 0: no such budget.
    pub process_interval_ns: u32,
    /// The same of an owner, which is an effective user id in a cgroup.
    pub owner_interval_ns: u32,
    /// Calls that either may be ahead of its budget.
    pub burst: u32,
    /// Bits of a queue id that are its index: 15, or 24 with `ipcmni_extend` (ipc/util.h).
    pub id_index_bits: u32,
    /// 1: uses of queues that are not there are recorded.
    pub stale_ids: u32,
    /// 1: calls that no policy can want are left out.
    pub scoped: u32,
}

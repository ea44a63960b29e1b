//! The ABI: what user space writes into the kernel program before it is loaded ([`Offsets`], [`Config`]) and what comes
//! back out of it ([`Call`] records through the ring, [`Counters`] per CPU). `no_std`, integers only: no Rust `enum`
//! crosses this border, because a value the other side does not know must be an error there, not undefined behaviour.
//!
//! Both compilers check the layout below; a change to it is a change of [`ABI_VERSION`].
#![no_std]

use core::mem::{offset_of, size_of};

/// Raised whenever a record, a global or a counter changes its layout or meaning.
pub const ABI_VERSION: u16 = 1;

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

/// An offset that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Processes that `exec` can follow at once; beyond it a fork is counted in [`Counters::follow_full`].
pub const MEMBERS: u32 = 1 << 16;

/// Size of the ring in bytes unless the user sets another: 23,000 records, or a second of 20,000 calls.
pub const RING_BYTES: u32 = 4 << 20;

/// `Header::kind` of a [`Call`].
pub const KIND_CALL: u16 = 1;

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
    /// What follows: [`KIND_CALL`].
    pub kind: u16,
    /// Bytes of the whole record, this header included.
    pub size: u32,
}

/// One `msgget`, written when it returned. Times are the boot clock (`CLOCK_BOOTTIME`) in ns; ids without a prefix are
/// the host's (initial pid namespace), those with `ns_` are as seen inside the caller's own pid namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Version, kind and size.
    pub header: Header,
    /// When the kernel was entered; 0 unless `pairing` is [`PAIRED`].
    pub enter_ns: u64,
    /// When it returned.
    pub exit_ns: u64,
    /// When the calling thread was started (`task_struct.start_boottime`).
    pub thread_start_ns: u64,
    /// When its process (thread group leader) was started.
    pub process_start_ns: u64,
    /// When its parent process was started.
    pub parent_start_ns: u64,
    /// cgroup v2 id of the caller (inode number of its directory).
    pub cgroup_id: u64,
    /// What the call returned: a queue id, or a negative errno.
    pub ret: i64,
    /// First argument, `key_t key`.
    pub key: i32,
    /// Second argument, `int msgflg`.
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
    /// Real user id, in the initial user namespace; so the three below.
    pub uid: u32,
    /// Effective user id: the one that owns what is created and that `ipcperms` checks (kernel/ipc/util.c).
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Inode number of the caller's own pid namespace (not the one for its children).
    pub pid_ns: u32,
    /// Inode number of the IPC namespace: keys and queue ids mean nothing without it.
    pub ipc_ns: u32,
    /// CPU the call returned on.
    pub cpu: u32,
    /// [`PAIRED`], [`NOT_EXECUTED`] or [`EVICTED`].
    pub pairing: u32,
    /// Always 0.
    pub reserved: u32,
    /// Command name of the thread: bytes, not text; the caller chooses them.
    pub comm: [u8; COMM_LEN],
    /// Start of the node name (`uname -n`) in the caller's UTS namespace.
    pub nodename: [u8; NODENAME_LEN],
}

const _: () = assert!(size_of::<Header>() == 8);
const _: () = assert!(size_of::<Call>() == 168);
const _: () = assert!(offset_of!(Call, key) == 64);
const _: () = assert!(offset_of!(Call, comm) == 136);
const _: () = assert!(size_of::<Call>().is_multiple_of(8));

impl Call {
    /// The header a call record carries.
    pub const HEADER: Header = Header {
        version: ABI_VERSION,
        kind: KIND_CALL,
        size: size_of::<Self>() as u32,
    };

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

/// Where a call in flight is noted down. Two words and two atomic operations a call: nothing in it can be torn.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// 0 when free, else the thread's tag above the low [`SLOT_TIME_BITS`] bits of its enter time.
    pub entered: u64,
    /// Bit `n` is set while the thread with tag `n` is inside a call whose enter another thread overwrote.
    pub evicted: u64,
}

/// What happened in the kernel, per CPU; user space adds the CPUs up. `seen == submitted + lost_ring_full` always.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls whose return was seen.
    pub seen: u64,
    /// Records handed to the ring.
    pub submitted: u64,
    /// Records the ring had no room for.
    pub lost_ring_full: u64,
    /// Calls without an enter, of those seen.
    pub not_executed: u64,
    /// Calls whose enter was overwritten, of those seen.
    pub unpaired: u64,
    /// Enters that overwrote another thread's.
    pub slot_collisions: u64,
    /// Calls of the daemon itself with the canary's key.
    pub canaries: u64,
    /// Forks that `exec` could not follow: the member table was full, so calls of that process are not seen.
    pub follow_full: u64,
}

impl Counters {
    /// Both added up, as the CPUs of a host are.
    #[must_use]
    pub const fn plus(self, other: &Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            submitted: self.submitted + other.submitted,
            lost_ring_full: self.lost_ring_full + other.lost_ring_full,
            not_executed: self.not_executed + other.not_executed,
            unpaired: self.unpaired + other.unpaired,
            slot_collisions: self.slot_collisions + other.slot_collisions,
            canaries: self.canaries + other.canaries,
            follow_full: self.follow_full + other.follow_full,
        }
    }
}

/// Set by user space before the program is loaded and frozen then: the verifier removes what is switched off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// 1: only the daemon's own calls and those of its children and their descendants; 0: every call.
    pub follow: u32,
    /// The daemon's process id in its own pid namespace.
    pub self_pid: u32,
    /// Inode number of the daemon's pid namespace.
    pub self_pid_ns: u32,
    /// Key of the canary call, as the unsigned number of the same bits.
    pub canary_key: u32,
    /// The reader is woken when this many bytes are waiting in the ring.
    pub wake_bytes: u32,
    /// 1: the helpers that read kernel memory by address are allowed (not under lockdown=confidentiality).
    pub read_kernel: u32,
}

/// Declares [`Offsets`] and, beside each field, the BTF path it is resolved from, so that the two cannot drift apart.
macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $ty:literal . $path:literal : $size:literal,)*) => {
        /// Byte offsets of kernel structure members, resolved from the running kernel's BTF; [`ABSENT`] where it has none.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// Nothing resolved yet.
            pub const NONE: Self = Self { $($field: ABSENT,)* };

            /// Resolves every field with `lookup(structure, member path, bytes the program will load)`.
            ///
            /// # Errors
            /// The first error of `lookup`; it returns [`ABSENT`] for what this kernel legally lacks.
            pub fn resolve<E>(mut lookup: impl FnMut(&str, &str, u32) -> Result<u32, E>) -> Result<Self, E> {
                Ok(Self { $($field: lookup($ty, $path, $size)?,)* })
            }

            /// Names of the members this kernel does not have, as `structure.member`.
            pub fn absent(&self) -> impl Iterator<Item = &'static str> {
                [$((self.$field, concat!($ty, ".", $path)),)*]
                    .into_iter()
                    .filter_map(|(offset, name)| (offset == ABSENT).then_some(name))
            }
        }
    };
}

offsets! {
    /// Thread id.
    task_pid = "task_struct"."pid": 4,
    /// Process id.
    task_tgid = "task_struct"."tgid": 4,
    /// Parent thread.
    task_real_parent = "task_struct"."real_parent": 8,
    /// First thread of the process.
    task_group_leader = "task_struct"."group_leader": 8,
    /// Start time, boot clock.
    task_start_boottime = "task_struct"."start_boottime": 8,
    /// Namespaces; a null pointer in a task that is exiting.
    task_nsproxy = "task_struct"."nsproxy": 8,
    /// Credentials in force.
    task_cred = "task_struct"."cred": 8,
    /// The thread's id in every pid namespace it is visible in.
    task_thread_pid = "task_struct"."thread_pid": 8,
    /// Command name.
    task_comm = "task_struct"."comm": 16,
    /// What the threads of a process share.
    task_signal = "task_struct"."signal": 8,
    /// Threads still alive.
    signal_live = "signal_struct"."live.counter": 4,
    /// IPC namespace.
    nsproxy_ipc = "nsproxy"."ipc_ns": 8,
    /// Mount namespace.
    nsproxy_mnt = "nsproxy"."mnt_ns": 8,
    /// UTS namespace.
    nsproxy_uts = "nsproxy"."uts_ns": 8,
    /// Inode number of an IPC namespace.
    ipc_inum = "ipc_namespace"."ns.inum": 4,
    /// Inode number of a mount namespace.
    mnt_inum = "mnt_namespace"."ns.inum": 4,
    /// Inode number of a pid namespace.
    pid_inum = "pid_namespace"."ns.inum": 4,
    /// Node name.
    uts_nodename = "uts_namespace"."name.nodename": 65,
    /// Depth of the pid namespace a `struct pid` was made in.
    pid_level = "pid"."level": 4,
    /// First of the `level + 1` ids.
    pid_numbers = "pid"."numbers": 0,
    /// The id.
    upid_nr = "upid"."nr": 4,
    /// The namespace it is valid in.
    upid_ns = "upid"."ns": 8,
    /// Real user id.
    cred_uid = "cred"."uid.val": 4,
    /// Effective user id.
    cred_euid = "cred"."euid.val": 4,
    /// Real group id.
    cred_gid = "cred"."gid.val": 4,
    /// Effective group id.
    cred_egid = "cred"."egid.val": 4,
    /// First argument of a 64-bit call.
    regs_arg0 = "pt_regs"."di": 8,
    /// Second argument of a 64-bit call.
    regs_arg1 = "pt_regs"."si": 8,
}

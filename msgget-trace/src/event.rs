//! What travels through the pipeline: the types of a call. Imports nothing of ours but the ABI.

pub mod decode;
mod errno;
mod flags;
#[cfg(test)]
pub(crate) mod sample;

use std::fmt;

pub use errno::Errno;
pub use flags::MsgFlags;
use uuid::Uuid;

/// The key that never names an existing queue: `IPC_PRIVATE`, include/uapi/linux/ipc.h.
pub const IPC_PRIVATE: i32 = 0;

/// A moment on the boot clock (`CLOCK_BOOTTIME`), in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(pub u64);

impl BootTime {
    /// Nanoseconds from `earlier` to `self`; 0 if that is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A call's identity: made where it cannot change, so a record that is read twice has one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    /// The ring the record came through.
    pub ring: Uuid,
    /// Where in it: a byte position that only grows.
    pub position: u64,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ring, self.position)
    }
}

/// What the kernel did with a call, as far as the hooks can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new queue was made.
    Created,
    /// An existing queue was handed out.
    Opened,
    /// Refused, with the reason.
    Failed(Errno),
    /// Succeeded with IPC_CREAT but without IPC_EXCL: flags and result fit both a new queue and an existing one.
    Ambiguous,
    /// Executed, but its entry was not seen.
    Unpaired,
    /// Never reached the kernel's `msgget`: seccomp or a tracer answered in its place, and the result is theirs.
    NotExecuted,
}

impl Outcome {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Opened => "opened",
            Self::Failed(_) => "failed",
            Self::Ambiguous => "ambiguous",
            Self::Unpaired => "unpaired",
            Self::NotExecuted => "not_executed",
        }
    }

    /// How it is known; `None` where it is not. This hook knows flags and results only.
    #[must_use]
    pub const fn source(self) -> Option<&'static str> {
        match self {
            Self::Created | Self::Opened | Self::Failed(_) => Some("flags"),
            Self::Ambiguous | Self::Unpaired | Self::NotExecuted => None,
        }
    }
}

/// Ids of a thread, its process and its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Process (thread group) id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent; 0 when it cannot be seen from the namespace these ids belong to.
    pub ppid: u32,
}

/// One `msgget`, decoded. A fact that this kernel's BTF does not offer is `None`, never a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who it is for ever after.
    pub id: CallId,
    /// First argument.
    pub key: i32,
    /// Second argument.
    pub flags: MsgFlags,
    /// Return value: a queue id or a negative errno; no fact about queues when the outcome is `NotExecuted`.
    pub result: i64,
    /// What the kernel did.
    pub outcome: Outcome,
    /// When it was entered; `None` when that was not seen.
    pub entered: Option<BootTime>,
    /// When it returned.
    pub left: BootTime,
    /// CPU it returned on.
    pub cpu: u32,
    /// Ids in the initial pid namespace.
    pub host: Ids,
    /// Ids in the caller's own pid namespace.
    pub namespaced: Option<Ids>,
    /// When the thread was started.
    pub thread_started: Option<BootTime>,
    /// When its process was started.
    pub process_started: Option<BootTime>,
    /// When its parent was started.
    pub parent_started: Option<BootTime>,
    /// Real user id, initial user namespace.
    pub uid: Option<u32>,
    /// Effective user id.
    pub euid: Option<u32>,
    /// Real group id.
    pub gid: Option<u32>,
    /// Effective group id.
    pub egid: Option<u32>,
    /// Inode number of the mount namespace.
    pub mnt_ns: Option<u32>,
    /// Inode number of the pid namespace.
    pub pid_ns: Option<u32>,
    /// Inode number of the IPC namespace.
    pub ipc_ns: Option<u32>,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Command name: bytes that the caller chose.
    pub comm: [u8; msgget_trace_ebpf::COMM_LEN],
    /// Start of the node name in the caller's UTS namespace.
    pub nodename: Option<[u8; msgget_trace_ebpf::NODENAME_LEN]>,
}

impl Call {
    /// True unless somebody answered in the kernel's place.
    #[must_use]
    pub fn executed(&self) -> bool {
        self.outcome != Outcome::NotExecuted
    }

    /// The errno of an executed call that failed, whether or not its entry was seen.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        if self.executed() {
            Errno::from_result(self.result)
        } else {
            None
        }
    }

    /// When it began, or the closest known moment after.
    #[must_use]
    pub fn timestamp(&self) -> BootTime {
        self.entered.unwrap_or(self.left)
    }
}

/// The bytes of a kernel string before its NUL.
#[must_use]
pub fn before_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

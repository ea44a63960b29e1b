//! Who made a call: the ids and names of a record go in through decode, the same for every kind of call.

use std::sync::Arc;

use msgget_trace_ebpf::{COMM_LEN, NODENAME_LEN};

use super::{BootTime, Image};

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

/// The thread that made a call, as it was when the call returned. A fact that this kernel's BTF does not offer is `None`,
/// never a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// CPU the call returned on.
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
    /// Saved user id.
    pub suid: Option<u32>,
    /// User id for file system access.
    pub fsuid: Option<u32>,
    /// Effective capabilities, a bit each.
    pub capabilities: Option<u64>,
    /// Audit login user id; `None` also when nobody logged in.
    pub login_uid: Option<u32>,
    /// Audit session id; `None` also when there is none.
    pub session: Option<u32>,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u32>,
    /// Whether a tracer is attached to the thread.
    pub traced: Option<bool>,
    /// Which program of the process: another number after every execve(2).
    pub exec_id: Option<u64>,
    /// The same of its parent.
    pub parent_exec_id: Option<u64>,
    /// What that program is; `None` from decode, enrich fills it in.
    pub image: Option<Arc<Image>>,
    /// What its parent runs.
    pub parent_image: Option<Arc<Image>>,
    /// Inode number of the user namespace.
    pub user_ns: Option<u32>,
    /// Inode number of the mount namespace.
    pub mnt_ns: Option<u32>,
    /// Inode number of the pid namespace.
    pub pid_ns: Option<u32>,
    /// Inode number of the IPC namespace.
    pub ipc_ns: Option<u32>,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Command name: bytes that the caller chose.
    pub comm: [u8; COMM_LEN],
    /// Start of the node name in the caller's UTS namespace.
    pub nodename: Option<[u8; NODENAME_LEN]>,
}

/// The bytes of a kernel string before its NUL.
#[must_use]
pub fn before_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

//! What is asked of the resolver and what it says: the types that the daemon puts in and gets out.

use std::time::Duration;

use crate::event::{BootTime, Errno};

/// A question, and where and when it arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Process whose namespace it is, as /proc of the daemon's own mount and pid namespace counts: the host's ids where
    /// the daemon lives in the initial one. Better the id of the calling thread, which /proc knows as well: unshare(2)
    /// moves a thread, not its process.
    pub pid: u32,
    /// Inode number of its IPC namespace at the time of the call. It, not `pid`, decides: when `pid` has another
    /// namespace by now, or is another process, that one is not looked at.
    pub ipc_ns: u32,
    /// When the call returned; [`Answer::age`] counts from there.
    pub left: BootTime,
    /// What is asked.
    pub question: Question,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The queue of this id: [`Reply::Queue`].
    Stat(i32),
    /// All queues of the namespace, from this index on, as many as one answer holds: [`Reply::Page`].
    ListNamespace(u32),
    /// Nothing: only to hold the namespace, so that later questions find it. [`Reply::Remembered`].
    Remember,
}

/// What the resolver says, and how old the call is that it speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// From the call's return to the moment the kernel was asked, on the boot clock. What is said held then: since the
    /// call owner and mode may have been changed (IPC_SET), creator and key may not.
    pub age: Duration,
    /// What was found.
    pub reply: Reply,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The queue asked for.
    Queue(Queue),
    /// Queues of the namespace.
    Page(Page),
    /// The namespace is held.
    Remembered,
    /// There is no such namespace, or no longer, or no such queue in it.
    Gone,
    /// The kernel refuses to open or enter the namespace or to show the queue; why.
    Denied(Errno),
    /// The kernel lacks memory or descriptors at the moment.
    Busy,
}

/// Some queues of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their indices.
    pub queues: Vec<Queue>,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
}

/// A queue as msgctl(2) shows it. User and group ids are those of the resolver's own user namespace, with the overflow
/// id (65534 unless changed) for who has none there; process ids those of its pid namespace, with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its id, compared with the kernel's including the sequence number: never a successor at the same index.
    pub id: i32,
    /// Its key; 0 for IPC_PRIVATE.
    pub key: i32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Creator: the effective uid that made it.
    pub cuid: u32,
    /// Creator's group.
    pub cgid: u32,
    /// Permissions, nine bits.
    pub mode: u16,
    /// Messages in it.
    pub qnum: u64,
    /// Bytes in it.
    pub cbytes: u64,
    /// Bytes it may hold.
    pub qbytes: u64,
    /// Process of the last msgsnd(2); 0 if there was none.
    pub lspid: i32,
    /// Process of the last msgrcv(2); 0 if there was none.
    pub lrpid: i32,
    /// Last msgsnd(2), s since 1970; 0 if there was none.
    pub stime: i64,
    /// Last msgrcv(2), likewise.
    pub rtime: i64,
    /// Creation or last IPC_SET, s since 1970.
    pub ctime: i64,
}

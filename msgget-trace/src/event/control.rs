//! What became of a queue: a `msgctl` that removed it, changed it or tried to goes in through decode.

use super::{BootTime, CallId, Caller, Door, Errno, Outcome, Queue, Source};

/// What was asked of a queue; the numbers are those of include/uapi/linux/ipc.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `IPC_RMID`: to be removed.
    Remove,
    /// `IPC_SET`: to get another owner, mode or size.
    Change,
}

impl Command {
    /// Its name in C.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remove => "IPC_RMID",
            Self::Change => "IPC_SET",
        }
    }

    /// What has been done when it succeeded.
    #[must_use]
    pub const fn done(self) -> Outcome {
        match self {
            Self::Remove => Outcome::Removed,
            Self::Change => Outcome::Changed,
        }
    }
}

/// One `msgctl` that removes or changes; or the end of a queue with its namespace, which is no call of anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Which it is for ever after.
    pub id: CallId,
    /// Who made the call; a thread of the kernel when nobody did. Its IPC namespace is that of the queue.
    pub caller: Caller,
    /// First argument: the queue's id.
    pub msqid: i32,
    /// Second argument, as the caller wrote it: 32-bit callers may add a bit to it.
    pub cmd: i32,
    /// What that means.
    pub command: Command,
    /// Return value: 0 or a negative errno; no fact about queues when the outcome is `NotExecuted`.
    pub result: i64,
    /// What the kernel did.
    pub outcome: Outcome,
    /// How that is known; `None` where it is not.
    pub source: Option<Source>,
    /// When, under the namespace's lock, the queue was removed, where the hooks state it.
    pub linearised: Option<BootTime>,
    /// The queue that was removed, as the kernel had it then, where the hooks state it.
    pub queue: Option<Queue>,
    /// Its key, where they do.
    pub key: Option<i32>,
    /// By which door the call came; `None` when there was none, because the queue ended with its namespace.
    pub door: Option<Door>,
    /// When it was entered; `None` when that was not seen.
    pub entered: Option<BootTime>,
    /// When it returned; on the `fexit` rung, when the queue was removed.
    pub left: BootTime,
}

impl Control {
    /// True for the end of a queue with its namespace.
    #[must_use]
    pub const fn teardown(&self) -> bool {
        self.door.is_none()
    }

    /// The errno of an executed call that failed.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self.outcome {
            Outcome::Failed(errno) => Some(errno),
            _ => None,
        }
    }

    /// When it began, or the closest known moment after.
    #[must_use]
    pub fn timestamp(&self) -> BootTime {
        self.entered.unwrap_or(self.left)
    }
}

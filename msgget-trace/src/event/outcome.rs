//! Outcomes: what the kernel did, and how that is known; each with its word.

use super::Errno;

/// What the kernel did with a call, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new queue was made.
    Created,
    /// An existing queue was handed out.
    Opened,
    /// A queue was removed.
    Removed,
    /// A queue got another owner, mode or size.
    Changed,
    /// Refused, with the reason.
    Failed(Errno),
    /// Succeeded with IPC_CREAT but without IPC_EXCL, and neither flags nor anything else tells which of the first two.
    Ambiguous,
    /// Executed, but its entry was not seen.
    Unpaired,
    /// Never reached the kernel's function: seccomp or a tracer answered in its place, and the result is theirs.
    NotExecuted,
}

impl Outcome {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Opened => "opened",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Failed(_) => "failed",
            Self::Ambiguous => "ambiguous",
            Self::Unpaired => "unpaired",
            Self::NotExecuted => "not_executed",
        }
    }
}

/// How an outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel's own functions said so.
    Kernel,
    /// Flags and result leave no other possibility.
    Flags,
    /// The id lies before or after where the namespace's id allocation stood when the call began.
    Counters,
    /// Of several calls that may have made the queue, only one has the ids of its creator.
    IpcStat,
}

impl Source {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Flags => "flags",
            Self::Counters => "counters",
            Self::IpcStat => "ipc_stat",
        }
    }
}

/// Who else may have made the queue that an ambiguous call was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rivals {
    /// Not all of them are known.
    Unknown,
    /// One at least has the same effective ids.
    Alike,
    /// All have others.
    Different,
}

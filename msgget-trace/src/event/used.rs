//! The use of a queue that was not there: a `msgsnd` or `msgrcv` that the kernel refused for its id goes in through decode.

use super::{BootTime, CallId, Caller, Door, Errno, Outcome, Source};

/// What was to be done with the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `msgsnd(2)`
    Send,
    /// `msgrcv(2)`
    Receive,
}

impl Operation {
    /// Name of the system call.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "msgsnd",
            Self::Receive => "msgrcv",
        }
    }

    /// In a sentence, between somebody and a queue.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Send => "could not send to",
            Self::Receive => "could not receive from",
        }
    }
}

/// One `msgsnd` or `msgrcv` that ended with `EIDRM` or `EINVAL`.
///
/// `EIDRM` is only given for a queue that was removed during the call. `EINVAL` is for one that was removed before, but also
/// for an id that never was one, a message that is too long, and a type that is none (`do_msgsnd`, `do_msgrcv`, ipc/msg.c).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which it is for ever after.
    pub id: CallId,
    /// Who made the call.
    pub caller: Caller,
    /// Which of the two calls.
    pub operation: Operation,
    /// The queue's id.
    pub msqid: i32,
    /// Size of the message, or of the room for one, in bytes.
    pub msgsz: u64,
    /// Type of the wanted message; `None` of a `msgsnd`, and where the caller kept it in memory.
    pub msgtyp: Option<i64>,
    /// Flags, as the caller wrote them.
    pub msgflg: i32,
    /// Why it failed.
    pub errno: Errno,
    /// How it is known that the kernel said so; `None` where a seccomp filter or a tracer could have, because the entry of
    /// such calls is not seen.
    pub source: Option<Source>,
    /// By which door it came.
    pub door: Door,
    /// When it returned.
    pub left: BootTime,
}

impl Use {
    /// What became of it.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        Outcome::Failed(self.errno)
    }

    /// What it returned.
    #[must_use]
    pub fn result(&self) -> i64 {
        -i64::from(self.errno.0)
    }
}

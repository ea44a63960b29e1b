//! Any event: a call, a control or a use goes in; what all of them have comes out.

use super::{BootTime, Call, CallId, Caller, Control, Errno, Outcome, Use};

/// What one record tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A `msgget`.
    Call(Call),
    /// What became of a queue.
    Control(Control),
    /// The use of a queue that was not there.
    Use(Use),
}

impl From<Call> for Event {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

impl From<Control> for Event {
    fn from(control: Control) -> Self {
        Self::Control(control)
    }
}

impl From<Use> for Event {
    fn from(used: Use) -> Self {
        Self::Use(used)
    }
}

impl Event {
    /// Which it is for ever after.
    #[must_use]
    pub const fn id(&self) -> CallId {
        match self {
            Self::Call(call) => call.id,
            Self::Control(control) => control.id,
            Self::Use(used) => used.id,
        }
    }

    /// When it was over.
    #[must_use]
    pub const fn left(&self) -> BootTime {
        match self {
            Self::Call(call) => call.left,
            Self::Control(control) => control.left,
            Self::Use(used) => used.left,
        }
    }

    /// When it began; `None` when that was not seen.
    #[must_use]
    pub const fn entered(&self) -> Option<BootTime> {
        match self {
            Self::Call(call) => call.entered,
            Self::Control(control) => control.entered,
            Self::Use(_) => None,
        }
    }

    /// Who is behind it.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        match self {
            Self::Call(call) => &call.caller,
            Self::Control(control) => &control.caller,
            Self::Use(used) => &used.caller,
        }
    }

    /// The same, to be completed.
    pub const fn caller_mut(&mut self) -> &mut Caller {
        match self {
            Self::Call(call) => &mut call.caller,
            Self::Control(control) => &mut control.caller,
            Self::Use(used) => &mut used.caller,
        }
    }

    /// When it began, or the closest known moment after.
    #[must_use]
    pub fn timestamp(&self) -> BootTime {
        match self {
            Self::Call(call) => call.timestamp(),
            Self::Control(control) => control.timestamp(),
            Self::Use(used) => used.left,
        }
    }

    /// What the kernel did.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Call(call) => call.outcome,
            Self::Control(control) => control.outcome,
            Self::Use(used) => used.outcome(),
        }
    }

    /// Return value.
    #[must_use]
    pub fn result(&self) -> i64 {
        match self {
            Self::Call(call) => call.result,
            Self::Control(control) => control.result,
            Self::Use(used) => used.result(),
        }
    }

    /// The errno with which the kernel ended it, if it failed.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        Errno::from_result(self.result()).filter(|_| self.outcome() != Outcome::NotExecuted)
    }

    /// The system call that it is; `None` for the end of a queue with its namespace.
    #[must_use]
    pub const fn system_call(&self) -> Option<&'static str> {
        match self {
            Self::Call(_) => Some("msgget"),
            Self::Control(control) if control.teardown() => None,
            Self::Control(_) => Some("msgctl"),
            Self::Use(used) => Some(used.operation.name()),
        }
    }

    /// Id of the queue it is about, if there is one.
    #[must_use]
    pub fn queue(&self) -> Option<i64> {
        match self {
            Self::Call(call) => (call.result >= 0 && call.executed()).then_some(call.result),
            Self::Control(control) => Some(control.msqid.into()),
            Self::Use(used) => Some(used.msqid.into()),
        }
    }

    /// The call, if it is one.
    #[must_use]
    pub const fn call(&self) -> Option<&Call> {
        match self {
            Self::Call(call) => Some(call),
            Self::Control(_) | Self::Use(_) => None,
        }
    }
}

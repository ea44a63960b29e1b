//! What travels through the pipeline: the types of a call, of what becomes of a queue, and of its use after that. Imports nothing
//! of ours but the ABI.

mod aggregate;
mod any;
mod caller;
mod control;
pub mod decode;
mod errno;
mod flags;
mod health;
mod image;
mod outcome;
#[cfg(test)]
pub(crate) mod sample;
mod used;

use std::fmt;

pub use aggregate::{Aggregate, Attributed, Counts, Payer};
pub use any::Event;
pub use caller::{Caller, Ids, before_nul};
pub use control::{Command, Control};
pub use errno::Errno;
pub use flags::MsgFlags;
pub use health::{Balance, Health, LossReason, News, OutputState, Passed};
pub use image::{Device, Image, ImageId};
pub use outcome::{Outcome, Rivals, Source};
pub use used::{Operation, Use};
use uuid::Uuid;

/// The key that never names an existing queue: `IPC_PRIVATE`, include/uapi/linux/ipc.h.
pub const IPC_PRIVATE: i32 = 0;

/// A moment on the boot clock (`CLOCK_BOOTTIME`), in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        f.write_str(self.ring.hyphenated().encode_lower(&mut Uuid::encode_buffer()))?;
        f.write_str("-")?;
        f.write_str(itoa::Buffer::new().format(self.position))
    }
}

/// The family of hooks in use; a run never mixes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Tracepoints of the one system call: blind to 32-bit entry.
    Tracepoint,
    /// Typed tracepoints of all system calls.
    TpBtf,
    /// The functions inside the kernel: they state what was done, but never see what was refused before them.
    Fexit,
}

impl Rung {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Fexit, Self::TpBtf, Self::Tracepoint];

    /// The word for it in options and outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::TpBtf => "tp_btf",
            Self::Fexit => "fexit",
        }
    }

    /// What it cannot see.
    #[must_use]
    pub const fn gap(self) -> &'static str {
        match self {
            Self::Tracepoint => "calls by 32-bit entry (int 0x80) are not seen",
            Self::TpBtf => "none",
            Self::Fexit => {
                "attempts that seccomp or a tracer refused before the kernel's msgget are not seen, nor what msgctl changes \
                 or fails to remove"
            }
        }
    }
}

/// The calling convention a call was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// x86-64.
    X86_64,
    /// i386.
    I386,
    /// x32.
    X32,
}

impl Abi {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
        }
    }
}

/// The way a call entered the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The `syscall` instruction of 64-bit code.
    Syscall,
    /// `int 0x80` from 64-bit code: no compiler emits it, whoever does is hiding.
    Int80From64,
    /// `int 0x80` or `sysenter` from 32-bit code.
    From32,
}

impl Entry {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syscall => "syscall",
            Self::Int80From64 => "int80_64bit",
            Self::From32 => "32bit",
        }
    }
}

/// By which door a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Calling convention.
    pub abi: Abi,
    /// Instruction, and the code it stood in.
    pub entry: Entry,
    /// Number of the system call in that convention.
    pub number: u32,
    /// First argument of the multiplexer `ipc(2)`, version half included; `None` for other numbers.
    pub ipc_call: Option<u32>,
}

/// Whose a queue is. Ids are those of the initial user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Creator: never changes.
    pub cuid: u32,
    /// Creating group.
    pub cgid: u32,
    /// Permission bits.
    pub mode: u16,
    /// For how long after the call's return this held for certain or was looked up, ns; `None` where the kernel stated it
    /// during the call. Owner and mode may have been changed in between (IPC_SET), the creator cannot.
    pub age: Option<u64>,
}

/// Where the allocation of queue ids stood: by sequence number first, then by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Sequence number.
    pub seq: u32,
    /// Index of the id given out last; -1 before the first.
    pub last_idx: i32,
}

/// One `msgget`, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who it is for ever after.
    pub id: CallId,
    /// Who made it.
    pub caller: Caller,
    /// First argument.
    pub key: i32,
    /// Second argument.
    pub flags: MsgFlags,
    /// Return value: a queue id or a negative errno; no fact about queues when the outcome is `NotExecuted`.
    pub result: i64,
    /// What the kernel did.
    pub outcome: Outcome,
    /// How that is known; `None` where it is not.
    pub source: Option<Source>,
    /// Id allocation at enter and exit, where flags and result leave the outcome open.
    pub positions: Option<(Position, Position)>,
    /// Of an ambiguous call, who else may have made the queue; `None` also where its id may not have been given out in turn.
    pub rivals: Option<Rivals>,
    /// When, under the namespace's lock, the queue was made or found; in that order things happened.
    pub linearised: Option<BootTime>,
    /// The queue that was opened, as the kernel had it then; or that was created, as the caller's ids and flags make it.
    pub queue: Option<Queue>,
    /// By which door it came.
    pub door: Door,
    /// Not wanted for itself: it may have created what a wanted call opened.
    pub witness: bool,
    /// When it was entered; `None` when that was not seen.
    pub entered: Option<BootTime>,
    /// When it returned.
    pub left: BootTime,
}

impl Call {
    /// True unless somebody answered in the kernel's place.
    #[must_use]
    pub fn executed(&self) -> bool {
        self.outcome != Outcome::NotExecuted
    }

    /// Takes note of what the kernel did, now that it is known.
    pub fn decide(&mut self, outcome: Outcome, source: Source) {
        self.outcome = outcome;
        self.source = Some(source);
        if outcome == Outcome::Created {
            self.queue = self.own_queue();
        }
    }

    /// Takes note that the queue of an ambiguous call, found after it, was created by the user `cuid` and the group `cgid`,
    /// which never change.
    pub fn settle(&mut self, cuid: u32, cgid: u32) {
        let (Some(rivals), Some(euid), Some(egid)) = (self.rivals, self.caller.euid, self.caller.egid) else { return };
        if self.outcome != Outcome::Ambiguous {
            return;
        }
        if (cuid, cgid) != (euid, egid) {
            self.decide(Outcome::Opened, Source::IpcStat);
        } else if rivals == Rivals::Different {
            self.decide(Outcome::Created, Source::IpcStat);
        }
    }

    /// The queue this call makes, if it makes one: it belongs to the caller's effective ids (`ipc_addid`, ipc/util.c), and
    /// the low nine bits of the flags are its mode.
    #[must_use]
    pub fn own_queue(&self) -> Option<Queue> {
        let (uid, gid) = (self.caller.euid?, self.caller.egid?);
        Some(Queue { uid, gid, cuid: uid, cgid: gid, mode: self.flags.mode(), age: None })
    }

    /// The errno of an executed call that failed, whether or not its entry was seen.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        if self.executed() { Errno::from_result(self.result) } else { None }
    }

    /// When it began, or the closest known moment after.
    #[must_use]
    pub fn timestamp(&self) -> BootTime {
        self.entered.unwrap_or(self.left)
    }
}

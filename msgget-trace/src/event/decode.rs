//! Decode: the bytes of a record go in, an [`Event`] or an [`Image`] comes out, or the reason why they are none. Pure; nothing in a record
//! is trusted.

mod caller;
mod context;
mod control;
mod used;

use std::{mem::offset_of, ops::Range};

use caller::caller;
use msgget_trace_ebpf::{
    ABI_I386, ABI_X32, ABI_X86_64, ABSENT, Call as Record, ENTRY_32, ENTRY_INT80_64, ENTRY_SYSCALL, EVICTED,
    FACT_CREATED, FACT_NONE, FACT_OPENED, FACT_REMOVED, FACT_TORN_DOWN, Header, KIND_CONTEXT, KIND_CONTROL, KIND_USE,
    NOT_EXECUTED, Offsets, PAIRED,
};
use thiserror::Error;
use uuid::Uuid;

use super::{
    Abi, BootTime, Call, CallId, Door, Entry, Errno, Event, IPC_PRIVATE, Image, MsgFlags, Outcome, Position, Queue,
    Rung, Source,
};

/// For how long after attaching an exit without an enter may be a call that was already under way: 1 s, in ns.
pub const ATTACH_GRACE: u64 = 1_000_000_000;

/// Where in a record its kind stands.
const KIND: Range<usize> = offset_of!(Header, kind)..offset_of!(Header, size);

/// Why bytes are no record of ours. Whoever sees one has found a defect, or a program that is not ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Not the length of any record.
    #[error("a record of {0} bytes")]
    Length(usize),
    /// Written by another version, or of an unknown kind.
    #[error("a record of version {version}, kind {kind} and stated size {size}")]
    Header {
        /// As stated.
        version: u16,
        /// As stated.
        kind: u16,
        /// As stated, in bytes.
        size: u32,
    },
    /// A field holds what the kernel program never writes.
    #[error("a record whose field {field} is {value}")]
    Field {
        /// Its name in the ABI.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// What a record turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once; a box would cost every call an allocation")]
pub enum Decoded {
    /// A call, what became of a queue, or its use after that.
    Event(Event),
    /// A program that makes calls.
    Image(Image),
}

/// What decoding needs to know besides the bytes; fixed for a run.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Which ring is read.
    pub ring: Uuid,
    /// Which hooks write them.
    pub rung: Rung,
    /// Which members this kernel has.
    pub offsets: Offsets,
    /// When the hooks were attached.
    pub attached: BootTime,
    /// When they began to be detached, enter before exit.
    pub detached: Option<BootTime>,
}

impl Decoder {
    /// Decodes the record at `position` of the ring.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not exactly what the kernel program writes.
    pub fn decode(&self, position: u64, bytes: &[u8]) -> Result<Decoded, Malformed> {
        let kind = bytes.get(KIND).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        match kind {
            Some(KIND_CONTEXT) => self.image(bytes).map(Decoded::Image),
            Some(KIND_CONTROL) => self.control(position, bytes).map(Event::Control).map(Decoded::Event),
            Some(KIND_USE) => self.used(position, bytes).map(Event::Use).map(Decoded::Event),
            _ => self.call(position, bytes).map(Event::Call).map(Decoded::Event),
        }
    }

    /// Decodes a call record.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not exactly what the kernel program writes.
    pub fn call(&self, position: u64, bytes: &[u8]) -> Result<Call, Malformed> {
        let record = read(bytes, Record::HEADER)?;
        plausible(&record, &[FACT_NONE, FACT_CREATED, FACT_OPENED])?;
        let door = door(&record)?;

        let flags = MsgFlags(record.msgflg);
        let (outcome, source) = self.outcome(&record, flags);
        let mut call = Call {
            id: CallId { ring: self.ring, position },
            caller: caller(&self.offsets, &record),
            key: record.key,
            flags,
            result: record.ret,
            outcome,
            source,
            positions: positions(&record).filter(|_| outcome == Outcome::Ambiguous),
            rivals: None,
            linearised: (record.fact_ns != 0).then_some(BootTime(record.fact_ns)),
            queue: (record.fact == FACT_OPENED).then(|| self.stated_queue(&record)).flatten(),
            door,
            witness: record.witness != 0,
            entered: (record.pairing == PAIRED).then_some(BootTime(record.enter_ns)),
            left: BootTime(record.exit_ns),
        };
        if call.outcome == Outcome::Created {
            call.queue = call.own_queue();
        }
        Ok(call)
    }

    /// What the hooks state, else what flags and result say; `ipcget` (ipc/util.c) is the truth behind each line.
    fn outcome(&self, record: &Record, flags: MsgFlags) -> (Outcome, Option<Source>) {
        match record.fact {
            FACT_CREATED => return (Outcome::Created, Some(Source::Kernel)),
            FACT_OPENED => return (Outcome::Opened, Some(Source::Kernel)),
            _ => {}
        }
        if let Some(outcome) = self.not_entered(record) {
            return (outcome, None);
        }
        let inside = self.rung == Rung::Fexit;
        if let Some(errno) = Errno::from_result(record.ret) {
            (Outcome::Failed(errno), Some(if inside { Source::Kernel } else { Source::Flags }))
        } else if record.key == IPC_PRIVATE || flags.has(MsgFlags::IPC_CREAT | MsgFlags::IPC_EXCL) {
            (Outcome::Created, Some(Source::Flags))
        } else if flags.has(MsgFlags::IPC_CREAT) {
            (Outcome::Ambiguous, None)
        } else {
            (Outcome::Opened, Some(Source::Flags))
        }
    }

    /// What is known of a call whose entry was not seen; `None` of any other.
    fn not_entered(&self, record: &Record) -> Option<Outcome> {
        match record.pairing {
            // These hooks stand inside the call: that it was executed is no question.
            _ if self.rung == Rung::Fexit => None,
            EVICTED => Some(Outcome::Unpaired),
            // Nobody entered; or we came too late, or left too early, to see it.
            NOT_EXECUTED => {
                let left = BootTime(record.exit_ns);
                // A thread that is younger than the hooks was seen entering, if it did.
                let older = self.offsets.task_start_boottime == ABSENT || record.thread_start_ns <= self.attached.0;
                let late = older && left.since(self.attached) < ATTACH_GRACE;
                let early = self.detached.is_some_and(|detached| left >= detached);
                Some(if late || early { Outcome::Unpaired } else { Outcome::NotExecuted })
            }
            _ => None,
        }
    }

    /// The queue that was opened or removed, as the hooks state it.
    fn stated_queue(&self, record: &Record) -> Option<Queue> {
        let msgget_trace_ebpf::Owner { uid, gid, cuid, cgid } = record.owner;
        let mode = (record.queue_mode & 0o777) as u16;
        (self.offsets.perm_cuid != ABSENT).then_some(Queue { uid, gid, cuid, cgid, mode, age: None })
    }
}

/// By which door the call came.
fn door(record: &Record) -> Result<Door, Malformed> {
    let abi = match record.abi {
        ABI_X86_64 => Abi::X86_64,
        ABI_I386 => Abi::I386,
        ABI_X32 => Abi::X32,
        value => {
            return Err(Malformed::Field { field: "abi", value: value.into() });
        }
    };
    let entry = match record.entry {
        ENTRY_SYSCALL => Entry::Syscall,
        ENTRY_INT80_64 => Entry::Int80From64,
        ENTRY_32 => Entry::From32,
        value => {
            return Err(Malformed::Field { field: "entry", value: value.into() });
        }
    };
    Ok(Door { abi, entry, number: record.number, ipc_call: (record.ipc_call != 0).then_some(record.ipc_call) })
}

/// Id allocation before and after, where both could be read.
fn positions(record: &Record) -> Option<(Position, Position)> {
    let position = |raw: msgget_trace_ebpf::Position| {
        (raw.valid == 1).then_some(Position { seq: raw.seq, last_idx: raw.last_idx })
    };
    Some((position(record.before)?, position(record.after)?))
}

/// Copies the record out, if that is what stands there.
fn read(bytes: &[u8], header: Header) -> Result<Record, Malformed> {
    let record = Record::from_bytes(bytes).ok_or(Malformed::Length(bytes.len()))?;
    if record.header != header {
        let Header { version, kind, size } = record.header;
        return Err(Malformed::Header { version, kind, size });
    }
    Ok(record)
}

/// Refuses field values that the kernel program cannot have written; `facts` are those of the record's kind.
fn plausible(record: &Record, facts: &[u32]) -> Result<(), Malformed> {
    let refuse = |field, value| Err(Malformed::Field { field, value });
    if record.pairing > EVICTED {
        return refuse("pairing", record.pairing.into());
    }
    if !facts.contains(&record.fact) {
        return refuse("fact", record.fact.into());
    }
    if record.witness > 1 {
        return refuse("witness", record.witness.into());
    }
    if record.queue_key != 0 && !matches!(record.fact, FACT_REMOVED | FACT_TORN_DOWN) {
        return refuse("queue_key", record.queue_key.cast_unsigned().into());
    }
    if (record.pairing == PAIRED) != (record.enter_ns != 0) || record.enter_ns > record.exit_ns {
        return refuse("enter_ns", record.enter_ns);
    }
    if record.tid == 0 || record.pid == 0 {
        return refuse("tid", record.tid.into());
    }
    if record.comm[record.comm.len() - 1] != 0 {
        return refuse("comm", record.comm[record.comm.len() - 1].into());
    }
    // An id or an errno: ipc/util.c returns an int. Beyond it only an answer that is not the kernel's own can lie.
    if record.pairing == PAIRED && i32::try_from(record.ret).is_err() {
        return refuse("ret", record.ret.cast_unsigned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;

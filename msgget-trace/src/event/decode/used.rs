//! The bytes of a use record go in, a [`Use`] comes out, or the reason why they are none.

use msgget_trace_ebpf::{Call as Record, EVICTED, FACT_NONE, Message};

use super::{Decoder, Malformed, caller::caller, door, plausible, read};
use crate::event::{Abi, BootTime, CallId, Caller, Door, Errno, Operation, Rung, Source, Use};

/// `MSGSND` and `MSGRCV`, the numbers of the calls inside `ipc(2)`, include/uapi/linux/ipc.h.
const IPC_MSGSND: u32 = 11;
const IPC_MSGRCV: u32 = 12;
/// `__X32_SYSCALL_BIT`.
const X32: u32 = 1 << 30;

impl Decoder {
    /// Decodes a use record.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not exactly what the kernel program writes.
    pub fn used(&self, position: u64, bytes: &[u8]) -> Result<Use, Malformed> {
        let record = read(bytes, Record::USE)?;
        plausible(&record, &[FACT_NONE])?;
        let door = door(&record)?;
        let operation = operation(door).ok_or(Malformed::Field { field: "number", value: record.number.into() })?;
        let errno = Errno::from_result(record.ret).filter(|errno| [Errno::EIDRM, Errno::EINVAL].contains(errno));
        let errno = errno.ok_or(Malformed::Field { field: "ret", value: record.ret.cast_unsigned() })?;
        if record.pairing != EVICTED {
            return Err(Malformed::Field { field: "pairing", value: record.pairing.into() });
        }
        let Message { size: msgsz, r#type } = record.before.into();
        let caller = caller(&self.offsets, &record);
        Ok(Use {
            id: CallId { ring: self.ring, position },
            operation,
            msqid: record.key,
            msgsz,
            msgtyp: (operation == Operation::Receive && self.has_type(door)).then_some(r#type),
            msgflg: record.msgflg,
            errno,
            source: self.answered(&caller),
            door,
            caller,
            left: BootTime(record.exit_ns),
        })
    }

    /// Whether the type that a `msgrcv` asks for is known: of version 0 of `ipc(2)` it stands in memory, and only the hooks inside
    /// the kernel have it.
    fn has_type(&self, door: Door) -> bool {
        self.rung == Rung::Fexit || door.ipc_call.is_none_or(|call| call >> 16 != 0)
    }

    /// How it is known that the kernel answered.
    fn answered(&self, caller: &Caller) -> Option<Source> {
        if self.rung == Rung::Fexit {
            return Some(Source::Kernel);
        }
        (caller.seccomp == Some(0) && caller.traced == Some(false)).then_some(Source::Flags)
    }
}

/// Which call it was, by its number; arch/x86/entry/syscalls.
const fn operation(door: Door) -> Option<Operation> {
    let ipc_call = match door.ipc_call {
        Some(call) => call & 0xffff,
        None => 0,
    };
    let number = match door.abi {
        Abi::X32 => door.number ^ X32,
        Abi::X86_64 | Abi::I386 => door.number,
    };
    match (door.abi, number, ipc_call) {
        (Abi::X86_64 | Abi::X32, 69, 0) | (Abi::I386, 400, 0) | (Abi::I386, 117, IPC_MSGSND) => Some(Operation::Send),
        (Abi::X86_64 | Abi::X32, 70, 0) | (Abi::I386, 401, 0) | (Abi::I386, 117, IPC_MSGRCV) => {
            Some(Operation::Receive)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use msgget_trace_ebpf::{ABI_I386, ABI_X32, ENTRY_32, NOT_EXECUTED, PAIRED, Position};

    use super::*;
    use crate::event::{
        Event, Outcome,
        decode::Decoded,
        sample::{decoder, record, use_of, use_record},
    };

    #[test]
    fn it_says_what_was_asked_and_why_it_failed() {
        let raw = use_record(70, -43);
        let Ok(Decoded::Event(Event::Use(used))) = decoder().decode(4096, raw.as_bytes()) else { panic!("no use") };
        assert_eq!((used.operation, used.msqid, used.msgsz), (Operation::Receive, 5, 4096));
        assert_eq!((used.msgtyp, used.msgflg), (Some(-3), 0o4000));
        assert_eq!((used.outcome(), used.result()), (Outcome::Failed(Errno::EIDRM), -43));
        assert_eq!((used.id.position, used.left), (4096, BootTime(raw.exit_ns)));
        assert_eq!(used.source, Some(Source::Flags));
        let sent = use_of(0, &use_record(69, -22));
        assert_eq!((sent.operation, sent.msgtyp, sent.errno), (Operation::Send, None, Errno::EINVAL));
    }

    #[test]
    fn a_message_fits_into_the_words_of_a_position() {
        for size in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            for r#type in [0, 1, -1, i64::MIN, i64::MAX] {
                let message = Message { size, r#type };
                assert_eq!(Message::from(Position::from(message)), message);
            }
        }
    }

    #[test]
    fn every_door_has_its_numbers() {
        let by = |abi, number, ipc_call| {
            let raw = Record { abi, number, ipc_call, entry: ENTRY_32, ..use_record(69, -22) };
            decoder().used(0, raw.as_bytes()).map(|used| (used.operation, used.msgtyp.is_some())).ok()
        };
        let (sent, received) = (Some((Operation::Send, false)), Some((Operation::Receive, true)));
        assert_eq!((by(ABI_X32, 69 | X32, 0), by(ABI_X32, 70 | X32, 0)), (sent, received));
        assert_eq!((by(ABI_I386, 400, 0), by(ABI_I386, 401, 0)), (sent, received));
        assert_eq!((by(ABI_I386, 117, 11), by(ABI_I386, 117, 1 << 16 | 12)), (sent, received));
        assert_eq!(by(ABI_I386, 117, 12), Some((Operation::Receive, false)), "its type stands in memory");
        for (abi, number, ipc_call) in [(ABI_I386, 69, 0), (ABI_I386, 117, 13), (ABI_I386, 117, 0), (ABI_X32, 69, 0)] {
            assert_eq!(by(abi, number, ipc_call), None, "{number}");
        }
    }

    #[test]
    fn the_hooks_inside_the_kernel_know_more() {
        let inside = Decoder { rung: Rung::Fexit, ..decoder() };
        let raw = Record { abi: ABI_I386, number: 117, ipc_call: 12, seccomp: 2, ..use_record(70, -22) };
        let used = inside.used(0, raw.as_bytes()).unwrap();
        assert_eq!((used.msgtyp, used.source), (Some(-3), Some(Source::Kernel)));
    }

    #[test]
    fn whoever_else_could_have_answered_leaves_a_doubt() {
        let source = |seccomp, ptrace| use_of(0, &Record { seccomp, ptrace, ..use_record(69, -22) }).source;
        assert_eq!([source(0, 0), source(2, 0), source(0, 1)], [Some(Source::Flags), None, None]);
    }

    #[test]
    fn what_no_program_writes_is_refused() {
        let refused = |raw: Record| match decoder().decode(0, raw.as_bytes()) {
            Err(Malformed::Field { field, .. }) => Some(field),
            _ => None,
        };
        for ret in [0, 5, -2, -13, -4] {
            assert_eq!(refused(use_record(69, ret)), Some("ret"), "{ret}");
        }
        assert_eq!(refused(use_record(68, -22)), Some("number"));
        let paired = Record { pairing: PAIRED, enter_ns: record().enter_ns, ..use_record(69, -22) };
        assert_eq!(refused(paired), Some("pairing"));
        assert_eq!(refused(Record { pairing: NOT_EXECUTED, ..use_record(69, -22) }), Some("pairing"));
        assert_eq!(refused(Record { fact: FACT_NONE + 1, ..use_record(69, -22) }), Some("fact"));
    }
}

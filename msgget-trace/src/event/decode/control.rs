//! The bytes of a control record go in, a [`Control`] comes out, or the reason why they are none.

use msgget_trace_ebpf::{Call as Record, FACT_NONE, FACT_REMOVED, FACT_TORN_DOWN, PAIRED};

use super::{Decoder, Malformed, caller::caller, door, plausible, read};
use crate::event::{Abi, BootTime, CallId, Command, Control, Errno, Outcome, Source};

/// `IPC_64`, ipc/util.h: the kernel takes it out of a 32-bit caller's command, and out of no other.
const IPC_64: i32 = 0x100;

impl Decoder {
    /// Decodes a control record.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not exactly what the kernel program writes.
    pub fn control(&self, position: u64, bytes: &[u8]) -> Result<Control, Malformed> {
        let record = read(bytes, Record::CONTROL)?;
        plausible(&record, &[FACT_NONE, FACT_REMOVED, FACT_TORN_DOWN])?;
        let torn_down = record.fact == FACT_TORN_DOWN;
        let door = door(&record)?;
        let command = match if door.abi == Abi::I386 { record.msgflg & !IPC_64 } else { record.msgflg } {
            libc::IPC_RMID => Command::Remove,
            libc::IPC_SET => Command::Change,
            _ => return Err(Malformed::Field { field: "msgflg", value: record.msgflg.cast_unsigned().into() }),
        };
        let (outcome, source) = self.done(&record, command);
        Ok(Control {
            id: CallId { ring: self.ring, position },
            caller: caller(&self.offsets, &record),
            msqid: record.key,
            cmd: record.msgflg,
            command,
            result: record.ret,
            outcome,
            source,
            linearised: (record.fact_ns != 0).then_some(BootTime(record.fact_ns)),
            queue: (record.fact != FACT_NONE).then(|| self.stated_queue(&record)).flatten(),
            key: (record.fact != FACT_NONE).then_some(record.queue_key),
            door: (!torn_down).then_some(door),
            entered: (record.pairing == PAIRED).then_some(BootTime(record.enter_ns)),
            left: BootTime(record.exit_ns),
        })
    }

    /// What the hooks state, else what command and result say.
    fn done(&self, record: &Record, command: Command) -> (Outcome, Option<Source>) {
        if record.fact != FACT_NONE {
            return (Outcome::Removed, Some(Source::Kernel));
        }
        if let Some(outcome) = self.not_entered(record) {
            return (outcome, None);
        }
        let outcome = Errno::from_result(record.ret).map_or(command.done(), Outcome::Failed);
        (outcome, Some(Source::Flags))
    }
}

#[cfg(test)]
mod tests {
    use msgget_trace_ebpf::{EVICTED, NOT_EXECUTED, Owner};

    use super::*;
    use crate::event::{
        Event, Queue,
        decode::Decoded,
        sample::{control_of, control_record, decoder, record},
    };

    /// As the hooks inside the kernel write it: queue 5 with key 42, of user 1000.
    fn stated(fact: u32) -> Record {
        let owner = Owner { uid: 1000, gid: 1001, cuid: 1002, cgid: 1003 };
        let raw = Record { pairing: EVICTED, enter_ns: 0, fact, fact_ns: record().exit_ns, ..control_record(0, 0) };
        Record { owner, queue_mode: 0o100_640, queue_key: 42, ..raw }
    }

    #[test]
    fn command_and_result_decide_the_outcome() {
        let outcome = |cmd, ret| control_of(0, &control_record(cmd, ret)).outcome;
        assert_eq!(outcome(0, 0), Outcome::Removed);
        assert_eq!(outcome(1, 0), Outcome::Changed);
        assert_eq!(outcome(0, -1), Outcome::Failed(Errno(1)));
        assert_eq!(outcome(1, -22), Outcome::Failed(Errno(22)));
    }

    #[test]
    fn it_says_what_was_asked_and_by_whom() {
        let raw = control_record(1, 0);
        let Ok(Decoded::Event(Event::Control(control))) = decoder().decode(4096, raw.as_bytes()) else {
            panic!("no control");
        };
        assert_eq!((control.msqid, control.cmd, control.command), (5, 1, Command::Change));
        assert_eq!((control.id.position, control.caller.host.pid), (4096, raw.pid));
        assert_eq!((control.entered, control.left), (Some(BootTime(raw.enter_ns)), BootTime(raw.exit_ns)));
        assert_eq!((control.queue, control.key, control.linearised, control.teardown()), (None, None, None, false));
        assert_eq!(control.source, Some(Source::Flags));
    }

    #[test]
    fn only_a_32_bit_command_may_carry_a_version() {
        let raw = Record { msgflg: 0x100, ..control_record(0, 0) };
        assert!(matches!(decoder().decode(0, raw.as_bytes()), Err(Malformed::Field { field: "msgflg", value: 0x100 })));
        let raw = Record { abi: msgget_trace_ebpf::ABI_I386, number: 402, ..raw };
        let control = control_of(0, &raw);
        assert_eq!((control.cmd, control.command), (0x100, Command::Remove));
        let stat = control_record(2, 0);
        assert!(decoder().decode(0, stat.as_bytes()).is_err());
    }

    #[test]
    fn what_the_kernel_did_not_do_is_not_done() {
        for ret in [0, -1, 71] {
            let control = control_of(0, &Record { pairing: NOT_EXECUTED, enter_ns: 0, ..control_record(0, ret) });
            assert_eq!((control.outcome, control.source, control.errno()), (Outcome::NotExecuted, None, None));
        }
        let evicted = Record { pairing: EVICTED, enter_ns: 0, ..control_record(0, 0) };
        assert_eq!(control_of(0, &evicted).outcome, Outcome::Unpaired);
    }

    #[test]
    fn what_the_kernel_states_is_believed() {
        let control = control_of(0, &stated(FACT_REMOVED));
        assert_eq!((control.outcome, control.source), (Outcome::Removed, Some(Source::Kernel)));
        let queue = Queue { uid: 1000, gid: 1001, cuid: 1002, cgid: 1003, mode: 0o640, age: None };
        assert_eq!((control.queue, control.key), (Some(queue), Some(42)));
        assert_eq!((control.entered, control.linearised), (None, Some(BootTime(record().exit_ns))));
        assert!(!control.teardown());
        assert!(control_of(0, &stated(FACT_TORN_DOWN)).teardown());
    }

    #[test]
    fn facts_of_one_kind_are_none_of_the_other() {
        use msgget_trace_ebpf::{FACT_CREATED, FACT_OPENED};
        for fact in [FACT_CREATED, FACT_OPENED, FACT_TORN_DOWN + 1] {
            let raw = Record { fact, queue_key: 0, ..stated(fact) };
            assert!(matches!(decoder().decode(0, raw.as_bytes()), Err(Malformed::Field { field: "fact", .. })));
        }
        let call = Record { header: Record::HEADER, ..stated(FACT_REMOVED) };
        assert!(matches!(decoder().decode(0, call.as_bytes()), Err(Malformed::Field { field: "fact", .. })));
        let keyed = Record { queue_key: 1, ..control_record(0, 0) };
        assert!(matches!(decoder().decode(0, keyed.as_bytes()), Err(Malformed::Field { field: "queue_key", .. })));
    }
}

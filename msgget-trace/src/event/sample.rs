//! For tests: a few numbers go in, a record or a call like the kernel program's comes out.

use msgget_trace_ebpf::{Call as Record, Offsets, PAIRED};
use uuid::Uuid;

use super::{BootTime, Call, decode::Decoder};

/// A second, in ns.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// When the hooks of [`decoder`] were attached.
const ATTACHED: u64 = 100 * SECOND;

/// Every member is there.
pub(crate) fn offsets() -> Offsets {
    let resolved: Result<_, std::convert::Infallible> = Offsets::resolve(|_, _, _| Ok(8));
    resolved.unwrap_or_else(|never| match never {})
}

pub(crate) fn decoder() -> Decoder {
    Decoder {
        ring: Uuid::from_u128(7),
        offsets: offsets(),
        attached: BootTime(ATTACHED),
        detached: None,
    }
}

/// Process 41237, alone in its namespaces, asks for key 42 without flags ten seconds after attaching, and gets ENOENT.
pub(crate) fn record() -> Record {
    Record {
        header: Record::HEADER,
        enter_ns: ATTACHED + 10 * SECOND,
        exit_ns: ATTACHED + 10 * SECOND + 700,
        thread_start_ns: 90 * SECOND,
        process_start_ns: 80 * SECOND,
        parent_start_ns: 70 * SECOND,
        cgroup_id: 9540,
        ret: -2,
        key: 42,
        msgflg: 0,
        pid: 41_237,
        tid: 41_238,
        ppid: 40_980,
        ns_pid: 17,
        ns_tid: 18,
        ns_ppid: 1,
        uid: 1000,
        euid: 0,
        gid: 1001,
        egid: 1002,
        mnt_ns: 4_026_533_170,
        pid_ns: 4_026_533_171,
        ipc_ns: 4_026_533_172,
        cpu: 3,
        pairing: PAIRED,
        reserved: 0,
        comm: *b"ipcworker\0\0\0\0\0\0\0",
        nodename: *b"billing-7c9f6d5b",
    }
}

/// Decodes `record` as if it had stood at `position`.
pub(crate) fn call_of(position: u64, record: &Record) -> Call {
    decoder().decode(position, record.as_bytes()).unwrap()
}

/// [`record`] with other arguments and another result, `at` ns after it.
pub(crate) fn call(position: u64, at: u64, key: i32, msgflg: i32, ret: i64) -> Call {
    let mut record = Record {
        key,
        msgflg,
        ret,
        ..record()
    };
    record.enter_ns += at;
    record.exit_ns += at;
    call_of(position, &record)
}

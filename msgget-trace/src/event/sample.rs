//! For tests: a few numbers go in, a record or a call like the kernel program's comes out.

use msgget_trace_ebpf::{
    ABI_X86_64, ARGUMENTS_LEN, Call as Record, Context, ENTRY_SYSCALL, EVICTED, FACT_NONE, Message, Offsets, Owner,
    PAIRED, PATH_LEN, Position,
};
use uuid::Uuid;

use super::{BootTime, Call, Control, Image, Rung, Use, decode::Decoder};

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
        rung: Rung::TpBtf,
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
        fact_ns: 0,
        thread_start_ns: 90 * SECOND,
        process_start_ns: 80 * SECOND,
        parent_start_ns: 70 * SECOND,
        exec_id: 3,
        parent_exec_id: 2,
        cgroup_id: 9540,
        capabilities: 1 << 15,
        ret: -2,
        before: Position::default(),
        after: Position::default(),
        owner: Owner::default(),
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
        suid: 0,
        fsuid: 0,
        gid: 1001,
        egid: 1002,
        loginuid: 1000,
        sessionid: u32::MAX,
        mnt_ns: 4_026_533_170,
        pid_ns: 4_026_533_171,
        user_ns: 4_026_531_837,
        ipc_ns: 4_026_533_172,
        cpu: 3,
        pairing: PAIRED,
        fact: FACT_NONE,
        queue_mode: 0,
        abi: ABI_X86_64,
        entry: ENTRY_SYSCALL,
        number: 68,
        ipc_call: 0,
        seccomp: 0,
        ptrace: 0,
        witness: 0,
        queue_key: 0,
        comm: *b"ipcworker\0\0\0\0\0\0\0",
        nodename: *b"billing-7c9f6d5b",
    }
}

/// The program of [`record`].
pub(crate) fn context() -> Context {
    fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut all = [b'?'; N];
        all[..bytes.len()].copy_from_slice(bytes);
        all
    }
    let (path, arguments) = (b"perl\0bin\0usr\0", b"perl\0-e\0exit 0\0");
    Context {
        header: Context::HEADER,
        process_start_ns: record().process_start_ns,
        exec_id: record().exec_id,
        inode: 4711,
        device: 254 << 20 | 1,
        pid: record().pid,
        path_len: path.len() as u32,
        path_flags: 0,
        arguments_len: arguments.len() as u32,
        arguments_flags: 0,
        path: padded::<PATH_LEN>(path),
        arguments: padded::<ARGUMENTS_LEN>(arguments),
    }
}

/// [`context`], decoded.
pub(crate) fn image() -> Image {
    decoder().image(context().as_bytes()).unwrap()
}

/// Decodes `record` as if it had stood at `position`.
pub(crate) fn call_of(position: u64, record: &Record) -> Call {
    decoder().call(position, record.as_bytes()).unwrap()
}

/// The same process removes queue 5; or changes it, with `cmd` 1.
pub(crate) fn control_record(cmd: i32, ret: i64) -> Record {
    Record { header: Record::CONTROL, key: 5, msgflg: cmd, ret, number: 71, ..record() }
}

/// Decodes `record` as if it had stood at `position`.
pub(crate) fn control_of(position: u64, record: &Record) -> Control {
    decoder().control(position, record.as_bytes()).unwrap()
}

/// The same process fails to send to queue 5 (`number` 69) or to receive from it (70).
pub(crate) fn use_record(number: u32, ret: i64) -> Record {
    let before = Message { size: 4096, r#type: -3 }.into();
    let raw = Record { header: Record::USE, key: 5, msgflg: 0o4000, before, ret, number, ..record() };
    Record { pairing: EVICTED, enter_ns: 0, ..raw }
}

/// Decodes `record` as if it had stood at `position`.
pub(crate) fn use_of(position: u64, record: &Record) -> Use {
    decoder().used(position, record.as_bytes()).unwrap()
}

/// [`record`] with other arguments and another result, `at` ns after it.
pub(crate) fn call(position: u64, at: u64, key: i32, msgflg: i32, ret: i64) -> Call {
    let mut record = Record { key, msgflg, ret, ..record() };
    record.enter_ns += at;
    record.exit_ns += at;
    call_of(position, &record)
}

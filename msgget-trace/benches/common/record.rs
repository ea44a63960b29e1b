//! Records for benchmarks: a moment goes in, a record as the kernel program makes it comes out, and what decodes it.

use std::convert::Infallible;

use msgget_trace::event::{BootTime, Rung, decode::Decoder};
use msgget_trace_ebpf::{ABI_X86_64, Call as Record, ENTRY_SYSCALL, FACT_NONE, Offsets, Owner, PAIRED, Position};
use uuid::Uuid;

/// A second, in ns.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// When the hooks were attached, on a clock that runs since the boot.
pub(crate) const ATTACHED: u64 = 1_000 * SECOND;

/// For a kernel that has all members.
///
/// # Errors
/// None.
pub(crate) fn decoder() -> Result<Decoder, Infallible> {
    Ok(Decoder {
        ring: Uuid::from_u128(0x3add_0c85_89b6_4d0b_9935_3e6f_21ae_aaa3),
        rung: Rung::TpBtf,
        offsets: Offsets::resolve(|_, _, _| Ok::<_, Infallible>(8))?,
        attached: BootTime(ATTACHED),
        detached: None,
    })
}

/// A call that begins `at` ns after ten seconds of tracing and fails; all else is up to whoever asks.
pub(crate) fn record(at: u64) -> Record {
    let at = ATTACHED + 10 * SECOND + at;
    Record {
        header: Record::HEADER,
        enter_ns: at,
        exit_ns: at + 3_523,
        fact_ns: 0,
        thread_start_ns: 90_123_456_789,
        process_start_ns: 80_123_456_789,
        parent_start_ns: 70_123_456_789,
        exec_id: 3,
        parent_exec_id: 2,
        cgroup_id: 9540,
        capabilities: 0,
        ret: 0,
        before: Position::default(),
        after: Position::default(),
        owner: Owner::default(),
        key: 0,
        msgflg: 0,
        pid: 41_237,
        tid: 41_238,
        ppid: 40_980,
        ns_pid: 17,
        ns_tid: 18,
        ns_ppid: 1,
        uid: 1000,
        euid: 1000,
        suid: 1000,
        fsuid: 1000,
        gid: 1000,
        egid: 1000,
        loginuid: 1000,
        sessionid: 3,
        mnt_ns: 4_026_531_832,
        pid_ns: 4_026_533_171,
        user_ns: 4_026_531_837,
        ipc_ns: 4_026_532_177,
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
        comm: *b"postgres\0\0\0\0\0\0\0\0",
        nodename: *b"billing-7c9f6d5b",
    }
}

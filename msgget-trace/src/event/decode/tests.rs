//! Decode against records that are right, wrong, and random.

use msgget_trace_ebpf::{ABSENT, Call as Record, EVICTED, Header, KIND_CALL, KIND_USE, NOT_EXECUTED, Offsets, PAIRED};
use proptest::prelude::*;

use super::*;
use crate::event::{
    Ids,
    sample::{SECOND, call_of, decoder, record},
};

#[test]
fn every_field_arrives() {
    let raw = record();
    let call = call_of(4096, &raw);
    let caller = &call.caller;
    assert_eq!(call.id.to_string(), "00000000-0000-0000-0000-000000000007-4096");
    assert_eq!((call.key, call.flags, call.result), (42, MsgFlags(0), -2));
    assert_eq!(call.outcome, Outcome::Failed(Errno::ENOENT));
    assert_eq!((call.entered, call.left), (Some(BootTime(raw.enter_ns)), BootTime(raw.exit_ns)));
    assert_eq!(caller.host, Ids { pid: 41_237, tid: 41_238, ppid: 40_980 });
    assert_eq!(caller.namespaced, Some(Ids { pid: 17, tid: 18, ppid: 1 }));
    assert_eq!(caller.thread_started, Some(BootTime(90 * SECOND)));
    assert_eq!(caller.process_started, Some(BootTime(80 * SECOND)));
    assert_eq!(caller.parent_started, Some(BootTime(70 * SECOND)));
    assert_eq!([caller.uid, caller.euid, caller.gid, caller.egid], [Some(1000), Some(0), Some(1001), Some(1002)]);
    assert_eq!(
        [caller.mnt_ns, caller.pid_ns, caller.ipc_ns],
        [Some(4_026_533_170), Some(4_026_533_171), Some(4_026_533_172)]
    );
    assert_eq!((caller.cgroup_id, caller.cpu), (9540, 3));
    assert_eq!((caller.comm, caller.nodename), (raw.comm, Some(raw.nodename)));
}

#[test]
fn flags_and_result_decide_the_outcome() {
    let outcome = |key, msgflg, ret| call_of(0, &Record { key, msgflg, ret, ..record() }).outcome;
    assert_eq!(outcome(0, 0, 5), Outcome::Created);
    assert_eq!(outcome(0, 0o3000, 5), Outcome::Created);
    assert_eq!(outcome(1, 0o3600, 5), Outcome::Created);
    assert_eq!(outcome(1, 0o1600, 5), Outcome::Ambiguous);
    assert_eq!(outcome(1, 0o600, 5), Outcome::Opened);
    // IPC_EXCL alone is ignored by the kernel.
    assert_eq!(outcome(1, 0o2600, 0), Outcome::Opened);
    assert_eq!(outcome(1, 0o3600, -17), Outcome::Failed(Errno::EEXIST));
    assert_eq!(outcome(0, 0, -28), Outcome::Failed(Errno::ENOSPC));
}

#[test]
fn an_answer_that_is_not_the_kernels_is_no_result() {
    // SECCOMP_RET_TRAP leaves the number of the call, a supervisor leaves what it likes.
    for ret in [68, 777, -38, -512] {
        let call = call_of(0, &Record { pairing: NOT_EXECUTED, enter_ns: 0, ret, ..record() });
        assert_eq!((call.outcome, call.errno(), call.executed()), (Outcome::NotExecuted, None, false));
        assert_eq!((call.entered, call.timestamp()), (None, call.left));
    }
}

#[test]
fn an_evicted_enter_hides_nothing() {
    let call = call_of(0, &Record { pairing: EVICTED, enter_ns: 0, ..record() });
    assert_eq!((call.outcome, call.executed(), call.errno()), (Outcome::Unpaired, true, Some(Errno::ENOENT)));
}

#[test]
fn doubt_near_attaching_and_detaching() {
    let mut decoder = decoder();
    let mut outcome = |exit_ns, detached: Option<u64>| {
        decoder.detached = detached.map(BootTime);
        let record = Record { pairing: NOT_EXECUTED, enter_ns: 0, exit_ns, ..record() };
        decoder.call(0, record.as_bytes()).unwrap().outcome
    };
    assert_eq!(outcome(101 * SECOND - 1, None), Outcome::Unpaired);
    assert_eq!(outcome(101 * SECOND, None), Outcome::NotExecuted);
    assert_eq!(outcome(200 * SECOND, Some(200 * SECOND)), Outcome::Unpaired);
    assert_eq!(outcome(200 * SECOND - 1, Some(200 * SECOND)), Outcome::NotExecuted);
    // A thread that was started after attaching cannot have been inside a call then.
    let young = Record { pairing: NOT_EXECUTED, enter_ns: 0, thread_start_ns: 100 * SECOND + 1, ..record() };
    let young = Record { exit_ns: 100 * SECOND + 2, ..young };
    assert_eq!(call_of(0, &young).outcome, Outcome::NotExecuted);
}

#[test]
fn what_this_kernel_lacks_is_absent() {
    let decoder = Decoder { offsets: Offsets::NONE, ..decoder() };
    let raw = Record { pid_ns: 0, ns_pid: 0, ns_tid: 0, ..record() };
    let caller = decoder.call(0, raw.as_bytes()).unwrap().caller;
    assert_eq!(
        [caller.uid, caller.euid, caller.gid, caller.egid, caller.mnt_ns, caller.pid_ns, caller.ipc_ns],
        [None; 7]
    );
    assert_eq!([caller.thread_started, caller.process_started, caller.parent_started], [None; 3]);
    assert_eq!((caller.namespaced, caller.nodename), (None, None));
}

#[test]
fn what_the_program_never_writes_is_refused() {
    let cases: [(&str, Record); 8] = [
        ("pairing", Record { pairing: EVICTED + 1, ..record() }),
        ("queue_key", Record { queue_key: 1, ..record() }),
        ("enter_ns", Record { enter_ns: 0, ..record() }),
        ("enter_ns", Record { enter_ns: record().exit_ns + 1, ..record() }),
        ("enter_ns", Record { pairing: NOT_EXECUTED, ..record() }),
        ("tid", Record { tid: 0, ..record() }),
        ("comm", Record { comm: [b'x'; 16], ..record() }),
        ("ret", Record { ret: 1 << 40, ..record() }),
    ];
    for (wanted, record) in cases {
        match decoder().decode(0, record.as_bytes()) {
            Err(Malformed::Field { field, .. }) => assert_eq!(field, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

#[test]
fn other_versions_kinds_and_lengths_are_refused() {
    let Header { version, kind, size } = Record::HEADER;
    for header in [
        Header { version: version + 1, ..Record::HEADER },
        Header { kind: KIND_USE + 1, ..Record::HEADER },
        Header { size: size + 8, ..Record::HEADER },
    ] {
        let refused = decoder().decode(0, Record { header, ..record() }.as_bytes());
        assert_eq!(refused, Err(Malformed::Header { version: header.version, kind: header.kind, size: header.size }));
    }
    let bytes = record();
    let bytes = bytes.as_bytes();
    assert_eq!(decoder().decode(0, &bytes[1..]), Err(Malformed::Length(bytes.len() - 1)));
    assert_eq!(decoder().decode(0, &[]), Err(Malformed::Length(0)));
    assert_eq!(kind, KIND_CALL);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    /// Neither random bytes nor a record with random damage panics; what is accepted has a sane header.
    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        damage in proptest::collection::vec((0..size_of::<Record>(), any::<u8>()), 0..4),
    ) {
        prop_assert!(decoder().decode(0, &bytes).is_err() || bytes[..8] == record().as_bytes()[..8]);
        let mut damaged = record().as_bytes().to_vec();
        for (at, byte) in damage {
            damaged[at] = byte;
        }
        if let Ok(Decoded::Event(Event::Call(call))) = decoder().decode(0, &damaged) {
            prop_assert!(call.caller.host.tid != 0 && call.entered.is_none_or(|entered| entered <= call.left));
        }
    }
}

#[test]
fn paired_is_zero_so_that_a_record_of_zeros_is_refused() {
    assert_eq!(PAIRED, 0);
    assert!(decoder().decode(0, &[0; size_of::<Record>()]).is_err());
    assert_ne!(ABSENT, 0);
}

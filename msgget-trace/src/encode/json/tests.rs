//! Lines against what Tracee's own encoder writes, and against hostile names.

use std::{fs, sync::Arc};

use msgget_trace_ebpf::{Call as Record, EVICTED, FACT_REMOVED, FACT_TORN_DOWN, NOT_EXECUTED, Offsets, Owner};
use proptest::prelude::*;
use serde_json::Value as Parsed;
use uuid::Uuid;

use super::*;
use crate::{
    detect::Engine,
    enrich::{Clock, Host, Place, cgroup::CgroupPath, container::Container},
    event::{
        Aggregate, Attributed, BootTime, Counts, Image, Payer, Rung,
        decode::Decoder,
        sample::{self, call, call_of, control_of, control_record, decoder, record},
    },
};

/// Clocks that differ by a known distance, on a known host.
fn sensor() -> Sensor {
    let host = Host {
        id: Some("0123456789abcdef0123456789abcdef".into()),
        boot_id: Some("01234567-89ab-cdef-0123-456789abcdef".into()),
    };
    Sensor { run: Uuid::from_u128(1), host, clock: Clock::fixed(1_785_589_000_000_000_000), rung: Rung::TpBtf }
}

/// In a container of a pod, as a user with a name.
fn who() -> Who<'static> {
    let path = b"/kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope";
    let container = Container::from_path(path).map(Arc::new);
    let place = Place { cgroup: Ok(CgroupPath { bytes: path[..].into(), whole: true }), container };
    Who { place, user: Some(b"alice"), effective_user: Some(b"root"), group: None, effective_group: None }
}

fn line(call: &Call) -> String {
    text(&Item::Call { call, who: &who(), tags: Engine::new().observe(call).tags }, &sensor(), 1)
}

fn control_line(sensor: &Sensor, record: &Record) -> String {
    let control = &control_of(4976, record);
    text(&Item::Control { control, who: &who(), tags: Engine::new().observe_control(control) }, sensor, 1)
}

fn text(item: &Item<'_>, sensor: &Sensor, sequence: u64) -> String {
    let mut out = Vec::new();
    super::line(item, sensor, sequence, &mut out);
    String::from_utf8(out).unwrap()
}

/// The documented lines; `UPDATE_GOLDEN=1 cargo test` writes them anew, for the diff to be read.
fn golden(name: &str, line: &str) {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, line).unwrap();
    }
    assert_eq!(line, fs::read_to_string(&path).unwrap(), "{path}");
}

#[test]
fn golden_lines() {
    golden("failed", &line(&call_of(4096, &record())));
    golden("created", &line(&call(4272, 0, 0, 0o600, 32_769)));
    golden("ambiguous", &line(&call(4448, 0, -559_038_737, 0o1666, 0)));
    golden("not_executed", &line(&call_of(4624, &Record { pairing: NOT_EXECUTED, enter_ns: 0, ret: 68, ..record() })));
    let mut named = call_of(4800, &record());
    named.caller.image = Some(Arc::new(sample::image()));
    let shell = Image { path: Some(b"/bin/\"sh\"\xff\n".to_vec()), ..sample::image() };
    named.caller.parent_image = Some(Arc::new(shell));
    golden("named", &line(&named));
    let mut engine = Engine::new();
    engine.observe(&call(4096, 0, 42, 0, -2));
    let create = call(4272, 10_000, 42, 0o1600, 0);
    let verdict = engine.observe(&create);
    let finding = Item::Finding { finding: &verdict.findings[0], who: &who(), tags: verdict.tags };
    golden("check_then_create", &text(&finding, &sensor(), 3));
}

#[test]
fn golden_lines_of_controls() {
    golden("changed", &control_line(&sensor(), &control_record(1, 0)));
    golden("not_removed", &control_line(&sensor(), &control_record(0, -1)));
    let fexit = Sensor { rung: Rung::Fexit, ..sensor() };
    let raw = Record { pairing: EVICTED, enter_ns: 0, fact_ns: record().exit_ns, ..control_record(0, 0) };
    let owner = Owner { uid: 1000, gid: 1001, cuid: 1000, cgid: 1001 };
    let raw = Record { fact: FACT_REMOVED, owner, queue_mode: 0o640, queue_key: 42, ..raw };
    golden("removed", &control_line(&fexit, &raw));
    golden("torn_down", &control_line(&fexit, &Record { fact: FACT_TORN_DOWN, number: 0, ..raw }));
}

/// Order and types of Tracee v0.24.1, written down from its documentation and not from our code.
#[test]
fn starts_as_tracees_event_does() {
    let text = line(&call_of(4096, &record()));
    let order = [
        "timestamp",
        "threadStartTime",
        "processorId",
        "processId",
        "cgroupId",
        "threadId",
        "parentProcessId",
        "hostProcessId",
        "hostThreadId",
        "hostParentProcessId",
        "userId",
        "mountNamespace",
        "pidNamespace",
        "processName",
        "executable",
        "hostName",
        "containerId",
        "container",
        "kubernetes",
        "eventId",
        "eventName",
        "argsNum",
        "returnValue",
        "syscall",
        "stackAddresses",
        "contextFlags",
        "threadEntityId",
        "processEntityId",
        "parentEntityId",
        "args",
        "schemaVersion",
    ];
    let places: Vec<_> = order.iter().map(|name| text.find(&format!("\"{name}\":"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");

    let event: Parsed = serde_json::from_str(&text).unwrap();
    assert_eq!(event["eventId"], "68");
    assert_eq!(event["args"][1], serde_json::json!({"name": "msgflg", "type": "int32", "value": 0}));
    assert_eq!(event["hostName"], "billing-7c9f6d5", "15 characters");
    assert_eq!(event["container"]["id"], event["containerId"]);
    assert_eq!(event["kubernetes"], serde_json::json!({"podUID": "01234567-89ab-cdef-0123-456789abcdef"}));
    assert!(event["stackAddresses"].is_null() && event.get("metadata").is_none());
}

#[test]
fn what_this_kernel_lacks_is_left_out() {
    let decoder = Decoder { offsets: Offsets::NONE, ..decoder() };
    let raw = Record { pid_ns: 0, ns_pid: 0, ns_tid: 0, ..record() };
    let event: Parsed = serde_json::from_str(&line(&decoder.call(0, raw.as_bytes()).unwrap())).unwrap();
    for name in [
        "threadStartTime",
        "processId",
        "userId",
        "mountNamespace",
        "pidNamespace",
        "hostName",
        "threadEntityId",
        "effectiveUserId",
        "ipcNamespace",
        "processStartTime",
    ] {
        assert!(event.get(name).is_none(), "{name}");
    }
    assert_eq!(event["hostProcessId"], 41_237);
}

#[test]
fn what_was_cut_says_so() {
    let mut call = call_of(0, &record());
    let cut = Image { path: Some(b"b/c".to_vec()), path_cut: true, arguments_cut: true, ..sample::image() };
    call.caller.image = Some(Arc::new(cut));
    let event: Parsed = serde_json::from_str(&line(&call)).unwrap();
    assert_eq!((&event["executable"]["path"], &event["executablePathCut"]), (&"b/c".into(), &true.into()));
    assert_eq!(event["commandLineCut"], true);
    call.caller.image = Some(Arc::new(Image { arguments: None, ..sample::image() }));
    let event: Parsed = serde_json::from_str(&line(&call)).unwrap();
    assert!(event.get("commandLine").is_none() && event.get("commandLineCut").is_none(), "{event}");
}

#[test]
fn unnamed_flags_keep_their_bits() {
    let event: Parsed = serde_json::from_str(&line(&call(0, 0, 1, -1, -2))).unwrap();
    assert_eq!(event["flags"], serde_json::json!(["IPC_CREAT", "IPC_EXCL", "IPC_NOWAIT", "0xfffff000"]));
    assert_eq!((&event["mode"], &event["keyHex"]), (&"0777".into(), &"0x00000001".into()));
}

proptest! {
    #[test]
    fn any_name_stays_in_its_field(comm: [u8; 15], nodename: [u8; 16], key: i32, msgflg: i32, ret in -4095..i64::from(i32::MAX)) {
        let mut raw = Record { key, msgflg, ret, nodename, ..record() };
        raw.comm[..15].copy_from_slice(&comm);
        let call = call_of(0, &raw);
        let text = line(&call);
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
        let event: Parsed = serde_json::from_str(&text).unwrap();
        let shown = crate::encode::Escaped(crate::event::before_nul(&raw.comm)).to_string();
        prop_assert_eq!(event["processName"].as_str(), Some(shown.as_str()));
        prop_assert_eq!(event["args"][0]["value"].as_i64(), Some(i64::from(key)));
        prop_assert_eq!(event["returnValue"].as_i64(), Some(ret));
        prop_assert_eq!(sample::offsets().absent().count(), 0);
    }
}

#[test]
fn golden_aggregates() {
    let attributed = Attributed {
        payer: Payer::Process { pid: 41_237, started: Some(BootTime(80)) },
        first: BootTime(5_000),
        last: BootTime(6_000),
        sample_keys: vec![42, -559_038_737],
        comm: *b"ipcworker\0\0\0\0\0\0\0",
        euid: Some(0),
        cgroup_id: 9540,
        ipc_ns: Some(4_026_533_172),
    };
    let counts = Counts([0, 2, 30, 0, 0, 1, 0, 0]);
    let line = |attributed: Option<Attributed>, name| {
        let place = who().place.cgroup;
        let known = attributed.is_some();
        let aggregate = Aggregate { at: BootTime(7_000), counts, attributed };
        let user = known.then_some(&b"root"[..]);
        let place = Some(&place).filter(|_| known);
        golden(name, &text(&Item::Aggregate { aggregate: &aggregate, place, user, nth: 3 }, &sensor(), 9));
    };
    line(Some(attributed.clone()), "aggregate_process");
    line(Some(Attributed { payer: Payer::Owner, ..attributed }), "aggregate_owner");
    line(None, "aggregate_nobody");
}

//! Lines against what Tracee's own encoder writes, and against hostile names.

use std::sync::Arc;

use msgget_trace_ebpf::{Call as Record, Offsets};
use proptest::prelude::*;
use serde_json::Value as Parsed;

use super::*;
use crate::{
    detect::Engine,
    encode::{
        Format,
        sample::{self, sensor, who},
    },
    event::{
        Image,
        decode::Decoder,
        sample::{call, call_of, decoder, image, offsets, record},
    },
    policy::Matched,
};

fn line(call: &Call) -> String {
    text(
        &Item::Call { call, who: &who(), tags: Engine::tags(&call.clone().into()), policies: Matched::NONE },
        &sensor(),
        1,
    )
}

fn text(item: &Item<'_>, sensor: &Sensor, sequence: u64) -> String {
    sample::line(Format::Json, item, sensor, sequence)
}

#[test]
fn golden_lines() {
    sample::golden_lines(Format::Json);
}

/// Order and types of Tracee v0.24.1, written down from its documentation and not from our code.
#[test]
fn policies_that_want_it_stand_where_tracee_has_them() {
    let names = ["ipc-watch".into(), "not-this".into(), "all".into()];
    let (call, policies) = (&call_of(4096, &record()), Matched::new(&names, 0b101));
    let wanted =
        text(&Item::Call { call, who: &who(), tags: Engine::tags(&call.clone().into()), policies }, &sensor(), 1);
    let place = r#""eventName":"msgget","matchedPolicies":["ipc-watch","all"],"argsNum":2"#;
    assert!(wanted.contains(place), "{wanted}");
    assert_eq!(wanted.replace(r#""matchedPolicies":["ipc-watch","all"],"#, ""), line(call));
}

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
    let cut = Image { path: Some(b"b/c".to_vec()), path_cut: true, arguments_cut: true, ..image() };
    call.caller.image = Some(Arc::new(cut));
    let event: Parsed = serde_json::from_str(&line(&call)).unwrap();
    assert_eq!((&event["executable"]["path"], &event["executablePathCut"]), (&"b/c".into(), &true.into()));
    assert_eq!(event["commandLineCut"], true);
    call.caller.image = Some(Arc::new(Image { arguments: None, ..image() }));
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
        prop_assert_eq!(offsets().absent().count(), 0);
    }
}

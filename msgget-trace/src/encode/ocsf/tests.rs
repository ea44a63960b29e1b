//! Lines against the schema, and against hostile names.

use jsonschema::Validator;
use msgget_trace_ebpf::{Call as Record, Offsets};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    detect::Tags,
    encode::{
        Format, Item, Sensor,
        sample::{self, Hostile, SEQUENCE, each, shown},
    },
    enrich::{Host, Place, Who, cgroup::Absent},
    event::{
        Call,
        decode::Decoder,
        sample::{decoder, record},
    },
    policy::Matched,
};

/// The schema's classes, cut down to the attributes that our lines have.
struct Schema(Value);

impl Schema {
    fn new() -> Self {
        Self(serde_json::from_str(include_str!("../../../tests/standards/ocsf-1.8.0.schema.json")).unwrap())
    }

    fn class(&self, uid: u64) -> Validator {
        let mut schema = self.0.clone();
        schema["$ref"] = json!(format!("#/$defs/{uid}"));
        jsonschema::validator_for(&schema).unwrap()
    }

    /// What in `line` breaks it, and what a schema cannot say: that ids agree, and that nothing is null.
    fn violations(&self, line: &Value) -> Vec<String> {
        let (class, activity) = (line["class_uid"].as_u64().unwrap(), line["activity_id"].as_u64().unwrap());
        let mut found: Vec<_> =
            self.class(class).iter_errors(line).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if line["type_uid"] != class * 100 + activity {
            found.push("type_uid is not that of class and activity".to_owned());
        }
        if has_null(line) {
            found.push("something is null".to_owned());
        }
        found
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(has_null),
        Value::Object(object) => object.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn parsed(item: &Item<'_>, sensor: &Sensor) -> Value {
    serde_json::from_str(&sample::line(Format::Ocsf, item, sensor, SEQUENCE)).unwrap()
}

fn of_call(call: &Call, who: &Who<'_>) -> Value {
    parsed(&Item::Call { call, who, tags: Tags::default(), policies: Matched::NONE }, &sample::sensor())
}

#[test]
fn golden_lines() {
    sample::golden_lines(Format::Ocsf);
}

#[test]
fn every_line_keeps_to_the_schema() {
    let schema = Schema::new();
    each(|name, item, sensor| assert_eq!(schema.violations(&parsed(item, sensor)), Vec::<String>::new(), "{name}"));
}

/// The check itself must be able to fail.
#[test]
fn what_breaks_the_schema_is_found() {
    let schema = Schema::new();
    let good = of_call(&sample::named(), &sample::who());
    assert_eq!(schema.violations(&good), Vec::<String>::new());
    for (pointer, value) in [
        ("/time", json!("2026")),
        ("/time_dt", json!("yesterday")),
        ("/severity_id", json!(7)),
        ("/type_uid", json!(100_301)),
        ("/device", json!({"type_id": 0})),
        ("/kernel", json!({"name": "x"})),
        ("/actor", json!({})),
        ("/actor/process/user/name", json!(null)),
        ("/actor/process/container", json!({"pod_uuid": "x"})),
        ("/unmapped/msgget/key", json!(null)),
        ("/metadata", json!({"version": "1.8.0"})),
        ("/metadata", json!({"version": "1.8.0", "product": {"name": "x"}, "key": 1})),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_ne!(schema.violations(&bad), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn every_kind_has_its_class_and_activity() {
    let mut table = Vec::new();
    each(|name, item, sensor| {
        let line = parsed(item, sensor);
        let fields = ["type_uid", "activity_name", "status_id", "status_code", "status_detail", "severity_id"];
        table.push((name.to_owned(), json!(fields.map(|field| line.get(field).cloned().unwrap_or_default()))));
    });
    let rows = [
        ("failed", json!([100_304, "Invoke", 2, "2", "ENOENT", 1])),
        ("denied", json!([100_304, "Invoke", 2, "13", "EACCES", 1])),
        ("created", json!([100_301, "Create", 1, "0", null, 1])),
        ("opened", json!([100_304, "Invoke", 1, "0", null, 1])),
        ("ambiguous", json!([100_304, "Invoke", 1, "0", null, 1])),
        ("unpaired", json!([100_304, "Invoke", 1, "0", null, 1])),
        ("not_executed", json!([100_304, "Invoke", 0, null, null, 1])),
        ("refused", json!([100_304, "Invoke", 2, "1", "EPERM", 1])),
        ("named", json!([100_304, "Invoke", 2, "2", "ENOENT", 1])),
        ("wanted", json!([100_304, "Invoke", 2, "2", "ENOENT", 1])),
        ("changed", json!([100_304, "Invoke", 1, "0", null, 1])),
        ("not_removed", json!([100_304, "Invoke", 2, "1", "EPERM", 1])),
        ("control_unpaired", json!([100_304, "Invoke", 1, "0", null, 1])),
        ("control_not_executed", json!([100_304, "Invoke", 0, null, null, 1])),
        ("removed", json!([100_303, "Delete", 1, "0", null, 1])),
        ("torn_down", json!([100_303, "Delete", 1, "0", null, 1])),
        ("not_received", json!([100_304, "Invoke", 2, "43", "EIDRM", 1])),
        ("not_sent", json!([100_304, "Invoke", 2, "22", "EINVAL", 1])),
        ("check_then_create", json!([200_401, "Create", 1, null, null, 4])),
        ("check_then_create_raced", json!([200_401, "Create", 1, null, null, 4])),
        ("start", json!([600_203, "Start", 1, null, null, 1])),
        ("heartbeat", json!([600_299, "Heartbeat", 1, null, null, 1])),
        ("config_change", json!([600_208, "Update", 1, null, null, 1])),
        ("ring_full", json!([600_299, "Loss", 2, "ring_full", null, 3])),
        ("rejected", json!([600_299, "Loss", 2, "rejected", null, 4])),
        ("spool_full", json!([600_299, "Loss", 2, "spool_full", null, 3])),
        ("degraded", json!([600_299, "Degraded", 2, "canary_lost", "a canary\ndid not come back", 4])),
        ("recovered", json!([600_299, "Recovered", 1, null, null, 1])),
        ("stop", json!([600_204, "Stop", 1, "SIGTERM", null, 1])),
        ("policy_change", json!([600_208, "Update", 1, null, null, 1])),
        (
            "policy_refused",
            json!([600_299, "Policy Refused", 2, "policy_refused", "p.yaml:1:1: this kind is not known\n", 3]),
        ),
        ("nameless_host", json!([600_299, "Heartbeat", 1, null, null, 1])),
        ("aggregate_process", json!([100_304, "Invoke", 0, null, null, 1])),
        ("aggregate_owner", json!([100_304, "Invoke", 0, null, null, 1])),
        ("aggregate_nameless", json!([100_304, "Invoke", 0, null, null, 1])),
        ("aggregate_nobody", json!([100_304, "Invoke", 0, null, null, 1])),
    ];
    assert_eq!(table, rows.map(|(name, row)| (name.to_owned(), row)));
}

#[test]
fn what_this_kernel_lacks_is_left_out() {
    let decoder = Decoder { offsets: Offsets::NONE, ..decoder() };
    let raw = Record { pid_ns: 0, ns_pid: 0, ns_tid: 0, ..record() };
    let call = &decoder.call(0, raw.as_bytes()).unwrap();
    let place = Place { cgroup: Err(Absent::Gone), container: None };
    let who = &Who { place, user: None, effective_user: None, group: None, effective_group: None };
    let sensor = Sensor { host: Host::default(), ..sample::sensor() };
    let line = parsed(&Item::Call { call, who, tags: Tags::default(), policies: Matched::NONE }, &sensor);
    assert_eq!(Schema::new().violations(&line), Vec::<String>::new());
    let process = json!({"pid": 41_237, "ptid": 41_238, "name": "ipcworker", "parent_process": {"pid": 40_980}});
    assert_eq!(line["actor"], json!({"process": process}));
    assert_eq!(line["device"]["name"], "unknown");
}

/// A pod's name is no UUID where the pod is a static one, and the schema takes nothing else.
#[test]
fn a_static_pod_stands_among_our_own_facts() {
    let uid = "0123456789abcdef0123456789abcdef";
    let path = format!("/kubepods/pod{uid}/{}", "ab".repeat(32));
    let line = of_call(&sample::named(), &sample::who_in(path.as_bytes()));
    assert_eq!(Schema::new().violations(&line), Vec::<String>::new());
    assert_eq!(line["actor"]["process"]["container"].get("pod_uuid"), None);
    assert_eq!(line["unmapped"]["msgget"]["container"]["pod_uid"], uid);
}

proptest! {
    #[test]
    fn any_name_stays_in_its_field(hostile in Hostile::any()) {
        let (call, who) = (hostile.call(), hostile.who());
        let line = of_call(&call, &who);
        let arguments: Vec<_> = hostile.arguments.iter().map(|argument| shown(argument)).collect();
        let process = &line["actor"]["process"];
        prop_assert_eq!(&process["name"], &shown(&hostile.comm));
        prop_assert_eq!(&process["file"]["path"], &shown(&hostile.path));
        prop_assert_eq!(&process["xattributes"]["arguments"], &json!(arguments));
        prop_assert_eq!(&process["cmd_line"], &arguments.join(" "));
        prop_assert_eq!(&line["actor"]["user"]["name"], &shown(&hostile.user));
        prop_assert_eq!(&line["unmapped"]["msgget"]["cgroup"]["path"], &shown(&hostile.cgroup));
        let container = who.place.container.map(|container| container.id.clone());
        prop_assert_eq!(process.pointer("/container/uid").and_then(Value::as_str), container.as_deref());
    }
}

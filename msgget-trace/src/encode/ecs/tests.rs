//! Lines against the schema, and against hostile names.

mod schema;

use msgget_trace_ebpf::{Call as Record, Offsets};
use proptest::prelude::*;
use schema::Schema;
use serde_json::{Value, json};

use crate::{
    detect::Tags,
    encode::{
        Format, Item,
        sample::{self, Hostile, SEQUENCE, each, shown},
    },
    enrich::{Host, Place, Who, cgroup::Absent},
    event::{
        Call,
        decode::Decoder,
        sample::{call_of, decoder, record},
    },
    policy::Matched,
};

fn parsed(item: &Item<'_>, sensor: &crate::encode::Sensor) -> Value {
    serde_json::from_str(&sample::line(Format::Ecs, item, sensor, SEQUENCE)).unwrap()
}

fn of_call(call: &Call, who: &Who<'_>) -> Value {
    parsed(&Item::Call { call, who, tags: Tags::default(), policies: Matched::NONE }, &sample::sensor())
}

/// What `field` is in the line of each sample.
fn tabulate(fields: &[&str]) -> Vec<(String, Vec<Value>)> {
    let mut table = Vec::new();
    each(|name, item, sensor| {
        let line = parsed(item, sensor);
        table.push((
            name.to_owned(),
            fields.iter().map(|field| line.pointer(field).cloned().unwrap_or_default()).collect(),
        ));
    });
    table
}

#[test]
fn golden_lines() {
    sample::golden_lines(Format::Ecs);
}

#[test]
fn every_line_keeps_to_the_schema_and_no_field_of_it_is_idle() {
    let schema = Schema::new();
    let mut used = std::collections::BTreeSet::new();
    each(|name, item, sensor| {
        let line = parsed(item, sensor);
        assert_eq!(schema.violations(&line), Vec::<String>::new(), "{name}");
        used.extend(
            schema::leaves(&line).into_iter().map(|(path, _)| path).filter(|path| !path.starts_with("msgget.")),
        );
    });
    assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), schema.names());
}

/// The check itself must be able to fail.
#[test]
fn what_breaks_the_schema_is_found() {
    let schema = Schema::new();
    let good = of_call(&sample::named(), &sample::who());
    assert_eq!(schema.violations(&good), Vec::<String>::new());
    for (pointer, value, complaint) in [
        ("/process", json!({"command": "x"}), "process.command: not in the schema"),
        ("/process/pid", json!("17"), "process.pid: \"17\" is no long"),
        ("/process/args", json!("x"), "process.args: a list is expected"),
        ("/user/id", json!(0), "user.id: 0 is no keyword"),
        ("/user/name", json!(null), "user.name: null is no keyword"),
        ("/@timestamp", json!("yesterday"), "@timestamp: \"yesterday\" is no date"),
        ("/event/kind", json!("signals"), "event.kind: \"signals\" is not allowed"),
        ("/event/type", json!(["start", "error"]), "event.type: \"error\" does not go with the category"),
        ("/msgget", json!({"keyHex": 1}), "msgget.keyHex: not in snake_case"),
        ("/msgget", json!({"key": null}), "msgget.key: null"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_eq!(schema.violations(&bad), [complaint]);
    }
}

#[test]
fn every_kind_is_what_the_schema_calls_it() {
    let fields = ["/event/kind", "/event/type/0", "/event/outcome", "/event/action", "/error/type", "/event/severity"];
    let rows = [
        ("failed", json!(["event", "info", "failure", "msgget", "ENOENT", 1])),
        ("denied", json!(["event", "denied", "failure", "msgget", "EACCES", 1])),
        ("created", json!(["event", "creation", "success", "msgget", null, 1])),
        ("opened", json!(["event", "access", "success", "msgget", null, 1])),
        ("ambiguous", json!(["event", "info", "success", "msgget", null, 1])),
        ("unpaired", json!(["event", "info", "success", "msgget", null, 1])),
        ("not_executed", json!(["event", "info", "unknown", "msgget", null, 1])),
        ("refused", json!(["event", "denied", "failure", "msgget", null, 1])),
        ("named", json!(["event", "info", "failure", "msgget", "ENOENT", 1])),
        ("wanted", json!(["event", "info", "failure", "msgget", "ENOENT", 1])),
        ("changed", json!(["event", "change", "success", "msgctl-set", null, 1])),
        ("not_removed", json!(["event", "denied", "failure", "msgctl-rmid", "EPERM", 1])),
        ("control_unpaired", json!(["event", "info", "success", "msgctl-rmid", null, 1])),
        ("control_not_executed", json!(["event", "info", "unknown", "msgctl-rmid", null, 1])),
        ("removed", json!(["event", "deletion", "success", "msgctl-rmid", null, 1])),
        ("torn_down", json!(["event", "deletion", "success", "namespace-teardown", null, 1])),
        ("not_received", json!(["event", "info", "failure", "msgrcv", "EIDRM", 1])),
        ("not_sent", json!(["event", "info", "failure", "msgsnd", "EINVAL", 1])),
        ("check_then_create", json!(["alert", "info", "success", "msgget", null, 73])),
        ("check_then_create_raced", json!(["alert", "info", "failure", "msgget", "EEXIST", 73])),
        ("start", json!(["state", null, null, "start", null, 1])),
        ("heartbeat", json!(["metric", null, null, "heartbeat", null, 1])),
        ("config_change", json!(["state", "change", null, "config_change", null, 1])),
        ("ring_full", json!(["state", null, null, "loss", null, 47])),
        ("rejected", json!(["state", null, null, "loss", null, 73])),
        ("spool_full", json!(["state", null, null, "loss", null, 47])),
        ("degraded", json!(["state", null, null, "degraded", null, 73])),
        ("recovered", json!(["state", null, null, "recovered", null, 1])),
        ("stop", json!(["state", null, null, "stop", null, 1])),
        ("policy_change", json!(["state", "change", null, "policy_change", null, 1])),
        ("policy_refused", json!(["state", null, null, "policy_refused", null, 47])),
        ("nameless_host", json!(["metric", null, null, "heartbeat", null, 1])),
        ("aggregate_process", json!(["event", "info", null, "msgget", null, 1])),
        ("aggregate_owner", json!(["event", "info", null, "msgget", null, 1])),
        ("aggregate_nameless", json!(["event", "info", null, "msgget", null, 1])),
        ("aggregate_nobody", json!(["event", "info", null, "msgget", null, 1])),
    ];
    let rows = rows.map(|(name, row)| (name.to_owned(), row.as_array().unwrap().clone()));
    assert_eq!(tabulate(&fields), rows);
}

#[test]
fn what_this_kernel_lacks_is_left_out() {
    let decoder = Decoder { offsets: Offsets::NONE, ..decoder() };
    let raw = Record { pid_ns: 0, ns_pid: 0, ns_tid: 0, ..record() };
    let call = &decoder.call(0, raw.as_bytes()).unwrap();
    let place = Place { cgroup: Err(Absent::Gone), container: None };
    let who = &Who { place, user: None, effective_user: None, group: None, effective_group: None };
    let sensor = crate::encode::Sensor { host: Host::default(), ..sample::sensor() };
    let line = parsed(&Item::Call { call, who, tags: Tags::default(), policies: Matched::NONE }, &sensor);
    assert_eq!(Schema::new().violations(&line), Vec::<String>::new());
    for field in ["user", "group", "container", "orchestrator", "related"] {
        assert!(line.get(field).is_none(), "{field}");
    }
    let process = json!({"pid": 41_237, "name": "ipcworker", "thread": {"id": 41_238}, "parent": {"pid": 40_980}});
    assert_eq!(line["process"], process);
    assert_eq!(line["host"], json!({"architecture": std::env::consts::ARCH, "os": {"type": "linux"}}));
    let ours = &line["msgget"];
    assert_eq!((&ours["namespaces"], &ours["credentials"]), (&json!({}), &json!({})));
    assert_eq!(ours["cgroup"], json!({"id": "9540", "path_absent": "gone"}));
}

#[test]
fn the_effective_user_is_told_where_it_is_another() {
    let user = |euid| of_call(&call_of(0, &Record { euid, ..record() }), &sample::who())["user"].clone();
    assert_eq!(user(0), json!({"id": "1000", "name": "alice", "effective": {"id": "0", "name": "root"}}));
    assert_eq!(user(1000), json!({"id": "1000", "name": "alice"}));
}

proptest! {
    #[test]
    fn any_name_stays_in_its_field(hostile in Hostile::any()) {
        let (call, who) = (hostile.call(), hostile.who());
        let line = of_call(&call, &who);
        prop_assert_eq!(Schema::new().violations(&line), Vec::<String>::new());
        let arguments: Vec<_> = hostile.arguments.iter().map(|argument| shown(argument)).collect();
        prop_assert_eq!(&line["process"]["name"], &shown(&hostile.comm));
        prop_assert_eq!(&line["process"]["executable"], &shown(&hostile.path));
        prop_assert_eq!(&line["process"]["args"], &json!(arguments));
        prop_assert_eq!(&line["process"]["command_line"], &arguments.join(" "));
        prop_assert_eq!(&line["user"]["name"], &shown(&hostile.user));
        prop_assert_eq!(&line["msgget"]["cgroup"]["path"], &shown(&hostile.cgroup));
        let container = who.place.container.map(|container| container.id.clone());
        prop_assert_eq!(line.pointer("/container/id").and_then(Value::as_str), container.as_deref());
    }
}

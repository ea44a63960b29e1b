//! Lines of every kind against the schema, whole and mutilated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use jsonschema::Validator;
use msgget_trace_ebpf::{Call as Record, Offsets};
use proptest::prelude::*;

use super::*;
use crate::{
    detect::RULES,
    encode::{
        Format, Item, Kind, Sensor,
        sample::{aggregates, calls, controls, each, finding, news, sensor, uses, who},
    },
    enrich::{Host, Place, Who, cgroup::Absent},
    event::{
        News,
        decode::Decoder,
        sample::{call_of, decoder, record},
    },
    policy::Matched,
};

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

fn told(item: &Item<'_>, sensor: &Sensor) -> Value {
    let mut out = Vec::new();
    Format::Json.line(item, sensor, 1, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// By kind and name, what a sensor tells on a host where all can be known, and where next to nothing can.
fn lines() -> Vec<(&'static str, Value)> {
    let mut lines = Vec::new();
    each(|_, item, sensor| lines.push((definition(item.kind()), told(item, sensor))));
    let sensor = Sensor { host: Host::default(), ..sensor() };
    let who = &Who {
        place: Place { cgroup: Err(Absent::OnlyV1), container: None },
        user: None,
        effective_user: None,
        group: None,
        effective_group: None,
    };
    let raw = Record { pid_ns: 0, ns_pid: 0, ns_tid: 0, ..record() };
    let call = Decoder { offsets: Offsets::NONE, ..decoder() }.call(0, raw.as_bytes()).unwrap();
    let tags = Tags::default();
    let names = ["ipc-watch".into()];
    let policies = Matched::new(&names, 1);
    lines.push(("call", told(&Item::Call { call: &call, who, tags, policies }, &sensor)));
    for (_, mut other) in calls() {
        other.caller = call.caller.clone();
        (other.entered, other.queue) = (None, None);
        lines.push(("call", told(&Item::Call { call: &other, who, tags, policies: Matched::NONE }, &sensor)));
    }
    for (_, mut control) in controls() {
        control.caller = call.caller.clone();
        (control.entered, control.queue, control.key, control.linearised) = (None, None, None, None);
        lines
            .push(("control", told(&Item::Control { control: &control, who, tags, policies: Matched::NONE }, &sensor)));
    }
    for (_, mut used) in uses() {
        (used.caller, used.source) = (call.caller.clone(), None);
        lines.push(("use", told(&Item::Use { used: &used, who, tags, policies: Matched::NONE }, &sensor)));
    }
    let mut finding = finding();
    *finding.event.caller_mut() = call.caller.clone();
    finding.rule = RULES.into_iter().find(|rule| rule.cwe.is_none()).unwrap();
    lines.push(("finding", told(&Item::Finding { finding: &finding, who, tags, policies: Matched::NONE }, &sensor)));
    for (_, mut health) in news() {
        match &mut health.news {
            News::Start { inherited, policy, .. } => (*inherited, *policy) = (None, None),
            News::Loss { cpu, .. } => *cpu = None,
            _ => {}
        }
        lines.push(("health", told(&Item::Health { health: &health, nth: 1 }, &sensor)));
    }
    for (_, mut aggregate) in aggregates() {
        if let Some(attributed) = &mut aggregate.attributed {
            (attributed.euid, attributed.ipc_ns) = (None, None);
        }
        lines.push((
            "aggregate",
            told(&Item::Aggregate { aggregate: &aggregate, place: None, user: None, nth: 1 }, &sensor),
        ));
    }
    lines
}

const fn definition(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "call",
        Kind::Control => "control",
        Kind::Use => "use",
        Kind::Finding => "finding",
        Kind::Health => "health",
        Kind::Aggregate => "aggregate",
    }
}

/// `line` with `name` as `value`; without it, if that is `None`.
fn with(line: &Value, name: &str, value: Option<Value>) -> Value {
    let mut line = line.clone();
    match value {
        Some(value) => line[name] = value,
        None => drop(line.as_object_mut().unwrap().remove(name)),
    }
    line
}

/// The published schema; `UPDATE_GOLDEN=1 cargo test` writes it anew, for the diff to be read.
#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/msgget-trace-json-1.schema.json");
    let text = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap_or_default() == text, "{} is stale", path.display());
}

#[test]
fn is_a_schema() {
    let schema = schema();
    assert!(jsonschema::meta::is_valid(&schema));
    assert!(schema["$defs"].as_object().unwrap().values().all(|definition| definition.get("description").is_some()));
}

#[test]
fn golden_lines_are_valid() {
    let (validator, mut seen) = (validator(), 0);
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/json")).unwrap() {
        let path = entry.unwrap().path();
        let line: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        if let Some(error) = validator.iter_errors(&line).next() {
            panic!("{}: {error}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 36, "{seen}");
}

#[test]
fn every_line_is_valid_and_of_one_kind_only() {
    let whole = schema();
    let kinds: Vec<_> = ["call", "control", "use", "finding", "health", "aggregate"]
        .map(|kind| {
            let alone = json!({ "$ref": format!("#/$defs/{kind}"), "$defs": whole["$defs"] });
            (kind, jsonschema::validator_for(&alone).unwrap())
        })
        .into();
    let validator = validator();
    for (kind, line) in lines() {
        for (other, alone) in &kinds {
            assert_eq!(alone.is_valid(&line), *other == kind, "{other}: {line}");
        }
        assert!(validator.is_valid(&line), "{line}");
    }
}

/// What is on all lines of an event is required, what is missing on one is not.
#[test]
fn required_is_what_no_line_lacks() {
    let (validator, lines) = (validator(), lines());
    let mut always: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    // News differs by event, and an aggregate by whether it is known whose it is.
    let group = |kind, line: &Value| match kind {
        "health" => format!("{kind} {}", line["eventName"]),
        "aggregate" => format!("{kind} {}", line.get("processName").is_some()),
        kind => kind.to_owned(),
    };
    for (kind, line) in &lines {
        let names: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        always.entry(group(kind, line)).and_modify(|all| all.retain(|name| names.contains(name))).or_insert(names);
    }
    for (kind, line) in &lines {
        for name in line.as_object().unwrap().keys() {
            let needed = always[&group(kind, line)].contains(name.as_str());
            assert_eq!(!validator.is_valid(&with(line, name, None)), needed, "{kind} without {name}");
        }
    }
}

#[test]
fn no_field_takes_another_type_or_null() {
    let validator = validator();
    for (kind, line) in lines() {
        for (name, value) in line.as_object().unwrap() {
            // An array of what is neither text, number nor one of our objects is nowhere allowed.
            assert!(!validator.is_valid(&with(&line, name, Some(json!([{}])))), "{kind} {name}");
            let null = with(&line, name, Some(Value::Null));
            assert_eq!(validator.is_valid(&null), value.is_null(), "{kind} {name}");
        }
    }
}

#[test]
fn no_word_is_valid_that_is_not_ours() {
    let validator = validator();
    let mut words = BTreeSet::new();
    for (kind, line) in lines() {
        for name in ["outcome", "outcomeSource", "hook", "abi", "entry", "cmdName", "attributedTo"] {
            if line.get(name).is_some() {
                words.insert(name);
                assert!(!validator.is_valid(&with(&line, name, Some("unheard-of".into()))), "{kind} {name}");
            }
        }
    }
    assert_eq!(words.len(), 7);
    let (_, loss) = lines().into_iter().find(|(_, line)| line["eventName"] == "loss").unwrap();
    assert!(!validator.is_valid(&with(&loss, "reason", Some("unheard-of".into()))));
    let (_, call) = lines().remove(0);
    assert!(!validator.is_valid(&with(&call, "outcome", Some("removed".into()))), "of a control only");
    assert!(!validator.is_valid(&with(&call, "tags", Some(json!(["X"])))));
    assert!(!validator.is_valid(&with(&call, "mode", Some("0999".into()))));
    let (_, aggregate) = lines().into_iter().find(|(kind, _)| *kind == "aggregate").unwrap();
    assert!(!validator.is_valid(&with(&aggregate, "byOutcome", Some(json!({ "unheard-of": 1 })))));
}

#[test]
fn fields_may_be_added_within_a_major_version() {
    let validator = validator();
    for (kind, line) in lines() {
        assert!(validator.is_valid(&with(&line, "unheardOf", Some(1.into()))), "{kind}");
        assert!(validator.is_valid(&with(&line, "schemaVersion", Some("1.17".into()))), "{kind}");
        assert!(!validator.is_valid(&with(&line, "schemaVersion", Some("2.0".into()))), "{kind}");
    }
}

/// Every word that an event can have is in the lists.
#[test]
fn the_words_of_the_sample_lines_are_all_there() {
    let outcomes: BTreeSet<_> = calls().iter().map(|(_, call)| call.outcome.name()).collect();
    assert_eq!(outcomes, BTreeSet::from_iter(call_outcomes()));
}

proptest! {
    #[test]
    fn any_call_is_valid(comm: [u8; 15], nodename: [u8; 16], key: i32, msgflg: i32, ret in -4095..i64::from(i32::MAX)) {
        let mut raw = Record { key, msgflg, ret, nodename, ..record() };
        raw.comm[..15].copy_from_slice(&comm);
        let line = told(&Item::Call { call: &call_of(0, &raw), who: &who(), tags: Tags::default(), policies: Matched::NONE }, &sensor());
        thread_local!(static VALIDATOR: Validator = validator());
        VALIDATOR.with(|validator| {
            prop_assert!(validator.is_valid(&line), "{}", line);
            Ok(())
        })?;
    }
}

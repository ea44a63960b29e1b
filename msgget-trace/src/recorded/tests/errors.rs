//! Every way in which a line can be wrong, and what is said of it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A line of the event `name`, taken apart.
fn line(name: &str) -> Value {
    let mut found = None;
    sample::each(|other, item, sensor| {
        if other == name {
            found = Some(serde_json::from_str(&told(item, sensor)).unwrap());
        }
    });
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

fn refused(text: impl AsRef<[u8]>) -> Unreadable {
    parse(text.as_ref()).map(|line| format!("{line:?}")).expect_err("it is wrong")
}

/// What is said of `name`'s line when `field` is `value`.
fn with(name: &str, field: &str, value: Value) -> Unreadable {
    let mut line = line(name);
    assert!(line.get(field).is_some(), "{name} has no {field}");
    line[field] = value;
    refused(line.to_string())
}

/// What is said of `name`'s line when it has no `field`.
fn without(name: &str, field: &str) -> Unreadable {
    let mut line = line(name);
    assert!(line.as_object_mut().unwrap().remove(field).is_some(), "{name} has no {field}");
    refused(line.to_string())
}

#[test]
fn what_is_no_json_is_said_with_its_place() {
    let whole = line("failed").to_string();
    let torn = refused(&whole[..100]);
    assert_eq!(torn, Unreadable::Json { column: 100, reason: "EOF while parsing a string".to_owned() });
    assert!(torn.to_string().starts_with("column 100: EOF while parsing a string; it was cut, or"), "{torn}");
    for text in [&b""[..], b"\n", b"42", b"[]", b"null", b"\"\xff\"", b"{\"timestamp\":1}}", &b"[".repeat(100_000)] {
        assert!(matches!(refused(text), Unreadable::Json { .. }), "{text:?}");
    }
    let message = with("failed", "hostProcessId", "x".repeat(5000).into()).to_string();
    assert!(message.starts_with("column ") && message.len() < 300, "{message}");
    assert!(matches!(with("failed", "hostProcessId", json!(-1)), Unreadable::Json { .. }));
    assert!(matches!(with("failed", "hostProcessId", json!(1_u64 << 32)), Unreadable::Json { .. }));
    // What every line of its kind has.
    let Unreadable::Json { reason, .. } = without("failed", "hostThreadId") else { panic!() };
    assert_eq!(reason, "missing field `hostThreadId`");
}

#[test]
fn lines_of_others_are_said_to_be_theirs() {
    for text in ["{}", "{\"a\":1}", "{\"eventName\":\"msgget\"}", "{\"schemaVersion\":\"1.1\"}"] {
        assert_eq!(refused(text), Unreadable::Foreign, "{text}");
    }
    for format in [Format::Ecs, Format::Ocsf] {
        let item =
            Item::Call { call: &sample::named(), who: &sample::who(), tags: Tags::default(), policies: Matched::NONE };
        assert_eq!(refused(sample::line(format, &item, &sample::sensor(), 1)), Unreadable::Foreign);
    }
    let finding = &sample::check_then_create().findings[0];
    let item = Item::Finding { finding, who: &sample::who(), tags: Tags::default(), policies: Matched::NONE };
    let cef = sample::line(Format::Cef, &item, &sample::sensor(), 1);
    assert!(matches!(refused(cef), Unreadable::Json { .. }));
}

#[test]
fn other_versions_are_not_guessed_at() {
    assert_eq!(with("failed", "schemaVersion", "2.0".into()), Unreadable::Version("\"2.0\"".to_owned()));
    assert_eq!(with("heartbeat", "schemaVersion", "x".into()), Unreadable::Version("\"x\"".to_owned()));
    assert!(
        matches!(without("aggregate_owner", "bootTimestamp"), Unreadable::Clockless(version) if version == "\"1.1\"")
    );
    let mut later = line("failed");
    (later["schemaVersion"], later["unheardOf"]) = ("1.17".into(), json!({ "a": [1] }));
    assert!(parse(later.to_string().as_bytes()).is_ok(), "within a major version fields are only added");
}

#[test]
fn fields_that_say_what_is_never_said_are_named() {
    for (name, field, value) in [
        ("failed", "outcome", json!("unheard-of")),
        ("failed", "outcome", json!("removed")),
        ("removed", "outcome", json!("created")),
        ("failed", "outcomeSource", json!("x")),
        ("failed", "returnValue", json!(5)),
        ("failed", "id", json!("5")),
        ("failed", "id", json!("00000000-0000-0000-0000-000000000007-+5")),
        ("failed", "abi", json!("arm")),
        ("failed", "entry", json!("x")),
        ("failed", "hook", json!("x")),
        ("failed", "capabilities", json!("8000")),
        ("failed", "capabilities", json!("0x+1")),
        ("failed", "capabilities", json!("0x1ffffffffffffffff")),
        ("failed", "processName", json!("sixteen letters.")),
        ("failed", "processName", json!("\\")),
        ("failed", "hostName", json!("sixteen letters.")),
        ("failed", "cgroupPath", json!("\\xZZ")),
        ("failed", "userName", json!("a\\b")),
        ("failed", "containerRuntime", json!("x")),
        ("failed", "exitTimestamp", json!(5)),
        ("failed", "threadStartTime", json!(5)),
        ("failed", "bootTimestamp", json!(u64::MAX)),
        ("named", "executableDevice", json!("254")),
        ("named", "executableDevice", json!("254:+1")),
        ("named", "commandLine", json!(["a", "\\"])),
        ("named", "parentExecutable", json!("\\x")),
        ("removed", "keyHex", json!("0x1ffffffff")),
        ("removed", "cmdName", json!("IPC_STAT")),
        ("ring_full", "reason", json!("x")),
        ("ring_full", "since", json!(5)),
        ("aggregate_owner", "attributedTo", json!("x")),
        ("aggregate_owner", "byOutcome", json!({ "x": 1 })),
        ("aggregate_owner", "byOutcome", json!({ "created": u64::MAX, "failed": 1 })),
        ("heartbeat", "eventName", json!("unheard-of")),
        ("start", "id", json!("x-0")),
        ("aggregate_owner", "id", json!("x")),
    ] {
        match with(name, field, value.clone()) {
            Unreadable::Field { field: found, .. } => assert_eq!(found, field, "{name} with {value}"),
            other => panic!("{name} with {field} {value}: {other}"),
        }
    }
    let error = with("failed", "hook", "e\x1b[2J\u{202e}".into()).to_string();
    assert_eq!(
        error,
        "`hook` is \"e\\u{1b}[2J\\u{202e}\", and should be fexit, tp_btf or tracepoint; something else wrote it, or a newer version"
    );
    let mode = json!({ "ownerUserId": 1, "ownerGroupId": 1, "creatorUserId": 1, "creatorGroupId": 1, "mode": "+7" });
    assert!(matches!(with("removed", "queue", mode), Unreadable::Field { field: "mode", .. }));
    let mut named = line("named");
    named["executable"]["path"] = "\\x4".into();
    assert!(matches!(refused(named.to_string()), Unreadable::Field { field: "executable", .. }));
    let mut nowhere = line("failed");
    nowhere.as_object_mut().unwrap().remove("cgroupPath");
    nowhere["cgroupPathAbsent"] = "x".into();
    assert!(matches!(refused(nowhere.to_string()), Unreadable::Field { field: "cgroupPathAbsent", .. }));
}

#[test]
fn fields_that_are_not_there_are_named() {
    for (name, field) in [
        ("failed", "abi"),
        ("failed", "entry"),
        ("failed", "syscallNumber"),
        ("failed", "cgroupPath"),
        ("failed", "containerRuntime"),
        ("named", "processStartTime"),
        ("named", "execId"),
        ("named", "parentStartTime"),
        ("named", "parentExecId"),
        ("removed", "cmdName"),
        ("ring_full", "reason"),
        ("ring_full", "count"),
        ("ring_full", "since"),
        ("start", "id"),
        ("aggregate_owner", "id"),
        ("aggregate_owner", "attributedTo"),
        ("aggregate_owner", "byOutcome"),
        ("aggregate_owner", "takenTimestamp"),
        ("aggregate_owner", "firstTimestamp"),
        ("aggregate_owner", "lastTimestamp"),
        ("aggregate_owner", "sampleKeys"),
        ("aggregate_owner", "processName"),
        ("aggregate_owner", "cgroupId"),
        ("aggregate_process", "hostProcessId"),
    ] {
        assert_eq!(without(name, field), Unreadable::Missing(field), "{name}");
    }
    for (name, argument) in [("failed", "key"), ("failed", "msgflg"), ("removed", "msqid"), ("removed", "cmd")] {
        let mut line = line(name);
        line["args"].as_array_mut().unwrap().retain(|other| other["name"] != argument);
        assert_eq!(refused(line.to_string()), Unreadable::Missing(argument), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    /// Damage leads to an error or to a line, never to a panic.
    #[test]
    fn any_bytes_are_read_or_refused(
        name in prop::sample::select(&["named", "removed", "aggregate_process", "ring_full", "start"][..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end: prop::sample::Index,
        torn: bool,
    ) {
        thread_local!(static LINES: std::cell::RefCell<std::collections::BTreeMap<&'static str, Vec<u8>>> = std::cell::RefCell::default());
        let mut bytes = LINES.with_borrow_mut(|lines| lines.entry(name).or_insert_with(|| line(name).to_string().into()).clone());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let end = if torn { end.index(bytes.len()) } else { bytes.len() };
        let read = parse(&bytes[..end]);
        prop_assert!(!torn || read.is_err());
    }
}

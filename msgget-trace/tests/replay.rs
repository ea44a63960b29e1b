//! `replay`: what was found live is found again in the recording, line by line; and what is no recording is said to be none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use common::{Program, Report, binary, finish, msgget_trace, run, sys};
use serde_json::{Value, json};

/// `msgget-trace replay` with these arguments.
fn replay<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.arg("replay").args(arguments);
    command
}

/// The lines of `text` as they are but for `sequence`, which is the output's.
fn bodies<'a>(lines: impl IntoIterator<Item = &'a str>, sequence: &str) -> Vec<String> {
    let body = |line: &str| {
        let (before, after) = line.split_once(sequence).unwrap_or_else(|| panic!("no {sequence} in {line}"));
        format!("{before}{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
    };
    lines.into_iter().map(body).collect()
}

const SEQUENCE: &str = "\"sequence\":";

/// True for the line of a finding.
fn is_finding(line: &str) -> bool {
    line.contains("\"metadata\":{")
}

/// What stands in the line of every aggregate, and in no other.
const AGGREGATE: &str = "\"eventName\":\"aggregate\"";

/// Asserts that replaying `recording` tells all calls, controls, findings and aggregates that are in it, and just these;
/// returns how many findings.
fn found_again(recording: &Path) -> usize {
    let text = fs::read_to_string(recording).unwrap();
    let made = |line: &&str| !common::is_health(line) || line.contains(AGGREGATE);
    let (live, live_findings) = (text.lines().filter(made), text.lines().filter(|line| is_finding(line)));

    let report = finish(&mut replay([recording]));
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let findings = bodies(report.stdout.iter().map(String::as_str), SEQUENCE);
    assert_eq!(findings, bodies(live_findings, SEQUENCE));
    report.numbered();

    let report = finish(replay(["-o", "json=-,only=calls+controls+findings+aggregates"]).arg(recording));
    assert_eq!(bodies(report.stdout.iter().map(String::as_str), SEQUENCE), bodies(live, SEQUENCE));
    assert!(report.stderr[0].contains(&format!("found findings={}", findings.len())), "{:#?}", report.stderr);
    findings.len()
}

/// Checks and then creates twice, also in a child, under names and with arguments that are no text; then removes.
const PERL: &str = r#"
    $0 = "a\xff\"\\\n\e[2J";
    for my $key (1..3) { msgget($key, 0); $id = msgget($key, 01600); msgget($key, 0); }
    if (!fork) { msgget(7, 0); msgget(7, 03600); exit }
    wait; msgctl($id, 0, 0); msgget(0, 01600); msgget(9, 0); msgget(9, 03600);
"#;

#[test]
fn what_programs_do_is_found_again() {
    live!(120);
    let dir = tempfile::tempdir().unwrap();
    for (nth, options) in [&[][..], &["--no-cmdline"], &["--redact", "sec(?<secret>.*)"]].iter().enumerate() {
        let recording = dir.path().join(nth.to_string());
        let mut exec = msgget_trace(["exec", "-o", recording.to_str().unwrap()].iter().chain(*options));
        exec.args(["--", "unshare", "--ipc", "perl", "-e", PERL, "sec\u{202e}ret\\", "", "\u{1}"]);
        let report = finish(&mut exec);
        assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
        // One story, which is told when it begins and when it gets worse.
        assert_eq!(found_again(&recording), 2);
    }
}

#[test]
fn what_was_only_counted_is_told_again() {
    live!(120);
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recording");
    let mut exec = msgget_trace(["exec", "--budget-process", "10", "--budget-burst", "1"]);
    let calls = "for (1..3000) { msgget($_ % 5 + 1, 0) } for (1..3000) { msgget($_ % 5 + 1, 01600) }";
    exec.arg("-o").arg(&recording).args(["--", "unshare", "--ipc", "perl", "-e", calls]);
    let report = finish(&mut exec);
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert!(fs::read_to_string(&recording).unwrap().contains(AGGREGATE), "nothing was counted");
    found_again(&recording);
}

/// All of the host: other users, containers, threads, whoever else calls meanwhile.
#[test]
fn what_a_host_does_is_found_again() {
    live!(120);
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recording");
    let daemon = run(&["-o", recording.to_str().unwrap()]);
    sys::private_ipc(|| {
        let pairs =
            || (1..50).flat_map(|key| [sys::msgget(key, 0), sys::msgget(key, libc::IPC_CREAT | 0o600)]).collect();
        let children = [0, 1000, 65_534].map(|user| {
            sys::fork(|| {
                sys::become_user([user, user], [user, user]);
                pairs()
            })
        });
        children.into_iter().for_each(|child| assert_eq!(child.calls().len(), 98));
    });
    assert_eq!(daemon.stop().status.code(), Some(0));
    // A story is told for the first time and for the tenth.
    assert!(found_again(&recording) >= 2);
}

/// What only the start record says of the machine is on the lines of other formats, too.
#[test]
fn other_formats_say_the_same_as_they_did_live() {
    live!(120);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let outputs = |of: &str| {
        let output = |format: &str| format!("{format}={},only=findings", at(&format!("{of}.{format}")));
        ["ecs", "ocsf", "cef"].map(output).into_iter().flat_map(|output| ["-o".to_owned(), output])
    };
    let (recording, spool) = (at("recording"), at("spool"));
    let mut exec = msgget_trace(["exec", "-o", &recording, "--spool", &spool]);
    exec.args(outputs("live")).args(["--", "unshare", "--ipc", "perl", "-e", PERL]);
    assert_eq!(finish(&mut exec).status.code(), Some(0));
    let report = finish(replay(["--spool", &spool]).args(outputs("again")).arg(&recording));
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    for (format, findings) in [("ecs", 2), ("ocsf", 2), ("cef", 2)] {
        let read = |of: &str| fs::read_to_string(at(&format!("{of}.{format}"))).unwrap();
        assert_eq!(read("again"), read("live"), "{format}");
        assert_eq!(read("live").lines().count(), findings, "{format}");
    }
}

/// The documented line of a check by process 41237, later by `at` ns, with these `changes`.
fn call(nth: u64, at: u64, changes: &Value) -> String {
    let mut line: Value = serde_json::from_str(include_str!("golden/json/failed.json")).unwrap();
    for field in ["timestamp", "exitTimestamp", "bootTimestamp"] {
        line[field] = (line[field].as_u64().unwrap() + at).into();
    }
    line["id"] = format!("00000000-0000-0000-0000-000000000007-{}", 4096 + nth * 176).into();
    line["sequence"] = (nth + 2).into();
    line.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    format!("{line}\n")
}

/// The creation that rests on it.
fn creation(changes: &Value) -> String {
    let args = json!([{"name":"key","type":"int32","value":42}, {"name":"msgflg","type":"int32","value":0o1600}]);
    let mut all = json!({"args": args, "returnValue": 5, "outcome": "created"});
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    call(1, 10_000, &all)
}

fn start(boot: &str) -> String {
    let line = json!({"timestamp": 9, "eventName": "start", "schemaVersion": "1.1", "id": format!("{BOOT}-0"), "sequence": 1,
                      "hook": "tp_btf", "bootId": boot, "bootTimestamp": 9});
    format!("{line}\n")
}

/// The documented lines are of this boot.
const BOOT: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn check() -> String {
    call(0, 0, &json!({}))
}

/// A recording of these lines, replayed.
fn replayed(text: impl AsRef<[u8]>) -> Report {
    let mut program = Program::start(replay(["-"]).stdin(Stdio::piped()));
    let mut input = program.stdin().unwrap();
    input.write_all(text.as_ref()).unwrap();
    drop(input);
    program.wait()
}

/// Asserts that `report` is one of a finding and of one bad line, of which it says `reason`.
fn one_bad_line(report: &Report, number: u64, reason: &str) {
    assert_eq!((report.status.code(), report.stdout.len()), (Some(2), 1), "{:#?}", report.stderr);
    let said = format!("msgget-trace: standard input, line {number}: ");
    assert!(report.stderr[0].starts_with(&said) && report.stderr[0].contains(reason), "{:#?}", report.stderr);
    let last = report.stderr.last().unwrap();
    assert!(last.contains("1 of the 3 lines of standard input could not be read"), "{last}");
}

#[test]
fn bad_lines_are_said_and_cost_no_other() {
    let ecs = include_str!("golden/ecs/failed.json").to_owned();
    let version = |version: &str| call(0, 0, &json!({ "schemaVersion": version }));
    let old = |line: &str| line.replace("\"bootTimestamp\"", "\"other\"");
    for (bad, reason) in [
        (format!("{}\n", &check()[..200]), "column 200: EOF"),
        (ecs, "it is not of the json format"),
        ("something else\n".to_owned(), "column 1: expected value"),
        ("\n".to_owned(), "column 0: EOF while parsing a value"),
        (version("2.0"), "it is of schemaVersion \"2.0\", and this program reads 1."),
        (old(&version("1.0")), "it has no `bootTimestamp`, which lines have since schemaVersion 1.1"),
        (format!("{{\"a\":\"{}\"}}\n", "x".repeat(2 << 20)), "it is longer than 1048576 bytes"),
        (call(0, 0, &json!({ "hook": "x" })), "`hook` is \"x\", and should be fexit"),
    ] {
        one_bad_line(&replayed([&check(), &*bad, &creation(&json!({}))].concat()), 2, reason);
    }
}

#[test]
fn a_torn_end_is_said() {
    let (whole, torn) = ([check(), creation(&json!({}))].concat(), check());
    let report = replayed([&*whole, &torn[..300]].concat());
    one_bad_line(&report, 3, "it has no end: column 300: EOF");
    // Only its line feed is missing.
    let report = replayed(whole.trim_end());
    assert_eq!((report.status.code(), report.stdout.len()), (Some(0), 1), "{:#?}", report.stderr);
}

#[test]
fn many_bad_lines_are_counted() {
    let report = replayed("x\n".repeat(1000));
    assert_eq!(report.status.code(), Some(2));
    assert_eq!(report.stderr.len(), 20 + 2, "{:#?}", report.stderr);
    assert!(report.stderr[21].contains("1000 of the 1000 lines"), "{:#?}", report.stderr);
}

#[test]
fn what_is_no_recording_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    File::create(&empty).unwrap();
    for (path, reason) in [
        (dir.path().join("none"), "No such file"),
        (dir.path().to_owned(), "is a directory"),
        (empty, "has no lines"),
        ("/proc/self/mem".into(), "cannot read /proc/self/mem"),
    ] {
        let output = dir.path().join("output");
        let report = finish(replay(["-o", output.to_str().unwrap()]).arg(&path));
        assert_eq!(report.status.code(), Some(2), "{:#?}", report.stderr);
        let last = report.stderr.last().unwrap();
        assert!(last.contains(reason) && last.contains(path.to_str().unwrap()), "{last}");
    }
}

#[test]
fn outputs_that_take_nothing_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recording");
    fs::write(&recording, [check(), creation(&json!({}))].concat()).unwrap();
    let full = finish(replay(["-o", "/dev/full"]).arg(&recording));
    assert_eq!(full.status.code(), Some(8), "{:#?}", full.stderr);
    assert!(full.stderr.last().unwrap().contains("cannot write to /dev/full: No space left"), "{:#?}", full.stderr);
    let absent = finish(replay(["-o", "/nonexistent/x"]).arg(&recording));
    assert_eq!(absent.status.code(), Some(8), "{:#?}", absent.stderr);

    // Nobody listens there.
    let (spool, socket) = (dir.path().join("spool"), format!("unix:{}", dir.path().join("socket").display()));
    let away = finish(replay(["--spool", spool.to_str().unwrap(), "-o", &socket]).arg(&recording));
    assert_eq!(away.status.code(), Some(8), "{:#?}", away.stderr);
    assert!(away.stderr.last().unwrap().contains("1 lines have not got yet"), "{:#?}", away.stderr);

    // Who wants to see no more is content.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let report = Program::start_writing(replay([&recording]).stdin(Stdio::null()), writer.into()).wait();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
}

#[test]
fn choices_that_make_no_sense_are_bad_usage() {
    for (output, reason) in [("json=-,only=calls+health", "no news of itself"), ("json=-,x", "OPTION=VALUE")] {
        let report = finish(&mut replay(["-o", output, "-"]));
        assert_eq!(report.status.code(), Some(2), "{:#?}", report.stderr);
        assert!(report.stderr[0].contains(reason), "{:#?}", report.stderr);
    }
}

#[test]
fn a_run_and_a_boot_begin_with_nothing() {
    let found = |lines: &[String]| {
        let report = replayed(lines.concat());
        assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
        report.stdout.iter().filter(|line| line.contains("\"eventName\":\"check_then_create\"")).count()
    };
    let again = creation(&json!({}));
    assert_eq!(found(&[start(BOOT), check(), again.clone()]), 1);
    assert_eq!(found(&[check(), start(BOOT), again.clone()]), 0);
    assert_eq!(found(&[check(), creation(&json!({"bootId": "x"}))]), 0);
    assert_eq!(found(&[check(), creation(&json!({"hostId": "x"}))]), 0);
    // Another wall clock is no other boot.
    let later =
        |field: &str| serde_json::from_str::<Value>(&again).unwrap()[field].as_u64().unwrap() + 3_600_000_000_000;
    let mut moved = json!({"clockMovedNs": 3_600_000_000_000_i64});
    for field in ["timestamp", "exitTimestamp", "processStartTime", "parentStartTime", "threadStartTime"] {
        moved[field] = later(field).into();
    }
    let report = replayed([check(), creation(&moved)].concat());
    let finding: Value = serde_json::from_str(&report.stdout[0]).unwrap();
    assert_eq!(finding["args"][1], json!({"name": "windowNs", "type": "uint64", "value": 9300}));
}

#[test]
fn what_is_missing_is_said() {
    let report = replayed([start(BOOT), call(8, 0, &json!({})), creation(&json!({"sequence": 11}))].concat());
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert!(report.stderr[0].contains("missing_lines=8 lost_calls=0"), "{:#?}", report.stderr);
    let loss = json!({"timestamp": 9, "eventName": "loss", "schemaVersion": "1.1", "id": format!("{BOOT}-1"), "sequence": 2,
                      "hook": "tp_btf", "reason": "ring_full", "count": 7, "since": 9, "bootTimestamp": 9});
    let report = replayed(format!("{}{loss}\n", start(BOOT)));
    assert!(report.stderr[0].contains("missing_lines=0 lost_calls=7"), "{:#?}", report.stderr);
}

/// Numbers that nobody reaches add up to no panic.
#[test]
fn numbers_may_be_as_large_as_they_like() {
    let numbered =
        |sequence: u64| call(1, 0, &json!({"sequence": sequence, "returnValue": -1, "durationNs": u64::MAX}));
    let text: String = [u64::MAX, 5, u64::MAX, 5, u64::MAX - 1].map(numbered).concat();
    let report = replayed([&*text, &start(BOOT), &check(), &creation(&json!({"sequence": u64::MAX}))].concat());
    assert_eq!((report.status.code(), report.stdout.len()), (Some(0), 1), "{:#?}", report.stderr);
}

/// What comes by a pipe is told as it comes.
#[test]
fn a_recording_may_still_grow() {
    let mut program = Program::start(replay(["-"]).stdin(Stdio::piped()));
    let mut input = program.stdin().unwrap();
    let text = [check(), creation(&json!({}))].concat();
    let (first, rest) = text.split_at(1000);
    input.write_all(first.as_bytes()).unwrap();
    input.write_all(rest.as_bytes()).unwrap();
    program.stdout.find(is_finding);
    drop(input);
    assert_eq!(program.wait().status.code(), Some(0));
}

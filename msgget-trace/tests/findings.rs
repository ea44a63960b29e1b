//! The finding `check_then_create`: who looks for a queue, finds none and then creates it, leaves a window to others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{thread, time::Duration};

use common::{
    Did, Line, run,
    sys::{self, msgget},
};
use libc::{ENOENT, IPC_CREAT, IPC_EXCL};
use serde_json::json;

/// Traces `calls`, and returns their lines and the findings about the process that made the last one, as (position, line).
fn findings(calls: impl FnOnce() -> Vec<Did> + Send) -> (Vec<(Did, Line)>, Vec<Line>, Vec<usize>) {
    let daemon = run(&[]);
    let did = sys::private_ipc(calls);
    let lines = daemon.stop().balanced();
    let tids: Vec<_> = did.iter().map(|did| did.tid).collect();
    let ours = |line: &Line| line.finds("check_then_create") && tids.iter().any(|tid| line.by_thread(*tid));
    let findings = (0..lines.len()).filter(|at| ours(&lines[*at])).collect();
    (common::line::pair(&did, &lines), lines, findings)
}

#[test]
fn a_check_then_a_creation() {
    live!(60);
    let (pairs, lines, found) = findings(|| vec![msgget(0x77, 0o600), msgget(0x77, IPC_CREAT | 0o600)]);
    assert_eq!(pairs[0].0.result, -ENOENT);
    let [at] = found.as_slice() else { panic!("not one finding: {found:?}") };
    let (check, create, finding) = (&pairs[0].1, &pairs[1].1, &lines[*at]);
    assert_eq!(create["tags"], json!(["U", "TOCTOU"]));
    assert_eq!(finding.int("sequence"), create.int("sequence") + 1, "right after the call that completes it");

    assert_eq!(finding.arg("key"), 0x77);
    assert_eq!(finding.arg("windowNs"), create.int("timestamp") - check.int("exitTimestamp"));
    let (least, most) = (finding.arg("windowNs").as_u64(), finding.arg("windowMaxNs").as_u64());
    assert!(least <= most, "{least:?} {most:?}");
    assert_eq!(finding["evidence"], json!([check["id"], create["id"]]));
    assert_eq!((finding.arg("checkId"), finding.arg("createId")), (&check["id"], &create["id"]));
    let cause = finding.arg("detectedFrom");
    assert_eq!(
        (&cause["name"], &cause["returnValue"], &cause["args"]),
        (&"msgget".into(), &create["returnValue"], &create["args"])
    );
    let properties = finding["metadata"]["Properties"].as_object().unwrap();
    for property in ["Severity", "Category", "signatureID", "signatureName"] {
        assert!(properties.contains_key(property), "{property}");
    }
    for key in ["hostProcessId", "processName", "pidNamespace", "userId", "bootId"] {
        if finding.has(key) {
            assert_eq!(finding[key], create[key], "{key}");
        }
    }
}

#[test]
fn an_exclusive_creation_after_a_check_is_tagged() {
    live!(60);
    let (pairs, _, found) = findings(|| vec![msgget(0x78, 0), msgget(0x78, IPC_CREAT | IPC_EXCL | 0o600)]);
    assert_eq!(found.len(), 1);
    assert_eq!(pairs[1].1["tags"], json!(["U", "TOCTOU"]));
}

#[test]
fn each_creation_has_its_own_check_and_all_of_them_are_one_story() {
    live!(60);
    let (pairs, lines, found) =
        findings(|| (1..=50).flat_map(|key| [msgget(key, 0), msgget(key, IPC_CREAT | 0o600)]).collect());
    let tagged = pairs.iter().filter(|(did, _)| did.flags != 0);
    assert_eq!(tagged.filter(|(_, line)| line["tags"] == json!(["U", "TOCTOU"])).count(), 50);
    let told = found.iter().map(|at| (lines[*at].arg("key").clone(), lines[*at].int("count")));
    assert_eq!(told.collect::<Vec<_>>(), [(json!(1), 1), (json!(10), 10)], "the first and the tenth");
    let [first, tenth] = found[..] else { panic!("{found:?}") };
    assert_eq!(lines[tenth]["story"], lines[first]["id"]);
    assert_ne!(lines[tenth]["id"], lines[first]["id"], "every finding has an id of its own");
}

#[test]
fn nothing_is_found_where_there_is_no_window() {
    live!(60);
    let (_, _, found) = findings(|| {
        let create = IPC_CREAT | 0o600;
        let mut calls = vec![
            msgget(1, create), // no check
            msgget(1, 0),      // a check that finds the queue
            msgget(1, create),
            msgget(2, 0),
            msgget(3, create),            // another key
            msgget(4, create | IPC_EXCL), // no check
            msgget(libc::IPC_PRIVATE, create),
        ];
        calls.extend(sys::fork(|| vec![msgget(2, create)]).calls()); // another process
        calls
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_check_may_come_from_another_thread_but_not_from_another_namespace() {
    live!(60);
    let (_, lines, found) = findings(|| {
        let check = msgget(5, 0);
        let elsewhere = sys::private_ipc(|| msgget(5, IPC_CREAT | 0o600));
        let here = thread::scope(|scope| scope.spawn(|| msgget(5, IPC_CREAT | 0o600)).join().unwrap());
        vec![check, elsewhere, here]
    });
    let [at] = found.as_slice() else { panic!("not one finding: {found:?}") };
    assert_eq!(lines[*at - 1].arg("key"), 5);
    assert_eq!(lines[*at]["hostThreadId"], lines[*at - 1]["hostThreadId"]);
}

/// What was lost may have been the removal of the rival's queue, and another's creation. The loss is told of later than the finding.
#[test]
fn a_race_among_lost_calls_is_not_certain() {
    live!(60, floods);
    let daemon = run(&["--ring-size", "65536", "--no-budget"]);
    let did = sys::private_ipc(|| {
        let mut did = vec![msgget(5, 0)];
        did.extend(
            sys::fork(|| {
                sys::become_user([4711, 4711], [4711, 4711]);
                vec![msgget(5, IPC_CREAT | IPC_EXCL | 0o600)]
            })
            .calls(),
        );
        daemon.signal(libc::SIGSTOP);
        (0..2000).for_each(|_| assert_eq!(sys::msgget_only(6, 0), -ENOENT));
        daemon.signal(libc::SIGCONT);
        thread::sleep(Duration::from_millis(50)); // for room in the ring
        did.push(msgget(5, IPC_CREAT | IPC_EXCL | 0o600));
        did
    });
    let report = daemon.stop();
    assert!(report.balance()["lost"] > 0, "{:?}", report.balance());
    let lines = report.numbered();
    let raced = lines.iter().find(|line| line.finds("check_then_create_raced") && line.by_thread(did[2].tid));
    assert_eq!(raced.unwrap().text("certainty"), "possible");
}

//! Policies on the real kernel: what they want is told, what they do not is counted, and they can be exchanged meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Did, Line, Program, binary, finish, msgget_trace,
    sys::{self, msgget},
};
use libc::{ENOENT, IPC_CREAT};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A policy of this name, whose only rule is about these events.
fn policy(name: &str, rule: &str) -> String {
    format!(
        "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata:\n  name: {name}\nspec:\n  scope: [global]\n  rules:\n    \
         - {rule}\n"
    )
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// `run` with the policies at `path`, and these options.
fn run(path: &Path, options: &[&str]) -> Program {
    let policy = ["run", "--policy", path.to_str().unwrap()];
    Program::start(&mut msgget_trace(policy.iter().chain(options))).ready()
}

/// The keys that were asked for by whoever made `calls`, as the lines tell.
fn keys(lines: &[Line], calls: &[Did]) -> Vec<i64> {
    let ours = |line: &&Line| line.is_call() && calls.iter().any(|call| line.by_thread(call.tid));
    lines.iter().filter(ours).map(|line| line.result().0).collect()
}

fn calls(keys: &[i32]) -> Vec<Did> {
    sys::private_ipc(|| keys.iter().map(|key| msgget(*key, 0)).collect())
}

#[test]
fn what_is_wanted_is_told_and_the_rest_is_counted() {
    live!(60);
    let dir = folder(&[
        ("a.yaml", &policy("keys", "{event: msgget, filters: ['data.key=0x4001,0x4002', retval=ENOENT]}")),
        ("b.yaml", &policy("second", "{event: msgget, when: key == 0x4002}")),
        (
            "c.json",
            r#"{"type": "policy", "name": "found", "scope": ["global"], "rules": [{"event": "check_then_create", "filters": ["key=0x4003"]}]}"#,
        ),
    ]);
    let daemon = run(dir.path(), &[]);
    let did = sys::private_ipc(|| {
        let check = [0x4000, 0x4001, 0x4002, 0x4003].map(|key| msgget(key, 0));
        assert_eq!(check[0].result, -ENOENT);
        // Detection sees what is not told of.
        check.into_iter().chain([msgget(0x4003, IPC_CREAT | 0o600)]).collect::<Vec<_>>()
    });
    let report = daemon.stop();
    let lines = report.balanced();
    assert_eq!(keys(&lines, &did), [0x4001, 0x4002]);
    let matched: Vec<_> = lines.iter().filter(|line| did.iter().any(|did| line.by_thread(did.tid))).collect();
    let policies: Vec<_> = matched.iter().map(|line| &line["matchedPolicies"]).collect();
    assert_eq!(policies, [&json!(["keys"]), &json!(["keys", "second"]), &json!(["found"])]);
    assert_eq!(matched[2].text("eventName"), "check_then_create");
    let balance = report.balance();
    // These calls, and the queue's end with its namespace where that is seen.
    assert!(balance["unwanted"] >= 3 && balance["found"] >= 1, "{balance:?}");
    assert!(report.start()["policyDigest"].is_string());
}

/// What the daemon says when it is sent SIGHUP.
fn hang_up(daemon: &Program, path: &Path, text: &str, news: &str) -> Value {
    fs::write(path, text).unwrap();
    daemon.signal(libc::SIGHUP);
    let line = daemon.stdout.find(|line| line.contains(&format!("\"eventName\":\"{news}\"")));
    serde_json::from_str(&line).unwrap()
}

#[test]
fn sighup_exchanges_policies_and_wrong_ones_change_nothing() {
    live!(60);
    let dir = folder(&[("p.yaml", &policy("one", "{event: msgget, filters: [key=0x4011]}"))]);
    let path = dir.path().join("p.yaml");
    let daemon = run(&path, &[]);
    let both = [0x4011, 0x4012];
    let mut did = calls(&both);
    // What was called before has been read when the next line comes.
    daemon.stdout.find(|line| line.contains("\"value\":16401"));
    let changed = hang_up(&daemon, &path, &policy("two", "{event: msgget, filters: [key=0x4012]}"), "policy_change");
    did.extend(calls(&both));
    daemon.stdout.find(|line| line.contains("\"value\":16402"));
    let refused = hang_up(&daemon, &path, &policy("two", "{event: msgget, filters: [kye=0x4012]}"), "policy_refused");
    did.extend(calls(&both));
    let report = daemon.stop();
    assert_eq!(keys(&report.balanced(), &did), [0x4011, 0x4012, 0x4012]);
    assert_eq!(changed["formerPolicyDigest"], report.start()["policyDigest"]);
    assert_ne!(changed["formerPolicyDigest"], changed["policyDigest"]);
    assert_eq!((&refused["policyDigest"], &refused["problems"]), (&changed["policyDigest"], &json!(1)));
    let place = format!("{}:8:", path.display());
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with(&place) && detail.contains("kye"), "{detail}");
    assert!(report.stderr.iter().any(|line| line.contains(&place)), "{:#?}", report.stderr);
}

#[test]
fn what_exceptions_keep_back_is_counted() {
    live!(60);
    let exceptions = "apiVersion: msgget-trace/v1\nkind: Exceptions\nspec:\n  exceptions:\n    \
                      - {name: known, reason: a test, finding: check_then_create, filters: [key=0x4021]}\n    \
                      - {name: other, reason: a test, filters: [key=0x4029]}\n";
    let dir = folder(&[("e.yaml", exceptions)]);
    let socket = dir.path().join("socket");
    let daemon = run(dir.path(), &["--status-socket", socket.to_str().unwrap()]);
    let did = sys::private_ipc(|| {
        let twice = |key| [msgget(key, 0), msgget(key, IPC_CREAT | 0o600)];
        // What is kept back begins no story: the same program's next one is told.
        [twice(0x4021), twice(0x4022)].concat()
    });
    daemon.stdout.find(|line| line.contains("check_then_create") && line.contains("\"value\":16418"));
    // An exception that stays under its name goes on counting.
    let changed = hang_up(&daemon, &dir.path().join("e.yaml"), &format!("{exceptions}# again\n"), "policy_change");
    let status = finish(Command::new(binary()).args(["status", "--json", "--socket"]).arg(&socket));
    let status: Value = serde_json::from_str(&status.stdout[0]).unwrap();
    let report = daemon.stop();
    let lines = report.balanced();
    let found: Vec<_> = lines
        .iter()
        .filter(|line| line.finds("check_then_create") && did.iter().any(|did| line.by_thread(did.tid)))
        .map(|line| line.arg("key").clone())
        .collect();
    assert_eq!(found, [json!(0x4022)]);
    assert_eq!(keys(&lines, &did), [0x4021, 0x4021, 0x4022, 0x4022], "calls are told all the same");
    assert_eq!(report.balance()["suppressed"], 1);
    assert_eq!(report.stop_record()["balance"]["suppressed"], 1);
    assert_eq!(
        status["exceptions"],
        json!([{ "name": "known", "suppressed": 1 }, { "name": "other", "suppressed": 0 }])
    );
    assert_eq!(status["policyDigest"], changed["policyDigest"]);
}

#[test]
fn exec_has_policies_too() {
    live!(60);
    let dir = folder(&[("p.yaml", &policy("none", "{event: msgget, filters: [key=0x4031]}"))]);
    let path: PathBuf = dir.path().join("p.yaml");
    let report = finish(&mut msgget_trace(["exec", "--policy", path.to_str().unwrap(), "--", "ipcmk", "-Q"]));
    assert_eq!(report.lines().len(), 0, "{:#?}", report.stdout);
    report.balanced();
    assert!(report.balance()["unwanted"] >= 1, "{:#?}", report.stderr);
}

#[test]
fn check_tells_all_that_is_wrong_and_run_does_not_start() {
    let dir = folder(&[
        ("right.yaml", &policy("right", "{event: msgget}")),
        ("unseen.yaml", &policy("unseen", "{event: openat}")),
        ("wrong.yaml", &policy("wrong", "{event: msggot, filter: []}")),
        ("worse.yaml", "kind: [\n"),
    ]);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let check = |names: &[&str]| {
        let names = names.iter().map(|name| path(name));
        finish(Command::new(binary()).arg("check").args(names))
    };
    let right = check(&["right.yaml", "unseen.yaml"]);
    assert_eq!((right.status.code(), right.stdout.len()), (Some(0), 0), "{:#?}", right.stderr);
    assert!(right.stderr[0].contains("warning") && right.stderr[0].contains("openat"), "{:#?}", right.stderr);
    for command in ["check", "run"] {
        let report = if command == "check" {
            check(&["right.yaml", "wrong.yaml", "worse.yaml"])
        } else {
            finish(&mut msgget_trace(["run", "--policy", dir.path().to_str().unwrap()]))
        };
        assert_eq!(report.status.code(), Some(2), "{:#?}", report.stderr);
        for place in [path("wrong.yaml") + ":8:15: ", path("wrong.yaml") + ":8:23: ", path("worse.yaml") + ":"] {
            assert!(report.stderr.iter().any(|line| line.contains(&place)), "{command}: {place}: {:#?}", report.stderr);
        }
        assert!(!report.stderr.iter().any(|line| line.contains(&path("right.yaml"))), "{:#?}", report.stderr);
    }
}

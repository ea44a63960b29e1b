//! Recordings of real programs that mean no harm, in the folder corpus, are replayed; what is found in them, and nothing worse than
//! medium, comes out: the same on every machine, whatever is installed there. How they were recorded says tests/attacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use common::{binary, finish};
use serde_json::Value;

/// A rule, its stories, and the lines that tell of them.
type Found = (&'static str, usize, usize);

/// How many calls each has, and what is found in it.
const FOUND: [(&str, usize, &[Found]); 6] = [
    ("fakeroot.jsonl", 14, &[("create_without_exclusive", 5, 5)]),
    ("ipcmk.jsonl", 12, &[("create_without_exclusive", 1, 2), ("weak_mode", 1, 2)]),
    ("perl.jsonl", 61, &[("create_without_exclusive", 1, 2), ("private_key", 1, 1)]),
    ("php.jsonl", 90, &[("check_then_create", 1, 2), ("weak_mode", 1, 2)]),
    ("python.jsonl", 60, &[]),
    ("stress-ng.jsonl", 119, &[("private_key", 1, 3), ("weak_mode", 1, 1)]),
];

/// What a recording leads to: calls, and of each rule the stories and the lines.
fn found(recording: &Path) -> (usize, BTreeMap<String, (BTreeSet<String>, usize)>) {
    let mut replay = Command::new(binary());
    let report = finish(replay.args(["replay", "-o", "json=-,only=calls+findings"]).arg(recording));
    assert_eq!(report.status.code(), Some(0), "{}: {:#?}", recording.display(), report.stderr);
    let (mut calls, mut rules) = (0, BTreeMap::new());
    for line in &report.stdout {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(severity) = line["metadata"]["Properties"]["Severity"].as_u64() else {
            calls += 1;
            continue;
        };
        // High or critical, in the numbers of the lines.
        assert!(severity < 3, "{}: {line}", recording.display());
        let rule = line["eventName"].as_str().unwrap().to_owned();
        let (stories, lines): &mut (BTreeSet<_>, usize) = rules.entry(rule).or_default();
        stories.insert(line["story"].to_string());
        *lines += 1;
    }
    (calls, rules)
}

#[test]
fn peaceful_programs_are_found_peaceful() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, FOUND.map(|(name, ..)| name), "every recording is known, and there");
    for (name, calls, rules) in FOUND {
        let (seen, found) = found(&folder.join(name));
        let found: Vec<_> =
            found.iter().map(|(rule, (stories, lines))| (rule.as_str(), stories.len(), *lines)).collect();
        assert_eq!((seen, &found[..]), (calls, rules), "{name}");
    }
}

//! Spools in trouble: on a full disk, and damaged. The daemon says so, goes on, and tells all the rest.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    common::{bpffs::kill, run},
    live,
    rsyslog::{self, Rsyslog},
    skip,
    told::{Calls, await_until, call, ledger, number, records, sequence, text},
};

/// The folder of the spool of an output in JSON, as it is for ever: what waits there must be found by the next version, too.
pub(crate) fn folder(spool: &Path, output: &str) -> PathBuf {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "._".contains(letter) { letter } else { '-' };
    let name = format!("json-{output}");
    let digits = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string();
    spool.join(name.chars().map(plain).take(100).collect::<String>() + "-" + &digits[..12])
}

/// What the ledger says of the output that leads to `name`.
fn of(outputs: &[Value], name: &str) -> Value {
    outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("no {name} in {outputs:?}")).clone()
}

/// A small file system in memory, gone at the end.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: PathBuf, bytes: u64) -> Self {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).unwrap();
        let options = format!("size={bytes},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status().unwrap();
        assert!(mounted.success());
        Self(path)
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_spool_on_a_full_disk_is_said_and_recovers() {
    live!(90);
    let dir = tempfile::tempdir().unwrap();
    let [good, bad, spool] = ["good", "bad", "spool"].map(|name| dir.path().join(name));
    let [good_name, bad_name] = [&good, &bad].map(|path| path.to_str().unwrap());
    let disk = Tmpfs::mount(folder(&spool, bad_name), 32 << 20);
    let options = ["-o", good_name, "-o", bad_name, "--spool-size", "8M", "--spool", spool.to_str().unwrap()];
    let daemon = run(&options);
    await_until("the start record", || !records(&text(&bad), "start").is_empty());
    disk.fill();
    // Records find room in the last page, and then none.
    let before = call(2_000, 2_000);
    await_until("a loss record", || !records(&text(&good), "loss").is_empty());
    let losses = |text: &str| {
        let ours = |loss: &Value| loss["output"] == bad_name && loss["reason"] == "spool_full";
        records(text, "loss").iter().filter(|loss| ours(loss)).map(|loss| number(loss, "count")).sum::<u64>()
    };
    assert!(losses(&text(&good)) > 0, "{:?}", records(&text(&good), "loss"));
    await_until("a degraded record", || {
        call(10, 1_000);
        !records(&text(&good), "degraded").is_empty()
    });
    let degraded = records(&text(&good), "degraded").remove(0);
    let detail = degraded["detail"].as_str().unwrap();
    assert_eq!(degraded["reason"], "output");
    assert!(detail.contains(bad_name) && detail.contains("No space left"), "{detail}");

    disk.make_room();
    await_until("a recovered record", || {
        call(10, 1_000);
        !records(&text(&good), "recovered").is_empty()
    });
    let after = call(500, 1_000);
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let written = text(&good);
    Calls::of(&written, before).assert_once(2_000);
    Calls::of(&written, after).assert_once(500);
    assert_eq!(sequence(&written), (1..=written.lines().count() as u64).collect::<Vec<_>>());
    let received = Calls::of(&text(&bad), before);
    assert!(!received.missing(2_000).is_empty(), "there was room after all");
    Calls::of(&text(&bad), after).assert_once(500);
    // What is missing there was told here, to the last line.
    let ledger = ledger(&written);
    let (numbers, dropped) = (sequence(&text(&bad)), number(&of(&ledger, bad_name), "dropped"));
    assert_eq!(numbers.last().unwrap() - numbers.len() as u64, dropped);
    assert_eq!(losses(&written), dropped);
    assert_eq!(number(&of(&ledger, good_name), "dropped"), 0);
}

/// Also while the receiver is away, when there is nothing else to do.
#[test]
fn what_has_waited_too_long_is_given_up() {
    live!(90);
    let dir = tempfile::tempdir().unwrap();
    let [lines, spool] = ["lines", "spool"].map(|name| dir.path().join(name));
    let target = format!("tcp://127.0.0.1:{}", Rsyslog::new().port());
    let paths = [&lines, &spool].map(|path| path.to_str().unwrap());
    let daemon = run(&["-o", paths[0], "-o", &target, "--spool", paths[1], "--spool-age", "1"]);
    let tid = call(100, 1_000);
    await_until("a loss record", || !records(&text(&lines), "loss").is_empty());
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let written = text(&lines);
    Calls::of(&written, tid).assert_once(100);
    let losses = records(&written, "loss");
    assert!(losses.iter().all(|loss| loss["output"] == *target), "{losses:?}");
    assert!(losses.iter().all(|loss| loss["reason"] == "spool_expired"), "{losses:?}");
    let output = of(&ledger(&written), &target);
    let expired = number(&output, "expired");
    assert!(expired > 100, "{expired}");
    assert_eq!(losses.iter().map(|loss| number(loss, "count")).sum::<u64>(), expired);
    assert_eq!(number(&output, "dropped"), 0);
}

/// What a killed daemon left for a receiver that was away is damaged at its end, and in its middle.
#[test]
fn a_damaged_spool_costs_what_is_damaged() {
    live!(90, floods); // so that both outputs have the same lines when the daemon is killed
    if !rsyslog::installed() {
        skip!("needs rsyslogd");
    }
    const CALLS: i32 = 500;
    let mut rsyslog = Rsyslog::new();
    let target = format!("tcp://127.0.0.1:{}", rsyslog.port());
    let dir = tempfile::tempdir().unwrap();
    let [first, second, spool] = ["first", "second", "spool"].map(|name| dir.path().join(name));
    let options = |lines: &Path| {
        ["-o", lines.to_str().unwrap(), "-o", &target, "--spool", spool.to_str().unwrap()].map(str::to_owned)
    };
    let start = |lines: &Path| run(&options(lines).iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = start(&first);
    let tid = call(CALLS, 2_000);
    let key = format!("\"value\":{CALLS}}}");
    await_until("the last call", || text(&first).contains(&key));
    kill(&daemon);
    let segments = fs::read_dir(folder(&spool, &target)).unwrap().map(|entry| entry.unwrap().path());
    let segments: Vec<_> = segments.filter(|path| path.extension().is_some_and(|kind| kind == "seg")).collect();
    let [segment] = segments.as_slice() else { panic!("{segments:?}") };
    let file = File::options().read(true).write(true).open(segment).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len - 10).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, len / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], len / 2).unwrap();

    rsyslog.start();
    let daemon = start(&second);
    let own = call(50, 1_000);
    await_until("a loss record", || !records(&text(&second), "loss").is_empty());
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    rsyslog.await_stop();
    let said = |words: &str| report.stderr.iter().any(|line| line.contains(words));
    assert!(said("were no whole line"), "{:#?}", report.stderr);

    let losses = records(&text(&second), "loss");
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!(
        (&loss["reason"], &loss["output"], &loss["count"]),
        (&"spool_damaged".into(), &target.clone().into(), &1.into())
    );
    let received = rsyslog.received().concat();
    let torn = sequence(&text(&first)).len() as u64;
    let numbers = sequence(&received);
    // Two runs, each with numbers of its own.
    let at = (1..numbers.len()).find(|at| numbers[*at] == 1).unwrap();
    let lost: Vec<_> = (1..=torn).filter(|number| !numbers[..at].contains(number)).collect();
    assert!(matches!(lost.as_slice(), [middle, last] if *middle < *last && *last == torn), "{lost:?} of {torn}");
    assert_eq!(numbers[at..], (1..=(numbers.len() - at) as u64).collect::<Vec<_>>());
    assert!(Calls::of(&received, tid).missing(CALLS).len() <= 2);
    Calls::of(&received, own).assert_once(50);
    let state = of(&ledger(&text(&second)), &target);
    assert_eq!((number(&state, "damaged"), number(&state, "inherited")), (1, torn - 1), "{state}");
}

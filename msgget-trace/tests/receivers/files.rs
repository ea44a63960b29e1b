//! Files that are rotated while lines come: by logrotate(8), and by the daemon itself.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    common::run,
    live, skip,
    told::{Calls, call, sequence, text},
};

const LOGROTATE: &str = "/usr/sbin/logrotate";
const CALLS: i32 = 6_000;
const RATE: i32 = 3_000;

/// `path` and the rotated files beside it, oldest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let older = |nth: usize| PathBuf::from(format!("{}.{nth}", path.display()));
    let mut files: Vec<_> = (1..).map(older).take_while(|path| path.exists()).collect();
    files.reverse();
    files.push(path.to_owned());
    files
}

/// Everything in them, which must be whole lines.
fn all(files: &[PathBuf]) -> String {
    let text = |path: &PathBuf| {
        let text = text(path);
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends amid a line", path.display());
        text
    };
    files.iter().map(text).collect()
}

/// Asserts that lines are numbered from 1 on without a gap.
fn assert_gapless(text: &str) {
    for (number, expected) in sequence(text).into_iter().zip(1..) {
        assert_eq!(number, expected, "a gap, or one line twice");
    }
}

/// An only file is written directly, one of two by way of a spool.
#[test]
fn logrotate_costs_no_line() {
    live!(60);
    if !Path::new(LOGROTATE).exists() {
        skip!("needs logrotate");
    }
    for outputs in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let paths: Vec<_> = (0..outputs).map(|nth| path(&format!("lines{nth}"))).collect();
        let spool = path("spool");
        let mut options = vec!["--spool", spool.to_str().unwrap()];
        options.extend(paths.iter().flat_map(|path| ["-o", path.to_str().unwrap()]));
        let daemon = run(&options);
        let config = format!(
            "\"{}/lines?\" {{\n  su root root\n  rotate 90\n  nocompress\n  create 0640 root root\n  sharedscripts\n  \
             postrotate\n    kill -HUP {}\n  endscript\n}}\n",
            dir.path().display(),
            daemon.pid()
        );
        fs::write(path("logrotate.conf"), config).unwrap();
        fs::set_permissions(path("logrotate.conf"), fs::Permissions::from_mode(0o644)).unwrap();
        let rotate = || {
            let mut command = Command::new(LOGROTATE);
            let output = command.arg("-f").arg("-s").arg(path("state")).arg(path("logrotate.conf")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        const ROTATIONS: usize = 5;
        let tid = thread::scope(|scope| {
            let calls = scope.spawn(|| call(CALLS, RATE));
            for _ in 0..ROTATIONS {
                thread::sleep(Duration::from_millis(300));
                rotate();
            }
            calls.join().unwrap()
        });
        let report = daemon.stop();
        assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
        for path in &paths {
            let files = files(path);
            assert_eq!(files.len(), ROTATIONS + 1);
            let filled = files.iter().filter(|path| !text(path).is_empty()).count();
            assert!(filled > ROTATIONS / 2, "lines stand in {filled} of {} files only", files.len());
            let all = all(&files);
            assert_gapless(&all);
            Calls::of(&all, tid).assert_once(CALLS);
        }
    }
}

#[test]
fn own_rotation_costs_no_line_that_is_to_be_kept() {
    live!(60);
    const BYTES: u64 = 64 << 10;
    let dir = tempfile::tempdir().unwrap();
    let [kept, few, spool] = ["kept", "few", "spool"].map(|name| dir.path().join(name));
    let [keep_all, keep_few] =
        [(&kept, 900), (&few, 3)].map(|(path, keep)| format!("{},rotate=64K,keep={keep}", path.display()));
    let daemon = run(&["-o", &keep_all, "-o", &keep_few, "--spool", spool.to_str().unwrap()]);
    let tid = call(CALLS, RATE);
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);

    let files_kept = files(&kept);
    assert!(files_kept.len() > 50, "only {} files", files_kept.len());
    assert!(files_kept.iter().all(|path| fs::metadata(path).unwrap().len() <= BYTES));
    let all_kept = all(&files_kept);
    assert_gapless(&all_kept);
    Calls::of(&all_kept, tid).assert_once(CALLS);

    // Of the other the last are there, up to the very last, without a gap among them.
    let files_few = files(&few);
    assert_eq!(files_few.len(), 4);
    let numbers = sequence(&all(&files_few));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap: {numbers:?}");
    assert_eq!(numbers.last(), sequence(&all_kept).last());
    // All but the present one are full: the next line would not have fitted.
    let longest = all_kept.lines().map(str::len).max().unwrap() as u64;
    let (_, older) = files_few.split_last().unwrap();
    assert!(older.iter().all(|path| fs::metadata(path).unwrap().len() + longest + 1 > BYTES));
}

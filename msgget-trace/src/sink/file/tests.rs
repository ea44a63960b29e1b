//! Files in a folder of the test, with readers, rotations and full disks.

use std::{
    collections::HashMap,
    io::Read as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{config::To, sink::Sink};

mod full;

fn options(dir: &TempDir, rotate_bytes: Option<u64>, keep: u32) -> FileOptions {
    FileOptions { path: dir.path().join("log"), mode: None, group: None, rotate_bytes, keep }
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Name and content of every file, by name.
fn files(dir: &TempDir) -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}

fn expect(dir: &TempDir, files_: &[(&str, &str)]) {
    let expected: Vec<(String, String)> = files_.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    assert_eq!(files(dir), expected);
}

#[test]
fn a_full_file_is_rotated_between_lines() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, Some(8), 2)).unwrap();
    file.append(b"one\ntwo\nthree\n4\n").unwrap();
    expect(&dir, &[("log", "three\n4\n"), ("log.1", "one\ntwo\n")]);
    file.append(b"longer than a file\n").unwrap();
    expect(&dir, &[("log", "longer than a file\n"), ("log.1", "three\n4\n"), ("log.2", "one\ntwo\n")]);
    file.append(b"5\n").unwrap();
    expect(&dir, &[("log", "5\n"), ("log.1", "longer than a file\n"), ("log.2", "three\n4\n")]);
}

#[test]
fn what_was_there_counts() {
    let dir = dir();
    fs::write(dir.path().join("log"), "1234\n").unwrap();
    LogFile::open(&options(&dir, Some(8), 1)).unwrap().append(b"567\n").unwrap();
    expect(&dir, &[("log", "567\n"), ("log.1", "1234\n")]);
}

#[test]
fn one_or_none_may_be_kept() {
    for (keep, expected) in [(0, vec![("log", "c\n")]), (1, vec![("log", "c\n"), ("log.1", "b\n")])] {
        let dir = dir();
        let mut file = LogFile::open(&options(&dir, Some(2), keep)).unwrap();
        for line in [b"a\n", b"b\n", b"c\n"] {
            file.append(line).unwrap();
        }
        expect(&dir, &expected);
    }
}

/// Whatever names a rotation that was broken off has left free, the next loses none of the files it may keep.
#[test]
fn a_rotation_that_was_broken_off_is_made_good() {
    for broken_off_after in 0..=4 {
        let dir = dir();
        for (name, text) in [("log", "5\n"), ("log.1", "4\n"), ("log.2", "3\n"), ("log.3", "2\n")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let names = ["log.3", "log.2", "log.1", "log"];
        let to = ["log.4", "log.3", "log.2", "log.1"];
        for (from, to) in names.iter().zip(to).take(broken_off_after) {
            fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
        }
        let mut file = LogFile::open(&options(&dir, Some(2), 5)).unwrap();
        file.append(b"6\n").unwrap();
        file.append(b"7\n").unwrap();
        let texts: String = files(&dir).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, "7\n6\n5\n4\n3\n2\n", "after {broken_off_after}: {:?}", files(&dir));
    }
}

#[test]
fn every_line_is_read_once_while_files_rotate() {
    const LINES: usize = 20_000;
    let dir = dir();
    let done = AtomicBool::new(false);
    let mut file = LogFile::open(&options(&dir, Some(4_000), 10_000)).unwrap();
    let read = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            // By inode, as shippers do: whatever a file is called, it is read to its end, and then further.
            let mut open: HashMap<u64, (File, String)> = HashMap::new();
            loop {
                let last = done.load(Ordering::Acquire);
                for entry in fs::read_dir(dir.path()).unwrap() {
                    let Ok(file) = File::open(entry.unwrap().path()) else { continue };
                    open.entry(file.metadata().unwrap().ino()).or_insert((file, String::new()));
                }
                for (file, text) in open.values_mut() {
                    file.read_to_string(text).unwrap();
                }
                if last {
                    return open;
                }
            }
        });
        for batch in 0..LINES / 50 {
            let lines: String = (0..50).map(|nth| format!("line {}\n", batch * 50 + nth)).collect();
            file.append(lines.as_bytes()).unwrap();
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    assert!(read.len() > 50, "{}", read.len());
    let mut numbers = Vec::new();
    for (_, text) in read.values() {
        assert!(text.len() <= 4_000 && text.ends_with('\n'));
        numbers.extend(text.lines().map(|line| line.strip_prefix("line ").unwrap().parse::<usize>().unwrap()));
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..LINES));
}

#[test]
fn a_torn_line_is_ended_first() {
    for (before, after) in [("a\nhal", "a\nhal\nwhole\n"), ("a\n", "a\nwhole\n"), ("", "whole\n")] {
        let dir = dir();
        fs::write(dir.path().join("log"), before).unwrap();
        LogFile::open(&options(&dir, None, 0)).unwrap().append(b"whole\n").unwrap();
        expect(&dir, &[("log", after)]);
    }
}

#[test]
fn what_is_appended_without_an_end_gets_one() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, None, 0)).unwrap();
    file.append(b"a\nb").unwrap();
    file.append(b"").unwrap();
    file.append(b"c\n").unwrap();
    expect(&dir, &[("log", "a\nb\nc\n")]);
}

#[test]
fn after_logrotate_lines_go_into_the_new_file() {
    let dir = dir();
    let mut file = LogFile::open(&FileOptions { mode: Some(0o604), ..options(&dir, None, 0) }).unwrap();
    file.append(b"old\n").unwrap();
    fs::rename(dir.path().join("log"), dir.path().join("log-1")).unwrap();
    file.append(b"old, too\n").unwrap();
    file.reopen().unwrap();
    file.append(b"new\n").unwrap();
    expect(&dir, &[("log", "new\n"), ("log-1", "old\nold, too\n")]);
    assert_eq!(mode(&dir, "log"), 0o604);
    // Nobody has moved it: it is the same.
    file.reopen().unwrap();
    file.append(b"newer\n").unwrap();
    expect(&dir, &[("log", "new\nnewer\n"), ("log-1", "old\nold, too\n")]);
}

#[test]
fn what_cannot_be_opened_anew_stays_in_use() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, None, 0)).unwrap();
    file.append(b"a\n").unwrap();
    fs::rename(dir.path().join("log"), dir.path().join("old")).unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    assert!(matches!(file.reopen(), Err(FileError::NotAFile(_))));
    file.append(b"b\n").unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("old")).unwrap(), "a\nb\n");
}

/// As when two rotate: the other's new file is not taken for a full one of ours.
#[test]
fn a_file_that_somebody_moved_is_not_rotated() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, Some(4), 3)).unwrap();
    file.append(b"abc\n").unwrap();
    fs::rename(dir.path().join("log"), dir.path().join("moved")).unwrap();
    fs::write(dir.path().join("log"), "x\n").unwrap();
    file.append(b"d\n").unwrap();
    expect(&dir, &[("log", "x\nd\n"), ("moved", "abc\n")]);
    // And one that is gone is made again.
    fs::remove_file(dir.path().join("log")).unwrap();
    file.append(b"e\n").unwrap();
    expect(&dir, &[("log", "e\n"), ("moved", "abc\n")]);
    // Also amid a rotation.
    fs::remove_file(dir.path().join("log")).unwrap();
    file.shift(3).and_then(|()| file.remove()).unwrap();
}

#[test]
fn a_truncated_file_has_room_again() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, Some(4), 1)).unwrap();
    file.append(b"abc\n").unwrap();
    File::options().write(true).open(dir.path().join("log")).unwrap().set_len(0).unwrap();
    file.append(b"def\n").unwrap();
    expect(&dir, &[("log", "def\n")]);
}

#[test]
fn a_rotation_that_fails_is_said_and_loses_nothing() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, Some(4), 1)).unwrap();
    let blocked = dir.path().join("log.1");
    fs::create_dir(&blocked).unwrap();
    let error = file.append(b"a\nb\nc\n").unwrap_err();
    assert_eq!(error.written, 4);
    assert!(matches!(error.error, FileError::Rotate { .. }));
    let message = error.to_string();
    assert!(message.contains("log cannot become") && message.contains("log.1"), "{message}");
    fs::remove_dir(&blocked).unwrap();
    file.append(&b"a\nb\nc\n"[error.written..]).unwrap();
    expect(&dir, &[("log", "c\n"), ("log.1", "a\nb\n")]);

    let error = FileError::Rotate { path: "/log".into(), to: None, error: io::ErrorKind::PermissionDenied.into() };
    assert!(error.to_string().contains("/log cannot be removed"));
}

fn mode(dir: &TempDir, name: &str) -> u32 {
    fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777
}

#[test]
fn new_files_have_mode_and_group_and_others_keep_theirs() {
    let dir = dir();
    let root = fs::metadata(dir.path()).unwrap().uid() == 0;
    let group = if root { 12 } else { fs::metadata(dir.path()).unwrap().gid() };
    let wished = FileOptions { mode: Some(0o666), group: Some(group), ..options(&dir, Some(2), 1) };
    let mut file = LogFile::open(&wished).unwrap();
    file.append(b"a\nb\n").unwrap();
    for name in ["log", "log.1"] {
        assert_eq!((mode(&dir, name), fs::metadata(dir.path().join(name)).unwrap().gid()), (0o666, group), "{name}");
    }
    // One that is there is somebody's choice.
    fs::set_permissions(dir.path().join("log"), Permissions::from_mode(0o600)).unwrap();
    LogFile::open(&wished).unwrap();
    assert_eq!(mode(&dir, "log"), 0o600);

    fs::remove_file(dir.path().join("log")).unwrap();
    LogFile::open(&options(&dir, None, 0)).unwrap();
    assert_eq!(mode(&dir, "log"), DEFAULT_MODE);
}

#[test]
fn a_file_that_cannot_have_its_group_is_not_left() {
    let dir = dir();
    let options = FileOptions { group: Some(12), ..options(&dir, None, 0) };
    File::create(&options.path).unwrap();
    // fchown(2) and fchmod(2) refuse such a descriptor, also to root.
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(&options.path).unwrap();
    let error = give_access(file, &options).unwrap_err();
    assert!(matches!(error, FileError::Access { mode: DEFAULT_MODE, group: Some(12), .. }));
    assert!(error.to_string().contains("with mode 0640 and group 12"), "{error}");
    expect(&dir, &[]);
}

#[test]
fn what_cannot_be_opened_is_said() {
    let dir = dir();
    let missing = FileOptions { path: dir.path().join("no/log"), ..options(&dir, None, 0) };
    let error = LogFile::open(&missing).unwrap_err();
    assert!(matches!(&error, FileError::Open { path, .. } if *path == missing.path));
    assert!(error.to_string().contains("its directory has to exist"), "{error}");
    // A link to nothing: neither can it be created, nor is there anything to open.
    std::os::unix::fs::symlink(dir.path().join("nothing"), dir.path().join("log")).unwrap();
    assert!(matches!(LogFile::open(&options(&dir, None, 0)), Err(FileError::Open { .. })));
}

#[tokio::test]
async fn pipes_and_devices_are_left_to_the_other_sink() {
    let dir = dir();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [fifo.clone(), "/dev/null".into(), dir.path().to_owned()] {
        let error = LogFile::open(&FileOptions { path: path.clone(), ..options(&dir, Some(1), 1) }).unwrap_err();
        assert!(matches!(&error, FileError::NotAFile(which) if *which == path));
        assert!(error.to_string().contains("is not a regular file: it can be neither rotated"), "{error}");
    }
    let mut reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    for path in [fifo, "/dev/null".into()] {
        let mut sink = Sink::open(&To::File(FileOptions::new(path))).unwrap();
        sink.buffer().extend_from_slice(b"x\n");
        sink.flush().await.unwrap();
    }
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "x\n");
}

proptest! {
    /// Whatever lines come in whatever batches: each is in one file, in order, and no file has more than it may.
    #[test]
    fn rotation_keeps_every_line_and_the_limit(
        batches in prop::collection::vec(prop::collection::vec("[a-z]{0,12}", 0..8), 0..12),
        most in 0_u64..40,
    ) {
        let dir = dir();
        let mut file = LogFile::open(&options(&dir, Some(most), 1000)).unwrap();
        let mut all = String::new();
        for batch in &batches {
            let lines: String = batch.iter().map(|line| format!("{line}\n")).collect();
            file.append(lines.as_bytes()).unwrap();
            all.push_str(&lines);
        }
        let mut nth = 0;
        let mut read = String::new();
        while let Ok(text) = fs::read_to_string(file.older(nth)) {
            prop_assert!(text.is_empty() || text.ends_with('\n'));
            prop_assert!(text.len() as u64 <= most || text.lines().count() == 1, "{text:?}");
            read.insert_str(0, &text);
            nth += 1;
        }
        prop_assert_eq!(read, all);
    }
}

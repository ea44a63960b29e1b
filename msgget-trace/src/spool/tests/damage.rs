//! Files that somebody or something has changed.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use super::*;

type Spoil = fn(&PathBuf);

/// A spool of sixty records, closed, and its segments.
fn closed() -> (TempDir, Vec<(u64, PathBuf)>) {
    let dir = folder();
    let (mut spool, _) = open(&dir, ROOMY);
    fill(&mut spool, 1..=60);
    let segments = spool.segments.iter().map(|segment| (segment.first, spool.folder.segment(segment.first))).collect();
    (dir, segments)
}

fn write(path: &PathBuf, bytes: &[u8], at: u64) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// What is missing of the sixty, after opening.
fn missing(dir: &TempDir) -> (Recovered, Vec<u64>) {
    let (mut spool, recovered) = open(dir, ROOMY);
    let (found, missing) = all(&mut spool);
    let gone: Vec<_> = (1..=60).filter(|number| !found.contains_key(number)).collect();
    let status = balanced(&spool);
    assert_eq!((missing, status.lost), (status.appended - found.len() as u64, missing));
    spool.rewind();
    assert_eq!(all(&mut spool), (found, 0), "told of once");
    fill(&mut spool, status.appended + 1..=status.appended + 1);
    assert_eq!(all(&mut spool).0.len(), 1, "and it goes on");
    (recovered, gone)
}

#[test]
fn a_segment_that_cannot_be_used_is_set_aside() {
    let spoil: [(&str, Spoil); 4] = [
        ("it has 0 bytes, too few", |path| fs::write(path, "").unwrap()),
        ("it has 23 bytes, too few", |path| File::options().write(true).open(path).unwrap().set_len(23).unwrap()),
        ("it is of version 2, ours is 1", |path| {
            let mut header = fs::read(path).unwrap()[..20].to_vec();
            header[8] = 2;
            header.extend(crc32c::crc32c(&header).to_le_bytes());
            write(path, &header, 0);
        }),
        ("it begins with 1, its name says", |path| {
            fs::copy(path.with_file_name(format!("{:020}.seg", 1)), path).unwrap();
        }),
    ];
    for (reason, spoil) in spoil {
        let (dir, segments) = closed();
        let ((first, path), (end, _)) = (&segments[2], &segments[3]);
        spoil(path);
        let (recovered, gone) = missing(&dir);
        assert_eq!(recovered.set_aside.len(), 1);
        assert!(recovered.set_aside[0].reason.starts_with(reason), "{recovered:?}");
        assert_eq!(recovered.set_aside[0].path, path.with_extension("seg.bad"));
        assert!(recovered.set_aside[0].path.exists() && !path.exists());
        assert_eq!(gone, (*first..*end).collect::<Vec<_>>());
        assert_eq!(missing(&dir), (Recovered { waiting: 61, ..Recovered::default() }, gone), "the next time, too");
    }
}

#[test]
fn of_what_is_set_aside_eight_are_kept() {
    let dir = folder();
    for first in 1..=20 {
        fs::write(dir.path().join(format!("{first:020}.seg")), "").unwrap();
    }
    let (spool, recovered) = open(&dir, ROOMY);
    assert_eq!((recovered.set_aside.len(), spool.next, recovered.cursor_lost), (20, 20, true));
    let (used, aside) = spool.folder.segments().unwrap();
    assert_eq!((used, aside), (vec![], (13..=20).collect()));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (dir, _) = closed();
    let names = ["1.seg", "x", "00000000000000000000.seg", "99999999999999999999.seg", "0000000000000000001x.seg"];
    for name in names {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::create_dir(dir.path().join(format!("{:020}.seg", 7))).unwrap();
    assert_eq!(missing(&dir), (Recovered { waiting: 60, ..Recovered::default() }, vec![]));
    for name in names {
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), name);
    }
}

#[test]
fn a_damaged_header_costs_no_record() {
    let (dir, segments) = closed();
    for (first, path) in [&segments[1], segments.last().unwrap()] {
        write(path, &[7; HEADER], 0);
        let (recovered, gone) = missing(&dir);
        assert_eq!((recovered.set_aside, recovered.torn, gone), (vec![], 0, vec![]), "{first}");
    }
}

#[test]
fn a_length_that_lies_asks_for_no_memory_and_costs_one_record() {
    for length in [0, 1, 400, 4000, RECORD_MAX as u32, RECORD_MAX as u32 + 1, u32::MAX] {
        let (dir, segments) = closed();
        write(&segments[1].1, &length.to_le_bytes(), HEADER as u64 + 8);
        assert_eq!(missing(&dir).1, [segments[1].0]);
    }
}

#[test]
fn a_segment_that_is_all_holes_or_removed_is_counted() {
    for spoil in [|path: &PathBuf| write(path, &[0; 4096], 0), |path: &PathBuf| fs::remove_file(path).unwrap()] {
        let (dir, segments) = closed();
        let (mut spool, _) = open(&dir, ROOMY);
        spoil(&segments[2].1);
        let gone = segments[3].0 - segments[2].0;
        assert_eq!(spool.read(1 << 20).unwrap().missing(), 0);
        let (found, missing) = all(&mut spool);
        assert_eq!(missing, gone);
        let last = *found.last_key_value().unwrap().0;
        spool.acknowledge(last).unwrap();
        let status = balanced(&spool);
        assert_eq!((status.lost, status.acknowledged), (gone, 60 - gone));
    }
}

#[test]
fn a_torn_end_is_cut_off_and_said() {
    let (dir, segments) = closed();
    let (_, path) = segments.last().unwrap();
    let len = fs::metadata(path).unwrap().len();
    File::options().write(true).open(path).unwrap().set_len(len - 1).unwrap();
    let (mut spool, recovered) = open(&dir, ROOMY);
    let torn = frame::HEAD as u64 + record(60, 500).len() as u64 - 1;
    assert_eq!(recovered, Recovered { waiting: 59, torn, ..Recovered::default() });
    assert_eq!(fs::metadata(path).unwrap().len(), len - 1 - torn);
    assert_eq!(all(&mut spool).0.len(), 59);
}

#[test]
fn without_its_cursor_it_begins_at_the_oldest() {
    let spoil: [Spoil; 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| {
            for at in [9, 4096 + 9] {
                write(path, &[0xaa], at);
            }
        },
    ];
    for spoil in spoil {
        let (dir, _) = closed();
        let (mut spool, _) = open(&dir, ROOMY);
        all(&mut spool);
        spool.acknowledge(30).unwrap();
        let oldest = spool.segments[0].first;
        assert!(oldest > 10 && oldest < 30);
        drop(spool);
        spoil(&dir.path().join("cursor"));
        let (mut spool, recovered) = open(&dir, ROOMY);
        assert_eq!(recovered, Recovered { waiting: 61 - oldest, cursor_lost: true, ..Recovered::default() });
        assert_eq!(all(&mut spool).0.into_keys().collect::<Vec<_>>(), (oldest..=60).collect::<Vec<_>>());
        balanced(&spool);
        drop(spool);
        assert!(!open(&dir, ROOMY).1.cursor_lost, "mended");
    }
}

#[test]
fn numbers_outlive_a_cursor() {
    let (dir, _) = closed();
    let (mut spool, _) = open(&dir, Limits { age: Duration::ZERO, ..ROOMY });
    spool.expire(SystemTime::now() + Duration::from_secs(1)).unwrap();
    assert_eq!(spool.waiting(), 0);
    drop(spool);
    fs::remove_file(dir.path().join("cursor")).unwrap();
    let (mut spool, _) = open(&dir, ROOMY);
    fill(&mut spool, 61..=61);
    assert_eq!(all(&mut spool).0.into_keys().collect::<Vec<_>>(), [61]);
}

#[test]
fn a_cursor_ahead_of_the_segments_is_believed() {
    let (dir, segments) = closed();
    let (mut spool, _) = open(&dir, ROOMY);
    all(&mut spool);
    spool.acknowledge(60).unwrap();
    drop(spool);
    // What a loss of power may leave: the cursor is on the disk, the end of the segment is not.
    let (first, path) = segments.last().unwrap();
    File::options().write(true).open(path).unwrap().set_len(HEADER as u64 + 700).unwrap();
    let (mut spool, recovered) = open(&dir, ROOMY);
    assert_eq!((recovered.waiting, spool.segments[0].end), (0, first + 1));
    fill(&mut spool, 61..=62);
    assert_eq!(all(&mut spool), ((61..=62).map(|number| (number, record(number, 500))).collect(), 0));
    drop(spool);
    assert_eq!(all(&mut open(&dir, ROOMY).0).0.len(), 2);
}

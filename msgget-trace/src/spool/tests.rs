//! Spools in folders of their own: what goes in has to come out, whatever happens between.

use std::{collections::BTreeMap, fs::Permissions, io, os::unix::fs::PermissionsExt as _};

use tempfile::TempDir;

use super::*;

mod bounds;
mod damage;
mod faults;
pub(super) mod kill;
mod model;

const LIMITS: Limits = Limits { bytes: 5 * 4096, age: Duration::from_secs(60), segment_bytes: 4096 };
const ROOMY: Limits = Limits { bytes: 1 << 30, age: Duration::MAX, segment_bytes: 4096 };

/// In memory, where fsync(2) takes no time, if there is such a place.
pub(super) fn folder() -> TempDir {
    private(Path::new("/dev/shm")).or_else(|_| private(&std::env::temp_dir())).unwrap()
}

/// A folder for its owner alone.
fn private(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

fn open(dir: &TempDir, limits: Limits) -> (Spool, Recovered) {
    Spool::open(dir.path(), limits, Fsync::Never, SystemTime::now()).unwrap()
}

/// `len` bytes that no other record has.
fn record(number: u64, len: u16) -> Vec<u8> {
    let mut bytes = format!("{number} ").into_bytes();
    bytes.extend((0..len).map(|at| (number as u8).wrapping_mul(31).wrapping_add(at as u8)));
    bytes
}

fn append(spool: &mut Spool, records: &[Vec<u8>]) -> Result<(), SpoolError> {
    spool.append(records.iter().map(Vec::as_slice), SystemTime::now())
}

/// Appends records of 500 bytes with these numbers, eight a batch.
fn fill(spool: &mut Spool, numbers: std::ops::RangeInclusive<u64>) {
    let records: Vec<_> = numbers.map(|number| record(number, 500)).collect();
    for batch in records.chunks(8) {
        append(spool, batch).unwrap();
    }
}

/// All that is still to be read, and how many are missing.
fn all(spool: &mut Spool) -> (BTreeMap<u64, Vec<u8>>, u64) {
    let (mut found, mut missing) = (BTreeMap::new(), 0);
    loop {
        let batch = spool.read(3000).unwrap();
        missing += batch.missing();
        if batch.is_empty() {
            return (found, missing);
        }
        for record in batch.records() {
            assert!(found.last_key_value().is_none_or(|(last, _)| *last < record.number));
            found.insert(record.number, record.bytes.to_vec());
        }
    }
}

/// The status, which has to balance.
fn balanced(spool: &Spool) -> Status {
    let status = spool.status();
    let Status { acknowledged, waiting, dropped_bytes, dropped_age, lost, .. } = status;
    assert_eq!(status.appended, acknowledged + waiting + dropped_bytes + dropped_age + lost, "{status:?}");
    let files: u64 = spool.segments.iter().map(|segment| segment.len).sum();
    assert_eq!(files, status.bytes);
    status
}

#[test]
fn what_goes_in_comes_out_over_many_segments_and_restarts() {
    let dir = folder();
    let (mut spool, recovered) = open(&dir, ROOMY);
    assert_eq!(recovered, Recovered::default());
    assert!(spool.read(1000).unwrap().is_empty());
    fill(&mut spool, 1..=100);
    assert!(spool.segments.len() > 10);
    let batch = spool.read(1500).unwrap();
    assert_eq!((batch.len(), batch.last(), batch.missing()), (2, Some(2), 0));
    assert_eq!(spool.read(0).unwrap().last(), Some(3), "at least one");
    spool.acknowledge(2).unwrap();
    drop(spool);
    let (mut spool, recovered) = open(&dir, ROOMY);
    assert_eq!(recovered, Recovered { waiting: 98, ..Recovered::default() });
    fill(&mut spool, 101..=120);
    let (found, missing) = all(&mut spool);
    assert_eq!((found.len(), missing), (118, 0));
    assert!(found.iter().all(|(number, bytes)| *bytes == record(*number, 500)));
    assert!(spool.read(1000).unwrap().is_empty());
    spool.rewind();
    assert_eq!(all(&mut spool).0, found);
    spool.acknowledge(120).unwrap();
    spool.acknowledge(7).unwrap();
    let status = balanced(&spool);
    assert_eq!((status.acknowledged, status.waiting), (120, 0));
    assert_eq!(spool.segments.len(), 1, "the others hold nothing any more");
    drop(spool);
    let (mut spool, _) = open(&dir, ROOMY);
    fill(&mut spool, 121..=121);
    assert_eq!(all(&mut spool).0.into_keys().collect::<Vec<_>>(), [121]);
}

#[test]
fn what_was_not_read_cannot_be_acknowledged() {
    let dir = folder();
    let (mut spool, _) = open(&dir, ROOMY);
    fill(&mut spool, 1..=3);
    spool.read(0).unwrap();
    let error = spool.acknowledge(2).unwrap_err();
    assert!(error.to_string().contains("record 2 was acknowledged, but the last one read is 1"), "{error}");
    assert_eq!(spool.status().waiting, 3);
    // A late answer, when reading has begun again.
    all(&mut spool);
    spool.rewind();
    spool.acknowledge(2).unwrap();
    assert_eq!(all(&mut spool).0.into_keys().collect::<Vec<_>>(), [3]);
}

#[test]
fn dead_letters_are_lines_of_json() {
    let dir = folder();
    let path = dir.path().join("dead-letter.ndjson");
    let (mut spool, _) = open(&dir, ROOMY);
    let now = UNIX_EPOCH + Duration::from_nanos(7);
    spool.dead_letter(Record { number: 3, bytes: b"a\"\xff\\\n" }, "too long", now).unwrap();
    let line = std::fs::read_to_string(&path).unwrap();
    assert_eq!(line, r#"{"number":3,"reason":"too long","time":7,"record":"a\"\\xff\\\\"}"#.to_owned() + "\n");
    // A crash amid a line.
    std::fs::write(&path, "{\"num").unwrap();
    spool.dead_letter(Record { number: 4, bytes: b"b" }, &"é".repeat(1000), now).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(last["reason"].as_str().unwrap().len(), 1024);
    // Its bound.
    spool.dead_letters.most = 2000;
    spool.dead_letter(Record { number: 5, bytes: &[b'c'; 1000] }, "", now).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("dead-letter.ndjson.1")).unwrap(), text);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("{\"number\":5,"));
    assert_eq!(spool.status().dead_letters, 3);
}

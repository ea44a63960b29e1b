//! What must not grow, and who must not come in.

use std::fs;

use super::*;

#[test]
fn the_oldest_segment_goes_first_and_is_counted() {
    let dir = folder();
    let (mut spool, _) = open(&dir, LIMITS);
    fill(&mut spool, 1..=20);
    spool.read(5 * 600).unwrap();
    spool.acknowledge(3).unwrap();
    let mut now = SystemTime::now();
    for number in (21..=200).step_by(4) {
        append(&mut spool, &(number..number + 4).map(|number| record(number, 500)).collect::<Vec<_>>()).unwrap();
        assert!(balanced(&spool).bytes <= LIMITS.bytes);
    }
    let oldest = spool.segments[0].first;
    let status = balanced(&spool);
    assert_eq!((status.dropped_bytes, status.waiting), (oldest - 1 - 3, 201 - oldest));
    assert_eq!(all(&mut spool).0.into_keys().collect::<Vec<_>>(), (oldest..=200).collect::<Vec<_>>());
    // Counts outlive the daemon.
    drop(spool);
    let (mut spool, _) = open(&dir, LIMITS);
    assert_eq!(balanced(&spool), status);
    // Age: all go, and numbers go on.
    now += LIMITS.age + Duration::from_secs(9);
    spool.expire(now).unwrap();
    let aged = balanced(&spool);
    assert_eq!((aged.dropped_age, aged.waiting), (status.waiting, 0));
    spool.append([&b"x"[..]], now).unwrap();
    spool.expire(now).unwrap();
    assert_eq!(all(&mut spool).0.into_keys().collect::<Vec<_>>(), [201]);
    // A limit that was lowered.
    fill(&mut spool, 202..=230);
    drop(spool);
    let (spool, _) = open(&dir, Limits { bytes: 2 * 4096, ..LIMITS });
    assert!(balanced(&spool).bytes <= 2 * 4096);
}

#[test]
fn a_batch_may_be_larger_than_a_segment_but_not_than_all() {
    let dir = folder();
    let (mut spool, _) = open(&dir, LIMITS);
    fill(&mut spool, 1..=20);
    append(&mut spool, &[vec![1; 9000], vec![2; 9000]]).unwrap();
    assert!(balanced(&spool).bytes <= LIMITS.bytes);
    append(&mut spool, &[vec![3; 20000]]).unwrap();
    assert_eq!(balanced(&spool).waiting, 1);
    let error = append(&mut spool, &[vec![3; 20000], vec![4; 1000]]).unwrap_err();
    assert!(error.to_string().contains("limit of 20480 bytes; append it in parts"), "{error}");
    let error = append(&mut spool, &[vec![0; 1], vec![0; RECORD_MAX + 1]]).unwrap_err();
    assert!(error.to_string().starts_with("record 1 of the batch has 1048577 bytes"), "{error}");
    assert_eq!(all(&mut spool).0, BTreeMap::from([(23, vec![3; 20000])]));
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let dir = folder();
    for (bytes, segment_bytes) in [(8191, 4096), (1 << 20, 4095), (0, 0)] {
        let limits = Limits { bytes, segment_bytes, ..LIMITS };
        let error = Spool::open(dir.path(), limits, Fsync::Never, SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("at least two segments"), "{error}");
    }
}

#[test]
fn a_folder_has_one_daemon() {
    let dir = folder();
    let (spool, _) = open(&dir, LIMITS);
    let error = Spool::open(dir.path(), LIMITS, Fsync::Never, SystemTime::now()).unwrap_err();
    let text = format!("process {} has the spool in {}; stop it", std::process::id(), dir.path().display());
    assert!(error.to_string().starts_with(&text), "{error}");
    drop(spool);
    open(&dir, LIMITS);
}

#[test]
fn nobody_else_may_look() {
    let dir = folder();
    let path = dir.path().join("a/b");
    let (mut spool, _) = Spool::open(&path, LIMITS, Fsync::Always, SystemTime::now()).unwrap();
    fill(&mut spool, 1..=9);
    spool.dead_letter(Record { number: 1, bytes: b"" }, "", SystemTime::now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 5 && files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    drop(spool);
    fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
    let error = Spool::open(&path, LIMITS, Fsync::Never, SystemTime::now()).unwrap_err();
    assert!(error.to_string().contains("chmod it to 0700"), "{error}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Spool::open(&file, LIMITS, Fsync::Never, SystemTime::now()).unwrap_err();
    assert!(error.to_string().contains("something else has that name"), "{error}");
    assert!(!error.to_string().contains("os error 2"), "{error}");
}

//! Disks that are full, read-only, failing, or gone.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    process::Command,
    thread,
};

use super::*;

/// Runs `test` with a new tmpfs of `bytes` on a folder, which only its thread sees. Skipped where that takes more rights.
fn on_a_small_disk(bytes: u64, test: impl FnOnce(&Path) + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    let run = move || {
        // SAFETY: no preconditions; of this thread alone.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            let reason = io::Error::last_os_error();
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}: in CI every test must run");
            // Not eprint!, which the test runner swallows.
            writeln!(io::stderr(), "SKIPPED: a spool on a small disk: {reason}").unwrap();
            return;
        }
        mount(c"", Path::new("/"), c"", libc::MS_REC | libc::MS_PRIVATE, c"").unwrap();
        let options = CString::new(format!("mode=0700,size={bytes}")).unwrap();
        mount(c"tmpfs", dir.path(), c"tmpfs", 0, &options).unwrap();
        test(dir.path());
    };
    thread::spawn(run).join().unwrap();
}

fn mount(
    what: &std::ffi::CStr,
    on: &Path,
    kind: &std::ffi::CStr,
    flags: libc::c_ulong,
    options: &std::ffi::CStr,
) -> io::Result<()> {
    let on = CString::new(on.as_os_str().as_bytes()).unwrap();
    // SAFETY: strings that end with a NUL.
    match unsafe { libc::mount(what.as_ptr(), on.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Appends until that fails, then makes room with `free`, and goes on: nothing is half there.
fn until_full(path: &Path, limits: Limits, advice: &str, free: impl FnOnce()) {
    let now = SystemTime::now();
    let (mut spool, _) = Spool::open(path, limits, Fsync::Always, now).unwrap();
    let mut appended = 0;
    let error = loop {
        let batch: Vec<_> = (appended + 1..=appended + 8).map(|number| record(number, 500)).collect();
        match append(&mut spool, &batch) {
            Ok(()) => appended += 8,
            Err(error) => break error.to_string(),
        }
    };
    assert!(appended > 50 && error.contains(".seg: ") && error.contains(advice), "{appended}: {error}");
    assert!(append(&mut spool, &vec![record(0, 500); 8]).is_err());
    assert_eq!(balanced(&spool).appended, appended);
    let on_disk: u64 =
        spool.segments.iter().map(|of| fs::metadata(spool.folder.segment(of.first)).unwrap().len()).sum();
    assert_eq!(on_disk, spool.bytes, "no half batch is left");
    assert_eq!(spool.read(0).unwrap().last(), Some(1));
    spool.acknowledge(1).unwrap();
    free();
    fill(&mut spool, appended + 1..=appended + 8);
    drop(spool);
    let (mut spool, recovered) = Spool::open(path, limits, Fsync::Always, now).unwrap();
    assert_eq!((recovered.torn, recovered.waiting), (0, appended + 7));
    assert_eq!(all(&mut spool).1, 0);
}

#[test]
fn a_full_disk_takes_no_half_batch() {
    // Amid a segment, and when a new one has to begin.
    for segment_bytes in [1 << 20, 8192] {
        on_a_small_disk(256 << 10, move |path| {
            let ballast = path.join("ballast");
            fs::write(&ballast, vec![0; 64 << 10]).unwrap();
            until_full(path, Limits { segment_bytes, ..ROOMY }, "os error 28); free space there", || {
                fs::remove_file(&ballast).unwrap();
            });
        });
    }
}

#[test]
fn a_full_disk_lets_the_cursor_move_and_a_daemon_start() {
    on_a_small_disk(256 << 10, |path| {
        let (mut spool, _) = Spool::open(path, ROOMY, Fsync::Always, SystemTime::now()).unwrap();
        fill(&mut spool, 1..=80);
        let full = fs::write(path.join("ballast"), vec![0; 256 << 10]).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
        drop(spool);
        let (mut spool, _) = Spool::open(path, ROOMY, Fsync::Always, SystemTime::now()).unwrap();
        let error = spool.dead_letter(Record { number: 1, bytes: b"x" }, "", SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("dead-letter.ndjson: "), "{error}");
        assert_eq!(spool.status().dead_letters, 0);
        assert_eq!(all(&mut spool).0.len(), 80);
        spool.acknowledge(80).unwrap();
        fill(&mut spool, 81..=90);
    });
}

#[test]
fn a_read_only_disk_is_said() {
    on_a_small_disk(256 << 10, |path| {
        let open = || Spool::open(path, ROOMY, Fsync::Never, SystemTime::now());
        fill(&mut open().unwrap().0, 1..=80);
        let read_only = libc::MS_REMOUNT | libc::MS_RDONLY;
        mount(c"tmpfs", path, c"tmpfs", read_only, c"").unwrap();
        let error = open().unwrap_err();
        assert!(error.to_string().ends_with("mount it for writing, or put the spool elsewhere"), "{error}");
        mount(c"tmpfs", path, c"tmpfs", libc::MS_REMOUNT, c"").unwrap();
        assert_eq!(all(&mut open().unwrap().0).0.len(), 80);
    });
}

#[test]
fn a_limit_on_file_sizes_is_said() {
    const CHILD: &str = "MSGGET_TRACE_SPOOL_LIMITED";
    if let Some(dir) = std::env::var_os(CHILD) {
        let limit = |bytes| {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: a valid limit; the process is this test's alone.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
        };
        // SAFETY: ignoring a signal runs nothing.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        limit(100_000);
        let limits = Limits { segment_bytes: 1 << 20, ..ROOMY };
        return until_full(Path::new(&dir), limits, "ulimit -f", || limit(libc::RLIM_INFINITY));
    }
    let dir = folder();
    let name = "spool::tests::faults::a_limit_on_file_sizes_is_said";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name]).env(CHILD, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_folder_that_vanishes_is_said_and_made_anew() {
    let parent = folder();
    let path = parent.path().join("spool");
    let open = || Spool::open(&path, ROOMY, Fsync::Never, SystemTime::now()).unwrap();
    let (mut spool, _) = open();
    fill(&mut spool, 1..=20);
    assert_eq!(spool.read(0).unwrap().last(), Some(1));
    fs::remove_dir_all(&path).unwrap();
    let now = SystemTime::now();
    let errors = [
        append(&mut spool, &[vec![]]).unwrap_err(),
        spool.read(1).unwrap_err(),
        spool.acknowledge(1).unwrap_err(),
        spool.expire(now).unwrap_err(),
        spool.dead_letter(Record { number: 1, bytes: b"" }, "", now).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("open it again"), "{error}");
    }
    spool.rewind();
    assert_eq!(balanced(&spool).waiting, 20);
    drop(spool);
    let (mut spool, recovered) = open();
    assert_eq!(recovered, Recovered::default());
    fill(&mut spool, 1..=1);
    // Renamed: the lock is there still, the names are not.
    fs::rename(&path, parent.path().join("other")).unwrap();
    let error = append(&mut spool, &vec![record(0, 500); 8]).unwrap_err().to_string();
    assert!(
        error.contains("cannot make ") && error.ends_with("somebody removed it: restore it, or restart"),
        "{error}"
    );
    fs::rename(parent.path().join("other"), &path).unwrap();
    fill(&mut spool, 2..=9);
    assert_eq!(all(&mut spool).0.len(), 9);
}

#[test]
fn a_segment_that_vanishes_takes_nothing_more_with_it() {
    let dir = folder();
    let (mut spool, _) = open(&dir, ROOMY);
    fill(&mut spool, 1..=2);
    fs::remove_file(spool.folder.segment(1)).unwrap();
    fill(&mut spool, 3..=4);
    let (found, missing) = all(&mut spool);
    assert_eq!((found.into_keys().collect::<Vec<_>>(), missing), (vec![3, 4], 2));
    spool.acknowledge(4).unwrap();
    assert_eq!(balanced(&spool).lost, 2);
}

#[test]
fn a_disk_that_fails_leaves_the_spool_as_it_was() {
    // fsync(2) of a device that has none: EINVAL; it cannot be cut either, so the next batch begins a segment.
    for (fsync, device, doing) in [(Fsync::Always, "/dev/null", "sync"), (Fsync::Never, "/dev/full", "append to")] {
        let dir = folder();
        let (mut spool, _) = Spool::open(dir.path(), ROOMY, fsync, SystemTime::now()).unwrap();
        fill(&mut spool, 1..=2);
        spool.writer = Some(File::options().write(true).open(device).unwrap());
        let error = append(&mut spool, &[record(3, 9)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot {doing} {}", spool.folder.segment(1).display())), "{error}");
        assert_eq!(balanced(&spool).appended, 2);
        append(&mut spool, &[record(3, 9)]).unwrap();
        assert_eq!(spool.segments.back().unwrap().first, 3);
        assert_eq!(all(&mut spool).0.len(), 3);
    }
}

#[test]
fn a_sync_that_is_due_is_done_and_its_failure_said() {
    let dir = folder();
    let now = SystemTime::now();
    let (mut spool, _) = Spool::open(dir.path(), ROOMY, Fsync::default(), now).unwrap();
    spool.append([&b"x"[..]], now).unwrap();
    let file = spool.writer.replace(File::options().write(true).open("/dev/null").unwrap());
    spool.expire(now + Duration::from_millis(999)).unwrap();
    let late = now + Duration::from_secs(1);
    assert!(spool.expire(late).unwrap_err().to_string().starts_with("cannot sync "));
    assert!(spool.append([&b"y"[..]], late).is_err(), "still due");
    assert!(spool.append([&b"y"[..]], now - Duration::from_secs(9)).is_err(), "a clock that was set back");
    assert_eq!(spool.status().appended, 1);
    spool.writer = file;
    spool.append([&b"y"[..]], late).unwrap();
    assert_eq!(spool.unsynced, Some(late));
    spool.sync().unwrap();
    assert_eq!((spool.unsynced, all(&mut spool).0.len()), (None, 2));
    spool.acknowledge(1).unwrap();
    assert_eq!(spool.unsynced, Some(late), "the cursor, too");
}

#[test]
fn a_segment_that_cannot_be_removed_goes_the_next_time() {
    let dir = folder();
    let (mut spool, _) = open(&dir, ROOMY);
    fill(&mut spool, 1..=20);
    all(&mut spool);
    let path = spool.folder.segment(1);
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = spool.acknowledge(20).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot remove {}", path.display())), "{error}");
    assert_eq!(balanced(&spool).waiting, 0, "acknowledged all the same");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, kept).unwrap();
    spool.acknowledge(20).unwrap();
    assert!(!path.exists() && spool.segments.len() == 1);
}

#[test]
fn a_name_that_is_taken_is_said() {
    for (name, says) in [("cursor", "cannot open "), ("lock", "cannot open ")] {
        let dir = folder();
        fs::create_dir(dir.path().join(name)).unwrap();
        let error = Spool::open(dir.path(), LIMITS, Fsync::Never, SystemTime::now()).unwrap_err().to_string();
        assert!(error.starts_with(says) && error.ends_with("something else has that name: move it away"), "{error}");
    }
    let dir = folder();
    let (mut spool, _) = open(&dir, LIMITS);
    fs::create_dir(spool.folder.segment(1)).unwrap();
    fs::create_dir(dir.path().join("dead-letter.ndjson")).unwrap();
    assert!(append(&mut spool, &[vec![]]).unwrap_err().to_string().starts_with("cannot make "));
    let dead = spool.dead_letter(Record { number: 1, bytes: b"" }, "", SystemTime::now()).unwrap_err();
    assert!(dead.to_string().starts_with("cannot append to "), "{dead}");
    // A cursor that cannot be written: nothing is acknowledged.
    fs::remove_dir(spool.folder.segment(1)).unwrap();
    append(&mut spool, &[vec![]]).unwrap();
    spool.read(1).unwrap();
    fs::remove_file(dir.path().join("cursor")).unwrap();
    fs::create_dir(dir.path().join("cursor")).unwrap();
    assert!(spool.acknowledge(1).is_err());
    assert_eq!(balanced(&spool).waiting, 1);
    fs::remove_dir(dir.path().join("cursor")).unwrap();
    spool.acknowledge(1).unwrap();
}

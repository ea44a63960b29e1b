//! Disks that are full.

use super::*;

/// Runs `test` with a folder on a disk of 16 pages, which only its thread sees; not at all without the privilege.
fn on_a_small_disk(test: impl FnOnce(&TempDir) + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let dir = dir();
            let target = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let (none, size) = (std::ptr::null(), c"size=64k".as_ptr().cast());
            // SAFETY: all strings end and outlive the calls, which concern this thread alone.
            let mounted = unsafe {
                libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(none, c"/".as_ptr(), none, private, none.cast()) == 0
                    && libc::mount(c"none".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, size) == 0
            };
            if !mounted {
                eprintln!("not tested: mounting takes CAP_SYS_ADMIN ({})", io::Error::last_os_error());
                return;
            }
            test(&dir);
            // SAFETY: the string ends and outlives the call.
            assert_eq!(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }, 0);
        });
    });
}

#[test]
fn a_full_disk_counts_what_is_in() {
    on_a_small_disk(|dir| {
        let lines: Vec<u8> = (0..20_000).flat_map(|nth| format!("line {nth:05}\n").into_bytes()).collect();
        let mut file = LogFile::open(&options(dir, None, 0)).unwrap();
        let error = file.append(&lines).unwrap_err();
        assert!(error.to_string().contains("make room"), "{error}");
        // 65,536 bytes are 5,957 lines of 11 bytes, and a piece of one.
        assert_eq!(error.written, 65_527);
        let again = file.append(&lines[error.written..]).unwrap_err();
        assert_eq!(again.written, 0);

        // The piece of a line that another writes into the last 9 bytes cannot be ended, and still there is a new file.
        appending().open(dir.path().join("log")).unwrap().write_all(&[b'x'; 9]).unwrap();
        file.reopen().unwrap();
        fs::rename(dir.path().join("log"), dir.path().join("old")).unwrap();
        file.reopen().unwrap();
        let old = fs::read(dir.path().join("old")).unwrap();
        assert_eq!(old.len(), 65_536);
        assert_eq!(old[..error.written], lines[..error.written]);
        fs::remove_file(dir.path().join("old")).unwrap();
        file.append(&lines[error.written..][..1100]).unwrap();
        assert_eq!(fs::read(dir.path().join("log")).unwrap(), &lines[error.written..][..1100]);
    });
}

#[test]
fn a_full_disk_leaves_no_piece_of_a_line() {
    on_a_small_disk(|dir| {
        fs::write(dir.path().join("ballast"), vec![0; 12 << 12]).unwrap();
        let lines = format!("{}\n", "x".repeat(2_999)).repeat(8);
        let mut file = LogFile::open(&options(dir, None, 0)).unwrap();
        let error = file.append(lines.as_bytes()).unwrap_err();
        // Of five lines and a piece of the sixth.
        assert_eq!(error.written, 15_000);
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), lines[..15_000]);
        fs::remove_file(dir.path().join("ballast")).unwrap();
        file.append(&lines.as_bytes()[error.written..]).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), lines);
    });
}

#[test]
fn a_piece_that_others_wrote_behind_is_ended() {
    let dir = dir();
    let mut file = LogFile::open(&options(&dir, None, 0)).unwrap();
    let other = || appending().open(dir.path().join("log")).unwrap();
    other().write_all(b"other\n").unwrap();
    file.write(b"whole\nhal").unwrap();
    file.take_back(3);
    expect(&dir, &[("log", "other\nwhole\n")]);
    file.write(b"hal").unwrap();
    other().write_all(b"other").unwrap();
    file.take_back(3);
    file.append(b"half\n").unwrap();
    expect(&dir, &[("log", "other\nwhole\nhalother\nhalf\n")]);
}

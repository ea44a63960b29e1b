//! Pins: a folder of the BPF file system goes in, locked so that one daemon has it; the sets of programs and maps in it come
//! out, which outlived a daemon, and new ones are put there.
//!
//! A set is a folder of its own, named by its ring (UUID version 7, so names sort by age): the maps that we share with the
//! programs, and `link_NAME` and `prog_NAME` for each of these. It is whole when all of these are there and
//! `STATE` has a version; what a daemon that was killed half way left is not, and is removed.

use std::{
    fs::{self, DirBuilder, File},
    io,
    mem::offset_of,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use msgget_trace_ebpf::{Header, KIND_CALL};
use uuid::Uuid;

use super::{attach::mount, ring::Ring};
use crate::{config::Pins, failure::Failure};

/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPF_FS: libc::__fsword_t = 0xcafe_4a11;

/// Where the BPF file system is mounted, Documentation/filesystems of systemd and bpftool alike.
const BPFFS: &str = "/sys/fs/bpf";

/// The maps of a set.
pub(super) const MAPS: [&str; 7] = ["RECORDS", "COUNTERS", "SLOTS", "STATE", "PROCESSES", "OWNERS", "LISTED"];

/// The folder of all sets, which nobody else has as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    #[expect(dead_code, reason = "closing it is what unlocks")]
    lock: File,
}

impl Folder {
    /// Makes the folder if need be, and locks it. `None` where there is no BPF file system, nor could it be mounted, and the
    /// user did not ask for pins by name: without them calls are lost while there is no daemon.
    ///
    /// # Errors
    /// [`Failure::Pins`], and [`Failure::Pinned`] when another daemon has it.
    pub fn open(pins: &Pins) -> Result<Option<Self>, Failure> {
        let failed = |error| Failure::Pins { path: pins.path.clone(), error };
        let parent = pins.path.parent().unwrap_or(Path::new("/"));
        if parent == Path::new(BPFFS) && is_bpffs(parent).is_ok_and(|is| !is) {
            // As bpftool does: whoever comes next finds it here.
            match mount(c"bpf", c"/sys/fs/bpf") {
                Ok(()) => log::info!("mounted the BPF file system on {BPFFS}"),
                Err(error) => log::debug!("mounting the BPF file system on {BPFFS}: {error}"),
            }
        }
        match is_bpffs(parent) {
            Ok(true) => {}
            unfit if pins.wished => {
                let error = unfit
                    .err()
                    .unwrap_or_else(|| io::Error::other(format!("{} is not on a BPF file system", parent.display())));
                return Err(failed(error));
            }
            _ => {
                log::warn!(
                    "no BPF file system at {}: nothing is pinned, so calls are lost while there is no daemon; mount one, or \
                     say --no-pin",
                    parent.display()
                );
                return Ok(None);
            }
        }
        loop {
            match DirBuilder::new().mode(0o700).create(&pins.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
            let lock = File::open(&pins.path).map_err(failed)?;
            // SAFETY: an open descriptor.
            if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
                let error = io::Error::last_os_error();
                return Err(if error.kind() == io::ErrorKind::WouldBlock {
                    Failure::Pinned { path: pins.path.clone() }
                } else {
                    failed(error)
                });
            }
            // Who had it may have removed it between our opening and locking it.
            let locked = lock.metadata().map_err(failed)?.ino();
            if fs::metadata(&pins.path).is_ok_and(|now| now.ino() == locked) {
                return Ok(Some(Self { path: pins.path.clone(), lock }));
            }
        }
    }

    /// The sets in it, oldest first.
    ///
    /// # Errors
    /// [`Failure::Pins`].
    pub fn sets(&self) -> Result<Vec<PathBuf>, Failure> {
        list(&self.path).map_err(|error| Failure::Pins { path: self.path.clone(), error })
    }

    /// Where the set of this ring is, or will be.
    #[must_use]
    pub fn set(&self, ring: Uuid) -> PathBuf {
        self.path.join(ring.to_string())
    }
}

impl Drop for Folder {
    /// Removes it when it is empty. Still locked, so nobody has put anything there.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// Makes the folder of a set.
pub(super) fn create(set: &Path) -> Result<(), Failure> {
    DirBuilder::new().mode(0o700).create(set).map_err(|error| Failure::Pins { path: set.to_owned(), error })
}

/// Removes a set. What was attached by it alone is detached.
///
/// # Errors
/// [`Failure::Pins`].
pub fn remove(set: &Path) -> Result<(), Failure> {
    let remove = || -> io::Result<()> {
        list(set)?.iter().rev().try_for_each(fs::remove_file)?;
        fs::remove_dir(set)
    };
    remove().map_err(|error| Failure::Pins { path: set.to_owned(), error })
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` ends with NUL, `about` is valid for writing.
    if unsafe { libc::statfs(path.as_ptr(), about.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it was filled in.
    Ok(unsafe { about.assume_init() }.f_type == BPF_FS)
}

/// Detaches the hooks of a set, and counts the calls in its ring that no daemon has dealt with, whichever version of ours
/// wrote them: the ring's own layout is the kernel's, and every record begins with a [`Header`]. `None` if the ring cannot be
/// read. Within the runtime.
///
/// # Errors
/// [`Failure::Pins`].
pub fn abandon(set: &Path) -> Result<Option<u64>, Failure> {
    let failed = |error| Failure::Pins { path: set.to_owned(), error };
    for pin in list(set).map_err(failed)? {
        if pin.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link_")) {
            fs::remove_file(pin).map_err(failed)?;
        }
    }
    let count = || {
        let map = MapData::from_pin(set.join("RECORDS")).ok()?;
        let bytes = map.info().ok()?.max_entries();
        let mut ring = Ring::new(map.fd().as_fd().try_clone_to_owned().ok()?, bytes).ok()?;
        let mut calls = 0;
        while let Some(entry) = ring.take() {
            let kind = entry.bytes.get(offset_of!(Header, kind)..offset_of!(Header, size));
            calls += u64::from(kind == Some(&KIND_CALL.to_ne_bytes()));
        }
        Some(calls)
    };
    let count = count();
    remove(set)?;
    Ok(count)
}

/// What is in a folder, by name.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

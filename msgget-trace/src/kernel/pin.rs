//! Pins: a folder of the BPF file system goes in, locked so that one daemon has it; the sets of programs and maps in it come
//! out, which outlived a daemon, and new ones are put there.
//!
//! A set is a folder of its own, named by its ring (UUID version 7, so names sort by age): the maps that we share with the
//! programs, and `link_NAME` and `prog_NAME` for each of these. It is whole when all of these are there and
//! `STATE` has a version; what a daemon that was killed half way left is not, and is removed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    mem::offset_of,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use msgget_trace_ebpf::{Header, KIND_CALL};
use uuid::Uuid;

use super::{attach::mount_with, ring::Ring};
use crate::{config::Pins, failure::Failure};

/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPF_FS: libc::__fsword_t = 0xcafe_4a11;

/// Where the BPF file system is mounted, Documentation/filesystems of systemd and bpftool alike.
const BPFFS: &str = "/sys/fs/bpf";

/// The maps of a set.
pub(super) const MAPS: [&str; 10] = [
    "RECORDS",
    "COUNTERS",
    "SLOTS",
    "STATE",
    "PROCESSES",
    "OWNERS",
    "LISTED",
    "SCOPES",
    "SCOPE_VALUES",
    "SCOPE_CGROUPS",
];

/// The folder of all sets, which nobody else has as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    #[expect(dead_code, reason = "closing it is what unlocks")]
    lock: File,
}

impl Folder {
    /// Makes the folder if need be, and locks it. `None` where that cannot be and the user did not ask for pins by name, which is
    /// said: without them calls are lost while there is no daemon.
    ///
    /// # Errors
    /// [`Failure::Pins`], and [`Failure::Pinned`] when another daemon has it.
    pub fn open(pins: &Pins) -> Result<Option<Self>, Failure> {
        match Self::lock(&pins.path) {
            Ok(folder) => Ok(Some(folder)),
            Err(Failure::Pins { path, error }) if !pins.wished => {
                log::warn!(
                    "nothing is pinned in {} ({error}), so calls are lost while there is no daemon; say --no-pin if that is \
                     as it should be",
                    path.display()
                );
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    fn lock(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::Pins { path: path.to_owned(), error };
        let parent = path.parent().unwrap_or(Path::new("/"));
        if parent == Path::new(BPFFS) && File::open(parent).is_ok_and(|folder| is_bpffs(&folder).is_ok_and(|is| !is)) {
            // As systemd and bpftool do: whoever comes next finds it here. For root alone.
            match mount_with(c"bpf", c"/sys/fs/bpf", c"mode=0700") {
                Ok(()) => log::info!("mounted the BPF file system on {BPFFS}"),
                Err(error) => log::debug!("mounting the BPF file system on {BPFFS}: {error}"),
            }
        }
        loop {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
            let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
            let lock = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
            let locked = lock.metadata().map_err(failed)?;
            // Where anybody may make folders, it may be somebody's trap.
            // SAFETY: no preconditions.
            let unfit = if locked.uid() != unsafe { libc::geteuid() } || locked.mode() & 0o077 != 0 {
                Some("it is not ours alone (it should have mode 0700)")
            } else if is_bpffs(&lock).map_err(failed)? {
                None
            } else {
                Some("it is not on a BPF file system")
            };
            if let Some(unfit) = unfit {
                drop(lock);
                let _ = fs::remove_dir(path); // if it is empty, it was most likely just made
                return Err(failed(io::Error::other(unfit)));
            }
            // SAFETY: an open descriptor.
            if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
                let error = io::Error::last_os_error();
                return Err(if error.kind() == io::ErrorKind::WouldBlock {
                    Failure::Pinned { path: path.to_owned() }
                } else {
                    failed(error)
                });
            }
            // Who had it may have removed it between our opening and locking it.
            if fs::symlink_metadata(path).is_ok_and(|now| now.ino() == locked.ino()) {
                return Ok(Self { path: path.to_owned(), lock });
            }
        }
    }

    /// The sets in it, oldest first.
    ///
    /// # Errors
    /// [`Failure::Pins`].
    pub fn sets(&self) -> Result<Vec<PathBuf>, Failure> {
        let sets = list(&self.path).map_err(|error| Failure::Pins { path: self.path.clone(), error })?;
        // What has another name is not ours.
        let ours = |set: &PathBuf| {
            set.file_name().and_then(|name| name.to_str()).is_some_and(|name| Uuid::try_parse(name).is_ok())
        };
        Ok(sets.into_iter().filter(ours).collect())
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

fn is_bpffs(folder: &File) -> io::Result<bool> {
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: an open descriptor, and `about` is valid for writing.
    if unsafe { libc::fstatfs(folder.as_raw_fd(), about.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it was filled in.
    Ok(unsafe { about.assume_init() }.f_type == BPF_FS)
}

/// Detaches the hooks of a set.
///
/// # Errors
/// [`Failure::Pins`].
pub(super) fn unlink(set: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::Pins { path: set.to_owned(), error };
    let is_link = |pin: &PathBuf| pin.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link_"));
    list(set).map_err(failed)?.iter().filter(|pin| is_link(pin)).try_for_each(fs::remove_file).map_err(failed)
}

/// Detaches the hooks of a set, and counts the calls in its ring that no daemon has dealt with, whichever version of ours
/// wrote them: the ring's own layout is the kernel's, and every record begins with a [`Header`]. `None` if the ring cannot be
/// read. Within the runtime.
///
/// # Errors
/// [`Failure::Pins`].
pub fn abandon(set: &Path) -> Result<Option<u64>, Failure> {
    unlink(set)?;
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

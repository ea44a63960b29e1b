//! The spool's folder: a path goes in, locked so that one daemon has it; its segments come out, by the number of their first
//! record.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::SpoolError;

/// How a segment is called, and one that was set aside.
const SEGMENT: &str = ".seg";
const BAD: &str = ".seg.bad";

/// Most segments that are kept aside.
const BAD_MOST: usize = 8;

/// Digits of the number in a name: so names sort by it.
const DIGITS: usize = 20;

/// A folder nobody else has as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    handle: File,
    lock: File,
}

impl Folder {
    /// Makes the folder if need be, mode 0700, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, SpoolError> {
        let failed = |doing| SpoolError::io(doing, path);
        let unfit = |reason| Err(SpoolError::Unfit { path: path.to_owned(), reason });
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make the folder"))?;
        let flags = libc::O_DIRECTORY;
        let handle = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed("open the folder"))?;
        let about = handle.metadata().map_err(failed("look at"))?;
        // SAFETY: no preconditions.
        if about.uid() != unsafe { libc::geteuid() } {
            return unfit("it belongs to another user; chown it to the daemon's");
        }
        if about.mode() & 0o077 != 0 {
            return unfit("others may enter it, and records tell who does what; chmod it to 0700");
        }
        let name = path.join("lock");
        let mut lock = file_options().open(&name).map_err(SpoolError::io("open", &name))?;
        step();
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = (&mut lock).take(DIGITS as u64).read_to_string(&mut pid);
                let holder = if pid.is_empty() { "another process".to_owned() } else { format!("process {pid}") };
                return Err(SpoolError::Locked { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(SpoolError::io("lock", name)(error)),
        }
        // A courtesy to whom the lock keeps out: on a full disk it is left out.
        let _ = lock.set_len(0).and_then(|()| lock.write_all_at(std::process::id().to_string().as_bytes(), 0));
        step();
        Ok(Self { path: path.to_owned(), handle, lock })
    }

    /// The path of something in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of the segment that begins with this number.
    pub(super) fn segment(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:0DIGITS$}{SEGMENT}"))
    }

    /// The numbers by which segments are called, in order: those in use, and those set aside.
    pub(super) fn segments(&self) -> Result<(Vec<u64>, Vec<u64>), SpoolError> {
        let list = || -> io::Result<(Vec<u64>, Vec<u64>)> {
            let (mut used, mut aside) = (Vec::new(), Vec::new());
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                if !entry.file_type()?.is_file() {
                    continue;
                }
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                if let Some(first) = number(name, SEGMENT) {
                    used.push(first);
                } else if let Some(first) = number(name, BAD) {
                    aside.push(first);
                }
            }
            used.sort_unstable();
            aside.sort_unstable();
            Ok((used, aside))
        };
        list().map_err(SpoolError::io("list", &self.path))
    }

    /// Renames a segment that cannot be used; of those the eight with the highest numbers are kept. Gives its new name.
    pub(super) fn set_aside(&self, first: u64) -> Result<PathBuf, SpoolError> {
        let path = self.segment(first);
        let bad = |first| self.path.join(format!("{first:0DIGITS$}{BAD}"));
        fs::rename(&path, bad(first)).map_err(SpoolError::io("set aside", path))?;
        step();
        let (_, aside) = self.segments()?;
        for first in aside.iter().rev().skip(BAD_MOST) {
            fs::remove_file(bad(*first)).map_err(SpoolError::io("remove", bad(*first)))?;
            step();
        }
        Ok(bad(first))
    }

    /// Removes a segment. One that somebody else removed is no error.
    pub(super) fn remove(&self, first: u64) -> Result<(), SpoolError> {
        let path = self.segment(first);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SpoolError::io("remove", path)(error)),
            _ => {
                step();
                Ok(())
            }
        }
    }

    /// Brings the names of files to the disk: fsync(2) of a file does not.
    pub(super) fn sync(&self) -> Result<(), SpoolError> {
        self.handle.sync_all().map_err(SpoolError::io("sync", &self.path))
    }

    /// Fails if the lock does not keep others out any more.
    pub(super) fn check(&self) -> Result<(), SpoolError> {
        if linked(&self.lock) { Ok(()) } else { Err(SpoolError::Gone { path: self.path.clone() }) }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing would not do: a child forked at this moment has the same open file.
        let _ = self.lock.unlock();
    }
}

/// How all files of the folder are opened.
pub(super) fn file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// True unless the file has no name any more.
pub(super) fn linked(file: &File) -> bool {
    file.metadata().is_ok_and(|about| about.nlink() > 0)
}

/// The number in a name; zero is none, nor is one so high that counting on could overflow.
fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let ours = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| ours && (1..=u64::MAX / 2).contains(number))
}

/// Stands after each change of the folder: tests look at it there, as if the process were killed.
#[inline]
pub(super) fn step() {
    #[cfg(test)]
    super::tests::kill::step();
}

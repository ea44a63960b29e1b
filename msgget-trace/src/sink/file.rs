//! Whole lines go in, they are appended to a regular file, which makes room for an empty one when it is full or when it is
//! asked to.
//!
//! A full `path` becomes `path.1`, what had that name `path.2`, and so on up to `path.keep`, whose former owner is gone. All of
//! that is rename(2), from the oldest to the newest, so that whenever it is broken off every file has a name, and at most one
//! name is free; the next rotation moves only the files before the free one. Files beyond `path.keep`, which a larger `keep`
//! left, are not touched. One process at a time may rotate a file; others may append to it, or move it away.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{ends_amid_a_line, retry};

/// Mode of a new file, unless another is asked for: the lines tell who does what.
pub const DEFAULT_MODE: u32 = 0o640;

/// How many older files stay, unless another number is asked for.
pub const DEFAULT_KEEP: u32 = 5;

/// Which file, and how it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Its name. A symbolic link is followed, but it is the link that a rotation renames.
    pub path: PathBuf,
    /// Permission bits of files that are created, whatever the umask; [`DEFAULT_MODE`] if `None`.
    pub mode: Option<u32>,
    /// Group of files that are created; the one the file system chooses if `None`.
    pub group: Option<u32>,
    /// Bytes that a file may have; it has more only if its one line is longer. `None`: any number.
    pub rotate_bytes: Option<u64>,
    /// Older files to keep.
    pub keep: u32,
}

impl FileOptions {
    /// A file that is kept as it comes.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode: None, group: None, rotate_bytes: None, keep: DEFAULT_KEEP }
    }

    /// True if nothing is asked for that only a file can do.
    #[must_use]
    pub const fn plain(&self) -> bool {
        self.mode.is_none() && self.group.is_none() && self.rotate_bytes.is_none()
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::other(error)
    }
}

/// What cannot be done with a file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is a pipe, a device, a directory, a socket.
    #[error(
        "{} is not a regular file: it can be neither rotated nor opened anew, and has a mode and a group already; leave these \
         options out, or name a file", .0.display()
    )]
    NotAFile(PathBuf),
    /// open(2).
    #[error("cannot open {}: {error}; its directory has to exist and be writable for this user", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// fchown(2), fchmod(2). There is no such file then.
    #[error(
        "cannot create {} with mode {mode:04o}{}: {error}; name a group that this user is in, or grant CAP_CHOWN and CAP_FSETID",
        path.display(), group.map_or_else(String::new, |group| format!(" and group {group}"))
    )]
    Access {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its group.
        group: Option<u32>,
        /// Why.
        error: io::Error,
    },
    /// rename(2), unlink(2). All files are there, and nothing has been written since.
    #[error("cannot rotate: {} cannot {}: {error}; its directory has to be writable for this user, and the name free",
        path.display(), to.as_ref().map_or_else(|| "be removed".into(), |to| format!("become {}", to.display())))]
    Rotate {
        /// The file.
        path: PathBuf,
        /// Its next name; `None` if it was to be removed.
        to: Option<PathBuf>,
        /// Why.
        error: io::Error,
    },
    /// write(2), fstat(2).
    #[error("cannot write to {}: {error}{}", path.display(), hint(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "; make room, or rotate at fewer bytes and keep fewer files",
        _ => "",
    }
}

/// Why not all lines are in the file.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct AppendError {
    /// Bytes of the whole lines, from the first, that are in. Go on behind them.
    pub written: usize,
    /// Why not the next.
    #[source]
    pub error: FileError,
}

/// A file that lines are appended to.
#[derive(Debug)]
pub struct LogFile {
    options: FileOptions,
    file: File,
    /// It does not end with a newline.
    torn: bool,
}

impl LogFile {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// [`FileError::NotAFile`], [`FileError::Open`], [`FileError::Access`].
    pub fn open(options: &FileOptions) -> Result<Self, FileError> {
        let (file, torn) = open(options)?;
        Ok(Self { options: options.clone(), file, torn })
    }

    /// Appends whole lines, after a newline if a crash or a full disk has left a piece of a line before them. A full file is
    /// rotated between two of them, so each is in one file. It waits for the disk as write(2) does.
    ///
    /// # Errors
    /// [`AppendError`]. What it does not count has left a piece of a line only if that could not be taken back.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), AppendError> {
        let mut written = 0;
        let mut rotated = false;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            let next = self.end_torn_line().and_then(|()| self.room(rest)).and_then(|room| match room {
                // Once is enough: a file that is full although it is new is somebody else's doing.
                0 if rotated => Ok(first_line(rest)),
                0 => self.rotate().map(|()| 0),
                room => Ok(room),
            });
            let next = next.map_err(|error| AppendError { written, error })?;
            rotated = next == 0;
            match self.write(rest.get(..next).unwrap_or(rest)) {
                Ok(()) => written += next,
                Err((whole, error)) => {
                    let error = self.cannot_write(error);
                    return Err(AppendError { written: written + whole, error });
                }
            }
        }
        Ok(())
    }

    /// Opens the file of that name anew, as after logrotate(8) has moved it away. If that fails, lines go on into the old one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reopen(&mut self) -> Result<(), FileError> {
        // On a full disk the old one stays torn; that must not keep us from a new one, which may be on another.
        drop(self.end_torn_line());
        (self.file, self.torn) = open(&self.options)?;
        Ok(())
    }

    /// Bytes of the lines at the start of `rest` that the file has room for; 0 if it is to be rotated first.
    fn room(&self, rest: &[u8]) -> Result<usize, FileError> {
        let Some(most) = self.options.rotate_bytes else { return Ok(rest.len()) };
        // Asked each time, since others may append, or truncate as logrotate's copytruncate does.
        let size = self.file.metadata().map_err(|error| self.cannot_write(error))?.len();
        let room = usize::try_from(most.saturating_sub(size)).unwrap_or(usize::MAX);
        Ok(match rest.get(..room) {
            None => rest.len(),
            Some(head) => match whole_lines(head) {
                0 if size == 0 => first_line(rest),
                whole => whole,
            },
        })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            match retry(|| self.file.write(rest)) {
                Ok(more) => {
                    written += more;
                    self.torn = !lines.get(..written).unwrap_or(lines).ends_with(b"\n");
                }
                Err(error) => {
                    let whole = whole_lines(lines.get(..written).unwrap_or(lines));
                    self.take_back((written - whole) as u64);
                    return Err((whole, error));
                }
            }
        }
        Ok(())
    }

    /// Cuts off the `piece` of a line that was written last, unless others have written behind it: whoever reads the file would
    /// take it for a line. If that fails, it stays, and gets an end.
    fn take_back(&mut self, piece: u64) {
        if piece == 0 {
            return;
        }
        // Where write(2) left off, which is the end even of a file that others append to.
        let (ours, len) = (self.file.stream_position(), self.file.metadata().map(|metadata| metadata.len()));
        if let (Ok(ours), Ok(len)) = (ours, len)
            && ours == len
            && let Some(end) = len.checked_sub(piece)
            && self.file.set_len(end).is_ok()
        {
            self.torn = false;
        }
    }

    fn end_torn_line(&mut self) -> Result<(), FileError> {
        if self.torn {
            self.write(b"\n").map_err(|(_, error)| self.cannot_write(error))?;
        }
        Ok(())
    }

    fn cannot_write(&self, error: io::Error) -> FileError {
        FileError::Write { path: self.options.path.clone(), error }
    }

    fn rotate(&mut self) -> Result<(), FileError> {
        // Otherwise somebody else has moved it away already.
        if self.has_its_name() {
            match self.options.keep {
                0 => self.remove()?,
                keep => self.shift(keep)?,
            }
        }
        self.reopen()
    }

    fn has_its_name(&self) -> bool {
        let (named, ours) = (fs::metadata(&self.options.path), self.file.metadata());
        matches!((named, ours), (Ok(named), Ok(ours)) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()))
    }

    fn remove(&self) -> Result<(), FileError> {
        let path = &self.options.path;
        unless_gone(fs::remove_file(path)).map_err(|error| FileError::Rotate { path: path.clone(), to: None, error })
    }

    fn shift(&self, keep: u32) -> Result<(), FileError> {
        let free = |nth: &u32| matches!(fs::symlink_metadata(self.older(*nth)), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let last = (1..keep).find(free).unwrap_or(keep);
        for nth in (1..=last).rev() {
            let (path, to) = (self.older(nth - 1), self.older(nth));
            unless_gone(fs::rename(&path, &to)).map_err(|error| FileError::Rotate { path, to: Some(to), error })?;
        }
        Ok(())
    }

    /// Name of the `nth` file before the present one, which is the 0th.
    fn older(&self, nth: u32) -> PathBuf {
        let mut name = self.options.path.clone().into_os_string();
        if nth > 0 {
            name.push(format!(".{nth}"));
        }
        name.into()
    }
}

/// What somebody else has moved or removed meanwhile is out of the way, too. If its directory is gone, opening anew says so.
fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Opens the file for appending; tells, too, whether it ends amid a line.
fn open(options: &FileOptions) -> Result<(File, bool), FileError> {
    let path = &options.path;
    let not_a_file = || FileError::NotAFile(path.clone());
    // Before it is opened, which alone would change or stop something at the other end of a pipe or device.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(not_a_file());
    }
    let failed = |error| FileError::Open { path: path.clone(), error };
    // Another may create or remove the file between two of these steps.
    for _ in 0..3 {
        match appending().create_new(true).mode(0o600).open(path) {
            Ok(file) => return Ok((give_access(file, options)?, false)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        match appending().open(path) {
            Ok(file) if file.metadata().map_err(failed)?.is_file() => {
                return Ok((file, ends_amid_a_line(path).unwrap_or(false)));
            }
            Ok(_) => return Err(not_a_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::ErrorKind::NotFound.into()))
}

fn appending() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// The group first: until the mode is set, only the owner can open the file.
fn give_access(file: File, options: &FileOptions) -> Result<File, FileError> {
    let (mode, group) = (options.mode.unwrap_or(DEFAULT_MODE), options.group);
    let given = match group {
        Some(group) => fchown(&file, None, Some(group)),
        None => Ok(()),
    };
    match given.and_then(|()| file.set_permissions(Permissions::from_mode(mode))) {
        Ok(()) => Ok(file),
        Err(error) => {
            let path: &Path = &options.path;
            // It is empty, and the next to open it would take it for one that is as it should be.
            drop(fs::remove_file(path));
            Err(FileError::Access { path: path.to_owned(), mode, group, error })
        }
    }
}

/// Bytes of the whole lines at the start of `bytes`.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// Bytes of the first line in `bytes`.
fn first_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1)
}

#[cfg(test)]
mod tests;

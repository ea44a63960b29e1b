//! The sink: whole lines go in, they leave through a file descriptor, and it is known which are out.

pub mod file;
pub mod syslog;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use thiserror::Error;
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    config::To,
    failure::Failure,
    readiness::{poll, watch},
};
use file::{FileError, FileOptions, LogFile};

/// Why lines cannot be written.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The reader of the pipe is gone: it has what it wanted.
    #[error("the reader closed the pipe")]
    Closed,
    /// Anything else.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Io(error) }
    }
}

impl From<SinkError> for io::Error {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Closed => io::ErrorKind::BrokenPipe.into(),
            SinkError::Io(error) => error,
        }
    }
}

/// The way out.
#[derive(Debug)]
pub struct Sink {
    name: String,
    way: Way,
    /// Lines taken in and not yet out.
    pending: Vec<u8>,
    /// Bytes of them that are out.
    written: usize,
    /// Bytes that are out since the beginning.
    total: u64,
}

#[derive(Debug)]
enum Way {
    /// Takes everything at once, and may be rotated.
    Log(LogFile),
    /// A device: takes everything at once.
    Device(File),
    /// A pipe, a socket or a terminal: takes what its reader has room for.
    Stream(AsyncFd<File>),
}

impl Sink {
    /// Opens the output that leads `to` standard output or a file. Files are appended to.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn open(to: &To) -> Result<Self, Failure> {
        let way = match to {
            To::Stdout => stdout().and_then(descriptor),
            To::File(options) => file(options),
            To::Syslog { .. } => Err(io::ErrorKind::Unsupported.into()),
        };
        match way {
            Ok(way) => Ok(Self { name: to.to_string(), way, pending: Vec::new(), written: 0, total: 0 }),
            Err(error) => Err(Failure::Output { output: to.to_string(), error }),
        }
    }

    /// Where it leads.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the next lines are to be put; call [`Self::flush`] then.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Bytes that have been written in all: whether it moves.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Opens a file anew, for somebody may have moved it away; false if it is none. Where that fails, the old one stays in use.
    pub fn reopen(&mut self) -> bool {
        let Way::Log(log) = &mut self.way else { return false };
        if let Err(error) = log.reopen() {
            log::warn!("{error}; lines go on into the former file");
        }
        true
    }

    /// True if the pipe's reader is gone.
    #[must_use]
    pub fn closed(&self) -> bool {
        match &self.way {
            Way::Log(_) | Way::Device(_) => false,
            Way::Stream(stream) => poll(stream.get_ref(), 0).is_ok_and(|events| events & libc::POLLERR != 0),
        }
    }

    /// Writes what the buffer holds. May be cancelled and called again: nothing is written twice or left out.
    ///
    /// # Errors
    /// [`SinkError`]; what was not written stays in the buffer.
    pub async fn flush(&mut self) -> Result<(), SinkError> {
        while self.written < self.pending.len() {
            let rest = &self.pending[self.written..];
            let written = match &mut self.way {
                Way::Log(log) => match log.append(rest) {
                    Ok(()) => rest.len(),
                    Err(failed) => {
                        self.written += failed.written;
                        self.total += failed.written as u64;
                        return Err(SinkError::Io(failed.error.into()));
                    }
                },
                Way::Device(file) => retry(|| file.write(rest))?,
                Way::Stream(stream) => write_stream(stream, rest).await?,
            };
            self.written += written;
            self.total += written as u64;
        }
        self.pending.clear();
        self.written = 0;
        Ok(())
    }
}

/// Whether what a crash or a full disk left of a line would swallow the next one.
fn ends_amid_a_line(path: &Path) -> io::Result<bool> {
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != *b"\n")
}

/// A file to be kept, or else whatever has its name; what there is to say of a file alone is refused for others.
fn file(options: &FileOptions) -> io::Result<Way> {
    match LogFile::open(options) {
        Ok(log) => Ok(Way::Log(log)),
        Err(FileError::NotAFile(_)) if options.plain() => open(&options.path).and_then(descriptor),
        Err(error) => Err(error.into()),
    }
}

/// What is behind a descriptor that is no file to be kept.
fn descriptor(file: File) -> io::Result<Way> {
    let kind = file.metadata()?.file_type();
    // epoll(7) takes neither regular files nor devices such as /dev/null.
    let stream = kind.is_fifo() || kind.is_socket() || (kind.is_char_device() && is_terminal(&file));
    Ok(if stream { Way::Stream(watch(file, Interest::WRITABLE)?) } else { Way::Device(file) })
}

/// Opens `path` for appending. Of a pipe nobody reads, opening says so at once instead of waiting where no signal reaches
/// us; written to it is as any other.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK).open(path)?;
    // SAFETY: flags of a descriptor of our own, which nobody else holds yet.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_APPEND) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(file),
    }
}

/// Standard output under a handle of our own: std's would buffer a second time.
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    let fd: OwnedFd = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(File::from(fd))
}

/// Writes the next lines that fit into one page.
///
/// A pipe that polls writable has a page free (fs/pipe.c), and a write of up to PIPE_BUF, 4096, enters it whole (pipe(7)):
/// so this neither blocks nor, if we are killed, leaves half a line (unless it is longer than that), and needs no
/// O_NONBLOCK, which others who hold the same pipe would feel.
async fn write_stream(stream: &AsyncFd<File>, rest: &[u8]) -> io::Result<usize> {
    let lines = &rest[..whole_lines(rest)];
    loop {
        let mut guard = stream.writable().await?;
        let result = guard.try_io(|stream| {
            if poll(stream.get_ref(), libc::POLLOUT)? & (libc::POLLOUT | libc::POLLERR) == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            retry(|| stream.get_ref().write(lines))
        });
        if let Ok(written) = result {
            return written;
        }
    }
}

/// Bytes of the whole lines at the start of `bytes` that fit into PIPE_BUF; a piece of that size of a line that does not.
fn whole_lines(bytes: &[u8]) -> usize {
    let page = &bytes[..bytes.len().min(libc::PIPE_BUF)];
    match page.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None => page.len(),
    }
}

fn retry(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn is_terminal(file: &File) -> bool {
    io::IsTerminal::is_terminal(file)
}

#[cfg(test)]
mod tests;

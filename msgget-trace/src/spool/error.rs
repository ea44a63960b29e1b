//! What can go wrong with a spool goes in, one line that says what, where and what to do comes out.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why the spool did not do what was asked. Unless said otherwise it is as it was before, and can be asked again.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another daemon has the folder.
    #[error("{holder} has the spool in {path}; stop it, or give each daemon a folder of its own")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who it says it is.
        holder: String,
    },
    /// The folder must not be used.
    #[error("cannot keep a spool in {path}: {reason}")]
    Unfit {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and how to mend it.
        reason: &'static str,
    },
    /// The limits contradict each other.
    #[error(
        "the spool's limit of {bytes} bytes has to be at least two segments, and a segment of {segment_bytes} bytes at least \
         {least}; raise the limit or make the segments smaller",
        least = super::SEGMENT_LEAST
    )]
    Limits {
        /// Of all.
        bytes: u64,
        /// Of a segment.
        segment_bytes: u64,
    },
    /// A system call failed.
    #[error("cannot {doing} {path}: {error}{}", advice(.error))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
    /// One record is too long for any spool. Nothing of its batch was appended.
    #[error("record {nth} of the batch has {bytes} bytes, and the spool takes {most}; put it aside, append the others",
        most = super::RECORD_MAX)]
    TooLong {
        /// Which one of the batch, from 0.
        nth: usize,
        /// Its length.
        bytes: usize,
    },
    /// A batch does not fit even into an empty spool. Nothing of it was appended.
    #[error("a batch needs more than the spool's limit of {limit} bytes; append it in parts, or raise the limit")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
    /// What was never read cannot have been delivered.
    #[error("record {number} was acknowledged, but the last one read is {read}; acknowledge what was read")]
    NotRead {
        /// The number that was to be acknowledged.
        number: u64,
        /// The last one read.
        read: u64,
    },
    /// The lock is gone, so nothing keeps others out, and what is written may be reached by nobody.
    #[error("somebody removed the spool in {path}, or its lock; open it again (a restart does), which makes it anew")]
    Gone {
        /// The folder.
        path: PathBuf,
    },
}

impl SpoolError {
    /// For `map_err` on a system call.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { doing, path: path.into(), error }
    }
}

/// What to do about `error`, where the number tells; open(2) and write(2) explain them.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "; free space there, or lower the spool's limit",
        Some(libc::EFBIG) => "; raise the limit on file sizes (ulimit -f)",
        Some(libc::EROFS) => "; mount it for writing, or put the spool elsewhere",
        Some(libc::EACCES | libc::EPERM) => "; give the daemon's user the right to it",
        Some(libc::ENOENT) => "; somebody removed it: restore it, or restart",
        Some(libc::ENOTDIR | libc::EISDIR | libc::EEXIST) => "; something else has that name: move it away",
        Some(libc::EIO) => "; the disk fails: see the kernel's log",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_where_and_what_to_do() {
        let text = |errno| SpoolError::io("append to", "/s/1.seg")(io::Error::from_raw_os_error(errno)).to_string();
        assert_eq!(
            text(libc::ENOSPC),
            "cannot append to /s/1.seg: No space left on device (os error 28); free space there, or lower the spool's limit"
        );
        for (errno, advice) in [
            (libc::EFBIG, "ulimit"),
            (libc::EROFS, "for writing"),
            (libc::EACCES, "right"),
            (libc::ENOENT, "restore"),
            (libc::EISDIR, "away"),
            (libc::EIO, "log"),
        ] {
            assert!(text(errno).contains(advice), "{}", text(errno));
        }
    }
}

//! A file descriptor goes in, one that the runtime watches comes out, or what it is ready for now.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Has the runtime watch `owner` for `interest`.
///
/// # Errors
/// Those of epoll_ctl(2): EPERM for what cannot be watched, such as a regular file.
pub(crate) fn watch<T: AsFd + AsRawFd + Into<OwnedFd>>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: what turns into an `OwnedFd` owns one descriptor and keeps it for as long as it lives.
    unsafe { AsyncFd::register_with_interest(owner, interest) }.map_err(io::Error::from)
}

/// poll(2) without waiting: what of `events`, or of the errors it always reports, holds now.
pub(crate) fn poll(file: &File, events: i16) -> io::Result<i16> {
    let mut entry = libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    // SAFETY: one valid entry.
    match unsafe { libc::poll(&raw mut entry, 1, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(entry.revents),
    }
}

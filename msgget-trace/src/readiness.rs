//! A file descriptor goes in, one that the runtime watches comes out.

use std::{
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

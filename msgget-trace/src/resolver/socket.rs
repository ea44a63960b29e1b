//! Packets go in at one end of a socket pair and come out, whole and in order, at the other.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// Makes a pair (unix(7), SOCK_SEQPACKET): unlike a stream it keeps packets apart, unlike datagrams it tells that the
/// other end is gone.
///
/// # Errors
/// Those of socketpair(2).
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just opened and are owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Sends a packet; `flags` as in send(2), and never a SIGPIPE.
///
/// # Errors
/// Those of send(2): EPIPE when the other end is gone, EAGAIN with MSG_DONTWAIT when there is no room.
pub(super) fn send(socket: &OwnedFd, packet: &[u8], flags: libc::c_int) -> io::Result<()> {
    let flags = flags | libc::MSG_NOSIGNAL;
    retry(|| {
        // SAFETY: `packet` is valid for reading.
        unsafe { libc::send(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), flags) }
    })
    .map(drop)
}

/// Receives a packet and returns it; an empty one when the other end is gone. `flags` as in recv(2).
///
/// # Errors
/// Those of recv(2): EAGAIN with MSG_DONTWAIT when there is none.
pub(super) fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8], flags: libc::c_int) -> io::Result<&'a [u8]> {
    let length = retry(|| {
        // SAFETY: `buffer` is valid for writing.
        unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) }
    })?;
    Ok(&buffer[..length])
}

/// Repeats a call while signals interrupt it.
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(length) => return Ok(length),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

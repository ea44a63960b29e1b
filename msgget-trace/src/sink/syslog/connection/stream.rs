//! Messages go into a stream as frames, and it is heard whether anybody is at the other end.

use std::{
    fmt::Debug,
    future::poll_fn,
    io::{self, Write as _},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd},
    pin::Pin,
    task::Poll,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

/// Bytes of messages after which the rest is left for the next time.
const BATCH: usize = 256 << 10;
/// Reads from a peer, 4 KiB each, before we write: it has next to nothing to say.
const READS: usize = 16;

/// Where a message in a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Frame {
    /// Where the number before it says: `MSG-LEN SP SYSLOG-MSG` (RFC 6587 3.4.1, RFC 5425 4.3).
    Counted,
    /// At a newline (RFC 6587 3.4.2), which is all that many who listen on a Unix socket know.
    Line,
}

/// A socket for a stream, or what is laid over it.
pub(in super::super) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// The socket.
    fn socket(&self) -> BorrowedFd<'_>;
    /// How messages are told apart.
    fn frame(&self) -> Frame {
        Frame::Counted
    }
}

impl Stream for UnixStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn frame(&self) -> Frame {
        Frame::Line
    }
}

impl Stream for TcpStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// Puts the first messages, some 256 KiB of them but at least one, into `out`; returns how many.
pub(super) fn frames(out: &mut Vec<u8>, frame: Frame, messages: &[&[u8]]) -> usize {
    let mut taken = 0;
    for message in messages {
        if taken > 0 && out.len() + message.len() > BATCH {
            break;
        }
        if frame == Frame::Counted {
            // A vector takes everything.
            drop(write!(out, "{} ", message.len()));
        }
        out.extend_from_slice(message);
        if frame == Frame::Line {
            out.push(b'\n');
        }
        taken += 1;
    }
    taken
}

/// Writes what is in `pending` behind the first `written` bytes, and empties it. May be cancelled and called again.
pub(super) async fn flush(stream: &mut dyn Stream, pending: &mut Vec<u8>, written: &mut usize) -> io::Result<()> {
    while let Some(rest) = pending.get(*written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => *written += more,
        }
    }
    stream.flush().await?;
    pending.clear();
    *written = 0;
    Ok(())
}

/// Takes in what the peer has sent, without waiting for it: nothing of meaning, but perhaps the end, or a part of TLS.
///
/// # Errors
/// [`io::ErrorKind::ConnectionAborted`] if the peer has closed its side, or whatever else ended the connection.
pub(in super::super) async fn hear(stream: &mut dyn Stream) -> io::Result<()> {
    let mut reads = 0;
    poll_fn(|cx| {
        while reads < READS {
            reads += 1;
            let mut unheard = [0; 4096];
            let mut unheard = ReadBuf::new(&mut unheard);
            match Pin::new(&mut *stream).poll_read(cx, &mut unheard) {
                Poll::Ready(Ok(())) if unheard.filled().is_empty() => {
                    let closed = io::Error::new(io::ErrorKind::ConnectionAborted, "the peer has closed the connection");
                    return Poll::Ready(Err(closed));
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match SockRef::from(&stream.socket()).peek(&mut [MaybeUninit::uninit()]) {
                    // The runtime has not yet noticed what the kernel has; it will wake us.
                    Ok(_) => return Poll::Pending,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Said only once: a read would now find no more than an end.
                    Err(error) => return Poll::Ready(Err(error)),
                },
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

#[cfg(test)]
mod tests;

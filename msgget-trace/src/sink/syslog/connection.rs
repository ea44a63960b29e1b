//! Messages go in, they leave by a socket; it comes out how many have left, and how much of that the peer has not confirmed.

mod open;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

use std::{io, mem::take, os::fd::AsRawFd as _, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UdpSocket, UnixDatagram},
    time::timeout,
};

pub use open::{Attempt, OpenError};
pub(super) use stream::hear;
use stream::{Stream, flush, frames};

/// How long a peer has to close its side after we closed ours.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why messages cannot be sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// No datagram is that long (EMSGSIZE): this one will never be taken. The connection is as it was.
    #[error(
        "{peer}: message {nth} has {length} bytes, more than a datagram can; use tcp:// or tls://, or put it aside"
    )]
    TooLong {
        /// Where the connection leads.
        peer: String,
        /// Which of them, from 0. Those before it are sent.
        nth: usize,
        /// Its bytes.
        length: usize,
    },
    /// The connection is of no more use.
    #[error("{peer}: {error}; open a new connection")]
    Lost {
        /// Where the connection led.
        peer: String,
        /// How many, from the first, are sent: of a stream none, for nobody knows where in them it ended.
        sent: usize,
        /// What happened.
        error: io::Error,
    },
}

/// A connection to a receiver.
#[derive(Debug)]
pub struct Connection {
    /// Where it leads.
    peer: String,
    way: Way,
    /// Messages of this send that are out as datagrams, or that `pending` holds.
    taken: usize,
    /// Frames that are not yet all out.
    pending: Vec<u8>,
    /// Bytes of them that are.
    written: usize,
}

#[derive(Debug)]
enum Way {
    UnixDatagrams(UnixDatagram),
    Udp(UdpSocket),
    Stream(Box<dyn Stream>),
}

impl Connection {
    fn new(peer: String, way: Way) -> Self {
        Self { peer, way, taken: 0, pending: Vec::new(), written: 0 }
    }

    /// Sends messages as [`super::message`] makes them; returns how many have left for the kernel, from the first: at least one, if
    /// there is one. On a stream some 256 KiB leave at a time.
    ///
    /// It waits as long as the peer takes nothing; over TCP that is 30 s at most (TCP_USER_TIMEOUT). It may be cancelled, if it is
    /// then called again with the same messages, or more behind them: nothing is sent twice or left out.
    ///
    /// # Errors
    /// [`SendError`]. A stream whose peer has closed is lost before anything is written to it: such a write would succeed.
    pub async fn send(&mut self, messages: &[&[u8]]) -> Result<usize, SendError> {
        let sent = match &mut self.way {
            Way::UnixDatagrams(socket) => {
                datagrams(&mut self.taken, messages, async |one| socket.send(one).await).await
            }
            Way::Udp(socket) => datagrams(&mut self.taken, messages, async |one| socket.send(one).await).await,
            Way::Stream(stream) => {
                let sending = async {
                    // Each time, also for the rest of what was cancelled.
                    hear(stream.as_mut()).await?;
                    if self.pending.is_empty() {
                        self.taken = frames(&mut self.pending, stream.frame(), messages);
                    }
                    flush(stream.as_mut(), &mut self.pending, &mut self.written).await
                };
                sending.await
            }
        };
        // Had this been cancelled, it would still be there.
        let taken = take(&mut self.taken);
        let peer = || self.peer.clone();
        match (sent, &self.way) {
            (Ok(()), _) => Ok(taken),
            (Err(error), Way::Stream(_)) => Err(SendError::Lost { peer: peer(), sent: 0, error }),
            (Err(error), _) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                let length = messages.get(taken).map_or(0, |message| message.len());
                Err(SendError::TooLong { peer: peer(), nth: taken, length })
            }
            (Err(error), _) => Err(SendError::Lost { peer: peer(), sent: taken, error }),
        }
    }

    /// Hears what the peer says, which is of no interest but for one thing: that it is still there.
    ///
    /// # Errors
    /// Those of a stream that is no more. Of datagrams nothing is known.
    pub async fn hear(&mut self) -> io::Result<()> {
        match &mut self.way {
            Way::Stream(stream) => hear(stream.as_mut()).await,
            Way::UnixDatagrams(_) | Way::Udp(_) => Ok(()),
        }
    }

    /// Whether it is a stream, of which it is known what the other side's kernel has taken.
    #[must_use]
    pub const fn confirms(&self) -> bool {
        matches!(self.way, Way::Stream(_))
    }

    /// Bytes that have left for the kernel and that the peer's has not confirmed: 0 means that all that was sent is on the other
    /// machine (tcp(7), SIOCOUTQ), though perhaps not yet read there; on a Unix stream that it is read. Of datagrams nothing is
    /// known, and it is 0. Where it is not 0 the number is one of the transport, with what TLS adds.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn unconfirmed(&self) -> io::Result<usize> {
        let Way::Stream(stream) = &self.way else { return Ok(0) };
        let mut bytes: libc::c_int = 0;
        // SAFETY: TIOCOUTQ, which is SIOCOUTQ, stores one int, and there is room for one.
        match unsafe { libc::ioctl(stream.socket().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(usize::try_from(bytes).unwrap_or(0)),
        }
    }

    /// Ends an orderly stream: says so (TLS: close_notify), and waits up to 2 s until the peer has closed its side, too. Without
    /// that wait, something unread from the peer would make the kernel reset the connection, and what is under way be lost.
    ///
    /// # Errors
    /// Those of the connection, or [`io::ErrorKind::TimedOut`].
    pub async fn close(self) -> io::Result<()> {
        let Way::Stream(mut stream) = self.way else { return Ok(()) };
        let farewell = async {
            stream.shutdown().await?;
            let mut unheard = [0; 4096];
            loop {
                match stream.read(&mut unheard).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    // It ended TCP without having ended TLS. Nothing that it says is of interest, so nothing is missing.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        timeout(FAREWELL, farewell).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Sends those after the first `sent`, and counts them there.
async fn datagrams(
    sent: &mut usize,
    messages: &[&[u8]],
    send: impl AsyncFn(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while let Some(message) = messages.get(*sent) {
        send(message).await?;
        *sent += 1;
    }
    Ok(())
}

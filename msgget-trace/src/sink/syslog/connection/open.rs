//! A target goes in, a connection to it comes out, or everything that was tried and why it failed.

use std::{fmt, io, net::SocketAddr, path::Path, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use super::{super::tls::Tls, Connection, Way};
use crate::sink::syslog::{Peer, Target, TlsError};

/// Longest time until a connection is open, names, addresses and TLS altogether.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes that may wait in our kernel: what a dead peer can cost. It takes twice that, for its own bookkeeping (socket(7)).
const SEND_BUFFER: u32 = 256 << 10;
/// Longest time that the peer's TCP may confirm nothing, or have no room (TCP_USER_TIMEOUT, tcp(7)).
const PATIENCE: Duration = Duration::from_secs(30);
/// Quiet time after which it is asked whether it is still there, and from one such question to the next.
const QUIET: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The name has no address.
    #[error("{peer}: the name has no address: {error}; is it right, and does this host find others?")]
    Resolve {
        /// Where it was to lead.
        peer: String,
        /// Why.
        error: io::Error,
    },
    /// No address did.
    #[error("{peer}: {}", show(tried))]
    Unreachable {
        /// Where it was to lead.
        peer: String,
        /// What was tried, in this order.
        tried: Vec<Attempt>,
    },
    /// TLS cannot even be tried.
    #[error("{peer}: {error}")]
    Tls {
        /// Where it was to lead.
        peer: String,
        /// Why.
        error: TlsError,
    },
}

/// An address, and what became of it.
#[derive(Debug)]
pub struct Attempt {
    /// With its port, or the path of a socket.
    pub address: String,
    /// Why it is not the one.
    pub error: io::Error,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => "; is the receiver running?",
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                "; is the way there open?"
            }
            io::ErrorKind::PermissionDenied => "; may this user write there?",
            _ => "",
        };
        write!(f, "{}: {}{hint}", self.address, self.error)
    }
}

fn show(tried: &[Attempt]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Connection {
    /// Connects, within 10 s. All addresses of a name are tried, each for its share of the time that is left; TLS counts as
    /// a part of that. A cancelled attempt leaves nothing behind, but for a look-up that is waited for on a thread of its own.
    ///
    /// # Errors
    /// [`OpenError`]. Over UDP a receiver that is not there is only noticed later, if at all.
    pub async fn open(target: &Target) -> Result<Self, OpenError> {
        let end = Instant::now() + LIMIT;
        let name = target.to_string();
        let opened = match target {
            Target::Unix(path) => {
                unix(path).await.map_err(|error| vec![Attempt { address: path.display().to_string(), error }])
            }
            Target::Udp(peer) => {
                let addresses = addresses(&name, peer, end).await?;
                dial(&addresses, end, async |address| udp(address).await.map(Way::Udp)).await
            }
            Target::Tcp(peer) => {
                let addresses = addresses(&name, peer, end).await?;
                dial(&addresses, end, async |address| Ok(Way::Stream(Box::new(tcp(address).await?)))).await
            }
            Target::Tls(peer, options) => {
                let tls = Tls::new(peer, options).map_err(|error| OpenError::Tls { peer: name.clone(), error })?;
                let addresses = addresses(&name, peer, end).await?;
                dial(&addresses, end, async |address| Ok(Way::Stream(Box::new(tls.over(tcp(address).await?).await?))))
                    .await
            }
        };
        match opened {
            Ok(way) => Ok(Self::new(name, way)),
            Err(tried) => Err(OpenError::Unreachable { peer: name, tried }),
        }
    }
}

/// All addresses of a name, in the order of getaddrinfo(3).
async fn addresses(name: &str, peer: &Peer, end: Instant) -> Result<Vec<SocketAddr>, OpenError> {
    let found = match timeout_at(end, lookup_host((peer.host.as_str(), peer.port))).await {
        Ok(Ok(found)) => Ok(found.collect::<Vec<_>>()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(late()),
    };
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(OpenError::Resolve { peer: name.to_owned(), error: io::ErrorKind::NotFound.into() }),
        Err(error) => Err(OpenError::Resolve { peer: name.to_owned(), error }),
    }
}

/// The first that can be had. Each has its share of the time, so that one that never answers does not cost the others theirs.
pub(super) async fn dial<T>(
    addresses: &[SocketAddr],
    end: Instant,
    open: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Result<T, Vec<Attempt>> {
    let mut tried = Vec::new();
    for (address, left) in addresses.iter().zip((1..=u32::try_from(addresses.len()).unwrap_or(u32::MAX)).rev()) {
        let share = end.saturating_duration_since(Instant::now()) / left;
        match timeout(share, open(*address)).await.unwrap_or_else(|_| Err(late())) {
            Ok(opened) => return Ok(opened),
            Err(error) => tried.push(Attempt { address: address.to_string(), error }),
        }
    }
    Err(tried)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// A socket for datagrams, as syslog(3) expects it, or else for a stream.
async fn unix(path: &Path) -> io::Result<Way> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => Ok(Way::UnixDatagrams(socket)),
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
            Ok(Way::Stream(Box::new(UnixStream::connect(path).await?)))
        }
        Err(error) => Err(error),
    }
}

async fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Without Nagle's delay, as messages come in batches; and so that a peer that vanished is noticed, whether there is something to
/// send or not.
pub(super) async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let options = SockRef::from(&socket);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_user_timeout(Some(PATIENCE))?;
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(QUIET).with_interval(ASK_AGAIN))?;
    socket.connect(address).await
}

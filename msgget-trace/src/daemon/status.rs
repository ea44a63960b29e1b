//! Status: whoever connects to the socket goes in, and gets how the daemon is and its balance of this moment.
//!
//! To connect is to ask. The answer goes into the connection's own buffer at once, and the connection is closed, so there is
//! never a client to wait for; those whose turn has not come are [`BACKLOG`] at most, and wait in the kernel.

use std::{
    fs, io,
    io::Write as _,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process,
    rc::Rc,
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixSocket},
    time,
};

use super::Daemon;
use crate::{
    enrich::Clock,
    failure::Failure,
    status::{Numbers, Status, Suppressed},
};

/// Connections that wait at a time.
const BACKLOG: u32 = 8;
/// How long to leave a socket that gives no connections, because we have too many files open, say.
const PAUSE: Duration = Duration::from_secs(1);
/// How long another daemon may take to show that it lives.
const ALIVE: Duration = Duration::from_secs(1);

/// The socket; it goes with this.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: somebody may have put another one there.
    file: (u64, u64),
    /// When it was opened, ns since 1970.
    since: u64,
}

impl Listener {
    async fn open(path: &Path, since: u64) -> io::Result<Self> {
        let socket = match bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                clear(path).await?;
                bind(path)?
            }
            other => other?,
        };
        Ok(Self { socket, path: path.to_owned(), file: file(path)?, since })
    }

    /// The next one who asks and may. Can be dropped and called again.
    async fn asked(&self) -> UnixStream {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    if stream.peer_cred().is_ok_and(|peer| trusted(peer.uid()))
                        && let Ok(stream) = stream.into_std()
                    {
                        return stream;
                    }
                }
                Err(_) => time::sleep(PAUSE).await,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if file(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// As [`Listener::asked`], where nobody can ask if there is no listener.
pub(super) async fn asked(listener: Option<&Listener>) -> UnixStream {
    match listener {
        Some(listener) => listener.asked().await,
        None => std::future::pending().await,
    }
}

/// True if it is root's or our own.
fn trusted(uid: u32) -> bool {
    // SAFETY: no preconditions.
    uid == 0 || uid == unsafe { libc::geteuid() }
}

fn file(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Makes the socket, for its owner alone from the first moment on.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    // SAFETY: no preconditions; the mask is the process's, and no other thread makes files meanwhile.
    let mask = unsafe { libc::umask(0o177) };
    let bound = socket.bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(mask) };
    bound?;
    socket.listen(BACKLOG)
}

/// Removes what a daemon left at `path` that is no more.
async fn clear(path: &Path) -> io::Result<()> {
    let before = fs::symlink_metadata(path)?;
    if !before.file_type().is_socket() {
        return Err(io::Error::other("what is there is no socket"));
    }
    let connected = time::timeout(ALIVE, tokio::net::UnixStream::connect(path)).await;
    match connected {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // Also when it does not come to an answer: nothing refuses but a socket without a process.
        _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon listens there")),
    }
    // Another daemon may have replaced it meanwhile.
    if file(path)? == (before.dev(), before.ino()) { fs::remove_file(path) } else { Ok(()) }
}

impl Daemon {
    /// Answers from now on to whoever connects to a socket at `path`. Where that cannot be, it is said, and tracing goes on.
    pub async fn answer_at(&mut self, path: &Path) {
        let since = self.pipeline.sensor.clock.wall(Clock::boot_now());
        match Listener::open(path, since).await {
            Ok(listener) => self.listener = Some(Rc::new(listener)),
            Err(error) => log::warn!("`status` cannot ask this daemon at {}: {error}", path.display()),
        }
    }

    /// Answers all who wait, however little time there is for anything but records.
    pub(super) async fn answer_waiting(&mut self, listener: &Listener) -> Result<(), Failure> {
        for _ in 0..BACKLOG {
            let stream = tokio::select! {
                biased;
                stream = listener.asked() => stream,
                () = std::future::ready(()) => return Ok(()),
            };
            self.answer(listener, stream)?;
        }
        Ok(())
    }

    /// Answers one. The balance is that of this moment, and one of bounds: the kernel's side is read after ours.
    pub(super) fn answer(&mut self, listener: &Listener, mut stream: UnixStream) -> Result<(), Failure> {
        self.count()?;
        let balance = self.ledger.balance();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: self.pipeline.sensor.run.to_string(),
            process_id: process::id(),
            since: listener.since,
            hook: self.rung().name().to_owned(),
            coverage_gap: self.rung().gap().to_owned(),
            degraded: self.watch.degraded(),
            outputs: self.outputs.states(),
            policy_digest: self.pipeline.policies().digest().map(|digest| digest.to_string()),
            exceptions: self
                .pipeline
                .suppressed()
                .map(|(exception, suppressed)| Suppressed { name: exception.name.clone(), suppressed })
                .collect(),
            balance: Numbers(balance.into_iter().map(|(name, number)| (name.to_owned(), number)).collect()),
        };
        // It does not block, and the buffer of a new connection has room for it; who leaves meanwhile gets nothing.
        let _ = stream.write_all(status.line().as_bytes());
        Ok(())
    }
}

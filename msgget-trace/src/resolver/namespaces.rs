//! A process and the inode number of its IPC namespace go in, and this thread is in that namespace; a bounded number of
//! them is held open.
//!
//! An open descriptor keeps a namespace alive, and with it its queues, after its last process has ended: that is what
//! makes late questions answerable, and why no namespace is held for long. While one is held, its inode number is no
//! other's, so the number alone finds it.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// Namespaces held at most.
pub const HELD: usize = 64;
/// How long a namespace is held that nobody asks about.
pub const IDLE: Duration = Duration::from_secs(30);

/// The namespaces at hand.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Where this thread began.
    home: Namespace,
    /// Inode number of the namespace this thread is in.
    inside: u32,
    /// By last use, the latest at the end.
    held: Vec<Held>,
}

#[derive(Debug)]
struct Namespace {
    inode: u32,
    file: File,
}

#[derive(Debug)]
struct Held {
    namespace: Namespace,
    used: Instant,
}

impl Namespaces {
    /// None but our own.
    ///
    /// # Errors
    /// Those of opening it.
    pub(super) fn new() -> io::Result<Self> {
        let home = Namespace::open(Path::new("/proc/thread-self/ns/ipc"))?;
        Ok(Self { inside: home.inode, home, held: Vec::new() })
    }

    /// Holds the namespace, from now for [`IDLE`].
    ///
    /// # Errors
    /// ESRCH or ENOENT if it is not held yet and the process is gone or is in another; EACCES if it may not be opened;
    /// want of descriptors or memory.
    pub(super) fn hold(&mut self, pid: u32, inode: u32) -> io::Result<()> {
        self.find(pid, inode).map(drop)
    }

    /// Goes there.
    ///
    /// # Errors
    /// As [`Self::hold`], and those of setns(2).
    pub(super) fn enter(&mut self, pid: u32, inode: u32) -> io::Result<()> {
        let inside = self.inside;
        let namespace = self.find(pid, inode)?;
        if inode != inside {
            namespace.enter()?;
            self.inside = inode;
        }
        Ok(())
    }

    /// Goes back. Whoever stays in a namespace holds it; if going fails (want of memory), the next call tries again.
    pub(super) fn leave(&mut self) {
        if self.inside != self.home.inode && self.home.enter().is_ok() {
            self.inside = self.home.inode;
        }
    }

    /// Lets go of the namespaces that nobody has asked about for [`IDLE`], and returns how long the next one may be
    /// held; `None` if there is none.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Duration> {
        let expired = self.held.partition_point(|held| held.used + IDLE <= now);
        self.held.drain(..expired);
        self.held.first().map(|next| next.used + IDLE - now)
    }

    fn find(&mut self, pid: u32, inode: u32) -> io::Result<&Namespace> {
        if inode == self.home.inode {
            return Ok(&self.home);
        }
        let namespace = match self.held.iter().position(|held| held.namespace.inode == inode) {
            Some(at) => self.held.remove(at).namespace,
            None => Namespace::of(pid, inode)?,
        };
        if self.held.len() == HELD {
            self.held.remove(0);
        }
        self.held.push(Held { namespace, used: Instant::now() });
        // It was just pushed.
        Ok(self.held.last().map_or(&self.home, |held| &held.namespace))
    }
}

impl Namespace {
    /// The namespace of process `pid`, if it is this one.
    fn of(pid: u32, inode: u32) -> io::Result<Self> {
        let process = format!("/proc/{pid}");
        match Self::open(&Path::new(&process).join("ns/ipc")) {
            Ok(namespace) if namespace.inode == inode => Ok(namespace),
            Ok(_) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            // The kernel also says EACCES of a process that ends while it is looked at (proc_ns_get_link, fs/proc).
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !Path::new(&process).exists() => {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
            Err(error) => Err(error),
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // Namespaces have 32 bits of inode number (proc_alloc_inum, fs/proc/generic.c).
        let inode = u32::try_from(file.metadata()?.ino()).map_err(io::Error::other)?;
        Ok(Self { inode, file })
    }

    fn enter(&self) -> io::Result<()> {
        // SAFETY: a valid descriptor; what changes for this thread is only which queues it sees.
        match unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWIPC) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

//! The resolver: "whose queue is id N in the IPC namespace of process P?" goes in, the kernel's own word on that queue
//! comes out.
//!
//! Only from inside an IPC namespace can its queues be looked at, and setns(2) moves a whole thread. So a small process
//! of one thread does nothing else: [`Resolver::fork`] makes it before there are other threads, [`Client`] asks it
//! over a socket pair. It keeps the privileges the daemon has at that moment: CAP_SYS_ADMIN to enter a namespace and
//! CAP_SYS_PTRACE to open another user's. It dies with the daemon.
//!
//! A call's namespace may be gone before anybody asks. [`Question::Remember`] has the resolver hold one open, and every
//! question that finds one does; the queues of a held namespace outlive its last process by at most [`IDLE`] after the
//! last question about it. At most [`HELD`] namespaces are held, the least recently asked for goes first.

mod child;
mod client;
mod namespaces;
mod question;
mod queue;
mod socket;
mod wire;

use std::{
    cell::Cell,
    fs, io,
    os::fd::OwnedFd,
    ptr, thread,
    time::{Duration, Instant},
};

pub use client::{Client, DEADLINE, OUTSTANDING, ResolverError};
pub use namespaces::{HELD, IDLE};
pub use question::{Answer, Page, Question, Queue, Reply, Request};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The resolver process, not yet asked anything. Dropping it, or the [`Client`] it becomes, ends and reaps it.
#[derive(Debug)]
pub struct Resolver {
    // Closed first, see `Process::drop`.
    socket: OwnedFd,
    process: Process,
}

impl Resolver {
    /// Forks it. To be called before any thread is started, from the thread that lives as long as the daemon: the
    /// resolver dies with that thread.
    ///
    /// # Errors
    /// If this process has more than one thread (/proc/self/task): a lock that another one holds would stay locked in
    /// the child for ever. Those of socketpair(2) and clone(2).
    pub fn fork() -> io::Result<Self> {
        let threads = fs::read_dir("/proc/self/task")?.count();
        if threads != 1 {
            return Err(io::Error::other(format!("{threads} threads exist where one may fork")));
        }
        let (socket, theirs) = socket::pair()?;
        // A fork whose end sends no signal: whoever waits for children without __WALL does not meet it (wait(2)), so that
        // `exec` can tell when the last of its own is gone.
        // SAFETY: this is the only thread, so the child gets all of the process in a state to go on with.
        match unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) } {
            -1 => Err(io::Error::last_os_error()),
            0 => child::run(theirs),
            pid => {
                let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
                Ok(Self { socket, process: Process { pid, reaped: Cell::new(false) } })
            }
        }
    }

    /// Its process id, by which its own calls are told from others'.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid.cast_unsigned()
    }

    /// Makes it answer to the runtime this is called in, within [`DEADLINE`].
    ///
    /// # Errors
    /// Those of registering with the runtime.
    pub fn client(self) -> io::Result<Client> {
        Client::new(self.process, self.socket, DEADLINE)
    }

    /// As [`Self::client`], with another deadline for every answer; the runtime's timer counts in ms.
    ///
    /// # Errors
    /// Those of registering with the runtime.
    pub fn client_within(self, deadline: Duration) -> io::Result<Client> {
        Client::new(self.process, self.socket, deadline)
    }
}

/// A child of ours. Until it is reaped, its id is nobody else's, so that killing it twice harms nobody.
#[derive(Debug)]
struct Process {
    pid: libc::pid_t,
    reaped: Cell<bool>,
}

impl Process {
    /// Kills it, and reaps it if it has already ended. True once it is reaped.
    fn end(&self) -> bool {
        if self.reaped.get() {
            return true;
        }
        // SAFETY: takes and returns integers only.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // SAFETY: no status is asked for.
        let result = unsafe { libc::waitpid(self.pid, ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
        // An error: somebody else has reaped it, as where SIGCHLD is ignored.
        self.reaped.set(result != 0);
        self.reaped.get()
    }
}

impl Drop for Process {
    /// Waits for its end, though not for ever. A daemon that has given up its privileges may not kill what it forked
    /// with them (nor does the kernel on its behalf, PDEATHSIG or not); then it is the closed socket that ends the
    /// resolver.
    fn drop(&mut self) {
        let start = Instant::now();
        while !self.end() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

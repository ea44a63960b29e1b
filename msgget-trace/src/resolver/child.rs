//! The resolver's own process: packets with questions go in, packets with answers come out, until the daemon is gone.

use std::{
    env,
    fs::File,
    io,
    os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd},
    ptr,
    time::{Duration, Instant},
};

use super::{
    namespaces::Namespaces,
    question::{Question, Reply},
    queue, socket,
    wire::{ASKED, Answered, Asked},
};
use crate::{enrich::Clock, event::Errno};

/// Ends this process when dropped, so that no panic leads out of it into the daemon's functions, which it was forked
/// with.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        exit();
    }
}

/// The rest of this process.
pub(super) fn run(socket: OwnedFd) -> ! {
    let _exit = Exit;
    // However it ends, the daemon sees the socket close and asks no more.
    let _ = settle(&socket).and_then(|()| serve(&socket));
    exit()
}

fn exit() -> ! {
    // SAFETY: runs no handlers and flushes no buffers, all of which are the daemon's.
    unsafe { libc::_exit(0) }
}

/// Leaves behind what the daemon gave us, and sees to it that we end with it.
fn settle(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: the name ends with a NUL and has 16 bytes with it, all there is room for.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, c"msgget-resolver".as_ptr()) })?;
    // If the daemon has ended by now, no signal comes, but its end of the socket is closed.
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_long::from(libc::SIGKILL)) })?;
    reset_signals();
    close_all_but(socket.as_raw_fd())?;
    // What writes to standard error all the same, such as a panic, must not meet a namespace there.
    for _ in 0..=libc::STDERR_FILENO {
        let _ = File::options().read(true).write(true).open("/dev/null")?.into_raw_fd();
    }
    // No mount is busy because of us.
    env::set_current_dir("/")
}

/// Gives every signal its default effect, but ignores those that a terminal or a service manager sends to all of the
/// daemon's processes: it drains before it ends, and needs answers until then.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        let disposition = match signal {
            libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM => libc::SIG_IGN,
            _ => libc::SIG_DFL,
        };
        // SAFETY: installs no handler. It fails for SIGKILL, SIGSTOP and what the C library keeps for itself.
        unsafe { libc::signal(signal, disposition) };
    }
    // SAFETY: of the two sets the first is made empty before it is used and the second is not asked for.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// close_range(2), by number: the C library has had it only since glibc 2.34.
fn close_all_but(kept: RawFd) -> io::Result<()> {
    let kept = kept.cast_unsigned();
    let below = kept.checked_sub(1).map(|last| (0, last));
    for (first, last) in below.into_iter().chain([(kept + 1, u32::MAX)]) {
        // SAFETY: nothing in this process uses these descriptors any more: it holds `kept` only.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    }
    Ok(())
}

fn serve(socket: &OwnedFd) -> io::Result<()> {
    let mut namespaces = Namespaces::new()?;
    let mut buffer = [0; ASKED];
    loop {
        let idle = namespaces.expire(Instant::now());
        if !readable(socket, idle)? {
            continue;
        }
        // An empty packet is the daemon's end, anything else that is not a question would be a defect: end, too.
        let Some(asked) = Asked::decode(socket::receive(socket, &mut buffer, 0)?) else {
            return Ok(());
        };
        let reply = look(&mut namespaces, &asked).unwrap_or_else(|error| refusal(&error));
        let at = Clock::boot_now();
        let answered = Answered { seq: asked.seq, at, reply };
        socket::send(socket, &answered.encode(), 0)?;
        // Only now: nobody waits for it.
        namespaces.leave();
    }
}

fn look(namespaces: &mut Namespaces, asked: &Asked) -> io::Result<Reply> {
    if asked.question == Question::Remember {
        namespaces.hold(asked.pid, asked.ipc_ns)?;
        return Ok(Reply::Remembered);
    }
    namespaces.enter(asked.pid, asked.ipc_ns)?;
    match asked.question {
        Question::Stat(id) => queue::stat(id).map(Reply::Queue),
        Question::ListNamespace(from) => queue::page(from).map(Reply::Page),
        Question::Remember => Ok(Reply::Remembered),
    }
}

/// What an error means to who asked: see open(2), proc(5), setns(2) and msgctl(2).
fn refusal(error: &io::Error) -> Reply {
    match error.raw_os_error().unwrap_or(libc::EIO) {
        libc::ENOENT | libc::ESRCH | libc::EINVAL | libc::EIDRM => Reply::Gone,
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN => Reply::Busy,
        errno => Reply::Denied(Errno(u16::try_from(errno).unwrap_or(u16::MAX))),
    }
}

/// Waits for a packet or the end of the other side; false if `limit` has passed, or a signal come, without.
fn readable(socket: &OwnedFd, limit: Option<Duration>) -> io::Result<bool> {
    // Rounded up, lest the last millisecond is spent turning in a circle.
    let limit = limit.map_or(-1, |limit| i32::try_from(limit.as_millis() + 1).unwrap_or(i32::MAX));
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    match check(unsafe { libc::poll(&raw mut entry, 1, limit) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        ready => ready.map(|()| entry.revents != 0),
    }
}

fn check(result: impl Into<i64>) -> io::Result<()> {
    if result.into() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

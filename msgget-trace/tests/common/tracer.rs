//! A process's calls go in and come out changed: by a tracer, which stops it at their edges, or by Syscall User Dispatch, which
//! gives them back to the child itself.

use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::sys::{self, Did, Fork, ok};

/// A forked child that stops at every call; only the thread that forked it can command it, ptrace(2).
pub(crate) struct Traced(Fork);

/// What a tracer can see and change of a child that has stopped.
pub(crate) type Registers = libc::user_regs_struct;

impl Traced {
    /// Forks a child that waits before `body`; it does not outlive the tracer.
    pub(crate) fn fork(body: impl FnOnce() -> Vec<Did>) -> Self {
        let fork = sys::fork(|| {
            // SAFETY: takes and returns integers only.
            unsafe {
                ok(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), "PTRACE_TRACEME");
                libc::raise(libc::SIGSTOP);
            }
            body()
        });
        let traced = Self(fork);
        assert_eq!(traced.stopped(), libc::SIGSTOP);
        traced.command(libc::PTRACE_SETOPTIONS, libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL);
        traced
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.pid
    }

    /// Lets it run until it enters a call of this number; nothing of that has been done yet.
    pub(crate) fn until_entry(&self, number: i64) {
        loop {
            self.until_edge();
            if self.registers().orig_rax == number.cast_unsigned() {
                return;
            }
            self.until_edge();
        }
    }

    /// Lets it run until it enters a call, or leaves the one it is in.
    pub(crate) fn until_edge(&self) {
        self.command(libc::PTRACE_SYSCALL, 0);
        assert_eq!(self.stopped(), libc::SIGTRAP | 0x80, "PTRACE_O_TRACESYSGOOD");
    }

    /// Changes its registers.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Registers)) {
        let mut registers = self.registers();
        change(&mut registers);
        // SAFETY: `registers` is valid for reading.
        let set = unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.pid(), 0, &raw const registers) };
        ok(set, "PTRACE_SETREGS");
    }

    /// Leaves it alone from here on.
    pub(crate) fn release(self) -> Fork {
        self.command(libc::PTRACE_DETACH, 0);
        self.0
    }

    /// Kills it where it has stopped.
    pub(crate) fn kill(self) -> Fork {
        sys::kill(self.pid(), libc::SIGKILL);
        self.0
    }

    fn registers(&self) -> Registers {
        // SAFETY: plain data, for which all zeros is a value.
        let mut registers: Registers = unsafe { mem::zeroed() };
        // SAFETY: `registers` is valid for writing.
        let got = unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.pid(), 0, &raw mut registers) };
        ok(got, "PTRACE_GETREGS");
        registers
    }

    fn command(&self, request: u32, data: i32) {
        // SAFETY: these requests take integers only.
        ok(unsafe { libc::ptrace(request, self.pid(), 0, i64::from(data)) }, "ptrace");
    }

    /// Waits until it has stopped, and returns the signal it has stopped by.
    fn stopped(&self) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        ok(unsafe { libc::waitpid(self.pid(), &raw mut status, libc::__WALL) }, "waitpid");
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
        libc::WSTOPSIG(status)
    }
}

/// Takes its calls of one number away from a running process while this is held: it enters them, and none is made.
pub(crate) struct Thief {
    enough: Arc<AtomicBool>,
    tracer: Option<JoinHandle<()>>,
}

impl Thief {
    /// Of the first thread of process `pid`.
    pub(crate) fn of(pid: i32, number: i64) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        Self { enough, tracer: Some(thread::spawn(move || steal(pid, number, &told))) }
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::SeqCst);
        let ended = self.tracer.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the tracer failed");
    }
}

/// Attaches, changes every entry into a call of this number until it is told to end, and detaches.
fn steal(pid: i32, number: i64, enough: &AtomicBool) {
    let command = |request: u32, data: i64| {
        // SAFETY: these requests take integers only.
        ok(unsafe { libc::ptrace(request, pid, 0, data) }, "ptrace");
    };
    let stopped = || {
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        ok(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, "waitpid");
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
        status
    };
    command(libc::PTRACE_SEIZE, libc::PTRACE_O_TRACESYSGOOD.into());
    command(libc::PTRACE_INTERRUPT, 0);
    let mut status = stopped();
    while !enough.load(Ordering::SeqCst) {
        // Signals go on to it; the other stops are none.
        let call = libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80;
        let signal = if call || status >> 16 != 0 { 0 } else { libc::WSTOPSIG(status) };
        if call {
            // SAFETY: plain data, for which all zeros is a value.
            let mut registers: Registers = unsafe { mem::zeroed() };
            // SAFETY: `registers` is valid for writing.
            ok(unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers) }, "PTRACE_GETREGS");
            // The result of a call that has not been made yet, arch/x86/entry/entry_64.S.
            let enters = registers.rax.cast_signed() == -i64::from(libc::ENOSYS);
            if enters && registers.orig_rax == number.cast_unsigned() {
                registers.orig_rax = u64::MAX;
                // SAFETY: `registers` is valid for reading.
                ok(unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, 0, &raw const registers) }, "PTRACE_SETREGS");
            }
        }
        command(libc::PTRACE_SYSCALL, signal.into());
        status = stopped();
    }
    command(libc::PTRACE_DETACH, 0);
}

/// What the kernel does with this process's calls: 0 executes them, 1 sends SIGSYS instead.
static DISPATCH: AtomicU8 = AtomicU8::new(0);

/// Runs `body` with all system calls of this thread turned into SIGSYS, up to the first: that executes nothing, its handler
/// lets the later ones through. For a forked child, whose only thread this is.
pub(crate) fn dispatching<T>(body: impl FnOnce() -> T) -> T {
    extern "C" fn let_through(_: i32) {
        DISPATCH.store(0, Ordering::SeqCst);
    }
    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    const ON: libc::c_ulong = 1;
    // SAFETY: the handler only stores to an atomic; the selector is a byte that lives as long as the process.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = let_through as *const () as usize;
        ok(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), "sigaction");
        let set = libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, ON, 0, 0, DISPATCH.as_ptr());
        assert_eq!(set, 0, "PR_SET_SYSCALL_USER_DISPATCH: {}", io::Error::last_os_error());
    }
    DISPATCH.store(1, Ordering::SeqCst);
    body()
}

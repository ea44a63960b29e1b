//! System calls, namespaces and children: calls are made here, and nearly everything unsafe.

use std::{
    io::{self, Read, Write},
    mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::ExitStatus,
    sync::atomic::AtomicU32,
    thread,
    time::Duration,
};

/// One `msgget` as its caller saw it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Did {
    pub(crate) key: i32,
    pub(crate) flags: i32,
    /// A queue id, or a negative errno.
    pub(crate) result: i32,
    /// As seen in the caller's own pid namespace.
    pub(crate) tid: i32,
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Wall clock before and after, ns.
    pub(crate) before: i64,
    pub(crate) after: i64,
}

const DID: usize = size_of::<Did>();

impl Did {
    pub(crate) fn result(&self) -> (i64, i64, i64) {
        (self.key.into(), self.flags.into(), self.result.into())
    }
}

/// Calls `msgget` by number, whatever the C library would do.
pub(crate) fn msgget(key: i32, flags: i32) -> Did {
    let before = clock(libc::CLOCK_REALTIME);
    let result = msgget_only(key, flags);
    let after = clock(libc::CLOCK_REALTIME);
    // SAFETY: no preconditions.
    let (tid, pid, parent) = unsafe { (libc::gettid(), libc::getpid(), libc::getppid()) };
    Did { key, flags, result, tid, pid, parent, before, after }
}

/// The bare call: its result or negative errno.
pub(crate) fn msgget_only(key: i32, flags: i32) -> i32 {
    // SAFETY: takes and returns integers only.
    let result = unsafe { libc::syscall(libc::SYS_msgget, libc::c_long::from(key), libc::c_long::from(flags)) };
    if result < 0 { -errno() } else { i32::try_from(result).unwrap() }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap()
}

/// Panics with the error if a system call returned a negative number.
pub(crate) fn ok<T: TryInto<i64> + Copy>(result: T, what: &str) -> T {
    let failed = result.try_into().is_ok_and(|result: i64| result < 0);
    assert!(!failed, "{what}: {}", io::Error::last_os_error());
    result
}

/// Nanoseconds of a clock.
pub(crate) fn clock(id: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Sleeps until CLOCK_MONOTONIC shows this.
pub(crate) fn sleep_until(ns: i64) {
    let time = libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
    // SAFETY: `time` is valid for reading; a signal may end the sleep early, the caller paces by the clock.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut()) };
}

/// Owner, mode, limits and times of a queue.
pub(crate) fn queue(id: i32) -> libc::msqid_ds {
    // SAFETY: plain data, for which all zeros is a value.
    let mut ds = unsafe { mem::zeroed() };
    // SAFETY: `ds` is valid for writing.
    ok(unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut ds) }, "IPC_STAT");
    ds
}

/// Removes a queue, if it is still there.
pub(crate) fn try_remove_queue(id: i32) {
    // SAFETY: IPC_RMID takes no buffer.
    unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
}

/// `msgctl` without a buffer: its result or negative errno.
pub(crate) fn control(id: i32, cmd: i32) -> i32 {
    // SAFETY: without a buffer the kernel writes nothing.
    let result = unsafe { libc::msgctl(id, cmd, std::ptr::null_mut()) };
    if result < 0 { -errno() } else { result }
}

/// A message of type 1 and this many bytes sent to a queue: 0 or negative errno.
pub(crate) fn send(id: i32, bytes: usize, flags: i32) -> i32 {
    let mut message = vec![0_u8; size_of::<libc::c_long>() + bytes];
    message[0] = 1;
    // SAFETY: `message` is a type and so many bytes.
    let result = unsafe { libc::msgsnd(id, message.as_ptr().cast(), bytes, flags) };
    if result < 0 { -errno() } else { result }
}

/// A message of at most this many bytes received from a queue: its length or negative errno.
pub(crate) fn receive(id: i32, bytes: usize, r#type: i64, flags: i32) -> i32 {
    let mut message = vec![0_u8; size_of::<libc::c_long>() + bytes];
    // SAFETY: `message` has room for a type and so many bytes.
    let result = unsafe { libc::msgrcv(id, message.as_mut_ptr().cast(), bytes, r#type, flags) };
    if result < 0 { -errno() } else { i32::try_from(result).unwrap() }
}

/// Waits until a thread of this process sleeps in the system call `number`.
pub(crate) fn await_sleep_in(tid: i32, number: i64) {
    let path = format!("/proc/self/task/{tid}/syscall");
    let deadline = std::time::Instant::now() + super::patience();
    while !std::fs::read_to_string(&path).unwrap().starts_with(&format!("{number} ")) {
        assert!(std::time::Instant::now() < deadline, "thread {tid} does not sleep in call {number}");
        thread::yield_now();
    }
}

/// Gives a queue another mode.
pub(crate) fn change_queue(id: i32, mode: u16) {
    let mut ds = queue(id);
    ds.msg_perm.mode = mode;
    // SAFETY: `ds` is valid for reading.
    ok(unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut ds) }, "IPC_SET");
}

/// This thread's id in its own pid namespace.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

pub(crate) fn effective_uid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() }
}

/// Real and effective ids of this thread alone; it cannot go back.
pub(crate) fn become_user([uid, euid]: [u32; 2], [gid, egid]: [u32; 2]) {
    // SAFETY: system calls with integers; unlike the C library's functions they change only the calling thread.
    unsafe {
        ok(libc::syscall(libc::SYS_setresgid, gid, egid, egid), "setresgid");
        ok(libc::syscall(libc::SYS_setresuid, uid, euid, euid), "setresuid");
    }
}

/// Names this thread: up to 15 bytes without NUL.
pub(crate) fn set_name(name: &[u8]) {
    let mut comm = [0_u8; 16];
    comm[..name.len()].copy_from_slice(name);
    // SAFETY: `comm` ends with a NUL.
    ok(unsafe { libc::prctl(libc::PR_SET_NAME, comm.as_ptr()) }, "PR_SET_NAME");
}

/// Binds this thread to the processor it is on, and returns its number.
pub(crate) fn stay_on_processor() -> usize {
    // SAFETY: no preconditions.
    let cpu = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap();
    move_to_processor(cpu);
    cpu
}

/// Binds this thread to a processor.
pub(crate) fn move_to_processor(cpu: usize) {
    // SAFETY: `set` is plain data and valid for the size given.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        ok(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), "sched_setaffinity");
    }
}

/// Puts this thread ahead of all ordinary ones on the `nth` processor it may use, so that it is there at once when its moment
/// comes, however busy the machine is. Where the machine does not allow that, it is on its own luck.
pub(crate) fn go_first(nth: usize) {
    // SAFETY: plain data, valid for the sizes given.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        ok(libc::sched_getaffinity(0, size_of_val(&set), &raw mut set), "sched_getaffinity");
        let usable: Vec<_> = (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect();
        move_to_processor(usable[nth % usable.len()]);
        let priority = libc::sched_param { sched_priority: 1 };
        let _ = libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority);
    }
}

/// A number that children forked from now on share with us.
pub(crate) fn shared_counter() -> &'static AtomicU32 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of zeros, never unmapped, aligned to a page, only ever used as this atomic.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), size_of::<AtomicU32>(), access, kind, -1, 0);
        assert_ne!(page, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        &*page.cast()
    }
}

/// Moves this thread into new namespaces.
pub(crate) fn enter_new(namespaces: i32) -> io::Result<()> {
    // SAFETY: takes and returns integers only.
    let left = unsafe { libc::unshare(namespaces) };
    if left < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `body` on a thread that has entered new namespaces, which end with it.
pub(crate) fn in_new<T: Send>(namespaces: i32, body: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        enter_new(namespaces).expect("unshare");
        body()
    };
    thread::scope(|scope| scope.spawn(enter).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Runs `body` on a thread with an IPC namespace of its own: what it creates ends with it.
pub(crate) fn private_ipc<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    in_new(libc::CLONE_NEWIPC, body)
}

/// Inode number of a namespace of this thread (`ipc`, `mnt`, `pid`, `pid_for_children`).
pub(crate) fn namespace(kind: &str) -> u64 {
    let link = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
    let link = link.to_str().unwrap();
    link[link.find('[').unwrap() + 1..link.len() - 1].parse().unwrap()
}

/// Whether process ids are the host's (PROC_PID_INIT_INO).
pub(crate) fn in_host_pid_namespace() -> bool {
    namespace("pid") == 0xEFFF_FFFC
}

/// Whether the kernel is locked down so far that not even root may read its memory, kernel_lockdown(7).
pub(crate) fn confidential() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lockdown").is_ok_and(|modes| modes.contains("[confidentiality]"))
}

/// For `pre_exec`: the program does not outlive the thread that started it.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes and returns integers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    Ok(())
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: takes and returns integers only.
    ok(unsafe { libc::kill(pid, signal) }, "kill");
}

/// Waits until a child has ended (it remains to be reaped); false if it takes too long.
pub(crate) fn await_exit(pid: i32, limit: Duration) -> bool {
    // SAFETY: takes integers; the result is checked and owned by nobody else.
    let pidfd = unsafe {
        let fd = ok(libc::syscall(libc::SYS_pidfd_open, pid, 0), "pidfd_open");
        OwnedFd::from_raw_fd(i32::try_from(fd).unwrap())
    };
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut poll, 1, i32::try_from(limit.as_millis()).unwrap()) == 1 }
}

/// A forked child that reports its calls.
pub(crate) struct Fork {
    pub(crate) pid: i32,
    calls: io::PipeReader,
}

/// Forks: the child runs `body`, hands back the calls it made, and ends with status 0 (101 if it panicked).
pub(crate) fn fork(body: impl FnOnce() -> Vec<Did>) -> Fork {
    let (calls, mut report) = io::pipe().unwrap();
    // SAFETY: the child uses the allocator, which the C library keeps usable across its fork, runs `body` and ends
    // without returning into the test runner.
    let pid = ok(unsafe { libc::fork() }, "fork");
    if pid == 0 {
        let _ = die_with_parent();
        let reported = catch_unwind(AssertUnwindSafe(|| {
            for did in body() {
                // SAFETY: `Did` is `repr(C)`, made of integers, and has no padding.
                let bytes: [u8; DID] = unsafe { mem::transmute(did) };
                report.write_all(&bytes).unwrap();
            }
        }));
        // SAFETY: ends the child without unwinding or flushing what belongs to the parent.
        unsafe { libc::_exit(if reported.is_ok() { 0 } else { 101 }) };
    }
    Fork { pid, calls }
}

impl Fork {
    /// Waits for its end and returns its status and calls.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Did>) {
        let mut bytes = Vec::new();
        self.calls.read_to_end(&mut bytes).unwrap();
        // SAFETY: every chunk has the size of a `Did`, and any integers make one.
        let did = |chunk: &[u8]| unsafe { mem::transmute::<[u8; DID], Did>(chunk.try_into().unwrap()) };
        (reap(self.pid), bytes.chunks_exact(DID).map(did).collect())
    }

    /// As [`Self::wait`]; panics unless it went well.
    pub(crate) fn calls(self) -> Vec<Did> {
        let (status, calls) = self.wait();
        assert!(status.success(), "the child ended with {status}");
        calls
    }
}

/// Waits for a child by its process id.
pub(crate) fn reap(pid: i32) -> ExitStatus {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    ok(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, "waitpid");
    ExitStatus::from_raw(status)
}

/// Forks a child with this very process id; `body` must not allocate. An error if the id is taken or not allowed.
pub(crate) fn fork_as(pid: i32, body: impl FnOnce()) -> io::Result<i32> {
    // SAFETY: plain data, for which all zeros is a value.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    args.set_tid = (&raw const pid) as u64;
    args.set_tid_size = 1;
    // SAFETY: `args` is valid for its size; without CLONE_VM the child runs on a copy of this stack, as after a fork.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match child {
        0 => {
            let _ = die_with_parent();
            body();
            // SAFETY: ends the child without unwinding or flushing what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        child if child > 0 => Ok(i32::try_from(child).unwrap()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the kernel still has an eBPF program of this id.
pub(crate) fn bpf_program_exists(id: u32) -> bool {
    const PROG_GET_FD_BY_ID: i32 = 13;
    let attributes = [id, 0, 0, 0];
    // SAFETY: `attributes` is valid for its size; the result is checked and owned by nobody else.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, PROG_GET_FD_BY_ID, attributes.as_ptr(), size_of_val(&attributes));
        if let Ok(fd @ 0..) = i32::try_from(fd) {
            drop(OwnedFd::from_raw_fd(fd));
            return true;
        }
    }
    assert_eq!(errno(), libc::ENOENT, "BPF_PROG_GET_FD_BY_ID");
    false
}

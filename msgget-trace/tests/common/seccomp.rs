//! Seccomp filters that keep a call from the kernel, and a supervisor that answers instead.

use std::{fs::File, io, mem, os::fd::AsRawFd};

use super::sys::ok;

/// [`filter`] for `msgget`.
pub(crate) fn filter_msgget(action: u32, flags: Option<i32>, options: libc::c_ulong) -> io::Result<i64> {
    filter(libc::SYS_msgget, action, flags, options)
}

/// Installs a seccomp filter on this thread: the call `number` gets `action`, or only with this second argument if one is
/// given; everything else goes through. Returns what the kernel returns for `options`. Uses no memory but the stack.
pub(crate) fn filter(number: i64, action: u32, flags: Option<i32>, options: libc::c_ulong) -> io::Result<i64> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    // struct seccomp_data: nr at 0, the low half of args[1] at 24. Without flags both branches of the second test refuse.
    let mut program = [
        step(LOAD, 0, 0),
        step(EQUAL, number as u32, 3),
        step(LOAD, 24, 0),
        step(EQUAL, flags.unwrap_or_default().cast_unsigned(), u8::from(flags.is_some())),
        step(RETURN, action, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog { len: 6, filter: program.as_mut_ptr() };
    // SAFETY: `filter` points to `len` instructions.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, options, &raw const filter)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Lets SIGSYS pass without effect.
pub(crate) fn ignore_sigsys() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing; the rest is plain data.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        ok(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), "sigaction");
    }
}

/// Waits until a call waits at a seccomp listener.
pub(crate) fn await_call(listener: &File) {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = i32::try_from(super::patience().as_millis()).unwrap();
    // SAFETY: one valid pollfd.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, limit) }, 1, "no call waits at the listener");
}

/// Answers one call that waits at a seccomp listener with this value, or lets the kernel execute it.
pub(crate) fn answer(listener: &File, value: Option<i64>) {
    const RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
    const SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
    const CONTINUE: u32 = 1;
    // SAFETY: both structures are plain data, zeroed as the kernel demands, and of the size the requests encode.
    unsafe {
        let mut request: libc::seccomp_notif = mem::zeroed();
        ok(libc::ioctl(listener.as_raw_fd(), RECV, &raw mut request), "SECCOMP_IOCTL_NOTIF_RECV");
        let flags = if value.is_none() { CONTINUE } else { 0 };
        let mut response = libc::seccomp_notif_resp { id: request.id, val: value.unwrap_or_default(), error: 0, flags };
        ok(libc::ioctl(listener.as_raw_fd(), SEND, &raw mut response), "SECCOMP_IOCTL_NOTIF_SEND");
    }
}

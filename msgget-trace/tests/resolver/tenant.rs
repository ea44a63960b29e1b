//! Who makes the queues: what is to be made goes in, a process in an IPC namespace of its own comes out that has made
//! it.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    thread,
};

use msgget_trace::{
    enrich::Clock,
    resolver::{Question, Request},
};

use crate::common::{
    self,
    sys::{self, msgget_only},
};

const NEW: i32 = libc::IPC_CREAT | libc::IPC_EXCL;

/// A process in an IPC namespace of its own.
pub(crate) struct Tenant {
    pub(crate) pid: u32,
    pub(crate) ipc_ns: u32,
    /// The queues it made.
    pub(crate) ids: Vec<i32>,
}

impl Tenant {
    /// Starts it as this user; `make` makes its queues.
    pub(crate) fn new(uid: u32, make: impl FnOnce() -> Vec<i32>) -> Self {
        let (mut ids, mut report) = io::pipe().unwrap();
        // SAFETY: this is the only thread, and the child does not return.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            sys::enter_new(libc::CLONE_NEWIPC).unwrap();
            set_uids(uid, uid);
            // Later than that, which would revoke it.
            sys::die_with_parent().unwrap();
            make().iter().for_each(|id| report.write_all(&id.to_ne_bytes()).unwrap());
            drop(report);
            loop {
                thread::park();
            }
        }
        drop(report);
        let mut bytes = Vec::new();
        ids.read_to_end(&mut bytes).unwrap();
        let pid = u32::try_from(pid).unwrap();
        Self {
            pid,
            ipc_ns: ipc_ns(pid),
            ids: bytes.chunks_exact(4).map(|id| i32::from_ne_bytes(id.try_into().unwrap())).collect(),
        }
    }

    pub(crate) fn asks(&self, question: Question) -> Request {
        Request { pid: self.pid, ipc_ns: self.ipc_ns, left: Clock::boot_now(), question }
    }

    pub(crate) fn stat(&self) -> Request {
        self.asks(Question::Stat(self.ids[0]))
    }

    /// Ends it and leaves a zombie.
    pub(crate) fn kill(&self) {
        sys::kill(self.pid.cast_signed(), libc::SIGKILL);
        assert!(sys::await_exit(self.pid.cast_signed(), common::patience()));
    }

    /// Ends it wholly.
    pub(crate) fn end(&self) {
        self.kill();
        sys::reap(self.pid.cast_signed());
    }
}

pub(crate) fn ipc_ns(pid: u32) -> u32 {
    let inode = fs::metadata(format!("/proc/{pid}/ns/ipc")).unwrap().ino();
    inode.try_into().unwrap()
}

/// Changes the real and saved, and the effective user id. By number: the C library would have all threads do it, and a
/// fork's only one has no need of that.
pub(crate) fn set_uids(real: u32, effective: u32) {
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, real, effective, real) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

pub(crate) fn create(key: i32, mode: i32) -> i32 {
    let id = msgget_only(key, NEW | mode);
    assert!(id >= 0, "msgget: {}", io::Error::from_raw_os_error(-id));
    id
}

pub(crate) fn remove(id: i32) {
    // SAFETY: IPC_RMID takes no buffer.
    assert_eq!(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }, 0);
}

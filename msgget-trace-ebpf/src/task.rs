//! Tasks: a pointer goes in; ids, kin and state come out. What takes following pointers stands in `current`, for the task that
//! makes the call.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use msgget_trace_ebpf::INITIAL_PID_NS;

use crate::object::{Object, at, frozen, read};

/// `sizeof(struct upid)`: an int and a pointer, include/linux/pid.h.
const UPID_BYTES: u32 = 16;

/// `PF_KTHREAD`, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;

/// A task, the kernel's `struct task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(pub(crate) Object);

/// Ids of a thread as seen from its own pid namespace, and which one that is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Namespaced {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    /// 0 when the parent cannot be seen from there, as getppid(2) says.
    pub(crate) ppid: u32,
    /// Inode number of the namespace; 0 when it could not be looked into.
    pub(crate) pid_ns: u32,
}

impl Task {
    /// The task this program runs in.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: the helper has no preconditions and never returns null.
        Self(Object(unsafe { bpf_get_current_task_btf() }.cast_const().cast()))
    }

    /// A task given by a BTF tracepoint.
    #[inline(always)]
    pub(crate) fn from_object(object: Object) -> Self {
        Self(object)
    }

    /// Process id on the host.
    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        // SAFETY: pid_t.
        unsafe { self.0.get(at!(task_tgid)) }
    }

    /// Thread id on the host.
    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        // SAFETY: pid_t.
        unsafe { self.0.get(at!(task_pid)) }
    }

    /// True when the last thread of the process is exiting: `do_exit` counts it out before `sched_process_exit`
    /// (kernel/exit.c).
    #[inline(always)]
    pub(crate) fn last_thread(self) -> bool {
        // SAFETY: a pointer, then the int inside an atomic_t.
        unsafe { self.0.follow(at!(task_signal)).get::<u32>(at!(signal_live)) == 0 }
    }

    /// Command name.
    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; 16] {
        // SAFETY: an array of 16 bytes.
        unsafe { self.0.get_bytes(at!(task_comm)) }
    }

    /// Where the task lies.
    #[inline(always)]
    pub(crate) fn pointer(self) -> *const u8 {
        self.0.0
    }

    /// `thread_info.status` of x86.
    #[inline(always)]
    pub(crate) fn status(self) -> u32 {
        // SAFETY: a u32.
        unsafe { self.0.load(at!(task_status)) }
    }

    /// True for a thread of the kernel.
    #[inline(always)]
    pub(crate) fn is_kernel(self) -> bool {
        // SAFETY: an unsigned int.
        unsafe { self.0.load::<u32>(at!(task_flags)) & PF_KTHREAD != 0 }
    }

    /// The first thread of this task's process.
    #[inline(always)]
    pub(crate) fn process(self) -> Self {
        // SAFETY: a pointer.
        Self(unsafe { self.0.follow(at!(task_group_leader)) })
    }

    /// The first thread of its parent process.
    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        // SAFETY: a pointer.
        Self(unsafe { self.0.follow(at!(task_real_parent)) }).process()
    }

    /// Its ids in its own pid namespace. In the initial one, where nearly every call comes from, they are those of the
    /// host; deeper ones stand in an array that the verifier lets nobody index, so they need a helper, and are unknown
    /// where that is forbidden.
    #[inline(always)]
    pub(crate) fn namespaced(self, parent: Self) -> Namespaced {
        // SAFETY: an unsigned int.
        let level: u32 = unsafe { self.pid().get(at!(pid_level)) };
        if level == 0 {
            return Namespaced { pid: self.tgid(), tid: self.tid(), ppid: parent.tgid(), pid_ns: INITIAL_PID_NS };
        }
        if frozen!(CONFIG.read_kernel) == 0 {
            return Namespaced::default();
        }
        let (tid, namespace) = upid(self.pid(), level);
        let (ppid, parent_namespace) = upid(parent.pid(), level);
        Namespaced {
            pid: upid(self.process().pid(), level).0,
            tid,
            ppid: if parent_namespace == namespace { ppid } else { 0 },
            // SAFETY: an unsigned int.
            pid_ns: unsafe { read(namespace + u64::from(at!(pid_inum))) },
        }
    }

    /// Its `struct pid`.
    #[inline(always)]
    fn pid(self) -> Object {
        if self.0.0.is_null() {
            return self.0;
        }
        // SAFETY: a pointer.
        unsafe { self.0.follow(at!(task_thread_pid)) }
    }
}

/// The id that `pid` has `level` levels below the initial namespace, and the address of the namespace there; zeros where
/// it is not visible.
#[inline(always)]
fn upid(pid: Object, level: u32) -> (u32, u64) {
    // SAFETY: an unsigned int; then an int and a pointer inside an array of `level + 1` elements.
    unsafe {
        if pid.get::<u32>(at!(pid_level)) < level {
            return (0, 0);
        }
        let upid = pid.0 as u64 + u64::from(at!(pid_numbers)) + u64::from(level) * u64::from(UPID_BYTES);
        (read(upid + u64::from(at!(upid_nr))), read(upid + u64::from(at!(upid_ns))))
    }
}

//! The current task: a pointer to it goes in; what a record says of it comes out.

use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_smp_processor_id, generated::bpf_get_current_task_btf};
use msgget_trace_ebpf::{ABSENT, Call, FACT_NONE, INITIAL_PID_NS, Owner, Position};

use crate::{
    door::Door,
    maps,
    object::{Object, at, frozen, read},
    slot::Pairing,
};

/// `sizeof(struct upid)`: an int and a pointer, include/linux/pid.h.
const UPID_BYTES: u32 = 16;

/// `PF_KTHREAD`, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;

/// A task: of the kernel's `struct task_struct`, what a record needs.
#[derive(Clone, Copy)]
pub(crate) struct Task(Object);

/// Ids of a thread as seen from its own pid namespace, and which one that is.
#[derive(Clone, Copy, Default)]
struct Namespaced {
    pid: u32,
    tid: u32,
    /// 0 when the parent cannot be seen from there, as getppid(2) says.
    ppid: u32,
    /// Inode number of the namespace; 0 when it could not be looked into.
    pid_ns: u32,
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

    /// True for the daemon itself, wherever in the tree of pid namespaces it lives.
    #[inline(always)]
    pub(crate) fn is_daemon(self) -> bool {
        let (own, reader) = (self.namespaced(self.parent()), maps::reader());
        own.pid_ns == reader.pid_ns && own.pid == reader.pid
    }

    /// True for the daemon, and for a child of it, such as the one that makes the canary call by `int 0x80`.
    #[inline(always)]
    pub(crate) fn of_daemon(self) -> bool {
        let (own, reader) = (self.namespaced(self.parent()), maps::reader());
        own.pid_ns == reader.pid_ns && (own.pid == reader.pid || own.ppid == reader.pid)
    }

    /// When its process was started (boot clock, ns).
    #[inline(always)]
    pub(crate) fn process_start(self) -> u64 {
        // SAFETY: a u64.
        unsafe { self.process().0.get(at!(task_start_boottime)) }
    }

    /// Effective user id.
    #[inline(always)]
    pub(crate) fn euid(self) -> u32 {
        // SAFETY: a pointer, then the u32 inside a kuid_t.
        unsafe { self.0.follow(at!(task_cred)).get(at!(cred_euid)) }
    }

    /// Inode number of its IPC namespace.
    #[inline(always)]
    pub(crate) fn ipc_ns(self) -> u32 {
        // SAFETY: two pointers, then an unsigned int.
        unsafe { self.0.follow(at!(task_nsproxy)).get_via(at!(nsproxy_ipc), at!(ipc_inum)) }
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

    /// Where the allocation of queue ids stands in the task's IPC namespace.
    #[inline(always)]
    pub(crate) fn position(self) -> Position {
        // SAFETY: two pointers; an unsigned short, two ints.
        unsafe {
            let namespaces = self.0.follow(at!(task_nsproxy));
            if namespaces.0.is_null() || at!(ipc_msg_seq) == ABSENT || at!(ipc_msg_last_idx) == ABSENT {
                return Position::default();
            }
            let ipc = namespaces.follow(at!(nsproxy_ipc));
            // `ipc_idr_alloc` raises the sequence number first and sets the index second. Read in the same order twice,
            // they belong together if the number stayed; an index that is about to fall looks like a position ahead of
            // its time, which shows at exit as one that went backwards.
            let seq: u16 = ipc.get(at!(ipc_msg_seq));
            let last_idx: i32 = ipc.get(at!(ipc_msg_last_idx));
            let again: u16 = ipc.get(at!(ipc_msg_seq));
            let chosen = at!(ipc_msg_next_id) != ABSENT && ipc.get::<i32>(at!(ipc_msg_next_id)) != -1;
            Position { seq: seq.into(), last_idx, valid: u32::from(seq == again && !chosen), reserved: 0 }
        }
    }

    /// Writes everything about a call that this task, the current one, is leaving into `call`; what the hooks know beyond
    /// it is left at nothing.
    ///
    /// Field by field: a record as a value would have to stand on the stack, which has 512 bytes.
    #[inline(always)]
    pub(crate) fn describe(self, call: &mut Call, door: &Door, pairing: &Pairing, exit_ns: u64, ret: i64) {
        call.header = Call::HEADER;
        call.enter_ns = pairing.enter_ns;
        call.exit_ns = exit_ns;
        call.fact_ns = 0;
        call.ret = ret;
        call.before = pairing.before;
        call.after = Position::default();
        call.owner = Owner::default();
        call.key = door.key;
        call.msgflg = door.msgflg;
        call.pairing = pairing.how;
        call.fact = FACT_NONE;
        call.queue_mode = 0;
        call.abi = door.abi;
        call.entry = door.entry;
        call.number = door.number;
        call.ipc_call = door.ipc_call;
        call.witness = 0;
        call.queue_key = 0;

        let task = self.0;
        let process = self.process();
        let parent = self.parent();
        // SAFETY: every load names the type its member has in Linux 5.15 to 6.18; set-up refuses other widths.
        unsafe {
            call.thread_start_ns = task.load(at!(task_start_boottime));
            call.process_start_ns = process.0.get(at!(task_start_boottime));
            call.parent_start_ns = parent.0.get(at!(task_start_boottime));
            call.exec_id = process.0.get(at!(task_self_exec_id));
            call.parent_exec_id = parent.0.get(at!(task_self_exec_id));
            call.cgroup_id = bpf_get_current_cgroup_id();
            call.cpu = bpf_get_smp_processor_id();
            call.loginuid = task.load(at!(task_loginuid));
            call.sessionid = task.load(at!(task_sessionid));
            call.seccomp = task.load(at!(task_seccomp));
            call.ptrace = task.load(at!(task_ptrace));
            call.comm = task.get_bytes(at!(task_comm));

            let credentials = task.follow(at!(task_cred));
            call.capabilities = credentials.get(at!(cred_caps));
            call.uid = credentials.get(at!(cred_uid));
            call.euid = credentials.get(at!(cred_euid));
            call.suid = credentials.get(at!(cred_suid));
            call.fsuid = credentials.get(at!(cred_fsuid));
            call.gid = credentials.get(at!(cred_gid));
            call.egid = credentials.get(at!(cred_egid));
            call.user_ns = credentials.get_via(at!(cred_user_ns), at!(user_inum));

            let namespaces = task.follow(at!(task_nsproxy));
            call.mnt_ns = namespaces.get_via(at!(nsproxy_mnt), at!(mnt_inum));
            call.ipc_ns = namespaces.get_via(at!(nsproxy_ipc), at!(ipc_inum));
            call.nodename = namespaces.get_bytes_via(at!(nsproxy_uts), at!(uts_nodename));
        }

        call.pid = self.tgid();
        call.tid = self.tid();
        call.ppid = parent.tgid();
        let own = self.namespaced(parent);
        call.ns_pid = own.pid;
        call.ns_tid = own.tid;
        call.ns_ppid = own.ppid;
        call.pid_ns = own.pid_ns;
    }

    /// The first thread of this task's process.
    #[inline(always)]
    fn process(self) -> Self {
        // SAFETY: a pointer.
        Self(unsafe { self.0.follow(at!(task_group_leader)) })
    }

    /// The first thread of its parent process.
    #[inline(always)]
    fn parent(self) -> Self {
        // SAFETY: a pointer.
        Self(unsafe { self.0.follow(at!(task_real_parent)) }).process()
    }

    /// Its ids in its own pid namespace. In the initial one, where nearly every call comes from, they are those of the
    /// host; deeper ones stand in an array that the verifier lets nobody index, so they need a helper, and are unknown
    /// where that is forbidden.
    #[inline(always)]
    fn namespaced(self, parent: Self) -> Namespaced {
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

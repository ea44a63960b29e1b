//! The current task's identity: BTF-given offsets go in, numbers come out. All pointer arithmetic of the kernel side
//! stands here.
//!
//! Members are read by direct loads through BTF-typed pointers, which the verifier checks and the kernel makes fault-safe:
//! no helper, so they work under lockdown=confidentiality, and an access must be as wide as the member. The offsets are
//! frozen constants, so a branch on an absent one costs nothing and vanishes.

use aya_ebpf::{
    Global,
    bindings::task_struct,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_smp_processor_id, bpf_probe_read_kernel,
        generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
    },
};
use msgget_trace_ebpf::{ABSENT, Call};

use crate::slot::Pairing;

/// `sizeof(struct upid)`: an int and a pointer, include/linux/pid.h.
const UPID_BYTES: u32 = 16;

/// Inode number of the initial pid namespace, `PROC_PID_INIT_INO` of include/linux/proc_ns.h.
const INITIAL_PID_NS: u32 = 0xefff_fffc;

/// One word of a global that user space froze; loading the whole structure would cost an instruction for every field.
macro_rules! frozen {
    (CONFIG.$field:ident) => {
        $crate::task::frozen_word(
            &raw const $crate::maps::CONFIG,
            core::mem::offset_of!(msgget_trace_ebpf::Config, $field),
        )
    };
    (OFFSETS.$field:ident) => {
        $crate::task::frozen_word(
            &raw const $crate::maps::OFFSETS,
            core::mem::offset_of!(msgget_trace_ebpf::Offsets, $field),
        )
    };
}
pub(crate) use frozen;

/// Reads the word at `offset` of a global; see [`frozen!`].
#[inline(always)]
pub(crate) fn frozen_word<T>(global: *const Global<T>, offset: usize) -> u32 {
    // SAFETY: `Global` is transparent over its value, all of whose fields are words; `offset` comes from `offset_of!`.
    unsafe { core::ptr::read_volatile(global.cast::<u8>().add(offset).cast::<u32>()) }
}

/// The offset of a member.
macro_rules! at {
    ($field:ident) => {
        frozen!(OFFSETS.$field)
    };
}

/// A structure of the kernel, by a pointer whose type the verifier knows. Null reads as zeros.
#[derive(Clone, Copy)]
pub(crate) struct Object(*const u8);

impl Object {
    /// An argument of a BTF tracepoint.
    #[inline(always)]
    pub(crate) fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// Loads the member at `offset`; zero where this kernel has none.
    ///
    /// # Safety
    /// `T` is an integer as wide as the member, or a part of an array of bytes.
    #[inline(always)]
    unsafe fn load<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::default();
        }
        // SAFETY: the verifier accepts only loads inside the structure; the kernel turns a fault into zero.
        unsafe { core::ptr::read_volatile(self.0.add(offset as usize).cast()) }
    }

    /// The structure that the pointer at `offset` leads to.
    ///
    /// # Safety
    /// The member is a pointer.
    #[inline(always)]
    unsafe fn follow(self, offset: u32) -> Self {
        if offset == ABSENT {
            return Self(core::ptr::null());
        }
        // SAFETY: as `load`.
        Self(unsafe { core::ptr::read_volatile(self.0.add(offset as usize).cast()) })
    }

    /// [`Self::load`] that bears a null pointer.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(always)]
    unsafe fn get<T: Copy + Default>(self, offset: u32) -> T {
        if self.0.is_null() {
            return T::default();
        }
        // SAFETY: the caller's promise.
        unsafe { self.load(offset) }
    }

    /// [`Self::get`] behind the pointer at `pointer`.
    ///
    /// # Safety
    /// As [`Self::follow`] and [`Self::load`].
    #[inline(always)]
    unsafe fn get_via<T: Copy + Default>(self, pointer: u32, offset: u32) -> T {
        if self.0.is_null() {
            return T::default();
        }
        // SAFETY: the caller's promise.
        unsafe { self.follow(pointer).get(offset) }
    }

    /// The first 16 bytes of a byte array.
    ///
    /// # Safety
    /// The member is an array of at least 16 bytes.
    #[inline(always)]
    unsafe fn get_bytes(self, offset: u32) -> [u8; 16] {
        if offset == ABSENT {
            return [0; 16];
        }
        // SAFETY: byte arrays may be read in any width that stays inside them.
        let words: [u64; 2] = unsafe { [self.get(offset), self.get(offset + 8)] };
        // SAFETY: both are 16 plain bytes.
        unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>(words) }
    }
}

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
        let own = self.namespaced(self.parent());
        own.pid_ns == frozen!(CONFIG.self_pid_ns) && own.pid == frozen!(CONFIG.self_pid)
    }

    /// The two arguments of the 64-bit system call that this task is leaving. The kernel keeps them in the saved
    /// registers until it returns to user space; a tracer can change them only before the enter hook.
    #[inline(always)]
    pub(crate) fn arguments(self) -> (i32, i32) {
        // SAFETY: the task is the current one; the helper (Linux 5.15) returns its saved registers, never null.
        let regs = Object(unsafe { bpf_task_pt_regs(self.0.0.cast_mut().cast::<task_struct>()) } as *const u8);
        // SAFETY: registers are 8 bytes wide; the kernel, too, takes the low half of each (SYSCALL_DEFINE2(msgget)).
        unsafe {
            (
                regs.load::<u64>(at!(regs_arg0)) as i32,
                regs.load::<u64>(at!(regs_arg1)) as i32,
            )
        }
    }

    /// The whole record of a call that this task, the current one, is leaving.
    #[inline(always)]
    pub(crate) fn call(self, pairing: Pairing, exit_ns: u64, ret: i64) -> Call {
        let task = self.0;
        let (key, msgflg) = self.arguments();
        // SAFETY: every load names the type its member has in Linux 5.15 to 6.18; set-up refuses other widths.
        unsafe {
            let process = self.process();
            let parent = self.parent();
            let namespaces = task.follow(at!(task_nsproxy));
            let credentials = task.follow(at!(task_cred));
            let own = self.namespaced(parent);
            let nodename = if namespaces.0.is_null() {
                [0; 16]
            } else {
                namespaces.follow(at!(nsproxy_uts)).get_bytes(at!(uts_nodename))
            };
            Call {
                header: Call::HEADER,
                enter_ns: pairing.enter_ns,
                exit_ns,
                thread_start_ns: task.load(at!(task_start_boottime)),
                process_start_ns: process.0.get(at!(task_start_boottime)),
                parent_start_ns: parent.0.get(at!(task_start_boottime)),
                cgroup_id: bpf_get_current_cgroup_id(),
                ret,
                key,
                msgflg,
                pid: self.tgid(),
                tid: self.tid(),
                ppid: parent.tgid(),
                ns_pid: own.pid,
                ns_tid: own.tid,
                ns_ppid: own.ppid,
                uid: credentials.get(at!(cred_uid)),
                euid: credentials.get(at!(cred_euid)),
                gid: credentials.get(at!(cred_gid)),
                egid: credentials.get(at!(cred_egid)),
                mnt_ns: namespaces.get_via(at!(nsproxy_mnt), at!(mnt_inum)),
                pid_ns: own.pid_ns,
                ipc_ns: namespaces.get_via(at!(nsproxy_ipc), at!(ipc_inum)),
                cpu: bpf_get_smp_processor_id(),
                pairing: pairing.how,
                reserved: 0,
                comm: task.get_bytes(at!(task_comm)),
                nodename,
            }
        }
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
            return Namespaced {
                pid: self.tgid(),
                tid: self.tid(),
                ppid: parent.tgid(),
                pid_ns: INITIAL_PID_NS,
            };
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
        (
            read(upid + u64::from(at!(upid_nr))),
            read(upid + u64::from(at!(upid_ns))),
        )
    }
}

/// Reads kernel memory by address; zero where that faults.
///
/// # Safety
/// None that the kernel does not enforce; the value means something only if `T` lies at `address`.
#[inline(always)]
unsafe fn read<T: Default>(address: u64) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address as *const T) }.unwrap_or_default()
}

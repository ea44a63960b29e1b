//! Questions about the current task go in, numbers come out, or a record that says who it is.
//!
//! Each is a global function, which the verifier checks once; an inlined or a static one it walks again in every state that
//! comes there. It matters because for every pointer that is loaded through BTF it may search the names of all types, 140,000
//! on a common kernel (`btf_nested_type_is_trusted`, kernel/bpf/verifier.c, since Linux 6.3), which took three quarters of the
//! time that loading took. Such functions take and return plain numbers, and so stand behind the ones that the rest calls.

use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_smp_processor_id};
use msgget_trace_ebpf::{Call, FACT_NONE, Owner, Position};

use crate::{
    door::Door,
    maps::{self, scratch},
    object::at,
    slot::Pairing,
    task::Task,
};

/// What [`kin_of_daemon`] says of the daemon itself, of a child of it, and of anybody else.
const DAEMON: u32 = 2;
const CHILD: u32 = 1;
const STRANGER: u32 = 0;

/// True for the daemon itself, wherever in the tree of pid namespaces it lives.
#[inline(always)]
pub(crate) fn is_daemon() -> bool {
    kin_of_daemon() == DAEMON
}

/// True for the daemon, and for a child of it, such as the one that makes the canary call by `int 0x80`.
#[inline(always)]
pub(crate) fn of_daemon() -> bool {
    kin_of_daemon() != STRANGER
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kin_of_daemon() -> u32 {
    let task = Task::current();
    let (own, reader) = (task.namespaced(task.parent()), maps::reader());
    if own.pid_ns != reader.pid_ns {
        STRANGER
    } else if own.pid == reader.pid {
        DAEMON
    } else if own.ppid == reader.pid {
        CHILD
    } else {
        STRANGER
    }
}

/// When the current process was started (boot clock, ns).
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn process_start() -> u64 {
    // SAFETY: a u64.
    unsafe { Task::current().process().0.get(at!(task_start_boottime)) }
}

/// Effective user id of the current task.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn effective_user() -> u32 {
    // SAFETY: a pointer, then the u32 inside a kuid_t.
    unsafe { Task::current().0.follow(at!(task_cred)).get(at!(cred_euid)) }
}

/// Inode number of the current task's IPC namespace.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ipc_namespace() -> u32 {
    // SAFETY: two pointers, then an unsigned int.
    unsafe { Task::current().0.follow(at!(task_nsproxy)).get_via(at!(nsproxy_ipc), at!(ipc_inum)) }
}

/// Puts everything about a call that the current task is leaving into the [`scratch`] element `of`, and hands that out; what
/// the hooks know beyond it is left at nothing.
///
/// Field by field: a record as a value would have to stand on the stack, which has 512 bytes.
#[inline(always)]
pub(crate) fn describe<'a>(of: u32, door: &Door, pairing: &Pairing, exit_ns: u64, ret: i64) -> Option<&'a mut Call> {
    // First, for two must not have hold of the element at a time.
    describe_caller(of);
    let call = scratch(of)?;
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
    Some(call)
}

/// The part of [`describe`] that asks the kernel.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn describe_caller(of: u32) -> u32 {
    let Some(call) = scratch(of) else { return 0 };
    let current = Task::current();
    let (task, process, parent) = (current.0, current.process(), current.parent());
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

    call.pid = current.tgid();
    call.tid = current.tid();
    call.ppid = parent.tgid();
    let own = current.namespaced(parent);
    call.ns_pid = own.pid;
    call.ns_tid = own.tid;
    call.ns_ppid = own.ppid;
    call.pid_ns = own.pid_ns;
    0
}

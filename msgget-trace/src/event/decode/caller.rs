//! The part of a record that says who made the call goes in, a [`Caller`] comes out.

use msgget_trace_ebpf::{ABSENT, Call as Record, Offsets};

use crate::event::{BootTime, Caller, Ids};

/// Who made the call of `record`, as far as `offsets` let the kernel program see.
pub(super) fn caller(offsets: &Offsets, record: &Record) -> Caller {
    let have = |offset: u32| offset != ABSENT;
    let when = |ns: u64| have(offsets.task_start_boottime).then_some(BootTime(ns));
    // The program writes 0 where it could not look into a namespace; no id and no inode number is 0.
    let pid_ns = (record.pid_ns != 0).then_some(record.pid_ns);
    // Audit's words for "nobody" and "none".
    let audited = |offset, id: u32| (have(offset) && id != u32::MAX).then_some(id);
    Caller {
        cpu: record.cpu,
        host: Ids { pid: record.pid, tid: record.tid, ppid: record.ppid },
        namespaced: (pid_ns.is_some() && record.ns_pid != 0 && record.ns_tid != 0).then_some(Ids {
            pid: record.ns_pid,
            tid: record.ns_tid,
            ppid: record.ns_ppid,
        }),
        thread_started: when(record.thread_start_ns),
        process_started: when(record.process_start_ns),
        parent_started: when(record.parent_start_ns),
        uid: have(offsets.cred_uid).then_some(record.uid),
        euid: have(offsets.cred_euid).then_some(record.euid),
        gid: have(offsets.cred_gid).then_some(record.gid),
        egid: have(offsets.cred_egid).then_some(record.egid),
        suid: have(offsets.cred_suid).then_some(record.suid),
        fsuid: have(offsets.cred_fsuid).then_some(record.fsuid),
        capabilities: have(offsets.cred_caps).then_some(record.capabilities),
        login_uid: audited(offsets.task_loginuid, record.loginuid),
        session: audited(offsets.task_sessionid, record.sessionid),
        seccomp: have(offsets.task_seccomp).then_some(record.seccomp),
        traced: have(offsets.task_ptrace).then_some(record.ptrace != 0),
        exec_id: have(offsets.task_self_exec_id).then_some(record.exec_id),
        parent_exec_id: have(offsets.task_self_exec_id).then_some(record.parent_exec_id),
        image: None,
        parent_image: None,
        user_ns: have(offsets.user_inum).then_some(record.user_ns),
        mnt_ns: have(offsets.mnt_inum).then_some(record.mnt_ns),
        pid_ns,
        ipc_ns: have(offsets.ipc_inum).then_some(record.ipc_ns),
        cgroup_id: record.cgroup_id,
        comm: record.comm,
        nodename: have(offsets.uts_nodename).then_some(record.nodename),
    }
}

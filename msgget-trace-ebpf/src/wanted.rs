//! Whose calls are wanted: the current task goes in, whether `exec` follows it and whether any policy can want its calls come
//! out.

use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use msgget_trace_ebpf::{
    ABSENT, SCOPE_CGROUP, SCOPE_COMM, SCOPE_EUID, SCOPE_GID, SCOPE_IPC_NS, SCOPE_MNT_NS, SCOPE_PID, SCOPE_PID_NS,
    SCOPE_UID, ScopeKey, Scopes,
};

use crate::{
    current::{is_daemon, of_daemon},
    door::Door,
    maps::{self, MEMBERS, SCOPE_CGROUPS, SCOPE_VALUES},
    object::{at, frozen},
    task::Task,
};

/// True if the calls of the current task are wanted, as far as `exec` goes.
#[inline(always)]
pub(crate) fn followed() -> bool {
    if frozen!(CONFIG.follow) == 0 {
        return true;
    }
    let tgid = Task::current().tgid();
    // SAFETY: the value is not used, so it does not matter what becomes of the element.
    unsafe { MEMBERS.get(tgid) }.is_some() || is_daemon()
}

/// True if a policy may want the call through `door` that the current task has made; and for the calls that prove the daemon's
/// eyes. Asked when a call has returned and not before, for policies may change while it is under way.
#[inline(always)]
pub(crate) fn in_scope(door: &Door) -> bool {
    frozen!(CONFIG.scoped) == 0
        || policies_in_scope() != 0
        || (door.key as u32 == maps::reader().canary_key && of_daemon())
}

/// The policies that may want calls of the current task, all bits where there is no policy. A global function, see `current`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn policies_in_scope() -> u64 {
    let generation = maps::scopes_in_force();
    if generation == 0 {
        return u64::MAX;
    }
    let Some(scopes) = maps::scopes(generation) else { return u64::MAX };
    let current = Task::current();
    let task = current.0;
    let mut policies = scopes.policies;
    // What this kernel does not have is not known, so the policies that ask for it are not told what it is, but decide themselves.
    // SAFETY: every load names the type its member has, as in `describe_caller`.
    unsafe {
        let credentials = task.follow(at!(task_cred));
        if asks(scopes, SCOPE_UID) && at!(cred_uid) != ABSENT {
            policies &= content(scopes, generation, SCOPE_UID, number(credentials.get(at!(cred_uid))));
        }
        if asks(scopes, SCOPE_EUID) && at!(cred_euid) != ABSENT {
            policies &= content(scopes, generation, SCOPE_EUID, number(credentials.get(at!(cred_euid))));
        }
        if asks(scopes, SCOPE_GID) && at!(cred_gid) != ABSENT {
            policies &= content(scopes, generation, SCOPE_GID, number(credentials.get(at!(cred_gid))));
        }
        if asks(scopes, SCOPE_PID) {
            policies &= content(scopes, generation, SCOPE_PID, number(current.tgid()));
        }
        if asks(scopes, SCOPE_MNT_NS) {
            let namespaces = task.follow(at!(task_nsproxy));
            policies &=
                of_namespace(scopes, generation, SCOPE_MNT_NS, namespaces.get_via(at!(nsproxy_mnt), at!(mnt_inum)));
        }
        if asks(scopes, SCOPE_IPC_NS) {
            let namespaces = task.follow(at!(task_nsproxy));
            policies &=
                of_namespace(scopes, generation, SCOPE_IPC_NS, namespaces.get_via(at!(nsproxy_ipc), at!(ipc_inum)));
        }
        if asks(scopes, SCOPE_PID_NS) {
            let own = current.namespaced(current.parent());
            policies &= of_namespace(scopes, generation, SCOPE_PID_NS, own.pid_ns);
        }
        if asks(scopes, SCOPE_COMM) {
            let comm = core::mem::transmute::<[u8; 16], [u64; 2]>(current.comm());
            policies &= content(scopes, generation, SCOPE_COMM, ScopeKey::comm(comm));
        }
    }
    // SAFETY: no preconditions.
    let cgroup = ScopeKey { generation, field: SCOPE_CGROUP, value: [unsafe { bpf_get_current_cgroup_id() }, 0] };
    // SAFETY: a word, which is only replaced by another.
    policies & unsafe { SCOPE_CGROUPS.get(cgroup) }.copied().unwrap_or(u64::MAX)
}

#[inline(always)]
fn asks(scopes: &Scopes, field: u32) -> bool {
    scopes.asked & (1 << field) != 0
}

#[inline(always)]
fn number(value: u32) -> [u64; 2] {
    [value.into(), 0]
}

/// The policies that are content with a namespace, if that is known.
#[inline(always)]
fn of_namespace(scopes: &Scopes, generation: u32, field: u32, inode: u32) -> u64 {
    if inode == 0 { u64::MAX } else { content(scopes, generation, field, number(inode)) }
}

/// The policies that are content with `value`.
#[inline(always)]
fn content(scopes: &Scopes, generation: u32, field: u32, value: [u64; 2]) -> u64 {
    // SAFETY: as above; values are not replaced at all.
    match unsafe { SCOPE_VALUES.get(ScopeKey { generation, field, value }) } {
        Some(policies) => *policies,
        None => scopes.otherwise[field as usize],
    }
}

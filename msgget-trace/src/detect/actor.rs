//! Actors: the caller of a call goes in; what has to be remembered of him, to recognise and to name him later, comes out.

use std::sync::Arc;

use msgget_trace_ebpf::COMM_LEN;
use uuid::Uuid;

use super::Party;
use crate::event::{BootTime, CallId, Caller, Device, Event};

/// Bytes of a path that are remembered: its end, for that tells most.
const PATH: usize = 256;

/// The capability to use and change the queues of others, include/uapi/linux/capability.h.
const CAP_IPC_OWNER: u64 = 1 << 15;

/// Inode numbers of the initial namespaces: `PROC_USER_INIT_INO` and `PROC_IPC_INIT_INO`, include/linux/proc_ns.h.
pub(super) const INITIAL_USER_NS: u32 = 0xeffffffd;
const INITIAL_IPC_NS: u32 = 0xefffffff;

/// A process, for ever: ids are used again, ids with a start time are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    pub(super) started: Option<BootTime>,
}

impl ProcessId {
    pub(super) fn of(caller: &Caller) -> Self {
        Self { pid: caller.host.pid, started: caller.process_started }
    }
}

/// An executable, by which the same program is known in many processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Program {
    /// Inode and device.
    File(u64, u32, u32),
    /// Where those are not known, the command name, which the process chose.
    Comm([u8; COMM_LEN]),
}

/// A process as it was when it made some calls: another one after an execve(2), or a change of its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Process id on the host.
    pub pid: u32,
    /// When the process was started.
    pub started: Option<BootTime>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Effective user id.
    pub euid: Option<u32>,
    /// Effective group id.
    pub egid: Option<u32>,
    /// Command name: bytes that the process chose.
    pub comm: [u8; COMM_LEN],
    /// The end of the executable's path.
    pub path: Option<Box<[u8]>>,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Inode numbers of the user, mount and pid namespaces.
    pub namespaces: [Option<u32>; 3],
    /// The ring that these calls came through.
    ring: Uuid,
    pub(super) exec_id: Option<u64>,
    pub(super) program: Program,
    /// Why it may do more than whoever started it.
    pub(super) privilege: Option<&'static str>,
}

impl Actor {
    /// Whoever is behind `event`.
    pub(super) fn of(event: &Event) -> Self {
        let caller = event.caller();
        let image = caller.image.as_deref();
        let file = image.and_then(|image| Some((image.inode?, image.device?)));
        let path = image.and_then(|image| image.path.as_deref());
        Self {
            pid: caller.host.pid,
            started: caller.process_started,
            uid: caller.uid,
            euid: caller.euid,
            egid: caller.egid,
            comm: caller.comm,
            path: path.map(|path| path[path.len().saturating_sub(PATH)..].into()),
            cgroup_id: caller.cgroup_id,
            namespaces: namespaces(caller),
            ring: event.id().ring,
            exec_id: caller.exec_id,
            program: match file {
                Some((inode, Device { major, minor })) => Program::File(inode, major, minor),
                None => Program::Comm(caller.comm),
            },
            privilege: privilege(caller),
        }
    }

    /// True if nothing of it has changed until `event`.
    pub(super) fn is(&self, event: &Event) -> bool {
        let caller = event.caller();
        self.ring == event.id().ring
            && self.exec_id == caller.exec_id
            && (self.uid, self.euid, self.egid) == (caller.uid, caller.euid, caller.egid)
            && self.cgroup_id == caller.cgroup_id
            && self.comm == caller.comm
            && self.namespaces == namespaces(caller)
            && self.path.is_some() == caller.image.as_ref().is_some_and(|image| image.path.is_some())
    }

    pub(super) fn process(&self) -> ProcessId {
        ProcessId { pid: self.pid, started: self.started }
    }

    /// True if both are known and differ.
    pub(super) fn other_user(&self, euid: Option<u32>) -> bool {
        matches!((self.euid, euid), (Some(one), Some(other)) if one != other)
    }
}

/// Somebody in one call: there are many of these, so what calls have in common lies with the actor.
#[derive(Clone, Debug)]
pub(super) struct Doer {
    pub(super) actor: Arc<Actor>,
    position: u64,
    entered: Moment,
    pub(super) left: BootTime,
}

/// A moment, if it is known, in half the space of an `Option`: none is five centuries after the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Moment(u64);

impl From<Option<BootTime>> for Moment {
    fn from(moment: Option<BootTime>) -> Self {
        Self(moment.map_or(u64::MAX, |moment| moment.0))
    }
}

impl Moment {
    pub(super) fn known(self) -> Option<BootTime> {
        (self.0 != u64::MAX).then_some(BootTime(self.0))
    }
}

impl Doer {
    /// Whoever is behind `event`, which is `actor`.
    pub(super) fn of(event: &Event, actor: Arc<Actor>) -> Self {
        let entered = Moment::from(event.entered());
        Self { actor, position: event.id().position, entered, left: event.left() }
    }

    /// Which call.
    pub(super) fn call(&self) -> CallId {
        CallId { ring: self.actor.ring, position: self.position }
    }

    /// When it began.
    pub(super) fn entered(&self) -> Option<BootTime> {
        self.entered.known()
    }

    /// True if the other call was of the same process.
    pub(super) fn same_process(&self, other: &Self) -> bool {
        // Mostly it is the very same actor, which then need not be looked at.
        Arc::ptr_eq(&self.actor, &other.actor) || self.actor.process() == other.actor.process()
    }

    /// As one whom a finding names.
    pub(super) fn party(&self, role: &'static str) -> Party {
        let (actor, call, entered) = (Arc::clone(&self.actor), self.call(), self.entered());
        Party { role, actor, call, entered, left: self.left }
    }
}

fn namespaces(caller: &Caller) -> [Option<u32>; 3] {
    [caller.user_ns, caller.mnt_ns, caller.pid_ns]
}

/// A program that is set-user-ID runs with other ids than those of whoever started it, execve(2); and CAP_IPC_OWNER passes by
/// the modes of all queues, capabilities(7). Root is no more than it was with either, and in a user namespace of one's own everybody
/// has all capabilities, which count for nothing outside, user_namespaces(7).
fn privilege(caller: &Caller) -> Option<&'static str> {
    let (uid, euid, suid) = (caller.uid?, caller.euid?, caller.suid);
    if uid == 0 {
        return None;
    }
    if uid != euid || suid.is_some_and(|suid| suid != uid) {
        return Some("set-user-ID");
    }
    let outside = caller.user_ns.is_none_or(|user| user == INITIAL_USER_NS);
    (outside && caller.capabilities? & CAP_IPC_OWNER != 0).then_some("CAP_IPC_OWNER")
}

/// Whether no mode keeps the caller out: CAP_IPC_OWNER counts in the IPC namespaces of one's own user namespace (`ns_capable` in
/// `ipcperms`, ipc/util.c), of which the initial one is only the initial user namespace's.
pub(super) fn passes_by_modes(caller: &Caller) -> bool {
    let inside = caller.user_ns.is_some_and(|user| user != INITIAL_USER_NS);
    caller.capabilities.is_some_and(|all| all & CAP_IPC_OWNER != 0)
        && !(inside && caller.ipc_ns == Some(INITIAL_IPC_NS))
}

//! The part of a line that every call and finding has and Tracee does not know: the caller goes in, our fields come out.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Hex, SCHEMA_VERSION, Shown, schema};
use crate::{
    detect::Tags,
    encode::{Escaped, Id, Sensor},
    enrich::Who,
    event::{BootTime, Caller},
};

/// Ours, on every line.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Common<'a> {
    /// The minor grows with every addition, the major with every other change.
    #[schemars(schema_with = "schema::version")]
    schema_version: &'static str,
    /// Identity: the same however often it is told, and in every format.
    id: Shown<Id>,
    /// Place in this output, from 1: a gap is a lost line.
    sequence: u64,
    /// What is dangerous about it.
    tags: Tags,
    /// Name of the real user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_group_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_group_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem_user_id: Option<u32>,
    /// Audit login user; absent when nobody logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_user_id: Option<u32>,
    /// Audit session.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<u32>,
    /// Effective capabilities, a bit each.
    #[schemars(regex(pattern = r"^0x[0-9a-f]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Shown<Hex>>,
    /// 0 none, 1 strict, 2 filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp_mode: Option<u32>,
    /// Whether a tracer is attached to the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    traced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_namespace: Option<u32>,
    /// Keys and ids of queues mean nothing without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_namespace: Option<u32>,
    /// In the cgroup v2 hierarchy.
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_path: Option<Escaped<'a>>,
    /// Only the outer part of a path that is too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cgroup_path_cut: bool,
    /// Why there is no path.
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_path_absent: Option<&'static str>,
    /// Who runs the container, as far as the path tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    container_runtime: Option<&'static str>,
    /// Of containers in a container, the one that whoever is inside cannot have made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    outermost_container_id: Option<&'a str>,
    /// ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    process_start_time: Option<u64>,
    /// ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_start_time: Option<u64>,
    /// machine-id(5).
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    /// random(4).
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
    /// Which program of the process: another number after every execve(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_exec_id: Option<u64>,
    /// The moment of `timestamp` on the boot clock, which nobody sets: ns, CLOCK_BOOTTIME of clock_gettime(2).
    boot_timestamp: u64,
    /// By how much the wall clock has been set since the sensor was started, ns; absent where it has not.
    #[serde(skip_serializing_if = "unmoved")]
    clock_moved_ns: i64,
}

/// As serde asks it.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
pub(super) fn unmoved(distance: &i64) -> bool {
    *distance == 0
}

impl Sensor {
    pub(super) fn common<'a>(
        &'a self,
        caller: &Caller,
        who: &'a Who<'_>,
        id: Shown<Id>,
        at: BootTime,
        tags: Tags,
        sequence: u64,
    ) -> Common<'a> {
        Common {
            schema_version: SCHEMA_VERSION,
            id,
            sequence,
            tags,
            user_name: who.user.map(Escaped),
            effective_user_id: caller.euid,
            effective_user_name: who.effective_user.map(Escaped),
            group_id: caller.gid,
            group_name: who.group.map(Escaped),
            effective_group_id: caller.egid,
            effective_group_name: who.effective_group.map(Escaped),
            saved_user_id: caller.suid,
            filesystem_user_id: caller.fsuid,
            login_user_id: caller.login_uid,
            session_id: caller.session,
            capabilities: caller.capabilities.map(|bits| Shown(Hex(bits))),
            seccomp_mode: caller.seccomp,
            traced: caller.traced,
            user_namespace: caller.user_ns,
            ipc_namespace: caller.ipc_ns,
            cgroup_path: who.place.cgroup.as_ref().ok().map(|path| Escaped(&path.bytes)),
            cgroup_path_cut: who.place.cgroup.as_ref().is_ok_and(|path| !path.whole),
            cgroup_path_absent: who.place.cgroup.as_ref().err().map(|absent| absent.name()),
            container_runtime: who.place.container.as_ref().map(|container| container.runtime.name()),
            outermost_container_id: who
                .place
                .container
                .as_ref()
                .and_then(|container| container.outermost_id.as_deref()),
            process_start_time: caller.process_started.map(|start| self.clock.wall(start)),
            parent_start_time: caller.parent_started.map(|start| self.clock.wall(start)),
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
            exec_id: caller.exec_id,
            parent_exec_id: caller.parent_exec_id,
            boot_timestamp: at.0,
            clock_moved_ns: self.clock.moved(),
        }
    }
}

//! The part of a line that is Tracee's: a call goes in, the fields of `trace.Event` come out.
//!
//! Names, order and types are those of Tracee v0.24.1, types/trace/trace.go, whose objects Go's encoding/json writes.

use schemars::JsonSchema;
use serde::Serialize;

use super::Shown;
use crate::{
    detect::Finding,
    encode::{Escaped, entity_id},
    enrich::{Clock, Who},
    event::{BootTime, CallId, Caller, Ids, before_nul},
    policy::Matched,
};

/// Characters of the node name that Tracee shows.
const HOST_NAME_LEN: usize = 15;

/// What an event is, apart from who is behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct What {
    /// Number of the event.
    pub(super) id: u32,
    /// Its name.
    pub(super) name: &'static str,
    /// The system call it is, or comes from.
    pub(super) syscall: &'static str,
    /// When.
    pub(super) at: BootTime,
    /// What the system call returned; 0 for an event that is none.
    pub(super) result: i64,
    /// Made by the i386 calling convention.
    pub(super) compat: bool,
}

/// `trace.Event`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tracee<'a> {
    /// When it was entered, or the closest known moment after; ns since 1970.
    timestamp: u64,
    /// ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_start_time: Option<u64>,
    /// CPU it returned on.
    processor_id: u32,
    /// In its own pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    process_id: Option<u32>,
    /// cgroup v2 id.
    cgroup_id: u64,
    /// In its own pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<u32>,
    /// In its own pid namespace; 0: the parent lives in another pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_process_id: Option<u32>,
    /// In the initial pid namespace.
    host_process_id: u32,
    /// In the initial pid namespace.
    host_thread_id: u32,
    host_parent_process_id: u32,
    /// Real user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount_namespace: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_namespace: Option<u32>,
    /// Command name, which the process chose.
    process_name: Escaped<'a>,
    executable: Executable<'a>,
    /// Node name in its UTS namespace, 15 bytes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<Escaped<'a>>,
    /// Empty outside of containers.
    container_id: &'a str,
    container: ContainerFacts<'a>,
    kubernetes: Kubernetes<'a>,
    /// Number of the event.
    #[schemars(regex(pattern = r"^[0-9]+$"))]
    event_id: Shown<u32>,
    event_name: &'static str,
    /// Names of the policies that want it; absent where there are none.
    #[serde(skip_serializing_if = "Matched::is_empty")]
    matched_policies: Matched<'a>,
    /// How many arguments there are.
    args_num: usize,
    /// Queue id, 0 or a negative errno.
    return_value: i64,
    /// The system call it is, or comes from; empty where nobody called.
    syscall: &'static str,
    /// Null: no stacks are taken.
    stack_addresses: Option<u64>,
    context_flags: ContextFlags,
    /// Tracee's hash of id and start time: the same thread for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_entity_id: Option<u32>,
    /// Tracee's hash of id and start time: the same process for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    process_entity_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_entity_id: Option<u32>,
    /// Arguments, named and typed.
    args: &'a [Argument<'a>],
    /// The rule, of a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

impl<'a> Tracee<'a> {
    /// The event `what` in the context of `caller`, still without arguments.
    pub(super) fn new(caller: &'a Caller, who: &'a Who<'_>, clock: &Clock, what: What) -> Self {
        let entity = |id, started: Option<BootTime>| Some(entity_id(id, clock.wall_at_start(started?)));
        let Ids { pid, tid, ppid } = caller.host;
        let container = who.place.container.as_deref();
        let path = caller.image.as_ref().and_then(|image| image.path.as_deref());
        Self {
            timestamp: clock.wall(what.at),
            thread_start_time: caller.thread_started.map(|start| clock.wall(start)),
            processor_id: caller.cpu,
            process_id: caller.namespaced.map(|ids| ids.pid),
            cgroup_id: caller.cgroup_id,
            thread_id: caller.namespaced.map(|ids| ids.tid),
            parent_process_id: caller.namespaced.map(|ids| ids.ppid),
            host_process_id: pid,
            host_thread_id: tid,
            host_parent_process_id: ppid,
            user_id: caller.uid,
            mount_namespace: caller.mnt_ns,
            pid_namespace: caller.pid_ns,
            process_name: Escaped(before_nul(&caller.comm)),
            executable: Executable { path: Escaped(path.unwrap_or_default()) },
            host_name: caller.nodename.as_ref().map(|name| Escaped(before_nul(&name[..HOST_NAME_LEN]))),
            container_id: container.map_or("", |container| &container.id),
            container: ContainerFacts { id: container.map(|container| &*container.id) },
            kubernetes: Kubernetes { pod_uid: container.and_then(|container| container.pod_uid.as_deref()) },
            event_id: Shown(what.id),
            event_name: what.name,
            matched_policies: Matched::NONE,
            args_num: 0,
            return_value: what.result,
            syscall: what.syscall,
            stack_addresses: None,
            context_flags: ContextFlags { container_started: false, is_compat: what.compat },
            thread_entity_id: entity(tid, caller.thread_started),
            process_entity_id: entity(pid, caller.process_started),
            parent_entity_id: entity(ppid, caller.parent_started),
            args: &[],
            metadata: None,
        }
    }

    /// With its arguments.
    pub(super) fn with_args(mut self, args: &'a [Argument<'a>]) -> Self {
        self.args_num = args.len();
        self.args = args;
        self
    }

    /// As one that these policies want.
    pub(super) fn with_policies(mut self, policies: Matched<'a>) -> Self {
        self.matched_policies = policies;
        self
    }

    /// As a finding.
    pub(super) fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }
}

/// Empty where the path is not known, as in Tracee.
#[derive(JsonSchema, Serialize)]
struct Executable<'a> {
    path: Escaped<'a>,
}

/// Go writes a structure whose fields are all left out as `{}`; name and image are not known here.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Container")]
struct ContainerFacts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

/// What a cgroup path tells of a pod.
#[derive(JsonSchema, Serialize)]
struct Kubernetes<'a> {
    #[serde(rename = "podUID", skip_serializing_if = "Option::is_none")]
    pod_uid: Option<&'a str>,
}

/// Tracee's flags of the circumstances.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextFlags {
    container_started: bool,
    is_compat: bool,
}

/// `trace.Argument`.
#[derive(JsonSchema, Serialize)]
pub(super) struct Argument<'a> {
    pub(super) name: &'static str,
    pub(super) r#type: &'static str,
    pub(super) value: ArgumentValue<'a>,
}

/// By the type that is named beside it.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
pub(super) enum ArgumentValue<'a> {
    Int32(i32),
    Int64(i64),
    Uint64(u64),
    Call(Shown<CallId>),
    Word(&'static str),
    DetectedFrom(DetectedFrom<'a>),
}

/// The event a finding was made from.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DetectedFrom<'a> {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) args: &'a [Argument<'a>],
    pub(super) return_value: i64,
}

/// `trace.Metadata`: its Go fields carry no names for JSON, hence the capitals.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metadata {
    version: &'static str,
    description: &'static str,
    /// Tracee's signatures leave them null, too.
    tags: Option<&'static str>,
    properties: Properties,
}

/// What Tracee's findings have, null where it does not apply.
#[derive(JsonSchema, Serialize)]
struct Properties {
    #[serde(rename = "Category")]
    category: Option<&'static str>,
    #[serde(rename = "Kubernetes_Technique")]
    kubernetes_technique: Option<&'static str>,
    #[serde(rename = "Severity")]
    severity: u8,
    #[serde(rename = "Technique")]
    technique: Option<&'static str>,
    external_id: Option<&'static str>,
    id: Option<&'static str>,
    #[serde(rename = "signatureID")]
    signature_id: &'static str,
    #[serde(rename = "signatureName")]
    signature_name: &'static str,
}

impl Metadata {
    pub(super) fn new(finding: &Finding) -> Self {
        let rule = finding.rule;
        Self {
            version: rule.version,
            description: rule.description,
            tags: None,
            properties: Properties {
                category: None,
                kubernetes_technique: None,
                severity: finding.severity as u8,
                technique: None,
                external_id: None,
                id: None,
                signature_id: rule.id,
                signature_name: rule.name,
            },
        }
    }
}

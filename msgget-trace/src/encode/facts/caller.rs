//! Who made a call: what is known of the caller beyond the standards' fields comes out, sorted by what it is a fact of.

use serde::Serialize;

use crate::{
    encode::{
        Escaped, Sensor,
        show::{Digits, Hex, Shown},
    },
    enrich::{Who, cgroup, container::Container},
    event::{Caller, Device, before_nul},
};

#[derive(Serialize)]
pub(super) struct CallerFacts<'a> {
    thread: Thread,
    credentials: Credentials,
    namespaces: Namespaces,
    cgroup: CgroupFacts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<Program>,
    /// The start of the node name in the caller's UTS namespace; it need not be the name of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<Escaped<'a>>,
}

#[derive(Serialize)]
struct Thread {
    cpu: u32,
    /// In its own pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespaced_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ns: Option<Digits<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp_mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traced: Option<bool>,
}

#[derive(Serialize)]
struct Credentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Shown<Hex>>,
}

#[derive(Serialize)]
struct Namespaces {
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct CgroupFacts<'a> {
    id: Digits<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Escaped<'a>>,
    /// True, or absent: only the outer part of a path that is too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    path_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_absent: Option<&'static str>,
}

#[derive(Serialize)]
struct ContainerFacts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_uid: Option<&'a str>,
    /// Of containers in a container, the one that whoever is inside cannot have made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    outermost_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Program {
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<Digits<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Shown<Device>>,
    /// True, or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    path_cut: bool,
    /// True, or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    command_line_cut: bool,
}

impl<'a> CallerFacts<'a> {
    pub(super) fn new(caller: &'a Caller, who: &'a Who<'_>, sensor: &Sensor) -> Self {
        Self {
            thread: Thread {
                cpu: caller.cpu,
                namespaced_id: caller.namespaced.map(|ids| ids.tid),
                start_ns: caller.thread_started.map(|start| Digits(sensor.clock.wall(start))),
                seccomp_mode: caller.seccomp,
                traced: caller.traced,
            },
            credentials: Credentials {
                saved_user_id: caller.suid,
                filesystem_user_id: caller.fsuid,
                login_user_id: caller.login_uid,
                session_id: caller.session,
                capabilities: caller.capabilities.map(|set| Shown(Hex(set))),
            },
            namespaces: Namespaces {
                ipc: caller.ipc_ns,
                mount: caller.mnt_ns,
                pid: caller.pid_ns,
                user: caller.user_ns,
            },
            cgroup: CgroupFacts::new(caller.cgroup_id, Some(&who.place.cgroup)),
            container: who.place.container.as_deref().and_then(ContainerFacts::new),
            program: caller.image.as_deref().map(|image| Program {
                inode: image.inode.map(Digits),
                device: image.device.map(Shown),
                path_cut: image.path_cut,
                command_line_cut: image.arguments_cut,
            }),
            node_name: caller.nodename.as_ref().map(|name| Escaped(before_nul(name))),
        }
    }
}

impl<'a> ContainerFacts<'a> {
    fn new(container: &'a Container) -> Option<Self> {
        let Container { pod_uid, outermost_id, .. } = container;
        let known = pod_uid.is_some() || outermost_id.is_some();
        known.then_some(Self { pod_uid: pod_uid.as_deref(), outermost_id: outermost_id.as_deref() })
    }
}

impl<'a> CgroupFacts<'a> {
    /// The cgroup `id`, of which nobody asked for the path if there is no `answer`.
    pub(super) fn new(id: u64, answer: Option<&'a cgroup::Answer>) -> Self {
        let path = answer.and_then(|answer| answer.as_ref().ok());
        Self {
            id: Digits(id),
            path: path.map(|path| Escaped(&path.bytes)),
            path_cut: path.is_some_and(|path| !path.whole),
            path_absent: answer.and_then(|answer| answer.as_ref().err()).map(|absent| absent.name()),
        }
    }
}

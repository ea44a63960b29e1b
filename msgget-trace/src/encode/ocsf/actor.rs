//! The attribute `actor`: an item goes in; the process, the user and the container behind it come out.

use serde::Serialize;

use super::millis;
use crate::{
    encode::{
        Escaped, Item, Sensor,
        entity::ProcessUid,
        show::{Arguments, Digits, Shown},
    },
    enrich::{
        Who,
        container::{Container, Runtime},
    },
    event::{Attributed, BootTime, Caller, Image, Payer, before_nul},
};

/// Length of a UUID with its hyphens, as the schema wants a pod's; static pods have none.
const UUID_LEN: usize = 36;

/// The object `actor`.
#[derive(Default, Serialize)]
pub(super) struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Named<'a>>,
    /// Only where the other two are not known, for the schema asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<Escaped<'a>>,
}

/// The object `process`. Of users and groups the real one, as the profile of Linux users adds the effective ones.
#[derive(Default, Serialize)]
struct Process<'a> {
    /// In the initial pid namespace.
    pid: u32,
    /// The thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    ptid: Option<u32>,
    /// In its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Shown<ProcessUid<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd_line: Option<Shown<Arguments<'a>>>,
    /// ms since 1970
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    euid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    egid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_process: Option<Parent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xattributes: Option<Attributes<'a>>,
}

/// The same object again, as far as a parent is known.
#[derive(Serialize)]
struct Parent<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Shown<ProcessUid<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
}

/// The object `file`: a program.
#[derive(Serialize)]
struct File<'a> {
    name: Escaped<'a>,
    path: Escaped<'a>,
    /// Whatever is executed is one.
    type_id: u32,
    r#type: &'static str,
    /// The inode.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Digits<u64>>,
}

/// A user or a group.
#[derive(Clone, Copy, Serialize)]
struct Named<'a> {
    uid: Digits<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Escaped<'a>>,
}

/// The audit session.
#[derive(Serialize)]
struct Session {
    uid: Digits<u32>,
}

#[derive(Serialize)]
struct ContainerFields<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_uuid: Option<&'a str>,
}

/// What the command line leaves open: where an argument ends.
#[derive(Serialize)]
struct Attributes<'a> {
    arguments: Arguments<'a>,
}

impl<'a> Actor<'a> {
    /// `None` for news of the sensor, which nobody caused.
    pub(super) fn of(item: &'a Item<'a>, sensor: &'a Sensor) -> Option<Self> {
        match *item {
            Item::Health { .. } => None,
            Item::Aggregate { aggregate, user, .. } => Some(match &aggregate.attributed {
                Some(who) => Self::of_aggregate(who, user, sensor),
                None => Self { app_name: Some(Escaped(b"unknown")), ..Self::default() },
            }),
            Item::Call { .. } | Item::Control { .. } | Item::Use { .. } | Item::Finding { .. } => {
                item.caller().map(|(caller, who)| Self {
                    process: Some(Process::new(caller, who, sensor)),
                    user: Named::new(caller.uid, who.user),
                    app_name: None,
                })
            }
        }
    }

    /// The only user that is known is the effective one, `user` by name.
    fn of_aggregate(who: &'a Attributed, user: Option<&'a [u8]>, sensor: &'a Sensor) -> Self {
        let comm = Escaped(before_nul(&who.comm));
        let owner = Named::new(who.euid, user);
        match who.payer {
            Payer::Process { pid, started } => Self {
                process: Some(Process {
                    pid,
                    uid: ProcessUid::new(&sensor.host, pid, started).map(Shown),
                    name: Some(comm),
                    created_time: created(started, sensor),
                    euid: who.euid,
                    ..Process::default()
                }),
                ..Self::default()
            },
            Payer::Owner => Self { app_name: owner.is_none().then_some(comm), user: owner, process: None },
        }
    }
}

impl<'a> Process<'a> {
    fn new(caller: &'a Caller, who: &'a Who<'a>, sensor: &'a Sensor) -> Self {
        let image = caller.image.as_deref();
        let ids = caller.host;
        Self {
            pid: ids.pid,
            ptid: Some(ids.tid),
            namespace_pid: caller.namespaced.map(|ids| ids.pid),
            uid: ProcessUid::new(&sensor.host, ids.pid, caller.process_started).map(Shown),
            name: Some(Escaped(before_nul(&caller.comm))),
            cmd_line: image.and_then(Arguments::of).map(Shown),
            created_time: created(caller.process_started, sensor),
            file: image.and_then(File::new),
            user: Named::new(caller.uid, who.user),
            group: Named::new(caller.gid, who.group),
            euid: caller.euid,
            egid: caller.egid,
            auid: caller.login_uid,
            session: caller.session.map(|id| Session { uid: Digits(id) }),
            container: who.place.container.as_deref().map(ContainerFields::new),
            parent_process: Some(Parent {
                pid: ids.ppid,
                namespace_pid: caller.namespaced.map(|ids| ids.ppid),
                uid: ProcessUid::new(&sensor.host, ids.ppid, caller.parent_started).map(Shown),
                created_time: created(caller.parent_started, sensor),
                file: caller.parent_image.as_deref().and_then(File::new),
            }),
            xattributes: image.and_then(Arguments::of).map(|arguments| Attributes { arguments }),
        }
    }
}

fn created(started: Option<BootTime>, sensor: &Sensor) -> Option<u64> {
    started.map(|started| millis(sensor.clock.wall(started)))
}

impl<'a> File<'a> {
    fn new(image: &'a Image) -> Option<Self> {
        let path = image.path.as_deref()?;
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        Some(Self {
            name: Escaped(name),
            path: Escaped(path),
            type_id: 1,
            r#type: "Regular File",
            uid: image.inode.map(Digits),
        })
    }
}

impl<'a> Named<'a> {
    fn new(id: Option<u32>, name: Option<&'a [u8]>) -> Option<Self> {
        id.map(|id| Self { uid: Digits(id), name: name.map(Escaped) })
    }
}

impl<'a> ContainerFields<'a> {
    fn new(container: &'a Container) -> Self {
        let Container { id, runtime, pod_uid, .. } = container;
        Self {
            uid: id,
            runtime: (*runtime != Runtime::Unknown).then(|| runtime.name()),
            orchestrator: pod_uid.is_some().then_some("kubernetes"),
            pod_uuid: pod_uid.as_deref().filter(|uid| uid.len() == UUID_LEN),
        }
    }
}

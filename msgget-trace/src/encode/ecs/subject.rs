//! Who is behind an event, and where: an item goes in; `process`, `user`, `group`, `container` and `orchestrator` of ECS come
//! out.

use serde::{Serialize, Serializer};

use crate::{
    encode::{
        Escaped, Item, Sensor,
        capabilities::Capabilities,
        entity::ProcessUid,
        show::{Arguments, Digits, Rfc3339, Shown},
    },
    enrich::{
        Who,
        container::{Container, Runtime},
    },
    event::{Attributed, Caller, Payer, before_nul},
};

/// What ECS calls somebody; of the sensor's own news, nothing.
#[derive(Default, Serialize)]
pub(super) struct Subject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<Orchestrator<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Related<'a>>,
}

#[derive(Default, Serialize)]
struct Process<'a> {
    /// In the initial pid namespace.
    pid: u32,
    /// In its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    vpid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<Shown<ProcessUid<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Shown<Rfc3339>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Arguments<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<Shown<Arguments<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<Thread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Parent<'a>>,
    /// The effective one, as of the other two.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_user: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_group: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_user: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Parent<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<Shown<ProcessUid<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Shown<Rfc3339>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Escaped<'a>>,
}

#[derive(Serialize)]
struct Thread {
    id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<EffectiveCapabilities>,
}

#[derive(Serialize)]
struct EffectiveCapabilities {
    effective: Capabilities,
}

/// An id, and its name where it has one.
#[derive(Clone, Copy, Serialize)]
struct Named<'a> {
    id: Digits<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Escaped<'a>>,
}

/// The real user; the effective one only where that is another.
#[derive(Serialize)]
struct User<'a> {
    #[serde(flatten)]
    real: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<Named<'a>>,
}

#[derive(Serialize)]
struct ContainerFields<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<&'static str>,
}

/// The pod around a container.
#[derive(Serialize)]
struct Orchestrator<'a> {
    r#type: &'static str,
    resource: Resource<'a>,
}

#[derive(Serialize)]
struct Resource<'a> {
    r#type: &'static str,
    id: &'a str,
}

/// Every name of a user on the line, once.
#[derive(Serialize)]
struct Related<'a> {
    user: Users<'a>,
}

struct Users<'a>([Option<Escaped<'a>>; 2]);

impl Serialize for Users<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flatten())
    }
}

impl<'a> Subject<'a> {
    pub(super) fn new(item: &'a Item<'a>, sensor: &'a Sensor) -> Self {
        match *item {
            Item::Aggregate { aggregate, user, .. } => {
                aggregate.attributed.as_ref().map_or_else(Self::default, |who| Self::of_aggregate(who, user, sensor))
            }
            _ => item.caller().map_or_else(Self::default, |(caller, who)| Self::of_caller(caller, who, sensor)),
        }
    }

    fn of_caller(caller: &'a Caller, who: &'a Who<'a>, sensor: &'a Sensor) -> Self {
        let real = Named::new(caller.uid, who.user);
        let effective = Named::new(caller.euid, who.effective_user);
        let container = who.place.container.as_deref();
        Self {
            process: Some(Process::of_caller(caller, who, sensor)),
            user: User::new(real, effective.filter(|_| caller.euid != caller.uid)),
            group: Named::new(caller.gid, who.group),
            container: container.map(ContainerFields::new),
            orchestrator: container.and_then(|container| container.pod_uid.as_deref()).map(Orchestrator::pod),
            related: Related::new(real, effective),
        }
    }

    /// The command name is that of the process only where the budget was one process's.
    fn of_aggregate(who: &'a Attributed, user: Option<&'a [u8]>, sensor: &'a Sensor) -> Self {
        let effective = Named::new(who.euid, user);
        let process = match who.payer {
            Payer::Process { pid, started } => Some(Process {
                pid,
                entity_id: ProcessUid::new(&sensor.host, pid, started).map(Shown),
                start: started.map(|started| Shown(Rfc3339(sensor.clock.wall(started)))),
                name: Some(Escaped(before_nul(&who.comm))),
                user: effective,
                ..Process::default()
            }),
            Payer::Owner => None,
        };
        Self { process, user: User::new(None, effective), related: Related::new(None, effective), ..Self::default() }
    }
}

impl<'a> Process<'a> {
    fn of_caller(caller: &'a Caller, who: &'a Who<'a>, sensor: &'a Sensor) -> Self {
        let start = |started| Shown(Rfc3339(sensor.clock.wall(started)));
        let image = caller.image.as_deref();
        let parent = caller.parent_image.as_deref();
        let ids = caller.host;
        Self {
            pid: ids.pid,
            vpid: caller.namespaced.map(|ids| ids.pid),
            entity_id: ProcessUid::new(&sensor.host, ids.pid, caller.process_started).map(Shown),
            start: caller.process_started.map(start),
            name: Some(Escaped(before_nul(&caller.comm))),
            executable: image.and_then(|image| image.path.as_deref()).map(Escaped),
            args: image.and_then(Arguments::of),
            command_line: image.and_then(Arguments::of).map(Shown),
            thread: Some(Thread {
                id: ids.tid,
                capabilities: caller.capabilities.map(|set| EffectiveCapabilities { effective: Capabilities(set) }),
            }),
            parent: Some(Parent {
                pid: ids.ppid,
                vpid: caller.namespaced.map(|ids| ids.ppid),
                entity_id: ProcessUid::new(&sensor.host, ids.ppid, caller.parent_started).map(Shown),
                start: caller.parent_started.map(start),
                executable: parent.and_then(|image| image.path.as_deref()).map(Escaped),
            }),
            user: Named::new(caller.euid, who.effective_user),
            group: Named::new(caller.egid, who.effective_group),
            real_user: Named::new(caller.uid, who.user),
            real_group: Named::new(caller.gid, who.group),
            // Nobody asked for its name.
            saved_user: Named::new(caller.suid, None),
        }
    }
}

impl<'a> Named<'a> {
    fn new(id: Option<u32>, name: Option<&'a [u8]>) -> Option<Self> {
        id.map(|id| Self { id: Digits(id), name: name.map(Escaped) })
    }
}

impl<'a> User<'a> {
    fn new(real: Option<Named<'a>>, effective: Option<Named<'a>>) -> Option<Self> {
        (real.is_some() || effective.is_some()).then_some(Self { real, effective })
    }
}

impl<'a> ContainerFields<'a> {
    fn new(container: &'a Container) -> Self {
        let runtime = container.runtime;
        Self { id: &container.id, runtime: (runtime != Runtime::Unknown).then(|| runtime.name()) }
    }
}

impl<'a> Orchestrator<'a> {
    const fn pod(id: &'a str) -> Self {
        Self { r#type: "kubernetes", resource: Resource { r#type: "pod", id } }
    }
}

impl<'a> Related<'a> {
    fn new(real: Option<Named<'a>>, effective: Option<Named<'a>>) -> Option<Self> {
        let name = |named: Option<Named<'a>>| named.and_then(|named| named.name);
        let (real, effective) = (name(real), name(effective));
        let other = effective.filter(|effective| real.is_none_or(|real| real.0 != effective.0));
        (real.is_some() || other.is_some()).then_some(Self { user: Users([real, other]) })
    }
}

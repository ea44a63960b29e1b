//! What an event is: an item goes in; its class, its activity and the thing in the kernel that it is about come out.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    encode::{
        Item,
        show::{Key, Shown},
    },
    event::{Command, Control, Event, News, Outcome},
};

/// A class of the schema.
struct Is {
    category_uid: u32,
    category: &'static str,
    uid: u32,
    name: &'static str,
}

const KERNEL_ACTIVITY: Is = Is { category_uid: 1, category: "System Activity", uid: 1003, name: "Kernel Activity" };
const DETECTION_FINDING: Is = Is { category_uid: 2, category: "Findings", uid: 2004, name: "Detection Finding" };
const APPLICATION_LIFECYCLE: Is =
    Is { category_uid: 6, category: "Application Activity", uid: 6002, name: "Application Lifecycle" };

/// What an activity is called in its class, or by us where the class has no word for it.
enum Does {
    Known(u32, &'static str),
    Other(&'static str),
}

/// The schema's number for what it has no word for, in every enumeration.
pub(super) const OTHER: u32 = 99;

/// The attributes that say what an event is.
#[derive(Serialize)]
pub(super) struct Class {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    type_name: Shown<TypeName>,
}

/// `Kernel Activity: Create`.
struct TypeName(&'static str, &'static str);

impl Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl Class {
    pub(super) fn of(item: &Item<'_>) -> Self {
        let (is, does) = match item {
            Item::Call { call, .. } => (KERNEL_ACTIVITY, kernel_activity(call.outcome)),
            Item::Control { control, .. } => (KERNEL_ACTIVITY, kernel_activity(control.outcome)),
            Item::Use { .. } | Item::Aggregate { .. } => (KERNEL_ACTIVITY, INVOKE),
            Item::Finding { .. } => (DETECTION_FINDING, CREATE),
            Item::Health { health, .. } => (APPLICATION_LIFECYCLE, lifecycle(&health.news)),
        };
        let (activity_id, activity_name, caption) = match does {
            Does::Known(id, name) => (id, name, name),
            Does::Other(name) => (OTHER, name, "Other"),
        };
        Self {
            activity_id,
            activity_name,
            category_uid: is.category_uid,
            category_name: is.category,
            class_uid: is.uid,
            class_name: is.name,
            type_uid: is.uid * 100 + activity_id,
            type_name: Shown(TypeName(is.name, caption)),
        }
    }
}

const CREATE: Does = Does::Known(1, "Create");
const DELETE: Does = Does::Known(3, "Delete");
const INVOKE: Does = Does::Known(4, "Invoke");

/// Only what is proved to have made or removed a queue is called so.
const fn kernel_activity(outcome: Outcome) -> Does {
    match outcome {
        Outcome::Created => CREATE,
        Outcome::Removed => DELETE,
        Outcome::Opened
        | Outcome::Changed
        | Outcome::Failed(_)
        | Outcome::Ambiguous
        | Outcome::Unpaired
        | Outcome::NotExecuted => INVOKE,
    }
}

const fn lifecycle(news: &News) -> Does {
    match news {
        News::Start { .. } => Does::Known(3, "Start"),
        News::Stop { .. } => Does::Known(4, "Stop"),
        News::ConfigChange { .. } | News::PolicyChange { .. } => Does::Known(8, "Update"),
        News::PolicyRefused { .. } => Does::Other("Policy Refused"),
        News::Heartbeat { .. } => Does::Other("Heartbeat"),
        News::Loss { .. } => Does::Other("Loss"),
        News::Degraded { .. } => Does::Other("Degraded"),
        News::Recovered { .. } => Does::Other("Recovered"),
    }
}

/// The object `kernel`.
#[derive(Serialize)]
pub(super) struct Kernel {
    name: Shown<Resource>,
    type_id: u32,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_call: Option<&'static str>,
}

/// What a system call was about. Keys and ids are those of an IPC namespace.
#[derive(Clone, Copy)]
pub(super) enum Resource {
    /// The queue of a key, or what would be.
    Key(i32),
    /// A queue of which only the id is known.
    Id(i32),
    /// Nothing in particular: many calls of it.
    SystemCall(&'static str),
}

impl Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Key(key) => Key(key).fmt(f),
            Self::Id(id) => write!(f, "id {id}"),
            Self::SystemCall(name) => f.write_str(name),
        }
    }
}

/// The schema knows no such object; its `Shared Mutex` is something else.
pub(super) const QUEUE: &str = "System V Message Queue";

impl Kernel {
    /// `None` where the class has no such attribute.
    pub(super) fn of(item: &Item<'_>) -> Option<Self> {
        match item {
            Item::Call { call, .. } => Some(Self::queue(Resource::Key(call.key), Some("msgget"))),
            Item::Control { control, .. } => {
                let system_call = (!control.teardown()).then_some(match control.command {
                    Command::Remove | Command::Change => "msgctl",
                });
                Some(Self::queue(resource(control), system_call))
            }
            Item::Use { used, .. } => Some(Self::queue(Resource::Id(used.msqid), Some(used.operation.name()))),
            Item::Aggregate { .. } => Some(Self {
                name: Shown(Resource::SystemCall("msgget")),
                type_id: 2,
                r#type: "System Call",
                system_call: Some("msgget"),
            }),
            Item::Finding { .. } | Item::Health { .. } => None,
        }
    }

    const fn queue(name: Resource, system_call: Option<&'static str>) -> Self {
        Self { name: Shown(name), type_id: OTHER, r#type: QUEUE, system_call }
    }
}

impl Resource {
    /// What `event` was about.
    pub(super) fn of(event: &Event) -> Self {
        match event {
            Event::Call(call) => Self::Key(call.key),
            Event::Control(control) => resource(control),
            Event::Use(used) => Self::Id(used.msqid),
        }
    }
}

fn resource(control: &Control) -> Resource {
    control.key.map_or(Resource::Id(control.msqid), Resource::Key)
}

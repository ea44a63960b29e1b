//! What is to be told: a call, a control, a use, a finding or news of the sensor itself goes in with what enrich found out about it;
//! every format asks it the same questions.

use std::fmt;

use uuid::Uuid;

use super::Sensor;
use crate::{
    detect::{Finding, Tags},
    enrich::{Who, cgroup},
    event::{Aggregate, BootTime, Call, CallId, Caller, Control, Errno, Event, Health, Outcome, Use},
    policy::Matched,
};

/// Something to tell.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A call.
    Call {
        /// The call.
        call: &'a Call,
        /// Who made it.
        who: &'a Who<'a>,
        /// What it is tagged with.
        tags: Tags,
        /// The policies that want it.
        policies: Matched<'a>,
    },
    /// What became of a queue.
    Control {
        /// The call that did it.
        control: &'a Control,
        /// Who made that.
        who: &'a Who<'a>,
        /// What it is tagged with.
        tags: Tags,
        /// The policies that want it.
        policies: Matched<'a>,
    },
    /// The use of a queue that was not there.
    Use {
        /// The call that failed.
        used: &'a Use,
        /// Who made it.
        who: &'a Who<'a>,
        /// What it is tagged with.
        tags: Tags,
        /// The policies that want it.
        policies: Matched<'a>,
    },
    /// A rule's verdict.
    Finding {
        /// The verdict.
        finding: &'a Finding,
        /// Who made the call that completed it.
        who: &'a Who<'a>,
        /// What that call is tagged with.
        tags: Tags,
        /// The policies that want it.
        policies: Matched<'a>,
    },
    /// News of the sensor itself.
    Health {
        /// The news.
        health: &'a Health,
        /// How many records of the sensor's own this run had told before.
        nth: u64,
    },
    /// Calls that were counted instead of sent.
    Aggregate {
        /// Their numbers.
        aggregate: &'a Aggregate,
        /// Path of the cgroup, if it is known whose they are.
        place: Option<&'a cgroup::Answer>,
        /// Name of their effective user.
        user: Option<&'a [u8]>,
        /// As of [`Self::Health`].
        nth: u64,
    },
}

/// The kinds of what is told, by which an output may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call.
    Call,
    /// What became of a queue.
    Control,
    /// The use of a queue that was not there.
    Use,
    /// A rule's verdict.
    Finding,
    /// News of the sensor.
    Health,
    /// Calls that were only counted.
    Aggregate,
}

/// The identity of a line: the same however often it is told, and in every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// Of a call, a control or a use.
    Call(CallId),
    /// Of a finding.
    Finding(Uuid),
    /// Of a record of the sensor's own: the run, and how many it had told before.
    Own(Uuid, u64),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(id) => id.fmt(f),
            Self::Finding(id) => id.fmt(f),
            Self::Own(run, nth) => write!(f, "{run}-{nth}"),
        }
    }
}

impl<'a> Item<'a> {
    /// What is told of `event`, which these `policies` want.
    #[must_use]
    pub const fn of(event: &'a Event, who: &'a Who<'a>, tags: Tags, policies: Matched<'a>) -> Self {
        match event {
            Event::Call(call) => Self::Call { call, who, tags, policies },
            Event::Control(control) => Self::Control { control, who, tags, policies },
            Event::Use(used) => Self::Use { used, who, tags, policies },
        }
    }
}

impl Item<'_> {
    /// Of which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Call { .. } => Kind::Call,
            Self::Control { .. } => Kind::Control,
            Self::Use { .. } => Kind::Use,
            Self::Finding { .. } => Kind::Finding,
            Self::Health { .. } => Kind::Health,
            Self::Aggregate { .. } => Kind::Aggregate,
        }
    }

    /// The event's name in every format.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Call { .. } => "msgget",
            Self::Control { .. } => "msgctl",
            Self::Use { used, .. } => used.operation.name(),
            Self::Finding { finding, .. } => finding.rule.name,
            Self::Health { health, .. } => health.news.name(),
            Self::Aggregate { .. } => "aggregate",
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self, sensor: &Sensor) -> Id {
        match self {
            Self::Call { call, .. } => Id::Call(call.id),
            Self::Control { control, .. } => Id::Call(control.id),
            Self::Use { used, .. } => Id::Call(used.id),
            Self::Finding { finding, .. } => Id::Finding(finding.id()),
            Self::Health { nth, .. } | Self::Aggregate { nth, .. } => Id::Own(sensor.run, *nth),
        }
    }

    /// The errno with which the kernel ended what somebody asked for, if it failed; what nobody asked the kernel for, or
    /// another than it answered, has none.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { call, .. } => call.errno(),
            Self::Finding { finding, .. } => finding.event.errno(),
            Self::Control { control, .. } if control.outcome != Outcome::NotExecuted => {
                Errno::from_result(control.result)
            }
            Self::Use { used, .. } => Some(used.errno),
            Self::Control { .. } | Self::Health { .. } | Self::Aggregate { .. } => None,
        }
    }

    /// What became of what was asked; of a finding, in the call that completed it.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Call { call, .. } => Some(call.outcome),
            Self::Control { control, .. } => Some(control.outcome),
            Self::Use { used, .. } => Some(used.outcome()),
            Self::Finding { finding, .. } => Some(finding.event.outcome()),
            Self::Health { .. } | Self::Aggregate { .. } => None,
        }
    }

    /// Its tags; what the sensor tells by itself has none.
    #[must_use]
    pub const fn tags(&self) -> Option<Tags> {
        match self {
            Self::Call { tags, .. }
            | Self::Control { tags, .. }
            | Self::Use { tags, .. }
            | Self::Finding { tags, .. } => Some(*tags),
            Self::Health { .. } | Self::Aggregate { .. } => None,
        }
    }

    /// The policies that want it; what the sensor tells by itself is told whatever is wanted.
    #[must_use]
    pub const fn policies(&self) -> Matched<'_> {
        match *self {
            Self::Call { policies, .. }
            | Self::Control { policies, .. }
            | Self::Use { policies, .. }
            | Self::Finding { policies, .. } => policies,
            Self::Health { .. } | Self::Aggregate { .. } => Matched::NONE,
        }
    }

    /// Who is behind it, and what is known about that.
    #[must_use]
    pub const fn caller(&self) -> Option<(&Caller, &Who<'_>)> {
        match self {
            Self::Call { call, who, .. } => Some((&call.caller, who)),
            Self::Control { control, who, .. } => Some((&control.caller, who)),
            Self::Use { used, who, .. } => Some((&used.caller, who)),
            Self::Finding { finding, who, .. } => Some((finding.event.caller(), who)),
            Self::Health { .. } | Self::Aggregate { .. } => None,
        }
    }

    /// When it happened; a call, when it was entered.
    #[must_use]
    pub fn at(&self) -> BootTime {
        match self {
            Self::Call { call, .. } => call.timestamp(),
            Self::Control { control, .. } => control.timestamp(),
            Self::Use { used, .. } => used.left,
            Self::Finding { finding, .. } => finding.event.timestamp(),
            Self::Health { health, .. } => health.at,
            Self::Aggregate { aggregate, .. } => {
                aggregate.attributed.as_ref().map_or(aggregate.at, |attributed| attributed.last)
            }
        }
    }
}

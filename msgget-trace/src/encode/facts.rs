//! What a standard has no field for: an item goes in, one object of our own comes out, the same under `msgget` of
//! ECS and under `unmapped` of OCSF.
//!
//! Names are in snake_case, which is ECS's rule for fields of one's own. Moments and what the kernel counts in 64 bits are
//! strings: a reader of JSON may keep no more than 53 bits of a number (RFC 8259, section 6). A fact that this kernel cannot
//! give is left out, never guessed.

mod aggregate;
mod call;
mod caller;
mod health;

use aggregate::AggregateFacts;
use call::{CallFacts, ControlFacts};
use caller::CallerFacts;
use health::HealthFacts;
use serde::Serialize;

use super::{
    Item, Kind, Sensor,
    show::{Digits, Shown},
};
use uuid::Uuid;

use crate::{
    detect::{Actor, Certainty, Finding, Party},
    encode::Escaped,
    event::{CallId, Event, before_nul},
};

pub(super) use call::Values;

/// Version of these fields: the minor grows with every addition, the major with every other change.
pub(super) const SCHEMA_VERSION: &str = "1.0";

/// The stream among ours that what is of this kind belongs to.
pub(super) const fn dataset(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "msgget.call",
        Kind::Control => "msgget.control",
        Kind::Finding => "msgget.finding",
        Kind::Health => "msgget.health",
        Kind::Aggregate => "msgget.aggregate",
    }
}

/// Of any item.
#[derive(Serialize)]
pub(super) struct Facts<'a> {
    schema_version: &'static str,
    /// When it happened, ns since 1970.
    time_ns: Digits<u64>,
    hook: &'static str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Call(Made<'a, CallFacts>),
    Control(Made<'a, ControlFacts>),
    Finding(Made<'a, FindingFacts<'a>>),
    Health(HealthFacts<'a>),
    Aggregate(AggregateFacts<'a>),
}

/// What somebody made.
#[derive(Serialize)]
struct Made<'a, F> {
    #[serde(flatten)]
    facts: F,
    #[serde(flatten)]
    caller: CallerFacts<'a>,
}

/// A verdict, and the call that completed it.
#[derive(Serialize)]
struct FindingFacts<'a> {
    finding: Values<'a>,
    evidence: Vec<Shown<CallId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwe: Option<[&'static str; 1]>,
    confidence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parties: Vec<PartyFacts<'a>>,
    story: StoryFacts,
    #[serde(flatten)]
    event: EventFacts,
}

/// The call that completed it.
#[derive(Serialize)]
#[serde(untagged)]
enum EventFacts {
    Call(CallFacts),
    Control(ControlFacts),
}

/// Somebody else in it.
#[derive(Serialize)]
struct PartyFacts<'a> {
    role: &'static str,
    call: Shown<CallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ns: Option<Digits<u64>>,
    end_ns: Digits<u64>,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_start_ns: Option<Digits<u64>>,
    name: Escaped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    cgroup_id: Digits<u64>,
}

impl<'a> PartyFacts<'a> {
    fn new(party: &'a Party, sensor: &Sensor) -> Self {
        let wall = |moment| Digits(sensor.clock.wall(moment));
        let Actor { pid, started, uid, euid, comm, path, cgroup_id, .. } = &*party.actor;
        Self {
            role: party.role,
            call: Shown(party.call),
            start_ns: party.entered.map(wall),
            end_ns: wall(party.left),
            pid: *pid,
            process_start_ns: started.map(wall),
            name: Escaped(before_nul(comm)),
            executable: path.as_deref().map(Escaped),
            user_id: *uid,
            effective_user_id: *euid,
            cgroup_id: Digits(*cgroup_id),
        }
    }
}

/// How often it has happened.
#[derive(Serialize)]
struct StoryFacts {
    id: Shown<Uuid>,
    count: u64,
    since_ns: Digits<u64>,
}

impl<'a> FindingFacts<'a> {
    fn new(finding: &'a Finding, sensor: &Sensor) -> Self {
        Self {
            finding: Values(finding),
            evidence: finding.evidence.iter().copied().map(Shown).collect(),
            cwe: finding.rule.cwe.map(|cwe| [cwe]),
            confidence: finding.confidence.name(),
            certainty: finding.certainty.map(Certainty::name),
            parties: finding.parties.iter().map(|party| PartyFacts::new(party, sensor)).collect(),
            story: StoryFacts {
                id: Shown(finding.story.id),
                count: finding.story.count,
                since_ns: Digits(sensor.clock.wall(finding.story.since)),
            },
            event: match &finding.event {
                Event::Call(call) => EventFacts::Call(CallFacts::new(call, sensor)),
                Event::Control(control) => EventFacts::Control(ControlFacts::new(control, sensor)),
            },
        }
    }
}

impl<'a> Facts<'a> {
    pub(super) fn new(item: &'a Item<'a>, sensor: &'a Sensor) -> Self {
        let what = match *item {
            Item::Call { call, who, .. } => What::Call(Made {
                facts: CallFacts::new(call, sensor),
                caller: CallerFacts::new(&call.caller, who, sensor),
            }),
            Item::Control { control, who, .. } => What::Control(Made {
                facts: ControlFacts::new(control, sensor),
                caller: CallerFacts::new(&control.caller, who, sensor),
            }),
            Item::Finding { finding, who, .. } => What::Finding(Made {
                facts: FindingFacts::new(finding, sensor),
                caller: CallerFacts::new(finding.event.caller(), who, sensor),
            }),
            Item::Health { health, .. } => What::Health(HealthFacts::new(&health.news, sensor)),
            Item::Aggregate { aggregate, place, .. } => What::Aggregate(AggregateFacts::new(aggregate, place)),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            time_ns: Digits(sensor.clock.wall(item.at())),
            hook: sensor.rung.name(),
            what,
        }
    }
}

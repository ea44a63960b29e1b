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
use crate::{detect::Finding, event::CallId};

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
    cwe: [&'static str; 1],
    #[serde(flatten)]
    call: CallFacts,
}

impl<'a> FindingFacts<'a> {
    fn new(finding: &'a Finding, sensor: &Sensor) -> Self {
        Self {
            finding: Values(finding),
            evidence: finding.evidence.iter().copied().map(Shown).collect(),
            cwe: [finding.rule.cwe],
            call: CallFacts::new(&finding.call, sensor),
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
                caller: CallerFacts::new(&finding.call.caller, who, sensor),
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

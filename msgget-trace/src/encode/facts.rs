//! What a standard has no field for: an item goes in, one object of our own comes out, the same under `msgget` of
//! ECS and under `unmapped` of OCSF.
//!
//! Names are in snake_case, which is ECS's rule for fields of one's own. Moments and what the kernel counts in 64 bits are
//! strings: a reader of JSON may keep no more than 53 bits of a number (RFC 8259, section 6). A fact that this kernel cannot
//! give is left out, never guessed.

mod aggregate;
mod call;
mod caller;
mod finding;
mod health;
mod used;

use aggregate::AggregateFacts;
use caller::CallerFacts;
use finding::FindingFacts;
use used::UseFacts;

use super::{
    Item, Kind, Sensor,
    show::Digits,
    write::{Object, Written},
};
use crate::event::Event;

pub(super) use call::Values;

/// Version of these fields: the minor grows with every addition, the major with every other change.
pub(super) const SCHEMA_VERSION: &str = "1.0";

/// The stream among ours that what is of this kind belongs to.
pub(super) const fn dataset(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "msgget.call",
        Kind::Control => "msgget.control",
        Kind::Use => "msgget.use",
        Kind::Finding => "msgget.finding",
        Kind::Health => "msgget.health",
        Kind::Aggregate => "msgget.aggregate",
    }
}

/// Adds the facts of `item` to the object they stand in.
pub(super) fn add(item: &Item<'_>, sensor: &Sensor, to: &mut Object<'_>) -> Written {
    to.member("schema_version", SCHEMA_VERSION)?;
    // When it happened, ns since 1970.
    to.member("time_ns", &Digits(sensor.clock.wall(item.at())))?;
    to.member("hook", sensor.rung.name())?;
    // The policies that want it, where there are any.
    to.known("matched_policies", Some(item.policies()).filter(|policies| !policies.is_empty()))?;
    match *item {
        Item::Call { call, .. } => call::of_call(call, sensor, to)?,
        Item::Control { control, .. } => call::of_control(control, sensor, to)?,
        Item::Use { used, .. } => to.fields(&UseFacts::new(used))?,
        Item::Finding { finding, .. } => {
            to.fields(&FindingFacts::new(finding, sensor))?;
            match &finding.event {
                Event::Call(call) => call::of_call(call, sensor, to)?,
                Event::Control(control) => call::of_control(control, sensor, to)?,
                Event::Use(used) => to.fields(&UseFacts::new(used))?,
            }
        }
        Item::Health { health, .. } => health::of_news(&health.news, sensor, to)?,
        Item::Aggregate { aggregate, place, .. } => to.fields(&AggregateFacts::new(aggregate, place))?,
    }
    item.caller().map_or(Ok(()), |(caller, who)| to.fields(&CallerFacts::new(caller, who, sensor)))
}

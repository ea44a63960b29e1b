//! The `ocsf` format: any item goes in, one object a line comes out, an event of the Open Cybersecurity Schema Framework 1.8.0
//! (ocsf/ocsf-schema): Kernel Activity for calls, controls and aggregates, Detection Finding for findings, Application
//! Lifecycle for news of the sensor.
//!
//! The schema allows no attributes but its own and no nulls; what it has none for is in `unmapped`.

mod actor;
mod class;
mod finding;
mod machine;
mod outcome;

use actor::Actor;
use class::{Class, Kernel};
use finding::FindingFields;
use machine::{Device, Metadata, Product};
use outcome::Status;
use serde::Serialize;

use super::{
    Item, Sensor,
    facts::Facts,
    level::Level,
    message::Message,
    show::{Rfc3339, Shown},
    write::append,
};

/// Appends the line of `item`, the output's `sequence`th, to `out`.
pub(super) fn line(item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
    append(&Event::new(item, sensor, sequence), out);
}

/// What all classes have in common, and what only some have.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(flatten)]
    class: Class,
    severity_id: u8,
    severity: &'static str,
    /// ms since 1970
    time: u64,
    /// The same with all its digits.
    time_dt: Shown<Rfc3339>,
    /// Minutes: all times are UTC.
    timezone_offset: i32,
    #[serde(flatten)]
    status: Status<'a>,
    message: Shown<Message<'a>>,
    #[serde(flatten)]
    several: Option<Several>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<Kernel>,
    #[serde(flatten)]
    finding: Option<FindingFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<Product>,
    device: Device<'a>,
    metadata: Metadata,
    unmapped: Unmapped<'a>,
}

/// Of one event that stands for several calls.
#[derive(Serialize)]
struct Several {
    count: u64,
    /// ms since 1970, as of the first call and of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<u64>,
}

#[derive(Serialize)]
struct Unmapped<'a> {
    msgget: Facts<'a>,
}

/// ns since 1970 in the unit of the schema's `timestamp_t`.
const fn millis(ns: u64) -> u64 {
    ns / 1_000_000
}

impl<'a> Event<'a> {
    fn new(item: &'a Item<'a>, sensor: &'a Sensor, sequence: u64) -> Self {
        let now = sensor.clock.wall(item.at());
        let level = Level::of(item);
        Self {
            class: Class::of(item),
            severity_id: level as u8,
            severity: level.name(),
            time: millis(now),
            time_dt: Shown(Rfc3339(now)),
            timezone_offset: 0,
            status: Status::of(item),
            message: Shown(Message(item)),
            several: Several::of(item, sensor),
            actor: Actor::of(item, sensor),
            kernel: Kernel::of(item),
            finding: match item {
                Item::Finding { finding, .. } => Some(FindingFields::new(finding, sensor)),
                _ => None,
            },
            app: matches!(item, Item::Health { .. }).then_some(Product::OURS),
            device: Device::new(sensor),
            metadata: Metadata::new(item, sensor, sequence),
            unmapped: Unmapped { msgget: Facts::new(item, sensor) },
        }
    }
}

impl Several {
    fn of(item: &Item<'_>, sensor: &Sensor) -> Option<Self> {
        let Item::Aggregate { aggregate, .. } = item else { return None };
        let span = aggregate.attributed.as_ref().map(|attributed| (attributed.first, attributed.last));
        let moment = |moment| millis(sensor.clock.wall(moment));
        Some(Self {
            count: aggregate.counts.total(),
            start_time: span.map(|(first, _)| moment(first)),
            end_time: span.map(|(_, last)| moment(last)),
        })
    }
}

#[cfg(test)]
mod tests;

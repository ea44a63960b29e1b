//! The `ocsf` format: any item goes in, one object a line comes out, an event of the Open Cybersecurity Schema Framework 1.8.0
//! (ocsf/ocsf-schema): Kernel Activity for calls, controls, uses and aggregates, Detection Finding for findings, Application
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
    Item, Sensor, facts,
    level::Level,
    message::Message,
    show::{Rfc3339, Shown},
    write::append_object,
};
use crate::event::Aggregate;

/// Appends the line of `item`, the output's `sequence`th, to `out`: what all classes have in common, and what only some have.
pub(super) fn line(item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
    let now = sensor.clock.wall(item.at());
    let level = Level::of(item);
    append_object(out, |line| {
        line.fields(&Class::of(item))?;
        line.member("severity_id", &(level as u8))?;
        line.member("severity", level.name())?;
        line.member("time", &millis(now))?;
        // The same with all its digits.
        line.member("time_dt", &Shown(Rfc3339(now)))?;
        // Minutes: all times are UTC.
        line.member("timezone_offset", &0)?;
        line.fields(&Status::of(item))?;
        line.member("message", &Shown(Message(item)))?;
        if let Item::Aggregate { aggregate, .. } = item {
            line.fields(&Several::new(aggregate, sensor))?;
        }
        line.known("actor", Actor::of(item, sensor))?;
        line.known("kernel", Kernel::of(item))?;
        if let Item::Finding { finding, .. } = item {
            line.fields(&FindingFields::new(finding, sensor))?;
        }
        line.known("app", matches!(item, Item::Health { .. }).then_some(Product::OURS))?;
        line.member("device", &Device::new(sensor))?;
        line.member("metadata", &Metadata::new(item, sensor, sequence))?;
        line.object("unmapped", |unmapped| unmapped.object("msgget", |msgget| facts::add(item, sensor, msgget)))
    });
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

/// ns since 1970 in the unit of the schema's `timestamp_t`.
const fn millis(ns: u64) -> u64 {
    ns / 1_000_000
}

impl Several {
    fn new(aggregate: &Aggregate, sensor: &Sensor) -> Self {
        let span = aggregate.attributed.as_ref().map(|attributed| (attributed.first, attributed.last));
        let moment = |moment| millis(sensor.clock.wall(moment));
        Self {
            count: aggregate.counts.total(),
            start_time: span.map(|(first, _)| moment(first)),
            end_time: span.map(|(_, last)| moment(last)),
        }
    }
}

#[cfg(test)]
mod tests;

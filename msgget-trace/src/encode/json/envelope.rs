//! What every record of the sensor's own has, news of itself and aggregates alike: the item and what only its kind says go in,
//! the record comes out.

use schemars::JsonSchema;
use serde::Serialize;

use super::{SCHEMA_VERSION, Shown, common::unmoved, schema};
use crate::encode::{Id, Item, Sensor};

/// A record around `facts`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a, F> {
    /// When it was noticed, ns since 1970; of an aggregate, when the last of its calls returned.
    timestamp: u64,
    event_name: &'static str,
    /// The minor grows with every addition, the major with every other change.
    #[schemars(schema_with = "schema::version")]
    schema_version: &'static str,
    /// Identity: the run, and how many records of its own it had told before.
    id: Shown<Id>,
    /// Place in this output, from 1: a gap is a lost line.
    sequence: u64,
    /// The hooks in use.
    #[schemars(schema_with = "schema::hook")]
    hook: &'static str,
    #[serde(flatten)]
    facts: F,
    /// machine-id(5).
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    /// random(4).
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
    /// The moment of `timestamp` on the boot clock, which nobody sets: ns, CLOCK_BOOTTIME of clock_gettime(2).
    boot_timestamp: u64,
    /// By how much the wall clock has been set since the sensor was started, ns; absent where it has not.
    #[serde(skip_serializing_if = "unmoved")]
    clock_moved_ns: i64,
}

impl Sensor {
    pub(super) fn envelope<F: Serialize>(&self, item: &Item<'_>, sequence: u64, facts: F) -> Envelope<'_, F> {
        Envelope {
            timestamp: self.clock.wall(item.at()),
            event_name: item.name(),
            schema_version: SCHEMA_VERSION,
            id: Shown(item.id(self)),
            sequence,
            hook: self.rung.name(),
            facts,
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
            boot_timestamp: item.at().0,
            clock_moved_ns: self.clock.moved(),
        }
    }
}

//! What every record of the sensor's own has, news of itself and aggregates alike: the item and what only its kind says go in,
//! the record comes out.

use serde::Serialize;

use super::{SCHEMA_VERSION, Shown};
use crate::encode::{Id, Item, Sensor};

/// A record around `facts`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a, F> {
    timestamp: u64,
    event_name: &'static str,
    schema_version: &'static str,
    id: Shown<Id>,
    sequence: u64,
    hook: &'static str,
    #[serde(flatten)]
    facts: F,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
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
        }
    }
}

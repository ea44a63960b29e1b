//! Encode: what is to be told goes in, bytes of a line in one of the formats come out. Every rule of escaping lives here.

mod entity;
mod escape;
mod item;
mod json;

pub use entity::entity_id;
pub use escape::Escaped;
pub use item::{Id, Item, Kind};
use uuid::Uuid;

use crate::{
    enrich::{Clock, Host},
    event::Rung,
};

/// What lines say besides: about this run of the sensor, its machine and the machine's clock.
#[derive(Debug)]
pub struct Sensor {
    /// The run, which the health records name.
    pub run: Uuid,
    /// This machine.
    pub host: Host,
    /// Its clocks.
    pub clock: Clock,
    /// The hooks in use.
    pub rung: Rung,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tracee's event and our own facts, one object a line.
    Json,
}

impl Format {
    /// Appends the line of `item`, the output's `sequence`th, to `out`.
    pub fn line(self, item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::line(item, sensor, sequence, out),
        }
    }
}

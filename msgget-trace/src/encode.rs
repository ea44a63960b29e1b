//! Encode: what is to be told goes in, bytes of a line in one of the formats come out. Every rule of escaping lives here.

mod capabilities;
mod ecs;
mod entity;
mod escape;
mod facts;
mod item;
mod json;
mod level;
mod message;
mod ocsf;
#[cfg(test)]
mod sample;
mod show;

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
    /// Elastic Common Schema 9.4.0, our own facts under `msgget`; one object a line.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.8.0, our own facts under `unmapped`; one object a line.
    Ocsf,
}

impl Format {
    /// All of them, by their names.
    const NAMES: [(&str, Self); 3] = [("json", Self::Json), ("ecs", Self::Ecs), ("ocsf", Self::Ocsf)];

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// True if it has a form for things of this kind.
    #[must_use]
    pub const fn tells(self, _kind: Kind) -> bool {
        true
    }

    /// Appends the line of `item`, the output's `sequence`th, to `out`.
    pub fn line(self, item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::line(item, sensor, sequence, out),
            Self::Ecs => ecs::line(item, sensor, sequence, out),
            Self::Ocsf => ocsf::line(item, sensor, sequence, out),
        }
    }
}

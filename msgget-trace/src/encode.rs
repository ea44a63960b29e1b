//! Encode: what is to be told goes in, bytes of a line in one of the formats come out. Every rule of escaping lives here.

mod capabilities;
mod cef;
mod ecs;
mod entity;
pub(crate) mod escape;
mod facts;
mod item;
mod json;
mod level;
mod message;
mod ocsf;
#[cfg(test)]
pub(crate) mod sample;
mod show;
mod table;
mod write;

pub use entity::entity_id;
pub use escape::Escaped;
pub use item::{Id, Item, Kind};
pub(crate) use json::SCHEMA_VERSION as JSON_VERSION;
pub use json::schema as json_schema;
pub use table::Table;
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
    /// ArcSight's Common Event Format, of findings only.
    Cef,
    /// Columns, for people.
    Table(Table),
}

impl Format {
    /// All of them, as they look where nothing is known of the reader.
    const ALL: [Self; 5] =
        [Self::Json, Self::Ecs, Self::Ocsf, Self::Cef, Self::Table(Table { width: None, colour: false })];

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
            Self::Table(_) => "table",
        }
    }

    /// Whether it has lines for items of this `kind`.
    #[must_use]
    pub fn tells(self, kind: Kind) -> bool {
        match self {
            Self::Cef => kind == Kind::Finding,
            Self::Json | Self::Ecs | Self::Ocsf | Self::Table(_) => true,
        }
    }

    /// Appends the line of `item`, the output's `sequence`th, to `out`; nothing if it does not [tell](Self::tells) of such.
    pub fn line(self, item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::line(item, sensor, sequence, out),
            Self::Ecs => ecs::line(item, sensor, sequence, out),
            Self::Ocsf => ocsf::line(item, sensor, sequence, out),
            Self::Cef => cef::line(item, sensor, sequence, out),
            Self::Table(table) => table.line(item, sensor, sequence, out),
        }
    }
}

//! The `table` format, for people: an item goes in, a line of columns comes out; above the first line and every fortieth
//! after it stands a heading, whose first column is the day (UTC).
//!
//! Columns have fixed places, and what does not fit into one is cut. Nothing that somebody else chose can move a terminal's
//! cursor or change the order of what is on it ([`Visible`](super::escape::Visible)). The mark at the start of a line says
//! what it is: none for a call, `!` for a finding, `*` for news of the sensor, `+` for calls that were only counted.

mod row;
mod words;

use jiff::{Timestamp, fmt::strtime};
use row::Row;

use super::{Item, Sensor};
use crate::{
    detect::Severity,
    event::{Health, News},
};

/// Lines from one heading to the next.
const PAGE: u64 = 40;

/// How a table looks. Who makes one decides by the terminal it goes to, if it goes to one, and by what the user wishes
/// (`NO_COLOR`, <https://no-color.org>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Columns of the terminal, beyond which lines are cut; `None`: they are not.
    pub width: Option<u16>,
    /// Whether findings and news of the sensor have colours.
    pub colour: bool,
}

impl Table {
    /// Appends the line of `item`, the output's `sequence`th, to `out`.
    pub(super) fn line(self, item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
        let at = sensor.clock.wall(item.at());
        if sequence % PAGE == 1 {
            self.put(Row::heading(&clock("%Y-%m-%d Z", at)), Some(Colour::Bold), out);
        }
        self.put(words::row(item, sensor, &clock("%H:%M:%S%.3f", at)), Colour::of(item), out);
    }

    fn put(self, row: Row, colour: Option<Colour>, out: &mut Vec<u8>) {
        let line = row.line(self.width);
        match colour.filter(|_| self.colour) {
            Some(colour) => out.extend_from_slice(format!("\x1b[{}m{line}\x1b[0m\n", colour.code()).as_bytes()),
            None => out.extend_from_slice(format!("{line}\n").as_bytes()),
        }
    }
}

/// What a line is made to stand out by.
#[derive(Clone, Copy)]
enum Colour {
    Bold,
    Red,
    Yellow,
    Cyan,
}

impl Colour {
    fn of(item: &Item<'_>) -> Option<Self> {
        match item {
            Item::Call { .. } | Item::Control { .. } | Item::Use { .. } => None,
            Item::Finding { finding, .. } if finding.severity >= Severity::Medium => Some(Self::Red),
            Item::Health {
                health: Health { news: News::Loss { .. } | News::PolicyRefused { .. } | News::Degraded { .. }, .. },
                ..
            } => Some(Self::Red),
            Item::Finding { .. } | Item::Aggregate { .. } => Some(Self::Yellow),
            Item::Health { .. } => Some(Self::Cyan),
        }
    }

    /// Parameters of the escape sequence SGR, console_codes(4).
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Red => "1;31",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

/// A moment, in ns since 1970, in UTC and by a `format` of strftime(3).
fn clock(format: &str, moment: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    // The year 2554 is the last one in 64 bits of ns; a timestamp goes up to 9999.
    let moment = Timestamp::new((moment / SECOND).cast_signed(), (moment % SECOND) as i32).unwrap_or(Timestamp::MAX);
    // Only an unknown letter in the format is refused.
    strtime::format(format, moment).unwrap_or_else(|_| moment.to_string())
}

#[cfg(test)]
mod tests;

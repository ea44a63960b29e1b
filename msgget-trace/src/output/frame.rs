//! What goes around a line on its way to a syslog receiver: an item and its line go in, a message of RFC 5424 comes out, ended by
//! a newline as lines are.

use crate::{
    detect,
    encode::{Item, Sensor},
    event::News,
    sink::syslog::message::{self, Facility, Severity},
};

/// What all messages have in common.
#[derive(Debug)]
pub(super) struct Frame {
    facility: Facility,
    line: Vec<u8>,
}

impl Frame {
    pub(super) const fn new(facility: Facility) -> Self {
        Self { facility, line: Vec::new() }
    }

    /// Appends the message of `item` to `out`; `line` appends its line.
    pub(super) fn line(
        &mut self,
        item: &Item<'_>,
        sensor: &Sensor,
        out: &mut Vec<u8>,
        line: impl FnOnce(&mut Vec<u8>),
    ) {
        self.line.clear();
        line(&mut self.line);
        let (at, process) = (sensor.clock.wall(item.at()), std::process::id());
        let host = sensor.host.name.as_deref().unwrap_or_default().as_bytes();
        message::header(out, self.facility, severity(item), at, host, process, item.name().as_bytes());
        message::text(out, &self.line);
        out.push(b'\n');
    }
}

/// How urgent it is.
const fn severity(item: &Item<'_>) -> Severity {
    match item {
        Item::Call { .. } | Item::Control { .. } | Item::Use { .. } => Severity::Informational,
        Item::Aggregate { .. } => Severity::Notice,
        Item::Finding { finding, .. } => match finding.severity {
            detect::Severity::Info => Severity::Informational,
            detect::Severity::Low => Severity::Notice,
            detect::Severity::Medium => Severity::Warning,
            detect::Severity::High => Severity::Error,
            detect::Severity::Critical => Severity::Critical,
        },
        Item::Health { health, .. } => match health.news {
            News::Heartbeat { .. } => Severity::Informational,
            News::Start { .. }
            | News::Stop { .. }
            | News::ConfigChange { .. }
            | News::PolicyChange { .. }
            | News::Recovered { .. } => Severity::Notice,
            News::Loss { .. } | News::PolicyRefused { .. } | News::Degraded { .. } => Severity::Error,
        },
    }
}

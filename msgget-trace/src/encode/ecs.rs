//! The `ecs` format: any item goes in, one object a line comes out, in the fields of the Elastic Common Schema 9.4.0
//! (elastic/ecs, generated/ecs/ecs_flat.yml), and our own facts under `msgget`.
//!
//! What ECS does not define is not squeezed into it: `user` is the real user and `user.effective` who permissions were
//! checked against, `process.user` is by definition the latter. A field that cannot be filled is left out, never guessed.

mod event;
mod host;
mod subject;

use event::Event;
use host::{Agent, Host};
use serde::Serialize;
use subject::Subject;

use super::{
    Item, Sensor, facts,
    message::Message,
    show::{Digits, Rfc3339, Shown},
    write::append_object,
};
use crate::{detect::RuleInfo, event::Errno};

/// Appends the line of `item`, the output's `sequence`th, to `out`.
pub(super) fn line(item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
    append_object(out, |line| {
        line.member("@timestamp", &Shown(Rfc3339(sensor.clock.wall(item.at()))))?;
        line.member("ecs", &Version { version: "9.4.0" })?;
        line.member("message", &Shown(Message(item)))?;
        line.known("tags", item.tags())?;
        line.member("event", &Event::new(item, sensor, sequence))?;
        line.known("error", item.errno().map(Failed::new))?;
        if let Item::Finding { finding, .. } = item {
            line.member("rule", &Rule::new(finding.rule))?;
        }
        line.fields(&Subject::new(item, sensor))?;
        line.member("host", &Host::new(item, sensor))?;
        line.member("agent", &Agent::new(sensor))?;
        line.object("msgget", |msgget| facts::add(item, sensor, msgget))
    });
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
struct Failed {
    /// The number.
    code: Digits<u16>,
    /// The name.
    r#type: Shown<Errno>,
}

#[derive(Serialize)]
struct Rule {
    id: &'static str,
    name: &'static str,
    version: &'static str,
    description: &'static str,
}

impl Failed {
    const fn new(errno: Errno) -> Self {
        Self { code: Digits(errno.0), r#type: Shown(errno) }
    }
}

impl Rule {
    const fn new(rule: &RuleInfo) -> Self {
        Self { id: rule.id, name: rule.name, version: rule.version, description: rule.description }
    }
}

#[cfg(test)]
mod tests;

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
    Item, Sensor,
    facts::Facts,
    message::Message,
    show::{Digits, Rfc3339, Shown},
    write::append,
};
use crate::{
    detect::{RuleInfo, Tags},
    event::Errno,
};

/// Appends the line of `item`, the output's `sequence`th, to `out`.
pub(super) fn line(item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
    append(&Document::new(item, sensor, sequence), out);
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Shown<Rfc3339>,
    ecs: Version,
    message: Shown<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Tags>,
    event: Event<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(flatten)]
    subject: Subject<'a>,
    host: Host<'a>,
    agent: Agent<'a>,
    msgget: Facts<'a>,
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

impl<'a> Document<'a> {
    fn new(item: &'a Item<'a>, sensor: &'a Sensor, sequence: u64) -> Self {
        Self {
            timestamp: Shown(Rfc3339(sensor.clock.wall(item.at()))),
            ecs: Version { version: "9.4.0" },
            message: Shown(Message(item)),
            tags: item.tags(),
            event: Event::new(item, sensor, sequence),
            error: item.errno().map(|errno| Failed { code: Digits(errno.0), r#type: Shown(errno) }),
            rule: match item {
                Item::Finding { finding, .. } => Some(Rule::new(finding.rule)),
                _ => None,
            },
            subject: Subject::new(item, sensor),
            host: Host::new(item, sensor),
            agent: Agent::new(sensor),
            msgget: Facts::new(item, sensor),
        }
    }
}

impl Rule {
    const fn new(rule: &RuleInfo) -> Self {
        Self { id: rule.id, name: rule.name, version: rule.version, description: rule.description }
    }
}

#[cfg(test)]
mod tests;

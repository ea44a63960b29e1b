//! What is judged: an event goes in with who is behind it, and answers what fields and conditions ask.

use super::events;
use crate::{
    detect::{Finding, Tags},
    enrich::Who,
    event::{Call, Caller, Control, Event},
};

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The event.
    pub what: What<'a>,
    /// Who is behind it.
    pub who: &'a Who<'a>,
    /// What it is tagged with.
    pub tags: Tags,
}

/// What an event or a verdict is.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A call, what became of a queue, or its use after that.
    Event(&'a Event),
    /// A rule's verdict.
    Finding(&'a Finding),
}

impl<'a> Subject<'a> {
    /// The event; of a verdict, the one that completed it.
    pub(super) const fn behind(&self) -> &'a Event {
        match self.what {
            What::Event(event) => event,
            What::Finding(finding) => &finding.event,
        }
    }

    pub(super) const fn caller(&self) -> &'a Caller {
        self.behind().caller()
    }

    /// The `msgget` that it is, or that completed it.
    pub(super) const fn call(&self) -> Option<&'a Call> {
        self.behind().call()
    }

    /// The `msgctl` that it is, or that completed it.
    pub(super) const fn control(&self) -> Option<&'a Control> {
        match self.behind() {
            Event::Control(control) => Some(control),
            Event::Call(_) | Event::Use(_) => None,
        }
    }

    /// Id of the queue that a `msgctl`, `msgsnd` or `msgrcv` named.
    pub(super) const fn msqid(&self) -> Option<i32> {
        match self.behind() {
            Event::Call(_) => None,
            Event::Control(control) => Some(control.msqid),
            Event::Use(used) => Some(used.msqid),
        }
    }

    /// The verdict, if it is one.
    pub(super) const fn finding(&self) -> Option<&'a Finding> {
        match self.what {
            What::Finding(finding) => Some(finding),
            What::Event(_) => None,
        }
    }

    pub(super) fn key(&self) -> Option<i32> {
        let found = self.finding().and_then(Finding::key);
        found.or_else(|| self.call().map(|call| call.key)).or_else(|| self.control()?.key)
    }

    /// Name of the event.
    pub(super) const fn event(&self) -> &'static str {
        match self.what {
            What::Event(Event::Call(_)) => events::MSGGET,
            What::Event(Event::Control(_)) => events::MSGCTL,
            What::Event(Event::Use(used)) => used.operation.name(),
            What::Finding(finding) => finding.rule.name,
        }
    }
}

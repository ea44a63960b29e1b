//! Detect: events go in, in the order of the ring, with aggregates and losses among them; tags and findings come out. Pure: no clock
//! but the events' own times, no I/O, bounded state, so that the same events always give the same findings.
//!
//! An event meets what is remembered of its process, key, queue and namespace (`memory`, `act`) in a `scene`; each of the `rules`
//! looks at that; what matches is told unless it is the same story again (`story`); then the event is remembered, too.

mod act;
mod actor;
mod document;
mod finding;
mod memory;
mod rule;
mod rules;
mod scene;
mod story;
mod tags;

use std::sync::Arc;

pub use actor::Actor;
pub use document::document;
pub use finding::{Certainty, Finding, Party, Story, Value};
pub use rule::{ATTACK_VERSION, Confidence, RuleInfo, Severity};
pub use rules::RULES;
pub use tags::{Tag, Tags};

use self::{
    act::{Act, Deed},
    actor::ProcessId,
    memory::{Holder, Memory, Place, Queue, SpaceId},
    scene::{Doubts, Findings, Scene},
    story::Stories,
};
use crate::event::{
    Aggregate, BootTime, Call, Control, Errno, Event, Health, IPC_PRIVATE, MsgFlags, News, Outcome, Payer,
};

/// What one event led to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Of the call itself.
    pub tags: Tags,
    /// Completed by it.
    pub findings: Vec<Finding>,
}

/// All rules and what they remember.
#[derive(Debug)]
pub struct Engine {
    memory: Memory,
    stories: Stories,
    doubts: Doubts,
}

impl Engine {
    /// Having seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { memory: Memory::new(), stories: Stories::new(), doubts: Doubts::default() }
    }

    /// The tags that `event` has whatever was before.
    #[must_use]
    pub fn tags(event: &Event) -> Tags {
        match event {
            Event::Call(call) => tags::of(call),
            Event::Control(control) => tags::of_control(control),
        }
    }

    /// Judges the next event.
    pub fn observe(&mut self, event: &Event) -> Verdict {
        match event {
            Event::Call(call) if call.executed() => self.observe_call(event, call),
            Event::Control(control) if control.outcome != Outcome::NotExecuted => self.observe_control(event, control),
            _ => Verdict { tags: Self::tags(event), findings: Vec::new() },
        }
    }

    /// Takes calls in that were counted instead of sent: they add to what their process is known to do, and a race among them is
    /// no longer certain.
    pub fn observe_aggregate(&mut self, aggregate: &Aggregate) -> Verdict {
        let Some(of) = &aggregate.attributed else {
            self.doubts.add(None, BootTime(aggregate.at.0.saturating_sub(UNATTRIBUTED)), aggregate.at);
            return Verdict::default();
        };
        self.doubts.add(of.ipc_ns, of.first, of.last);
        let Payer::Process { pid, started } = of.payer else { return Verdict::default() };
        let process = self.memory.processes.get_mut(&ProcessId { pid, started });
        let Some((sample, actor)) =
            process.and_then(|process| Some((process.sample.clone()?, Arc::clone(&process.actor))))
        else {
            return Verdict::default();
        };
        // In its stead, for it is what the process does.
        let event = &Event::Call(*sample);
        let space = self.memory.space(of.ipc_ns, of.last, actor.process(), None).id;
        let (scene, found) = &mut self.scene(event, actor, space, None);
        scene.at = of.last;
        rules::observe_aggregate(scene, &aggregate.counts, of, found);
        std::mem::take(&mut found.verdict)
    }

    /// Takes news of the sensor in: a race among lost calls is no longer certain.
    pub fn observe_health(&mut self, health: &Health) {
        // What an output lost, we have had.
        if let News::Loss { output: None, since, .. } = health.news {
            self.doubts.add(None, since, health.at);
        }
    }

    fn observe_call(&mut self, event: &Event, call: &Call) -> Verdict {
        let process = self.memory.process(&call.caller);
        process.calls += 1;
        if process.calls % SAMPLED == 0 {
            process.sample = Some(Box::new(call.clone()));
        }
        let actor = Arc::clone(&process.actor);
        let id = i32::try_from(call.result).ok().filter(|id| *id >= 0);
        let deed = deed(call);
        let created = id.filter(|_| deed == Some(Deed::Created));
        let space = self.memory.space(call.caller.ipc_ns, call.left, actor.process(), created).id;
        let act = deed.filter(|_| call.key != IPC_PRIVATE).map(|deed| Act {
            deed,
            create: call.flags.has(MsgFlags::IPC_CREAT),
            actor: Arc::clone(&actor),
            id: call.id,
            queue: id,
            entered: call.entered,
            left: call.left,
            happened: call.linearised,
        });
        let (scene, found) = &mut self.scene(event, Arc::clone(&actor), space, act);
        rules::observe_call(scene, call, found);
        let (act, verdict) = (scene.act.take(), std::mem::take(&mut found.verdict));
        if let Some(act) = act {
            self.memory.act(space, call.key, act);
        }
        if let Some(id) = id {
            let holder = Holder::of(event, &actor);
            match created {
                Some(id) => self.memory.made(space, id, Queue::made(call, holder)),
                None => self.memory.opened(space, id, call, holder),
            }
        }
        verdict
    }

    fn observe_control(&mut self, event: &Event, control: &Control) -> Verdict {
        let actor = match control.teardown() {
            // Nobody called.
            true => Arc::new(Actor::new(&control.caller)),
            false => Arc::clone(&self.memory.process(&control.caller).actor),
        };
        let space = self.memory.space(control.caller.ipc_ns, control.left, actor.process(), None).id;
        let (scene, found) = &mut self.scene(event, Arc::clone(&actor), space, None);
        rules::observe_control(scene, control, found);
        let verdict = std::mem::take(&mut found.verdict);
        if control.outcome != Outcome::Removed {
            return verdict;
        }
        let key = self.memory.removed(space, control.msqid, Holder::of(event, &actor)).or(control.key);
        if let Some(key) = key.filter(|key| *key != IPC_PRIVATE && !control.teardown()) {
            let act = Act {
                deed: Deed::Removed,
                create: false,
                actor,
                id: control.id,
                queue: Some(control.msqid),
                entered: control.entered,
                left: control.left,
                happened: control.linearised,
            };
            self.memory.act(space, key, act);
        }
        verdict
    }

    fn scene<'a>(
        &'a mut self,
        event: &'a Event,
        actor: Arc<Actor>,
        space: SpaceId,
        act: Option<Act>,
    ) -> (Scene<'a>, Findings<'a>) {
        let Self { memory, stories, doubts } = self;
        let place = Place { space, program: actor.program, euid: actor.euid };
        let scene = Scene { event, at: event.left(), actor, place, act, memory, doubts };
        let verdict = Verdict { tags: Self::tags(event), findings: Vec::new() };
        (scene, Findings { verdict, stories })
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

/// Of so many calls of a process one is kept, to stand for those that are only counted.
const SAMPLED: u64 = 64;

/// How far back calls may lie of which nobody knows whose they were: what is older was looked at before. 2 s, in ns.
const UNATTRIBUTED: u64 = 2_000_000_000;

/// What `call` came to, if that says anything about its key.
fn deed(call: &Call) -> Option<Deed> {
    match call.errno() {
        Some(Errno::ENOENT) => return Some(Deed::Missing),
        Some(Errno::EEXIST) => return Some(Deed::Exists),
        Some(Errno::EACCES) => return Some(Deed::Denied),
        Some(_) => return None,
        None => {}
    }
    match call.outcome {
        Outcome::Created => Some(Deed::Created),
        Outcome::Opened => Some(Deed::Opened),
        Outcome::Ambiguous => Some(Deed::MayHaveCreated),
        // Its flags tell as much as they do of others, ipcget in ipc/util.c.
        Outcome::Unpaired if call.key == IPC_PRIVATE => Some(Deed::Created),
        Outcome::Unpaired if call.flags.has(MsgFlags::IPC_CREAT | MsgFlags::IPC_EXCL) => Some(Deed::Created),
        Outcome::Unpaired if call.flags.has(MsgFlags::IPC_CREAT) => Some(Deed::MayHaveCreated),
        Outcome::Unpaired => Some(Deed::Opened),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

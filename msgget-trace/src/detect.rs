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
mod table;
mod tags;

use std::sync::Arc;

pub use actor::Actor;
pub use document::document;
pub use finding::{Certainty, Finding, Party, Story, Value};
pub use rule::{ATTACK_VERSION, Confidence, RuleInfo, Severity};
pub use rules::RULES;
pub use tags::{Tag, Tags};

use self::{
    act::{Act, Deed, History},
    actor::{Doer, ProcessId},
    memory::{Memory, Place},
    scene::{Doubts, Findings, Scene},
    story::Stories,
};
use crate::event::{
    Aggregate, BootTime, Call, Control, Errno, Event, Health, IPC_PRIVATE, MsgFlags, News, Outcome, Payer, Use,
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
            Event::Use(used) => tags::of_use(used),
        }
    }

    /// Judges the next event.
    pub fn observe(&mut self, event: &Event) -> Verdict {
        match event {
            Event::Call(call) if call.executed() => self.observe_call(event, call),
            Event::Control(control) if control.outcome != Outcome::NotExecuted => self.observe_control(event, control),
            Event::Use(used) => self.observe_use(event, used),
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
        let Some(sample) = process.and_then(|process| process.sample.clone()) else { return Verdict::default() };
        // In its stead, for it is what the process does.
        let event = &Event::Call(*sample);
        self.judge(event, None, of.last, |scene, found| rules::observe_aggregate(scene, &aggregate.counts, of, found)).1
    }

    /// Takes `finding` out of its story, for nobody was told of it: the next like it is told in its stead.
    pub fn withdraw(&mut self, finding: &Finding) {
        self.stories.withdraw(&finding.plot);
    }

    /// Takes news of the sensor in: a race among lost calls is no longer certain.
    pub fn observe_health(&mut self, health: &Health) {
        // What an output lost, we have had.
        if let News::Loss { output: None, since, .. } = health.news {
            self.doubts.add(None, since, health.at);
        }
    }

    fn observe_call(&mut self, event: &Event, call: &Call) -> Verdict {
        let id = i32::try_from(call.result).ok().filter(|id| *id >= 0);
        let deed = deed(call);
        let created = id.filter(|_| deed == Some(Deed::Created));
        let ((space, actor, act), verdict) = self.judge(event, created, call.left, |scene, found| {
            scene.process.calls += 1;
            if scene.process.calls.is_multiple_of(SAMPLED) {
                scene.process.sample = Some(Box::new(call.clone()));
            }
            let act = deed.filter(|_| call.key != IPC_PRIVATE).map(|deed| Act {
                deed,
                create: call.flags.has(MsgFlags::IPC_CREAT),
                queue: id,
                happened: call.linearised.into(),
                by: Doer::of(event, Arc::clone(&scene.actor)),
            });
            rules::observe_call(scene, call, act.as_ref(), found);
            (scene.place.space, Arc::clone(&scene.actor), act)
        });
        if let Some(act) = act {
            self.memory.act(space, call.key, act);
        }
        match (created, id) {
            (Some(id), _) => self.memory.made(space, id, call, Doer::of(event, actor)),
            (None, Some(id)) => self.memory.opened(space, id, call, Doer::of(event, actor)),
            (None, None) => {}
        }
        verdict
    }

    fn observe_control(&mut self, event: &Event, control: &Control) -> Verdict {
        if control.teardown() {
            // Nobody called.
            if let Some(space) = self.memory.spaces.get_mut(&control.caller.ipc_ns).map(|space| space.id) {
                let kernel = Arc::new(Actor::of(event));
                self.memory.removed(space, control.msqid, Doer::of(event, kernel));
            }
            return Verdict { tags: Self::tags(event), findings: Vec::new() };
        }
        let ((space, actor), verdict) = self.judge(event, None, control.left, |scene, found| {
            rules::observe_control(scene, control, found);
            (scene.place.space, Arc::clone(&scene.actor))
        });
        if control.outcome == Outcome::Removed {
            let remover = Doer::of(event, actor);
            let key = self.memory.removed(space, control.msqid, remover.clone()).or(control.key);
            if let Some(key) = key.filter(|key| *key != IPC_PRIVATE) {
                let act = Act {
                    deed: Deed::Removed,
                    create: false,
                    queue: Some(control.msqid),
                    happened: control.linearised.into(),
                    by: remover,
                };
                self.memory.act(space, key, act);
            }
        }
        verdict
    }

    fn observe_use(&mut self, event: &Event, used: &Use) -> Verdict {
        self.judge(event, None, used.left, |scene, found| rules::observe_use(scene, used, found)).1
    }

    /// Has `look` look at `event`, which was over `at` that moment and made the queue `created`, with all that is known of those
    /// in it.
    fn judge<T>(
        &mut self,
        event: &Event,
        created: Option<i32>,
        at: BootTime,
        look: impl FnOnce(&mut Scene<'_>, &mut Findings<'_>) -> T,
    ) -> (T, Verdict) {
        let Memory { processes, keys, acts, queues, spaces, programs, namespaces } = &mut self.memory;
        let process = memory::process(processes, event);
        let (space, former) =
            memory::space(spaces, namespaces, process, event.caller().ipc_ns, (event.entered(), at), created);
        let actor = Arc::clone(&process.actor);
        if let (Some(former), Some(call)) = (former, event.call()) {
            memory::take_along(keys, acts, actor.process(), [former, space.id], call.key);
        }
        let place = Place { space: space.id, program: actor.program, euid: actor.euid };
        let history = event.call().and_then(|call| keys.peek(&(space.id, call.key))).unwrap_or(History::EMPTY);
        let queue = event.queue().and_then(|id| queues.peek(&(space.id, i32::try_from(id).ok()?)));
        let doubts = &self.doubts;
        if queue.is_some_and(|queue| queue.is_proof(event)) {
            process.proved = Some(space.id);
        }
        let mut scene = Scene { event, at, actor, place, process, space, history, queue, queues, programs, doubts };
        let verdict = Verdict { tags: Self::tags(event), findings: Vec::new() };
        let mut found = Findings { verdict, stories: &mut self.stories };
        let seen = look(&mut scene, &mut found);
        (seen, found.verdict)
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

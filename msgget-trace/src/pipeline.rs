//! An event's way from its source to the sink's buffer: decided events and news of the sensor itself go in, lines come out,
//! and every record is counted into exactly one number of a [`Tally`].

use crate::{
    canary::{Canary, CanaryLost},
    detect::Engine,
    encode::Json,
    enrich::{Enricher, Images},
    event::{Aggregate, Call, Control, Event, Health, Outcome},
};

/// What became of some records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records taken in.
    pub read: u64,
    /// Of those, refused by decode.
    pub rejected: u64,
    /// Of those, our own proving calls.
    pub canaries: u64,
    /// Of those, events that came before the hooks were trusted, or after others had taken over.
    pub early: u64,
    /// Of those, calls that were not wanted for themselves.
    pub witnesses: u64,
    /// Of those, announcements of programs.
    pub contexts: u64,
    /// Lines of calls made.
    pub calls: u64,
    /// Lines made of what became of queues.
    pub controls: u64,
    /// Lines of findings made.
    pub findings: u64,
    /// Lines of health records made.
    pub health: u64,
    /// Lines of aggregates made.
    pub aggregates: u64,
    /// Calls in those that say whose.
    pub attributed: u64,
    /// Calls in the others.
    pub unattributed: u64,
    /// Of the calls, those whose entry was not seen.
    pub unpaired: u64,
    /// Of the calls, those that somebody answered in the kernel's place.
    pub not_executed: u64,
    /// Of the calls, those whose outcome stays open.
    pub ambiguous: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        let Self {
            read,
            rejected,
            canaries,
            early,
            witnesses,
            contexts,
            calls,
            controls,
            findings,
            health,
            aggregates,
            attributed,
            unattributed,
            unpaired,
            not_executed,
            ambiguous,
        } = other;
        self.read += read;
        self.rejected += rejected;
        self.canaries += canaries;
        self.early += early;
        self.witnesses += witnesses;
        self.contexts += contexts;
        self.calls += calls;
        self.controls += controls;
        self.findings += findings;
        self.health += health;
        self.aggregates += aggregates;
        self.attributed += attributed;
        self.unattributed += unattributed;
        self.unpaired += unpaired;
        self.not_executed += not_executed;
        self.ambiguous += ambiguous;
    }
}

/// detect ─► enrich ─► encode, with what they remember.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    /// Second stage.
    pub enricher: Enricher,
    /// Programs that were announced.
    pub images: Images,
    /// Last stage.
    pub json: Json,
    /// Lines made so far.
    sequence: u64,
    /// Health records made so far.
    news: u64,
    /// The latest proving call.
    canary: Option<Canary>,
    /// What became of the latest canary that arrived.
    arrived: Option<Result<(), CanaryLost>>,
}

impl Pipeline {
    /// Empty stages.
    #[must_use]
    pub fn new(images: Images, enricher: Enricher, json: Json) -> Self {
        Self { engine: Engine::new(), enricher, images, json, sequence: 0, news: 0, canary: None, arrived: None }
    }

    /// Looks whether clocks and files have changed; to be called once a batch.
    pub fn refresh(&mut self) {
        self.json.clock.refresh();
        self.enricher.refresh();
    }

    /// Appends the line of `health` to `out`.
    pub fn report(&mut self, health: &Health, out: &mut Vec<u8>, tally: &mut Tally) {
        self.sequence += 1;
        tally.health += 1;
        self.json.health(health, self.news, self.sequence, out);
        self.news += 1;
    }

    /// Appends the line of `aggregate` to `out`.
    pub fn aggregate(&mut self, aggregate: &Aggregate, out: &mut Vec<u8>, tally: &mut Tally) {
        self.sequence += 1;
        tally.aggregates += 1;
        let attributed = aggregate.attributed.as_ref();
        let calls = if attributed.is_some() { &mut tally.attributed } else { &mut tally.unattributed };
        *calls += aggregate.counts.total();
        let place = attributed.map(|attributed| self.enricher.cgroup(attributed.cgroup_id));
        let user = attributed.and_then(|attributed| self.enricher.user(attributed.euid?));
        self.json.aggregate(aggregate, place.as_ref(), user, [self.news, self.sequence], out);
        self.news += 1;
    }

    /// Appends what `event` leads to, whole lines, to `out`; nothing unless its source `tells` of it.
    pub fn finish(&mut self, event: &Event, tells: bool, out: &mut Vec<u8>, tally: &mut Tally) {
        tally.read += 1;
        match event {
            Event::Call(call) => self.finish_call(call, tells, out, tally),
            Event::Control(control) => self.finish_control(control, tells, out, tally),
        }
    }

    fn finish_control(&mut self, control: &Control, tells: bool, out: &mut Vec<u8>, tally: &mut Tally) {
        if !tells {
            tally.early += 1;
            return;
        }
        let tags = self.engine.observe_control(control);
        let who = self.enricher.who(&control.caller);
        self.sequence += 1;
        tally.controls += 1;
        self.json.control(control, &who, tags, self.sequence, out);
    }

    fn finish_call(&mut self, call: &Call, tells: bool, out: &mut Vec<u8>, tally: &mut Tally) {
        if call.witness {
            tally.witnesses += 1;
            return;
        }
        let verdict = self.engine.observe(call);
        let who = self.enricher.who(&call.caller);
        let line = out.len();
        self.json.call(call, &who, verdict.tags, self.sequence + 1, out);
        if let Some(canary) = self.canary.as_ref().filter(|canary| canary.ours(call)) {
            out.truncate(line);
            tally.canaries += 1;
            if canary.is(call) {
                self.arrived = Some(canary.check(call));
            }
            return;
        }
        if !tells {
            out.truncate(line);
            tally.early += 1;
            return;
        }
        self.sequence += 1;
        tally.calls += 1;
        tally.unpaired += u64::from(call.outcome == Outcome::Unpaired);
        tally.not_executed += u64::from(call.outcome == Outcome::NotExecuted);
        tally.ambiguous += u64::from(call.outcome == Outcome::Ambiguous);
        for finding in &verdict.findings {
            self.sequence += 1;
            tally.findings += 1;
            self.json.finding(finding, &who, verdict.tags, self.sequence, out);
        }
    }

    /// Awaits `canary`, which has been sent.
    pub fn expect(&mut self, canary: Canary) {
        self.arrived = None;
        self.canary = Some(canary);
    }

    /// Whether the latest canary arrived, and how.
    pub fn arrived(&mut self) -> Option<Result<(), CanaryLost>> {
        self.arrived.take()
    }
}

//! An event's way from its source to the outputs: decided events and news of the sensor itself go in, what is to be told of them
//! comes out, and every record is counted into exactly one number of a [`Tally`].

use crate::{
    canary::{Canary, CanaryLost},
    detect::{Engine, Verdict},
    encode::{Item, Sensor},
    enrich::{Enricher, Images},
    event::{Aggregate, Call, Event, Health, Outcome},
    output::Outputs,
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

/// detect ─► enrich ─► outputs, with what they remember.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    /// Second stage.
    pub enricher: Enricher,
    /// Programs that were announced.
    pub images: Images,
    /// What lines say of us.
    pub sensor: Sensor,
    /// Records of our own made so far.
    news: u64,
    /// The latest proving call.
    canary: Option<Canary>,
    /// What became of the latest canary that arrived.
    arrived: Option<Result<(), CanaryLost>>,
}

impl Pipeline {
    /// Empty stages.
    #[must_use]
    pub fn new(images: Images, enricher: Enricher, sensor: Sensor) -> Self {
        Self { engine: Engine::new(), enricher, images, sensor, news: 0, canary: None, arrived: None }
    }

    /// Looks whether clocks and files have changed; to be called once a batch.
    pub fn refresh(&mut self) {
        self.sensor.clock.refresh();
        self.enricher.refresh();
    }

    /// Tells of `health`.
    pub fn report(&mut self, health: &Health, outputs: &mut Outputs, tally: &mut Tally) {
        self.engine.observe_health(health);
        tally.health += 1;
        outputs.tell(&Item::Health { health, nth: self.news }, &self.sensor);
        self.news += 1;
    }

    /// Tells of `aggregate`, and what it leads to.
    pub fn aggregate(&mut self, aggregate: &Aggregate, outputs: &mut Outputs, tally: &mut Tally) {
        tally.aggregates += 1;
        let attributed = aggregate.attributed.as_ref();
        let calls = if attributed.is_some() { &mut tally.attributed } else { &mut tally.unattributed };
        *calls += aggregate.counts.total();
        let place = attributed.map(|attributed| self.enricher.cgroup(attributed.cgroup_id));
        let user = attributed.and_then(|attributed| self.enricher.user(attributed.euid?));
        outputs.tell(&Item::Aggregate { aggregate, place: place.as_ref(), user, nth: self.news }, &self.sensor);
        self.news += 1;
        let verdict = self.engine.observe_aggregate(aggregate);
        for finding in &verdict.findings {
            let who = &self.enricher.who(finding.event.caller());
            tally.findings += 1;
            outputs.tell(&Item::Finding { finding, who, tags: verdict.tags }, &self.sensor);
        }
    }

    /// Tells what `event` leads to; nothing unless its source `tells` of it.
    pub fn finish(&mut self, event: &Event, tells: bool, outputs: &mut Outputs, tally: &mut Tally) {
        tally.read += 1;
        if let Event::Call(call) = event {
            if call.witness {
                tally.witnesses += 1;
                return;
            }
            if self.is_canary(event, call, outputs) {
                tally.canaries += 1;
                return;
            }
        }
        if !tells {
            tally.early += 1;
            return;
        }
        let Verdict { tags, findings } = self.engine.observe(event);
        let who = &self.enricher.who(event.caller());
        match event {
            Event::Call(call) => {
                outputs.tell(&Item::Call { call, who, tags }, &self.sensor);
                tally.calls += 1;
                tally.unpaired += u64::from(call.outcome == Outcome::Unpaired);
                tally.not_executed += u64::from(call.outcome == Outcome::NotExecuted);
                tally.ambiguous += u64::from(call.outcome == Outcome::Ambiguous);
            }
            Event::Control(control) => {
                outputs.tell(&Item::Control { control, who, tags }, &self.sensor);
                tally.controls += 1;
            }
        }
        for finding in &findings {
            tally.findings += 1;
            outputs.tell(&Item::Finding { finding, who, tags }, &self.sensor);
        }
    }

    /// True if `call` is a canary, which goes through the remaining stages, although nobody wants to read of it. What rules
    /// remember stays as it is without it, and so as a recording makes it.
    fn is_canary(&mut self, event: &Event, call: &Call, outputs: &mut Outputs) -> bool {
        let Some(canary) = self.canary.as_ref().filter(|canary| canary.ours(call)) else { return false };
        let who = &self.enricher.who(&call.caller);
        outputs.rehearse(&Item::Call { call, who, tags: Engine::tags(event) }, &self.sensor);
        if canary.is(call) {
            self.arrived = Some(canary.check(call));
        }
        true
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

//! An event's way from its source to the outputs: decided events and news of the sensor itself go in, what is wanted of them
//! comes out, and every record is counted into exactly one number of a [`Tally`].

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;

use crate::{
    canary::{Canary, CanaryLost},
    detect::{self, Engine, Finding, Tags},
    encode::{Item, Sensor},
    enrich::{Enricher, Images, Place, Who},
    event::{Aggregate, Call, Event, Health, Outcome},
    output::Outputs,
    policy::{Exception, Judgement, Matched, Policies, Sieve, Subject, What},
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
    /// Lines made of uses of queues that were not there.
    pub uses: u64,
    /// Of those, calls, controls and uses that no policy wants.
    pub unwanted: u64,
    /// Findings.
    pub found: u64,
    /// Lines of findings made.
    pub findings: u64,
    /// Findings that no policy wants.
    pub findings_unwanted: u64,
    /// Findings that an exception keeps back.
    pub suppressed: u64,
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
            uses,
            unwanted,
            found,
            findings,
            findings_unwanted,
            suppressed,
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
        self.uses += uses;
        self.unwanted += unwanted;
        self.found += found;
        self.findings += findings;
        self.findings_unwanted += findings_unwanted;
        self.suppressed += suppressed;
        self.health += health;
        self.aggregates += aggregates;
        self.attributed += attributed;
        self.unattributed += unattributed;
        self.unpaired += unpaired;
        self.not_executed += not_executed;
        self.ambiguous += ambiguous;
    }
}

/// cgroups that are remembered to have been learned: fewer than the kernel program knows, so that none is forgotten there first.
const LEARNED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is wanted, and what exceptions have kept back.
#[derive(Debug)]
struct Policy {
    policies: Arc<Policies>,
    /// Findings kept back, by the place of the exception.
    suppressed: Vec<u64>,
    /// What the kernel program is asked of them.
    sieve: Option<Sieve>,
    /// cgroups, by their ids, of which it has been told.
    learned: LruCache<u64, ()>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug)]
enum Verdict<'a> {
    /// By these policies.
    Wanted(Matched<'a>),
    /// By none.
    Unwanted,
    /// It would be, but for an exception.
    Suppressed,
}

impl Policy {
    fn new(policies: Arc<Policies>) -> Self {
        let (suppressed, sieve) = (vec![0; policies.exceptions().len()], policies.sieve());
        Self { policies, suppressed, sieve, learned: LruCache::new(LEARNED) }
    }

    fn judge(&mut self, subject: &Subject<'_>) -> Verdict<'_> {
        let Judgement { wanted, matched, suppressed_by } = self.policies.judge(subject);
        if wanted {
            return Verdict::Wanted(Matched::new(self.policies.names(), matched));
        }
        let Some(nth) = suppressed_by else { return Verdict::Unwanted };
        if let Some(count) = self.suppressed.get_mut(nth) {
            *count += 1;
        }
        Verdict::Suppressed
    }

    /// Tells of `finding`, if it is wanted; false if it is not.
    fn tell(
        &mut self,
        finding: &Finding,
        who: &Who<'_>,
        tags: Tags,
        sensor: &Sensor,
        outputs: &mut Outputs,
        tally: &mut Tally,
    ) -> bool {
        tally.found += 1;
        match self.judge(&Subject { what: What::Finding(finding), who, tags }) {
            Verdict::Wanted(policies) => {
                tally.findings += 1;
                outputs.tell(&Item::Finding { finding, who, tags, policies }, sensor);
                return true;
            }
            Verdict::Unwanted => tally.findings_unwanted += 1,
            Verdict::Suppressed => tally.suppressed += 1,
        }
        false
    }

    /// An exception that stays under its name goes on counting.
    fn follow(&mut self, policies: Arc<Policies>) {
        let counted = |name: &str| {
            let known = self.policies.exceptions().iter().position(|exception| exception.name == name);
            known.and_then(|nth| self.suppressed.get(nth)).copied().unwrap_or_default()
        };
        self.suppressed = policies.exceptions().iter().map(|exception| counted(&exception.name)).collect();
        self.sieve = policies.sieve();
        self.learned.clear();
        self.policies = policies;
    }

    /// What is to be told of the cgroup `id`, which is at `place`, if it has not been.
    fn learn(&mut self, id: u64, place: &Place) -> Option<(u64, u64)> {
        let policies = self.sieve.as_ref()?.of_place(place)?;
        self.learned.put(id, ()).is_none().then_some((id, policies))
    }
}

/// detect ─► enrich ─► policy ─► outputs, with what they remember.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    /// Second stage.
    pub enricher: Enricher,
    /// Programs that were announced.
    pub images: Images,
    /// What is wanted.
    policy: Policy,
    /// What lines say of us.
    pub sensor: Sensor,
    /// Records of our own made so far.
    news: u64,
    /// A cgroup of which the kernel program is to be told, and what.
    learned: Option<(u64, u64)>,
    /// The latest proving call.
    canary: Option<Canary>,
    /// What became of the latest canary that arrived.
    arrived: Option<Result<(), CanaryLost>>,
}

impl Pipeline {
    /// Empty stages.
    #[must_use]
    pub fn new(images: Images, enricher: Enricher, policies: Arc<Policies>, sensor: Sensor) -> Self {
        let policy = Policy::new(policies);
        let engine = Engine::new();
        Self { engine, enricher, images, policy, sensor, news: 0, learned: None, canary: None, arrived: None }
    }

    /// What is wanted.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policy.policies
    }

    /// Wants what `policies` want from here on.
    pub fn follow(&mut self, policies: Arc<Policies>) {
        self.policy.follow(policies);
    }

    /// The exceptions, and how many findings each has kept back.
    pub fn suppressed(&self) -> impl Iterator<Item = (&Exception, u64)> {
        self.policy.policies.exceptions().iter().zip(self.policy.suppressed.iter().copied())
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
            if !self.policy.tell(finding, who, verdict.tags, &self.sensor, outputs, tally) {
                self.engine.withdraw(finding);
            }
        }
    }

    /// Tells what is wanted of what `event` leads to; nothing unless its source `tells` of it. Asked once there is a finding that
    /// calls it does not know of would refute, `missing` says whether there are such calls.
    pub fn finish(
        &mut self,
        event: &Event,
        tells: bool,
        missing: impl FnOnce() -> bool,
        outputs: &mut Outputs,
        tally: &mut Tally,
    ) {
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
        let detect::Verdict { tags, mut findings } = self.engine.observe(event);
        if findings.iter().any(Finding::is_definite) && missing() {
            findings.iter_mut().for_each(Finding::doubt);
        }
        let who = &self.enricher.who(event.caller());
        self.learned = self.policy.learn(event.caller().cgroup_id, &who.place);
        match self.policy.judge(&Subject { what: What::Event(event), who, tags }) {
            Verdict::Wanted(policies) => {
                outputs.tell(&Item::of(event, who, tags, policies), &self.sensor);
                match event {
                    Event::Call(call) => {
                        tally.calls += 1;
                        tally.unpaired += u64::from(call.outcome == Outcome::Unpaired);
                        tally.not_executed += u64::from(call.outcome == Outcome::NotExecuted);
                        tally.ambiguous += u64::from(call.outcome == Outcome::Ambiguous);
                    }
                    Event::Control(_) => tally.controls += 1,
                    Event::Use(_) => tally.uses += 1,
                }
            }
            Verdict::Unwanted | Verdict::Suppressed => tally.unwanted += 1,
        }
        for finding in &findings {
            if !self.policy.tell(finding, who, tags, &self.sensor, outputs, tally) {
                self.engine.withdraw(finding);
            }
        }
    }

    /// The cgroup of which the last event told for the first time, by its id, and the policies that may want its calls, a bit each.
    pub fn learned(&mut self) -> Option<(u64, u64)> {
        self.learned.take()
    }

    /// True if `call` is a canary, which goes through the remaining stages, although nobody wants to read of it. What rules
    /// remember stays as it is without it, and so as a recording makes it.
    fn is_canary(&mut self, event: &Event, call: &Call, outputs: &mut Outputs) -> bool {
        let Some(canary) = self.canary.as_ref().filter(|canary| canary.ours(call)) else { return false };
        let who = &self.enricher.who(&call.caller);
        let item = Item::Call { call, who, tags: Engine::tags(event), policies: Matched::NONE };
        outputs.rehearse(&item, &self.sensor);
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

//! Watch: what the kernel counts and whether the daemon's own calls still come back go in; health records come out, and
//! hooks that have turned out to be wrong here are replaced by those of the next rung down.

use std::time::{Duration, Instant};

use msgget_trace_ebpf::Counters;

use super::{Daemon, identity, start::canary_key};
use crate::{
    canary::{Canary, CanaryLost},
    enrich::Clock,
    event::{BootTime, LossReason, News, OutputState},
    failure::Failure,
    kernel::Skipped,
    source::Source,
};

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was seen at the last look.
#[derive(Debug)]
pub(super) struct Watch {
    heartbeat: Duration,
    /// When the next heartbeat is due.
    due: Instant,
    /// When it was looked last.
    looked: Instant,
    /// When losses were reported last.
    reported: BootTime,
    /// Calls that were skipped.
    skipped: u64,
    /// Records that were refused.
    rejected: u64,
    /// What the hooks in use had missed when we last thought of leaving them.
    heeded: Skipped,
    /// The canary that is under way.
    flight: Option<Flight>,
    /// Why what the hooks say is not to be relied on.
    degraded: Option<&'static str>,
    /// Outputs that have been said to be in trouble.
    troubled: Vec<String>,
    /// The start is over.
    begun: bool,
    /// The ledger was found out of balance; it does not get back into it.
    unbalanced: bool,
    /// Somebody meddled with it; nor does this pass.
    tampered: bool,
}

/// A canary under way. Its call is over, so its record, if there is one, stands before this position of the ring.
#[derive(Debug)]
struct Flight {
    behind: u64,
    before: Counters,
}

impl Watch {
    pub(super) fn new(heartbeat: Duration) -> Self {
        let now = Instant::now();
        Self {
            heartbeat,
            due: now + heartbeat,
            looked: now,
            reported: Clock::boot_now(),
            skipped: 0,
            rejected: 0,
            heeded: Skipped::default(),
            flight: None,
            degraded: None,
            troubled: Vec::new(),
            begun: false,
            unbalanced: false,
            tampered: false,
        }
    }

    /// From now on canaries fly by themselves.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Losses were reported up to this moment.
    pub(super) fn reported(&mut self, until: BootTime) {
        self.reported = until;
    }

    /// Whether what the sensor says is not to be relied on, or does not get out.
    pub(super) const fn degraded(&self) -> bool {
        self.degraded.is_some() || self.unbalanced || self.tampered || !self.troubled.is_empty()
    }
}

impl Daemon {
    /// Looks, if it is time to: once a second.
    pub(super) fn watch(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if now.duration_since(self.watch.looked) < INTERVAL {
            return Ok(());
        }
        self.watch.looked = now;
        self.count()?;
        self.aggregate()?;
        self.report_losses()?;
        self.heed_misses()?;
        self.await_canary()?;
        self.heed_outputs(now);
        if now >= self.watch.due {
            self.watch.due = now + self.watch.heartbeat;
            let (balance, outputs) = (self.ledger.balance(), self.outputs.states());
            self.say(News::Heartbeat { balance, outputs });
            self.audit();
            self.inspect();
            self.fly()?;
        }
        Ok(())
    }

    /// Reports, once, a ledger that cannot be right, however much is on its way.
    fn audit(&mut self) {
        let outputs = || self.outputs.states().iter().find_map(OutputState::violation);
        if let Some(violation) = self.ledger.violation_so_far().or_else(outputs)
            && !std::mem::replace(&mut self.watch.unbalanced, true)
        {
            log::error!("the ledger does not balance, which is a defect: {violation}");
            self.say(News::Degraded { reason: "ledger", detail: violation });
        }
    }

    /// Reports, once, what somebody has done to hooks and ring that are ours.
    fn inspect(&mut self) {
        let tampered = std::iter::once(&self.source).chain(&self.later).find_map(Source::tampered);
        if let Some(detail) = tampered.filter(|_| !self.watch.tampered) {
            self.watch.tampered = true;
            log::warn!("{detail}");
            self.say(News::Degraded { reason: "tampered", detail });
        }
    }

    /// Brings the kernel's side of the ledger up to date: no older than the user's side, so that both together are bounds.
    pub(super) fn count(&mut self) -> Result<(), Failure> {
        let (mut kernel, mut skipped) = self.former;
        for source in std::iter::once(&self.source).chain(&self.later) {
            kernel = kernel.plus(&source.bound()?);
            skipped = skipped.plus(source.skipped());
        }
        self.ledger.kernel = kernel;
        self.ledger.skipped = skipped;
        Ok(())
    }

    /// Says what went missing since it was said last.
    pub(super) fn report_losses(&mut self) -> Result<(), Failure> {
        let since = std::mem::replace(&mut self.watch.reported, Clock::boot_now());
        let mut losses = Vec::new();
        for source in std::iter::once(&mut self.source).chain(&mut self.later) {
            losses.extend(source.losses()?.into_iter().map(|(lost, cpu)| (LossReason::RingFull, lost, cpu)));
        }
        let skipped = self.ledger.skipped.calls;
        losses.push((LossReason::RecursionMisses, skipped - std::mem::replace(&mut self.watch.skipped, skipped), None));
        let rejected = self.ledger.user.rejected;
        losses.push((LossReason::Rejected, rejected - std::mem::replace(&mut self.watch.rejected, rejected), None));
        for (reason, count, cpu) in losses {
            if count > 0 {
                self.say(News::Loss { reason, count, cpu, output: None, since });
            }
        }
        for (output, reason, count) in self.outputs.losses() {
            self.say(News::Loss { reason, count, cpu: None, output: Some(output), since });
        }
        Ok(())
    }

    /// Says which outputs do not work, and when they do again.
    fn heed_outputs(&mut self, now: Instant) {
        let troubles = self.outputs.troubles(now);
        for (name, trouble) in &troubles {
            if !self.watch.troubled.contains(name) {
                log::warn!("{name}: {trouble}");
                self.say(News::Degraded { reason: "output", detail: format!("{name}: {trouble}") });
            }
        }
        let troubled: Vec<_> = troubles.into_iter().map(|(name, _)| name).collect();
        let before = std::mem::replace(&mut self.watch.troubled, troubled);
        if !before.is_empty() && self.watch.troubled.is_empty() {
            self.say(News::Recovered { reason: "output" });
        }
    }

    /// Leaves hooks that the kernel skips.
    fn heed_misses(&mut self) -> Result<(), Failure> {
        let skipped = self.hooks().skipped();
        if std::mem::replace(&mut self.watch.heeded, skipped) == skipped {
            return Ok(());
        }
        self.source.missed();
        self.step_down("recursion_misses", "the kernel skipped runs of these hooks, so calls were missed")
    }

    /// Makes a call that must come back.
    fn fly(&mut self) -> Result<(), Failure> {
        if !self.later.is_empty() || self.watch.flight.is_some() || !self.watch.begun {
            return Ok(()); // there will be another heartbeat
        }
        let before = self.source.total()?;
        let canary = match Canary::fly(self.reader.canary_key.cast_signed(), identity()?) {
            Err(CanaryLost::KeyTaken(_)) => {
                // Another one at the next heartbeat, by a key that is nobody's.
                self.reader.canary_key = canary_key();
                self.source.set_reader(self.reader);
                return Ok(());
            }
            canary => canary?,
        };
        self.pipeline.expect(canary);
        self.watch.flight = Some(Flight { behind: self.source.produced(), before });
        Ok(())
    }

    /// Whether the canary under way has come back, or never will.
    fn await_canary(&mut self) -> Result<(), Failure> {
        let Some(Flight { behind, before }) = &self.watch.flight else { return Ok(()) };
        let trouble = match self.pipeline.arrived() {
            Some(Ok(())) => {
                self.watch.flight = None;
                if let Some(reason) = self.watch.degraded.take() {
                    self.say(News::Recovered { reason });
                }
                return Ok(());
            }
            Some(Err(wrong)) => wrong,
            None if !self.source.passed(*behind) => return Ok(()),
            None => {
                let now = self.source.total()?;
                if now.lost_ring_full != before.lost_ring_full {
                    self.watch.flight = None;
                    return self.fly(); // it may be among the lost, which have been reported
                }
                CanaryLost::Late(self.last_seen(before, &now))
            }
        };
        self.watch.flight = None;
        self.step_down("canary_lost", &trouble.to_string())
    }

    /// Says that the hooks in use are not to be trusted, and replaces them by those of the next rung down, if the user left
    /// the choice to us and there is one.
    pub(super) fn step_down(&mut self, reason: &'static str, detail: &str) -> Result<(), Failure> {
        if !self.later.is_empty() {
            return Ok(()); // they are gone already
        }
        let mut tried = String::new();
        while !self.lower.is_empty() {
            let rung = self.lower.remove(0);
            match Source::attach(rung, &self.config, self.reader, self.folder.as_ref()) {
                Ok((mut next, logger)) => {
                    self.source.hand_over(&mut next);
                    let detail = format!("{detail}; {} took over from {}{tried}", rung.name(), self.rung().name());
                    log::warn!("{detail}");
                    self.later.push_back(next);
                    self.watch.heeded = Skipped::default();
                    self.listen(logger);
                    self.say(News::Degraded { reason, detail });
                    return Ok(());
                }
                Err(failure) if failure.of_the_rung() => {
                    tried = format!("{tried}; not {}: {failure}", rung.name());
                }
                Err(failure) => return Err(failure),
            }
        }
        // Said once, not every second.
        if self.watch.degraded.replace(reason).is_none() {
            let detail = format!("{detail}{tried}");
            log::warn!("{detail}");
            self.say(News::Degraded { reason, detail });
        }
        Ok(())
    }

    /// Goes over to the next source when the present one has nothing left to tell, and takes away those before when they are
    /// not needed any more.
    pub(super) fn change_source(&mut self) -> Result<(), Failure> {
        if self.later.is_empty() && self.source.passed(self.overlap) {
            // The last one first: what one tells again is left out by those after it alone.
            while let Some(mut former) = self.read.pop() {
                former.remove()?;
            }
        }
        if self.later.is_empty() || !self.source.exhausted()? {
            return Ok(());
        }
        self.count()?;
        self.aggregate()?;
        self.report_losses()?;
        if let Some(next) = self.later.pop_front() {
            let former = std::mem::replace(&mut self.source, next);
            self.overlap = self.source.produced();
            self.former = (self.former.0.plus(&former.total()?), self.former.1.plus(former.skipped()));
            self.read.push(former);
            self.pipeline.sensor.rung = self.source.rung();
            self.watch.heeded = Skipped::default();
            self.watch.flight = None;
            self.fly()?;
        }
        Ok(())
    }
}

//! Counting at a source: what the kernel side counted goes in; what is new since it was told last comes out.

use msgget_trace_ebpf::Counters;

use super::{Kinds, Source};
use crate::{
    attribution::Look,
    enrich::Clock,
    event::{Aggregate, Counts},
    failure::Failure,
    kernel::Skipped,
    ledger::Ledger,
};

/// Calls that may have made a queue, and whose records did not come.
pub(super) const fn unsent(counters: &Counters) -> u64 {
    counters.lost_ring_full + counters.creators_unsent
}

impl Source {
    /// What the kernel side counted on each CPU.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the map cannot be read.
    pub fn counters(&self) -> Result<Vec<Counters>, Failure> {
        self.kernel.counters()
    }

    /// What they add up to since this daemon came.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn total(&self) -> Result<Counters, Failure> {
        Ok(self.raw()?.since(&self.base))
    }

    /// As [`Self::total`], but a bound while programs run.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn bound(&self) -> Result<Counters, Failure> {
        Ok(Ledger::against_the_flow([self.total()?, self.total()?, self.total()?]))
    }

    pub(super) fn raw(&self) -> Result<Counters, Failure> {
        Ok(self.counters()?.iter().fold(Counters::default(), Counters::plus))
    }

    /// Whether calls that may have made a queue or removed one were lost, or only counted, since [`Self::aggregates`] was asked
    /// last, so that detection knows nothing of them yet; also where that cannot be found out.
    #[must_use]
    pub fn is_missing_calls(&self) -> bool {
        self.raw().map_or(true, |now| unsent(&now) + now.controls_lost != self.told_unsent)
    }

    /// The calls that were counted instead of sent since the last time, each once. While two sources are attached, both count
    /// what is past a budget: for that moment, which is some milliseconds, it is told of twice.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn aggregates(&mut self) -> Result<Vec<Aggregate>, Failure> {
        let now = self.raw()?;
        self.told_unsent = unsent(&now) + now.controls_lost;
        let total = Counts(self.total()?.aggregated);
        if !self.attribution.due(&total) {
            return Ok(Vec::new());
        }
        let accounts = self.kernel.accounts()?;
        let Look { aggregates, quiet } =
            self.attribution.look(&total, &accounts, &self.kernel.offsets, Clock::boot_now());
        for key in quiet {
            self.kernel.close_account(key)?;
        }
        Ok(aggregates)
    }

    /// Runs of the programs that the kernel skipped.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped.unwrap_or_else(|| self.kernel.skipped()).since(self.base_skipped)
    }

    /// Notes that calls of late were not seen, or only half.
    pub fn missed(&mut self) {
        self.decider.lost(Clock::boot_now());
    }

    /// True if the hooks are detached and all their records have been dealt with.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn exhausted(&self) -> Result<bool, Failure> {
        if self.decoder.detached.is_none() {
            return Ok(false);
        }
        let records = |counters: &Counters| {
            counters.submitted + counters.controls_submitted + counters.uses_submitted + counters.contexts_submitted
        };
        Ok(records(&self.raw()?) == records(&self.accounted))
    }

    /// Records that the ring had no room for, and that have not been said to be lost: how many, and on which CPU, if that is
    /// known. From now on they have.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn losses(&mut self) -> Result<Vec<(u64, Option<u32>)>, Failure> {
        let cpus = self.kernel.counters()?;
        let sum = cpus.iter().fold(Counters::default(), Counters::plus);
        self.said = Kinds::lost(&sum);
        self.said_skipped = self.kernel.skipped();
        let now = cpus.iter().map(|cpu| Kinds::lost(cpu).total()).collect();
        let known = std::mem::replace(&mut self.losses, now);
        if known.is_empty() && self.inherited.is_some() {
            let lost: u64 = self.losses.iter().sum();
            return Ok(vec![(lost.saturating_sub(Kinds::lost(&self.base).total()), None)]);
        }
        let known = known.into_iter().chain(std::iter::repeat(0));
        let new = self.losses.iter().zip(known).zip(0..).map(|((now, known), cpu)| (now - known, Some(cpu)));
        Ok(new.filter(|(lost, _)| *lost > 0).collect())
    }
}

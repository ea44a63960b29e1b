//! The ledger: what every stage took in and gave out goes in, the balance comes out. A violated equation is a defect of
//! ours and said as such.

mod relations;

use std::fmt;

use msgget_trace_ebpf::Counters;

use crate::{event::Balance, kernel::Skipped, pipeline::Tally};
use relations::When;

/// Where the calls went, from the first sight of them in the kernel to the line that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// What the kernel side counted.
    pub kernel: Counters,
    /// What the kernel did not let our programs see.
    pub skipped: Skipped,
    /// Calls in rings of daemons before, which could not be read.
    pub abandoned: u64,
    /// What became of the records whose lines, if any, the output has accepted.
    pub user: Tally,
}

impl Ledger {
    /// A bound on the kernel's side from three readings of it, the first one first.
    ///
    /// While programs run, counters move on between one reading and the next, and even within one. They are bounds that
    /// [`Self::violation_so_far`] can judge if they are read against the flow, so that what a hop gave out is older than
    /// what had entered it: first what user space took, then what was lost, then what was submitted (a lost record was
    /// counted so before), last what was seen.
    #[must_use]
    pub const fn against_the_flow([lost, submitted, seen]: [Counters; 3]) -> Counters {
        Counters {
            seen: seen.seen,
            controls_seen: seen.controls_seen,
            uses_seen: seen.uses_seen,
            submitted: submitted.submitted,
            controls_submitted: submitted.controls_submitted,
            uses_submitted: submitted.uses_submitted,
            contexts_submitted: submitted.contexts_submitted,
            ..lost
        }
    }

    /// Every counter by its name.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let Self { kernel, skipped, abandoned, user } = self;
        vec![
            ("seen", kernel.seen),
            ("submitted", kernel.submitted),
            ("aggregated", kernel.aggregated_calls()),
            ("lost", kernel.lost_ring_full),
            ("out_of_scope", kernel.out_of_scope),
            ("skipped", skipped.calls),
            ("halves_skipped", skipped.halves),
            ("abandoned", *abandoned),
            ("read", user.read),
            ("rejected", user.rejected),
            ("canaries", user.canaries),
            ("early", user.early),
            ("witnesses", user.witnesses),
            ("delivered", user.calls),
            ("unwanted", user.unwanted),
            ("found", user.found),
            ("findings", user.findings),
            ("findings_unwanted", user.findings_unwanted),
            ("suppressed", user.suppressed),
            ("health", user.health),
            ("aggregates", user.aggregates),
            ("attributed", user.attributed),
            ("unattributed", user.unattributed),
            ("ambiguous", user.ambiguous),
            ("unpaired", user.unpaired),
            ("not_executed", user.not_executed),
            ("collisions", kernel.slot_collisions),
            ("facts_lost", kernel.facts_full),
            ("not_followed", kernel.follow_full),
            ("controls_seen", kernel.controls_seen),
            ("controls_submitted", kernel.controls_submitted),
            ("controls_lost", kernel.controls_lost),
            ("controls", user.controls),
            ("uses_seen", kernel.uses_seen),
            ("uses_submitted", kernel.uses_submitted),
            ("uses_past_budget", kernel.uses_past_budget),
            ("uses_lost", kernel.uses_lost),
            ("uses", user.uses),
            ("contexts_submitted", kernel.contexts_submitted),
            ("contexts_lost", kernel.contexts_lost),
            ("contexts", user.contexts),
        ]
    }

    /// The first relation that does not hold as an equation, in words. To be asked when the hooks are detached and the ring
    /// is empty.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        relations::broken(&self.balance(), When::Ended)
    }

    /// The first relation that does not hold as a bound, in words. Can be asked at any time after the kernel's side was read
    /// [against the flow](Self::against_the_flow), before the user's side has moved on.
    #[must_use]
    pub fn violation_so_far(&self) -> Option<String> {
        relations::broken(&self.balance(), When::Running)
    }
}

/// One line of `name=number` pairs.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (name, number)) in self.balance().into_iter().enumerate() {
            let space = if nth == 0 { "" } else { " " };
            write!(f, "{space}{name}={number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! The ledger: what every stage took in and gave out goes in, the balance comes out. A violated equation is a defect of
//! ours and said as such.

use std::fmt;

use msgget_trace_ebpf::Counters;

use crate::{event::Balance, kernel::Skipped, pipeline::Tally};

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
    /// Records that the kernel side handed to the ring.
    #[must_use]
    pub const fn submitted(&self) -> u64 {
        self.kernel.submitted + self.kernel.controls_submitted + self.kernel.contexts_submitted
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
            ("skipped", skipped.calls),
            ("halves_skipped", skipped.halves),
            ("abandoned", *abandoned),
            ("read", user.read),
            ("rejected", user.rejected),
            ("canaries", user.canaries),
            ("early", user.early),
            ("witnesses", user.witnesses),
            ("delivered", user.calls),
            ("findings", user.findings),
            ("health", user.health),
            ("aggregates", user.aggregates),
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
            ("contexts_submitted", kernel.contexts_submitted),
            ("contexts_lost", kernel.contexts_lost),
            ("contexts", user.contexts),
        ]
    }

    /// The first equation that does not hold, in words. To be asked when the hooks are detached and the ring is empty.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        let Self { kernel, user, .. } = self;
        let accounted =
            user.calls + user.controls + user.canaries + user.early + user.witnesses + user.contexts + user.rejected;
        let controls = kernel.controls_submitted + kernel.controls_lost;
        [
            (
                "seen = submitted + aggregated + lost",
                kernel.seen,
                kernel.submitted + kernel.aggregated_calls() + kernel.lost_ring_full,
            ),
            ("aggregated = attributed + unattributed", kernel.aggregated_calls(), user.attributed + user.unattributed),
            ("controls_seen = controls_submitted + controls_lost", kernel.controls_seen, controls),
            ("submitted + controls_submitted + contexts_submitted = read", self.submitted(), user.read),
            ("read = delivered + controls + canaries + early + witnesses + contexts + rejected", user.read, accounted),
        ]
        .into_iter()
        .find(|(_, left, right)| left != right)
        .map(|(equation, left, right)| format!("{equation} does not hold: {left} and {right}"))
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
mod tests {
    use super::*;

    fn balanced() -> Ledger {
        let kernel = Counters {
            seen: 18,
            submitted: 10,
            lost_ring_full: 1,
            contexts_submitted: 2,
            controls_seen: 7,
            controls_submitted: 5,
            controls_lost: 2,
            aggregated: [1, 0, 6, 0, 0, 0, 0, 0],
            ..Counters::default()
        };
        let user = Tally {
            read: 17,
            rejected: 1,
            canaries: 1,
            early: 1,
            calls: 6,
            controls: 5,
            findings: 3,
            contexts: 2,
            witnesses: 1,
            attributed: 5,
            unattributed: 2,
            ..Tally::default()
        };
        Ledger { kernel, skipped: Skipped::default(), abandoned: 0, user }
    }

    #[test]
    fn a_balance_is_no_violation() {
        assert_eq!(balanced().violation(), None);
    }

    #[test]
    fn every_counter_that_slips_is_found() {
        let broken: [fn(&mut Ledger); 18] = [
            |ledger| ledger.kernel.seen += 1,
            |ledger| ledger.kernel.submitted += 1,
            |ledger| ledger.kernel.lost_ring_full += 1,
            |ledger| ledger.kernel.contexts_submitted += 1,
            |ledger| ledger.kernel.controls_seen += 1,
            |ledger| ledger.kernel.controls_submitted += 1,
            |ledger| ledger.kernel.controls_lost += 1,
            |ledger| ledger.user.controls += 1,
            |ledger| ledger.kernel.aggregated[3] += 1,
            |ledger| ledger.user.attributed += 1,
            |ledger| ledger.user.unattributed -= 1,
            |ledger| ledger.user.read += 1,
            |ledger| ledger.user.rejected += 1,
            |ledger| ledger.user.canaries += 1,
            |ledger| ledger.user.early += 1,
            |ledger| ledger.user.witnesses += 1,
            |ledger| ledger.user.contexts += 1,
            |ledger| ledger.user.calls -= 1,
        ];
        for (nth, slip) in broken.into_iter().enumerate() {
            let mut ledger = balanced();
            slip(&mut ledger);
            assert!(ledger.violation().is_some(), "slip {nth}");
        }
    }
}

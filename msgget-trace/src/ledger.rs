//! The ledger: what every stage took in and gave out goes in, the balance comes out. A violated equation is a defect of
//! ours and said as such.

use std::fmt;

use msgget_trace_ebpf::Counters;

use crate::pipeline::Tally;

/// Where the calls went, from the first sight of them in the kernel to the line that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// What the kernel side counted.
    pub kernel: Counters,
    /// Records taken out of the ring.
    pub read: u64,
    /// Records that decode refused.
    pub rejected: u64,
    /// Records of our own proving calls: they are not printed.
    pub canaries: u64,
    /// Lines of calls that the output accepted.
    pub delivered: u64,
    /// Lines of findings that the output accepted.
    pub findings: u64,
    /// Of the calls delivered, those with this outcome.
    pub unpaired: u64,
    /// Of the calls delivered, those with this outcome.
    pub not_executed: u64,
}

impl Ledger {
    /// Adds records whose lines the output has accepted.
    pub fn accept(&mut self, tally: Tally) {
        let Tally {
            read,
            rejected,
            canaries,
            calls,
            findings,
            unpaired,
            not_executed,
        } = tally;
        self.read += read;
        self.rejected += rejected;
        self.canaries += canaries;
        self.delivered += calls;
        self.findings += findings;
        self.unpaired += unpaired;
        self.not_executed += not_executed;
    }

    /// The first equation that does not hold, in words. To be asked when the hooks are detached and the ring is empty.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        let Counters {
            seen,
            submitted,
            lost_ring_full,
            ..
        } = self.kernel;
        [
            ("seen = submitted + lost", seen, submitted + lost_ring_full),
            ("submitted = read", submitted, self.read),
            (
                "read = delivered + canaries + rejected",
                self.read,
                self.delivered + self.canaries + self.rejected,
            ),
        ]
        .into_iter()
        .find(|(_, left, right)| left != right)
        .map(|(equation, left, right)| format!("{equation} does not hold: {left} and {right}"))
    }
}

/// One line of `name=number` pairs.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            read,
            rejected,
            canaries,
            delivered,
            findings,
            unpaired,
            not_executed,
        } = self;
        let Counters {
            seen,
            submitted,
            lost_ring_full,
            slot_collisions,
            follow_full,
            ..
        } = kernel;
        write!(
            f,
            "seen={seen} submitted={submitted} lost={lost_ring_full} read={read} rejected={rejected} canaries={canaries} \
             delivered={delivered} collisions={slot_collisions} unpaired={unpaired} not_executed={not_executed} \
             not_followed={follow_full} findings={findings}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced() -> Ledger {
        let kernel = Counters {
            seen: 10,
            submitted: 9,
            lost_ring_full: 1,
            ..Counters::default()
        };
        Ledger {
            kernel,
            read: 9,
            rejected: 1,
            canaries: 1,
            delivered: 7,
            findings: 3,
            ..Ledger::default()
        }
    }

    #[test]
    fn a_balance_is_no_violation() {
        assert_eq!(balanced().violation(), None);
    }

    #[test]
    fn every_counter_that_slips_is_found() {
        let broken: [fn(&mut Ledger); 7] = [
            |ledger| ledger.kernel.seen += 1,
            |ledger| ledger.kernel.submitted += 1,
            |ledger| ledger.kernel.lost_ring_full += 1,
            |ledger| ledger.read += 1,
            |ledger| ledger.rejected += 1,
            |ledger| ledger.canaries += 1,
            |ledger| ledger.delivered -= 1,
        ];
        for (nth, slip) in broken.into_iter().enumerate() {
            let mut ledger = balanced();
            slip(&mut ledger);
            assert!(ledger.violation().is_some(), "slip {nth}");
        }
    }
}

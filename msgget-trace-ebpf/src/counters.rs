//! The counters: what happens in the kernel goes in, per CPU; user space adds the CPUs up.

use crate::account::COUNTS;

/// What happened in the kernel, per CPU; user space adds the CPUs up. `seen` is `submitted`, `lost_ring_full`,
/// `out_of_scope` and all of `aggregated`, `controls_seen == controls_submitted + controls_lost`, and `uses_seen` is `uses_submitted`, `uses_past_budget`
/// and `uses_lost`, at rest. While programs run, a record is counted as
/// seen, then as submitted, then put into the ring; and if that has no room, not as submitted any more, then as lost.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls whose return was seen.
    pub seen: u64,
    /// Records handed to the ring.
    pub submitted: u64,
    /// Records the ring had no room for.
    pub lost_ring_full: u64,
    /// Calls without an enter, of those seen.
    pub not_executed: u64,
    /// Calls whose enter was overwritten, of those seen.
    pub unpaired: u64,
    /// Enters that overwrote another thread's.
    pub slot_collisions: u64,
    /// Calls of the daemon itself with the canary's key.
    pub canaries: u64,
    /// Facts about calls that had no room; such a call says less than it could.
    pub facts_full: u64,
    /// Forks that `exec` could not follow: the member table was full, so calls of that process are not seen.
    pub follow_full: u64,
    /// Context records handed to the ring.
    pub contexts_submitted: u64,
    /// Context records the ring had no room for; the next call of the same image tries again.
    pub contexts_lost: u64,
    /// Removals and changes of queues that were seen.
    pub controls_seen: u64,
    /// Their records that were handed to the ring.
    pub controls_submitted: u64,
    /// Their records that the ring had no room for.
    pub controls_lost: u64,
    /// Uses of queues that were not there, as far as they were seen.
    pub uses_seen: u64,
    /// Their records that were handed to the ring.
    pub uses_submitted: u64,
    /// Those past a budget, which have no record.
    pub uses_past_budget: u64,
    /// Their records that the ring had no room for.
    pub uses_lost: u64,
    /// Calls past a budget, by outcome: counted here and nowhere else for certain.
    pub aggregated: [u64; COUNTS],
    /// Of calls past a budget, wanted or not, those that may have created a queue that others opened by its key.
    pub creators_unsent: u64,
    /// Calls that no policy can want, and that nothing else is needed for.
    pub out_of_scope: u64,
}

impl Counters {
    /// Both added up, as the CPUs of a host are.
    #[must_use]
    pub const fn plus(self, other: &Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            submitted: self.submitted + other.submitted,
            lost_ring_full: self.lost_ring_full + other.lost_ring_full,
            not_executed: self.not_executed + other.not_executed,
            unpaired: self.unpaired + other.unpaired,
            slot_collisions: self.slot_collisions + other.slot_collisions,
            canaries: self.canaries + other.canaries,
            facts_full: self.facts_full + other.facts_full,
            follow_full: self.follow_full + other.follow_full,
            contexts_submitted: self.contexts_submitted + other.contexts_submitted,
            contexts_lost: self.contexts_lost + other.contexts_lost,
            controls_seen: self.controls_seen + other.controls_seen,
            controls_submitted: self.controls_submitted + other.controls_submitted,
            controls_lost: self.controls_lost + other.controls_lost,
            uses_seen: self.uses_seen + other.uses_seen,
            uses_submitted: self.uses_submitted + other.uses_submitted,
            uses_past_budget: self.uses_past_budget + other.uses_past_budget,
            uses_lost: self.uses_lost + other.uses_lost,
            aggregated: sum(&self.aggregated, &other.aggregated),
            creators_unsent: self.creators_unsent + other.creators_unsent,
            out_of_scope: self.out_of_scope + other.out_of_scope,
        }
    }

    /// What has been counted since it was `earlier`.
    #[must_use]
    pub const fn since(self, earlier: &Self) -> Self {
        Self {
            seen: self.seen.saturating_sub(earlier.seen),
            submitted: self.submitted.saturating_sub(earlier.submitted),
            lost_ring_full: self.lost_ring_full.saturating_sub(earlier.lost_ring_full),
            not_executed: self.not_executed.saturating_sub(earlier.not_executed),
            unpaired: self.unpaired.saturating_sub(earlier.unpaired),
            slot_collisions: self.slot_collisions.saturating_sub(earlier.slot_collisions),
            canaries: self.canaries.saturating_sub(earlier.canaries),
            facts_full: self.facts_full.saturating_sub(earlier.facts_full),
            follow_full: self.follow_full.saturating_sub(earlier.follow_full),
            contexts_submitted: self.contexts_submitted.saturating_sub(earlier.contexts_submitted),
            contexts_lost: self.contexts_lost.saturating_sub(earlier.contexts_lost),
            controls_seen: self.controls_seen.saturating_sub(earlier.controls_seen),
            controls_submitted: self.controls_submitted.saturating_sub(earlier.controls_submitted),
            controls_lost: self.controls_lost.saturating_sub(earlier.controls_lost),
            uses_seen: self.uses_seen.saturating_sub(earlier.uses_seen),
            uses_submitted: self.uses_submitted.saturating_sub(earlier.uses_submitted),
            uses_past_budget: self.uses_past_budget.saturating_sub(earlier.uses_past_budget),
            uses_lost: self.uses_lost.saturating_sub(earlier.uses_lost),
            aggregated: difference(&self.aggregated, &earlier.aggregated),
            creators_unsent: self.creators_unsent.saturating_sub(earlier.creators_unsent),
            out_of_scope: self.out_of_scope.saturating_sub(earlier.out_of_scope),
        }
    }

    /// Calls past a budget, whatever their outcome.
    #[must_use]
    pub const fn aggregated_calls(&self) -> u64 {
        let (mut calls, mut nth) = (0, 0);
        while nth < COUNTS {
            calls += self.aggregated[nth];
            nth += 1;
        }
        calls
    }
}

const fn sum(one: &[u64; COUNTS], other: &[u64; COUNTS]) -> [u64; COUNTS] {
    let (mut sum, mut nth) = (*one, 0);
    while nth < COUNTS {
        sum[nth] += other[nth];
        nth += 1;
    }
    sum
}

const fn difference(one: &[u64; COUNTS], other: &[u64; COUNTS]) -> [u64; COUNTS] {
    let (mut difference, mut nth) = (*one, 0);
    while nth < COUNTS {
        difference[nth] = difference[nth].saturating_sub(other[nth]);
        nth += 1;
    }
    difference
}

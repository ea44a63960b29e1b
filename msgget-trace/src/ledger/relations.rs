//! What must hold between the counters: a balance goes in, the first relation that does not hold comes out.

/// When a balance was struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// While records were on their way: what entered a hop is at least what left it.
    Running,
    /// When nothing was: it is the same.
    Ended,
}

/// A hop: the counters of what entered it, and of all that can have become of that.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) entered: &'static [&'static str],
    pub(super) left: &'static [&'static str],
}

/// Every relation there is, in the order of the flow. A counter of a further way out of a hop is one more word here.
pub(super) const RELATIONS: [Relation; 7] = [
    Relation { entered: &["seen"], left: &["submitted", "aggregated", "lost", "out_of_scope"] },
    Relation { entered: &["aggregated"], left: &["attributed", "unattributed"] },
    Relation { entered: &["controls_seen"], left: &["controls_submitted", "controls_lost"] },
    Relation { entered: &["uses_seen"], left: &["uses_submitted", "uses_past_budget", "uses_lost"] },
    Relation { entered: &["submitted", "controls_submitted", "uses_submitted", "contexts_submitted"], left: &["read"] },
    Relation {
        entered: &["read"],
        left: &["delivered", "controls", "uses", "canaries", "early", "witnesses", "contexts", "rejected", "unwanted"],
    },
    Relation { entered: &["found"], left: &["findings", "findings_unwanted", "suppressed"] },
];

/// The first relation that does not hold, in words.
pub(super) fn broken(balance: &[(&'static str, u64)], when: When) -> Option<String> {
    let number = |name: &&str| balance.iter().find(|(other, _)| other == name).map_or(0, |(_, number)| *number);
    RELATIONS.iter().find_map(|Relation { entered, left }| {
        let (before, after) = (entered.iter().map(number).sum::<u64>(), left.iter().map(number).sum::<u64>());
        let (sign, holds) = match when {
            When::Running => (">=", before >= after),
            When::Ended => ("=", before == after),
        };
        let (entered, left) = (entered.join(" + "), left.join(" + "));
        (!holds).then(|| format!("{entered} {sign} {left} does not hold: {before} and {after}"))
    })
}

//! Skipped runs: what the kernel says of each program goes in, what nobody saw comes out.

/// Runs of our programs that the kernel skipped because one was running on that CPU already (`recursion_misses`,
/// kernel/bpf/syscall.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Of the program that makes the records: so many calls nobody saw. Fewer where the program runs for other calls, too.
    pub calls: u64,
    /// Of the others: so many calls say less than they could, or so many removals and stale uses nobody saw.
    pub halves: u64,
}

impl Skipped {
    /// Both added up.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, halves: self.halves + other.halves }
    }

    /// What was skipped after it was `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self { calls: self.calls.saturating_sub(earlier.calls), halves: self.halves.saturating_sub(earlier.halves) }
    }
}

/// As the state keeps it.
impl From<[u64; 2]> for Skipped {
    fn from([calls, halves]: [u64; 2]) -> Self {
        Self { calls, halves }
    }
}

impl From<Skipped> for [u64; 2] {
    fn from(Skipped { calls, halves }: Skipped) -> Self {
        [calls, halves]
    }
}

//! What stands for calls that were counted instead of sent: the type of an aggregate, and of their outcomes.

use msgget_trace_ebpf::{
    COMM_LEN, COUNT_AMBIGUOUS, COUNT_CREATED, COUNT_FAILED, COUNT_NOT_EXECUTED, COUNT_OPENED, COUNT_UNPAIRED, COUNTS,
};

use super::BootTime;

/// Numbers of calls, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub [u64; COUNTS]);

impl Counts {
    /// The outcomes, in the words of [`Outcome`](super::Outcome).
    const NAMES: [(usize, &'static str); 6] = [
        (COUNT_CREATED, "created"),
        (COUNT_OPENED, "opened"),
        (COUNT_FAILED, "failed"),
        (COUNT_AMBIGUOUS, "ambiguous"),
        (COUNT_UNPAIRED, "unpaired"),
        (COUNT_NOT_EXECUTED, "not_executed"),
    ];

    /// All calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that made a queue.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.0[COUNT_CREATED]
    }

    /// Those that failed.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.0[COUNT_FAILED]
    }

    /// The outcomes there were, each with its number.
    pub fn by_outcome(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.iter().map(|(nth, name)| (*name, self.0[*nth])).filter(|(_, count)| *count > 0)
    }

    /// The same with `count` calls more of the outcome of this name; `None` if it is none's.
    #[must_use]
    pub fn with(mut self, outcome: &str, count: u64) -> Option<Self> {
        let (nth, _) = Self::NAMES.iter().find(|(_, name)| *name == outcome)?;
        self.0[*nth] = self.0[*nth].checked_add(count)?;
        Some(self)
    }

    /// By how much each number is above `other`'s, or 0.
    #[must_use]
    pub fn above(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|nth| self.0[nth].saturating_sub(other.0[nth])))
    }

    /// Of each outcome no more than `limit` has.
    #[must_use]
    pub fn within(&self, limit: &Self) -> Self {
        Self(std::array::from_fn(|nth| self.0[nth].min(limit.0[nth])))
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
    }
}

/// Whose budget the calls were past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// That of one process.
    Process {
        /// Its id on the host.
        pid: u32,
        /// When it was started.
        started: Option<BootTime>,
    },
    /// That of all processes with an effective user id in a cgroup.
    Owner,
}

impl Payer {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process { .. } => "process",
            Self::Owner => "owner",
        }
    }
}

/// Calls past a budget, of which it is known whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributed {
    /// Whose.
    pub payer: Payer,
    /// Not before this moment did the first of them return.
    pub first: BootTime,
    /// When the last of them returned.
    pub last: BootTime,
    /// Different keys of calls in the last second or so of them, at most [`SAMPLES`](msgget_trace_ebpf::SAMPLES).
    pub sample_keys: Vec<i32>,
    /// Command name of one of the callers.
    pub comm: [u8; COMM_LEN],
    /// Its effective user id; the owner's.
    pub euid: Option<u32>,
    /// cgroup v2 id; the owner's.
    pub cgroup_id: u64,
    /// IPC namespace of one of the callers.
    pub ipc_ns: Option<u32>,
}

/// Calls that were counted instead of sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// When it was taken.
    pub at: BootTime,
    /// How many, and what became of them.
    pub counts: Counts,
    /// Whose; `None`: nobody knows any more.
    pub attributed: Option<Attributed>,
}

impl Aggregate {
    /// Whose budget they were past, in every output, where nobody knows it any more.
    pub const NOBODY: &'static str = "nobody";

    /// Whose budget they were past, in a word.
    #[must_use]
    pub fn payer(&self) -> &'static str {
        self.attributed.as_ref().map_or(Self::NOBODY, |attributed| attributed.payer.name())
    }
}

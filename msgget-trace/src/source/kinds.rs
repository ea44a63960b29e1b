//! How many of each kind of event: events or counters go in, a number for each kind comes out.

use std::ops::{Add, Sub};

use msgget_trace_ebpf::Counters;

use crate::event::Event;

/// Numbers of events, or of their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) calls: u64,
    pub(super) controls: u64,
    pub(super) uses: u64,
}

impl Kinds {
    /// Records that the ring had no room for.
    pub(super) const fn lost(counters: &Counters) -> Self {
        Self { calls: counters.lost_ring_full, controls: counters.controls_lost, uses: counters.uses_lost }
    }

    /// Of whatever kind.
    pub(super) const fn total(self) -> u64 {
        self.calls + self.controls + self.uses
    }
}

/// One of its kind, or none.
impl From<Option<&Event>> for Kinds {
    fn from(event: Option<&Event>) -> Self {
        let none = Self::default();
        match event {
            Some(Event::Call(_)) => Self { calls: 1, ..none },
            Some(Event::Control(_)) => Self { controls: 1, ..none },
            Some(Event::Use(_)) => Self { uses: 1, ..none },
            None => none,
        }
    }
}

impl Add for Kinds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { calls, controls, uses } = other;
        Self { calls: self.calls + calls, controls: self.controls + controls, uses: self.uses + uses }
    }
}

impl Sub for Kinds {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let Self { calls, controls, uses } = other;
        Self { calls: self.calls - calls, controls: self.controls - controls, uses: self.uses - uses }
    }
}

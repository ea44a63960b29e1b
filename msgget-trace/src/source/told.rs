//! Which events a source tells of, where others were attached before or after it: when an event was entered and left goes in,
//! whether it is this one's to tell comes out.
//!
//! Two sources take down different moments of one call, and either may be the first to: probes of a tracepoint run in the order in
//! which they were attached, programs of a trampoline in the opposite one (`bpf_trampoline_link_prog`, kernel/bpf/trampoline.c), and
//! anything may come between them. So the former goes on to tell of what it sees for as long as that may take, and what it has
//! told of, the next one, which is read after it, leaves out. That is known by the time: of one thread's calls, what one
//! source takes for the time of a call overlaps what the other does, and no other call's. One that the former missed is the next
//! one's to tell, whatever the former told of after it. Where the former did not see when a call began, it has to be of the
//! same content, too.

use std::collections::{HashMap, VecDeque};

use crate::event::BootTime;

/// How far the moments may lie apart: 1 s, in ns. The hooks of the former are gone long before.
const APART: u64 = 1_000_000_000;

/// The end of what a source tells of that has no successor.
const NEVER: BootTime = BootTime(u64::MAX);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Told {
    from: BootTime,
    until: BootTime,
    /// By thread, the events that the former source told of and this one has not met.
    former: HashMap<u32, VecDeque<Former>>,
}

/// An event that the former source told of.
#[derive(Debug)]
struct Former {
    /// Not before this moment did it begin.
    begin: BootTime,
    end: BootTime,
    /// What it was, where `begin` alone is not to be relied on.
    content: Option<Content>,
}

/// What a call was about, and what it returned.
pub(super) type Content = (i64, i64);

impl Told {
    /// Events that were left between the two moments, the second excluded.
    pub(super) fn new(from: BootTime, until: BootTime) -> Self {
        Self { from, until, former: HashMap::new() }
    }

    /// None, until [`Self::begin`].
    pub(super) fn nothing() -> Self {
        Self::new(NEVER, NEVER)
    }

    /// From `now` on.
    pub(super) fn begin(&mut self, now: BootTime) {
        self.from = now;
    }

    /// The other one has begun, and this one's hooks go, or went, at once.
    pub(super) fn end(&mut self, next: &Self) {
        self.until = BootTime(next.from.0.saturating_add(APART));
    }

    /// True as long as there is no other.
    pub(super) fn is_last(&self) -> bool {
        self.until == NEVER
    }

    /// The two moments.
    pub(super) fn span(&self) -> [BootTime; 2] {
        [self.from, self.until]
    }

    /// Whether an event of `thread` that was `entered` and `left` is to be told of. To be asked of every event once, in their
    /// order.
    pub(super) fn tells_of(&mut self, thread: u32, [entered, left]: [BootTime; 2], content: Content) -> bool {
        // What the former told of had ended by then, and whatever is said of that has come.
        if entered.0 > self.from.0.saturating_add(2 * APART) && !self.former.is_empty() {
            self.former = HashMap::new();
        }
        let before = self.former.get_mut(&thread).is_some_and(|told| {
            while told.pop_front_if(|former| former.end < entered).is_some() {}
            let same = |former: &mut Former| former.begin <= left && former.content.is_none_or(|of| of == content);
            told.pop_front_if(same).is_some()
        });
        (self.from..self.until).contains(&left) && !before
    }

    /// Notes that the former source told of an event of `thread`, which ended at the moment `end`.
    pub(super) fn told_before(&mut self, thread: u32, entered: Option<BootTime>, end: BootTime, content: Content) {
        // All that were over long before are not ours, either.
        if end.0.saturating_add(APART) < self.from.0 {
            return;
        }
        let told = self.former.entry(thread).or_default();
        told.push_back(match entered {
            Some(begin) => Former { begin, end, content: None },
            None => {
                Former { begin: told.back().map(|before| before.end).unwrap_or_default(), end, content: Some(content) }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Calls of three threads: the pause before each, how long after its beginning either source sees it return, and whether
        /// the former misses it, or its beginning.
        #[test]
        fn every_call_is_told_of_once(
            calls in prop::collection::vec(
                (1..100_u64, prop::array::uniform2(1..50_u64), 0..3_u32, prop::array::uniform2(prop::bool::weighted(0.2))),
                1..60,
            ),
            [attached, begins, detached] in prop::array::uniform3(1..600_u64),
        ) {
            let of = |nth: usize| (nth as i64, 0);
            // One after the other.
            let begins = attached + begins;
            let detached = begins + detached;
            let (mut former, mut next) = (Told::new(BootTime(0), NEVER), Told::nothing());
            next.begin(BootTime(begins));
            former.end(&next);
            let mut clocks = [0; 3];
            let mut told = vec![0; calls.len()];
            let mut by_next = Vec::new();
            let mut missed = vec![false; calls.len()];
            for (nth, (pause, after, thread, [misses, misses_entry])) in calls.into_iter().enumerate() {
                let clock = &mut clocks[thread as usize];
                let entered = *clock + pause;
                let [by_former, left] = after.map(|after| entered + after);
                let (first, last) = (by_former.min(left), by_former.max(left));
                *clock = last;
                // Whoever is among the hooks when the first of them runs, runs, too.
                if misses && first < detached {
                    // Of those before it is known how many they are.
                    missed[nth] = first < attached || left < begins;
                } else if first < detached && former.tells_of(thread, [entered, by_former].map(BootTime), of(nth)) {
                    told[nth] += 1;
                    let entered = (!misses_entry).then_some(BootTime(entered));
                    next.told_before(thread, entered, BootTime(by_former), of(nth));
                }
                if first >= attached {
                    by_next.push((nth, thread, [entered.max(attached), left].map(BootTime)));
                }
            }
            // What the former saw has been read before.
            for (nth, thread, times) in by_next {
                told[nth] += u32::from(next.tells_of(thread, times, of(nth)));
            }
            let once = |(times, missed): (&u32, &bool)| *times == u32::from(!missed);
            prop_assert!(told.iter().zip(&missed).all(once), "{told:?} {missed:?}");
        }
    }

    #[test]
    fn whoever_looks_first_loses_nothing() {
        let (mut former, mut next) = (Told::new(BootTime(0), NEVER), Told::nothing());
        let tells = |told: &mut Told, thread, times: [u64; 2]| told.tells_of(thread, times.map(BootTime), (7, -2));
        assert!(former.is_last() && tells(&mut former, 1, [1, 2]) && !tells(&mut next, 1, [1, 2]));
        next.begin(BootTime(100));
        former.end(&next);
        assert!(!former.is_last());
        // The next one looks first, and its time has not begun; when the former does, it has.
        assert!(tells(&mut former, 1, [90, 101]) && !tells(&mut next, 1, [90, 99]));
        // Both see it in time.
        assert!(tells(&mut former, 2, [95, 101]));
        next.told_before(2, Some(BootTime(95)), BootTime(101), (7, -2));
        assert!(!tells(&mut next, 2, [95, 102]) && tells(&mut next, 2, [103, 104]));
        assert!(!tells(&mut former, 3, [1, 100 + APART]));
        // Of threads that never call again nothing stays.
        next.told_before(4, None, BootTime(110), (7, -2));
        assert!(tells(&mut next, 5, [100 + 2 * APART, 200 + 2 * APART]) && !next.former.is_empty());
        assert!(tells(&mut next, 5, [201 + 2 * APART, 300 + 2 * APART]) && next.former.is_empty());
    }
}

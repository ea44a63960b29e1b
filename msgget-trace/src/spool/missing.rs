//! Missing records: the gaps that reading finds go in, how many numbers are missing where comes out, each counted once however
//! often it is read over.

use std::{collections::VecDeque, ops::Range};

/// Gaps among the records that are not dealt with yet. At most one more than the records that were read and not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Found since reading last began; in order.
    behind: VecDeque<Range<u64>>,
    /// Found before, where reading has not come again; in order, after those behind.
    ahead: VecDeque<Range<u64>>,
}

impl Missing {
    /// Reading went on to `next`, and the numbers in `gap`, right before it or before a record right before it, were not there.
    /// Gives how many of them are news.
    pub(super) fn pass(&mut self, gap: Range<u64>, next: u64) -> u64 {
        let known = count(&self.ahead, &(0..next));
        forget(&mut self.ahead, next);
        let length = gap.end.saturating_sub(gap.start);
        if length > 0 {
            match self.behind.back_mut() {
                Some(last) if last.end == gap.start => last.end = gap.end,
                _ => self.behind.push_back(gap),
            }
        }
        length.saturating_sub(known)
    }

    /// Reading begins again at the first record that is not dealt with.
    pub(super) fn rewind(&mut self) {
        self.behind.append(&mut self.ahead);
        std::mem::swap(&mut self.behind, &mut self.ahead);
    }

    /// How many in `numbers` are missing.
    pub(super) fn within(&self, numbers: &Range<u64>) -> u64 {
        count(&self.behind, numbers) + count(&self.ahead, numbers)
    }

    /// Those before `next` are dealt with.
    pub(super) fn forget(&mut self, next: u64) {
        forget(&mut self.behind, next);
        forget(&mut self.ahead, next);
    }
}

fn count(gaps: &VecDeque<Range<u64>>, numbers: &Range<u64>) -> u64 {
    let overlap = |gap: &Range<u64>| gap.end.min(numbers.end).saturating_sub(gap.start.max(numbers.start));
    gaps.iter().take_while(|gap| gap.start < numbers.end).map(overlap).sum()
}

fn forget(gaps: &mut VecDeque<Range<u64>>, next: u64) {
    while let Some(gap) = gaps.front_mut() {
        if gap.end > next {
            gap.start = gap.start.max(next);
            return;
        }
        gaps.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_news_once() {
        let mut missing = Missing::default();
        assert_eq!(missing.pass(3..5, 6), 2);
        assert_eq!(missing.pass(6..9, 9), 3);
        assert_eq!(missing.pass(9..10, 11), 1);
        assert_eq!((missing.within(&(0..100)), missing.within(&(4..7))), (6, 2));
        missing.rewind();
        assert_eq!(missing.within(&(0..100)), 6);
        // 5 is missing now, too, and 6 turned up.
        assert_eq!(missing.pass(3..6, 7), 0);
        assert_eq!(missing.within(&(0..100)), 6);
        // 9 turned up.
        assert_eq!(missing.pass(7..9, 10), 0);
        assert_eq!(missing.within(&(0..100)), 5);
        missing.rewind();
        missing.rewind();
        missing.forget(5);
        assert_eq!((missing.within(&(0..100)), missing.within(&(0..6))), (3, 1));
    }
}

//! Bytes go in as they come, whole lines come out, each with its number; what is left of a line at the end comes out last.

/// Most bytes of a line that is looked at: what a spool takes at most, and far more than any line of ours has.
pub(super) const LONGEST: usize = crate::spool::RECORD_MAX;

/// A line, or what stands for one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Without its line feed.
    Whole(&'a [u8]),
    /// The last one, which lacks it.
    Last(&'a [u8]),
    /// Longer than [`LONGEST`].
    TooLong,
}

/// What has been read and is not taken yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Of those, the first that are taken.
    taken: usize,
    /// Lines taken.
    number: u64,
    /// The line that goes on is too long, and its beginning is gone.
    too_long: bool,
    ended: bool,
}

impl Lines {
    /// Takes in the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// There are no more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next line and its number, from 1; `None` until more has come.
    pub(super) fn next(&mut self) -> Option<(u64, Piece<'_>)> {
        let start = self.taken;
        let rest = self.bytes.get(start..)?;
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            let torn = self.ended && (self.too_long || !rest.is_empty());
            if !torn && rest.len() <= LONGEST {
                return None;
            }
            self.taken = self.bytes.len();
            if !torn {
                self.too_long = true;
                return None;
            }
            self.number += 1;
            let too_long = std::mem::take(&mut self.too_long) || self.taken - start > LONGEST;
            let piece = if too_long { Piece::TooLong } else { Piece::Last(self.bytes.get(start..)?) };
            return Some((self.number, piece));
        };
        self.taken = start + length + 1;
        self.number += 1;
        let too_long = std::mem::take(&mut self.too_long) || length > LONGEST;
        let piece = if too_long { Piece::TooLong } else { Piece::Whole(self.bytes.get(start..start + length)?) };
        Some((self.number, piece))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of `text` when it comes in pieces of `size`: numbers and lengths, and whether they are whole.
    fn lines(text: &[u8], size: usize) -> Vec<(u64, Option<Vec<u8>>, bool)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut take = |lines: &mut Lines| {
            while let Some((number, piece)) = lines.next() {
                found.push(match piece {
                    Piece::Whole(line) => (number, Some(line.to_vec()), true),
                    Piece::Last(line) => (number, Some(line.to_vec()), false),
                    Piece::TooLong => (number, None, false),
                });
            }
            assert!(lines.bytes.len() - lines.taken <= LONGEST);
        };
        for bytes in text.chunks(size) {
            lines.push(bytes);
            take(&mut lines);
        }
        lines.end();
        take(&mut lines);
        found
    }

    #[test]
    fn a_line_that_is_too_long_costs_no_other() {
        let long = vec![b'x'; LONGEST + 1];
        for end in [&b"\nb"[..], b"\nb\n", b""] {
            let text = [b"a\n", &long[..], end].concat();
            for size in [4096, 100_000, LONGEST * 3] {
                let found = lines(&text, size);
                assert_eq!((&found[0], &found[1]), (&(1, Some(b"a".to_vec()), true), &(2, None, false)));
                assert_eq!(found.get(2).is_some(), !end.is_empty());
            }
        }
        let most = [&long[1..], b"\n"].concat();
        assert!(lines(&most, 4096)[0].2);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab\n]{0,60}", size in 1..70_usize) {
            let found = lines(text.as_bytes(), size);
            let mut wanted: Vec<_> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            let torn = wanted.pop().filter(|last| !last.is_empty());
            let whole = wanted.len();
            wanted.extend(torn);
            for (nth, (number, line, ended)) in found.iter().enumerate() {
                prop_assert_eq!((*number, line.as_ref(), *ended), (nth as u64 + 1, wanted.get(nth), nth < whole));
            }
            prop_assert_eq!(found.len(), wanted.len());
        }
    }
}

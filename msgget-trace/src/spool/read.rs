//! Reading: segments go in, their records come out in order, and how many are missing where the files are damaged.

use std::{collections::VecDeque, fs::File, io, ops::Range, os::unix::fs::FileExt as _};

use super::{
    SpoolError,
    folder::Folder,
    frame::{HEAD, MAGIC, Parsed, parse},
    missing::Missing,
    segment::{HEADER, Segment, open},
};

/// Least bytes that are read in one go.
const LEAST: usize = 4096;

/// Most places that are remembered to rewind to; past it, rewinding reads a little more than it must.
const TRAIL: usize = 1024;

/// A record out of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number, for ever: what [`super::Spool::acknowledge`] wants.
    pub number: u64,
    /// As it was appended.
    pub bytes: &'a [u8],
}

/// The next records.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub(super) window: &'a Window,
    pub(super) missing: u64,
}

impl<'a> Batch<'a> {
    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let Window { bytes, found } = self.window;
        found
            .iter()
            .map(|found| Record { number: found.number, bytes: bytes.get(found.at.clone()).unwrap_or_default() })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.window.found.len()
    }

    /// True if nothing waits that has not been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.window.found.is_empty()
    }

    /// Number of the last record: acknowledge this once all of them are where they should be.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.window.found.last().map(|found| found.number)
    }

    /// Records before or among these, or after the last one there is, that damage has taken. Each is told of once, also
    /// when reading begins again.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }
}

/// Where reading goes on in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The segment, by its first record.
    pub(super) segment: u64,
    /// Byte of the file.
    pub(super) offset: u64,
    /// No frame from here on has a lower number.
    pub(super) number: u64,
}

impl Place {
    pub(super) const fn start(first: u64) -> Self {
        Self { segment: first, offset: HEADER as u64, number: first }
    }
}

/// A part of a segment.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    pub(super) found: Vec<Found>,
}

/// A record in the window.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) time: u64,
    at: Range<usize>,
}

impl Window {
    /// Finds the next frames from `place` on: records of at most `most` bytes, but at least one; none only if there is no
    /// whole frame up to the end, where `place` is then. It takes memory for `most` bytes, or for the longest record.
    pub(super) fn fill(&mut self, file: &File, place: &mut Place, segment: &Segment, most: usize) -> io::Result<()> {
        self.found.clear();
        let mut want = most.max(LEAST);
        let mut len = segment.len;
        while place.offset < len {
            let room = usize::try_from(len - place.offset).unwrap_or(usize::MAX);
            self.bytes.resize(want.min(room), 0);
            let got = read(file, &mut self.bytes, place.offset)?;
            self.bytes.truncate(got);
            if got < want.min(room) {
                // The file ends before it should.
                len = place.offset + got as u64;
            }
            let last = place.offset + got as u64 == len;
            let start = place.offset;
            let used = self.search(place, segment, most, last);
            place.offset = start + used.at as u64;
            if !self.found.is_empty() {
                return Ok(());
            }
            want = used.need.max(most).max(LEAST);
        }
        place.offset = segment.len;
        Ok(())
    }

    /// Looks for frames in the bytes of the window, which begin at `place`; after the `last` ones come no others.
    fn search(&mut self, place: &mut Place, segment: &Segment, most: usize, last: bool) -> Used {
        let start = place.offset;
        let (mut at, mut total) = (0, 0);
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // Before a record there is room for the heads of all that came before it in the segment. So a frame that
            // stands in the wrong place is none.
            let before = (start + at as u64).saturating_sub(HEADER as u64) / HEAD as u64;
            let numbers = place.number..segment.end.min(segment.first.saturating_add(before + 1));
            match parse(rest, &numbers) {
                Parsed::Frame(frame) => {
                    let record = at + HEAD..at + frame.len;
                    if !self.found.is_empty() && total + record.len() > most {
                        break;
                    }
                    total += record.len();
                    at = record.end;
                    place.number = frame.number + 1;
                    self.found.push(Found { number: frame.number, time: frame.time, at: record });
                }
                // The damage is for the next time, when these are out.
                _ if !self.found.is_empty() => break,
                Parsed::Short(need) if !last => return Used { at, need },
                Parsed::Short(_) | Parsed::Bad => at += 1 + next_magic(rest.get(1..).unwrap_or_default()),
            }
        }
        Used { at, need: 0 }
    }
}

/// What of a window is done with, and how many bytes from there on the next has to have.
struct Used {
    at: usize,
    need: usize,
}

/// Where the magic of a frame begins, or may begin at the end; else the end.
fn next_magic(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == MAGIC[0])) {
        let rest = bytes.get(from + at..).unwrap_or_default();
        if rest.starts_with(&MAGIC) || MAGIC.starts_with(rest) {
            return from + at;
        }
        from += at + 1;
    }
    bytes.len()
}

/// Reads until `bytes` is full or the file ends.
fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// How far reading is.
#[derive(Debug)]
pub(super) struct Reader {
    place: Place,
    /// The next record.
    pub(super) wanted: u64,
    /// One more than the last record that was ever read.
    pub(super) high: u64,
    /// Where to begin again.
    resume: Place,
    /// The ends of what was read since: number of the last record, and the place after it.
    trail: VecDeque<(u64, Place)>,
    file: Option<(u64, File)>,
    pub(super) window: Window,
    pub(super) missing: Missing,
    /// Missing records no batch has told of.
    pub(super) untold: u64,
}

impl Reader {
    /// Begins with the record `wanted`.
    pub(super) fn new(wanted: u64) -> Self {
        let place = Place::start(0);
        let (window, missing) = (Window::default(), Missing::default());
        Self {
            place,
            wanted,
            high: wanted,
            resume: place,
            trail: VecDeque::new(),
            file: None,
            window,
            missing,
            untold: 0,
        }
    }

    /// Puts the next records into the window; none if there are none.
    pub(super) fn read(
        &mut self,
        folder: &Folder,
        segments: &VecDeque<Segment>,
        most: usize,
    ) -> Result<(), SpoolError> {
        self.window.found.clear();
        // What was read of one that is gone now does not matter: what comes after has higher numbers.
        let mut nth = segments.partition_point(|segment| segment.first < self.place.segment);
        while let Some(segment) = segments.get(nth) {
            if segment.first != self.place.segment {
                self.place = Place::start(segment.first);
            }
            self.pass(segment.first);
            if self.wanted < segment.end && self.place.offset < segment.len {
                self.fill(folder, segment, most)?;
                if !self.window.found.is_empty() {
                    break;
                }
            } else {
                self.pass(segment.end);
                if nth + 1 == segments.len() {
                    break;
                }
                nth += 1;
            }
        }
        self.high = self.high.max(self.wanted);
        Ok(())
    }

    fn fill(&mut self, folder: &Folder, segment: &Segment, most: usize) -> Result<(), SpoolError> {
        let file = match self.file.take().filter(|(first, _)| *first == segment.first) {
            Some((_, file)) => file,
            None => match open(folder, segment.first) {
                Ok(file) => file,
                Err(SpoolError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                    self.place.offset = segment.len;
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        let filled = self.window.fill(&file, &mut self.place, segment, most);
        self.file = Some((segment.first, file));
        if let Err(error) = filled {
            self.window.found.clear();
            return Err(SpoolError::io("read", folder.segment(segment.first))(error));
        }
        let wanted = self.wanted;
        self.window.found.retain(|found| found.number >= wanted);
        for found in &self.window.found {
            self.untold += self.missing.pass(self.wanted..found.number, found.number + 1);
            self.wanted = found.number + 1;
        }
        if self.trail.len() < TRAIL && !self.window.found.is_empty() {
            self.trail.push_back((self.wanted - 1, self.place));
        }
        Ok(())
    }

    /// What is wanted before `number` is nowhere.
    fn pass(&mut self, number: u64) {
        if self.wanted < number {
            self.untold += self.missing.pass(self.wanted..number, number);
            self.wanted = number;
        }
    }

    /// All up to `number` is dealt with.
    pub(super) fn release(&mut self, number: u64) {
        while let Some((_, place)) = self.trail.pop_front_if(|(last, _)| *last <= number) {
            self.resume = place;
        }
        self.missing.forget(number + 1);
        self.wanted = self.wanted.max(number + 1);
        self.high = self.high.max(self.wanted);
    }

    /// Gives the file of a segment that is removed back, whose room on disk it would hold.
    pub(super) fn close(&mut self, first: u64) {
        self.file.take_if(|(open, _)| *open == first);
    }

    /// Begins again after the record `number`, the last that is dealt with.
    pub(super) fn rewind(&mut self, number: u64) {
        self.place = self.resume;
        self.wanted = number + 1;
        self.trail.clear();
        self.missing.rewind();
    }
}

//! Writing: the frames of a batch go in, they come out at the end of the last segment or in a new one; old segments go.

use std::{os::unix::fs::FileExt as _, time::SystemTime};

use super::{Bound, Fsync, HEADER, Mark, Segment, Spool, SpoolError, folder::step, segment};

impl Spool {
    /// Drops segments until there is room: for `frames` bytes if the last segment can take them, else for `whole`, a segment
    /// with them. Gives whether it can.
    pub(super) fn make_room(&mut self, frames: u64, whole: u64) -> Result<bool, SpoolError> {
        loop {
            let fits = self.writer.is_some()
                && self
                    .segments
                    .back()
                    .is_some_and(|last| last.is_empty() || last.len + frames <= self.limits.segment_bytes);
            if self.bytes + if fits { frames } else { whole } <= self.limits.bytes || self.segments.is_empty() {
                return Ok(fits);
            }
            self.drop_oldest(Bound::Bytes)?;
        }
    }

    /// Adds the frames in the buffer to the last segment; on failure it is as it was.
    pub(super) fn extend(&mut self, end: u64, frames: u64) -> Result<(), SpoolError> {
        let (Some(last), Some(file)) = (self.segments.back_mut(), &self.writer) else { return Ok(()) };
        let mut written = file.write_all_at(self.buffer.get(HEADER..).unwrap_or_default(), last.len);
        let mut doing = "append to";
        step();
        if written.is_ok() && self.fsync == Fsync::Always {
            (doing, written) = ("sync", file.sync_data());
        }
        if let Err(error) = written {
            // If not even that is possible, the rest stays where no number fits it: before a segment that begins with these.
            if file.set_len(last.len).is_err() {
                self.writer = None;
            }
            step();
            return Err(SpoolError::io(doing, self.folder.segment(last.first))(error));
        }
        last.len += frames;
        last.end = end;
        self.bytes += frames;
        Ok(())
    }

    /// Makes a segment of what is in the buffer: a header, and frames up to the number `end`.
    pub(super) fn begin(&mut self, end: u64, whole: u64) -> Result<(), SpoolError> {
        let first = self.next;
        if self.fsync != Fsync::Never {
            // Nobody looks after it later.
            self.sync_writer()?;
        }
        let file = segment::create(&self.folder, first, &self.buffer)?;
        let synced = match self.fsync {
            Fsync::Always => file
                .sync_data()
                .map_err(SpoolError::io("sync", self.folder.segment(first)))
                .and_then(|()| self.folder.sync()),
            Fsync::Every(_) => self.folder.sync(),
            Fsync::Never => Ok(()),
        };
        if let Err(error) = synced {
            let _ = self.folder.remove(first);
            return Err(error);
        }
        // An empty one with this name has just been overwritten.
        if let Some(last) = self.segments.pop_back_if(|last| last.first == first) {
            self.bytes -= last.len;
            self.reader.close(first);
        }
        self.segments.push_back(Segment { first, end, len: whole, until: 0 });
        self.bytes += whole;
        self.writer = Some(file);
        Ok(())
    }

    /// Drops the oldest segment. Of the records in it that are not dealt with, those that are there count as dropped by
    /// `bound`, the others as lost.
    pub(super) fn drop_oldest(&mut self, bound: Bound) -> Result<(), SpoolError> {
        let Some(oldest) = self.segments.front().cloned() else { return Ok(()) };
        if self.segments.len() == 1 && oldest.end == self.next {
            // The name of the last segment says how far numbers went, should the cursor be lost.
            let kept = std::mem::take(&mut self.buffer);
            segment::header(&mut self.buffer, self.next);
            let begun = self.begin(self.next, HEADER as u64);
            self.buffer = kept;
            begun?;
        }
        if oldest.end > self.mark.number + 1 {
            let from = self.mark.number + 1;
            let held = from.max(oldest.first)..oldest.end;
            let lost = self.reader.missing.within(&held);
            let before = oldest.first.saturating_sub(from);
            let untold = before - self.reader.missing.within(&(from..from + before));
            let dropped = held.end - held.start - lost;
            let mut mark = Mark { number: oldest.end - 1, lost: self.mark.lost + lost + before, ..self.mark };
            match bound {
                Bound::Bytes => mark.dropped_bytes += dropped,
                Bound::Age => mark.dropped_age += dropped,
            }
            self.advance(mark)?;
            self.reader.untold += untold;
        }
        self.remove_oldest()
    }

    /// Moves the cursor.
    pub(super) fn advance(&mut self, mark: Mark) -> Result<(), SpoolError> {
        self.cursor.write(&mark)?;
        self.mark = mark;
        self.unsynced.get_or_insert(self.now);
        self.reader.release(mark.number);
        if self.fsync == Fsync::Always { self.cursor.sync() } else { Ok(()) }
    }

    /// Removes segments of which all is dealt with, but not the last.
    pub(super) fn remove_behind(&mut self) -> Result<(), SpoolError> {
        while self.segments.len() > 1 && self.segments.front().is_some_and(|oldest| oldest.end <= self.mark.number + 1)
        {
            self.remove_oldest()?;
        }
        Ok(())
    }

    fn remove_oldest(&mut self) -> Result<(), SpoolError> {
        let Some(oldest) = self.segments.front() else { return Ok(()) };
        if matches!(self.fsync, Fsync::Every(_)) {
            // After a loss of power a cursor that is behind would take the segment for lost.
            self.cursor.sync()?;
        }
        self.reader.close(oldest.first);
        self.folder.remove(oldest.first)?;
        self.bytes -= oldest.len;
        self.segments.pop_front();
        Ok(())
    }

    /// Records that are neither dealt with nor known to be missing.
    pub(super) fn waiting(&self) -> u64 {
        self.next - 1 - self.mark.number - self.missing()
    }

    /// Records that are not dealt with, and known to be missing.
    pub(super) fn missing(&self) -> u64 {
        self.reader.missing.within(&(self.mark.number + 1..self.next))
    }

    /// Brings to the disk what has waited for long enough.
    pub(super) fn sync_if_due(&mut self, now: SystemTime) -> Result<(), SpoolError> {
        self.now = now;
        match (self.fsync, self.unsynced) {
            // A clock that was set back says nothing about how long.
            (Fsync::Every(time), Some(since)) if now.duration_since(since).is_ok_and(|age| age < time) => Ok(()),
            (Fsync::Every(_), Some(_)) => self.sync(),
            _ => Ok(()),
        }
    }

    pub(super) fn sync_writer(&self) -> Result<(), SpoolError> {
        let (Some(file), Some(last)) = (&self.writer, self.segments.back()) else { return Ok(()) };
        file.sync_data().map_err(SpoolError::io("sync", self.folder.segment(last.first)))
    }
}

//! The spool: batches of records go in and onto the disk, they come out in order as often as need be, until they are
//! acknowledged.
//!
//! It stands between the daemon and an output that may be slow or away. A record is some bytes, and has a number, which rises
//! by 1 for ever. [`Spool::append`] writes records, [`Spool::read`] brings the next ones, [`Spool::rewind`] begins again after
//! the last that was acknowledged, and [`Spool::acknowledge`] says that all up to one are where they should be. After a
//! restart reading begins there, too: each record is delivered at least once.
//!
//! Nothing is lost silently. At any moment
//! `appended = acknowledged + waiting + dropped_bytes + dropped_age + lost` ([`Status`]), over all restarts.
//!
//! # Files
//! A folder of mode 0700, whose files have mode 0600; what has another name is left alone.
//! - `NUMBER.seg`: records from that number on, each with a CRC32C (layout in `frame.rs` and `segment.rs`). Where one is
//!   damaged, the next whole one is searched, and its number says how many are missing. `NUMBER.seg.bad`: one that could not
//!   be used.
//! - `cursor`: up to which number all is dealt with. It is written before a segment is removed.
//! - `lock`: one daemon at a time has the folder (flock(2)); in it is that one's process id.
//! - `dead-letter.ndjson`: what a receiver will never take, see [`Spool::dead_letter`].

mod cursor;
mod dead_letter;
mod error;
mod folder;
mod frame;
mod missing;
mod read;
mod recover;
mod segment;
mod write;

use std::{
    collections::VecDeque,
    fs::File,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use error::SpoolError;
pub use read::{Batch, Record};
pub use recover::{Recovered, SetAside};

use cursor::{Cursor, Mark};
use dead_letter::DeadLetters;
use folder::{Folder, linked};
use read::Reader;
use segment::{HEADER, Segment};

/// Most bytes of a record.
pub const RECORD_MAX: usize = 1 << 20;

/// Least bytes of a segment, so that there are not too many.
pub const SEGMENT_LEAST: u64 = 4096;

/// How much a spool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments. Before they become more, the oldest segment is removed, whether it was read or not.
    pub bytes: u64,
    /// How long ago the last record of a segment may have been appended, by the wall clock; then it is removed.
    pub age: Duration,
    /// Bytes of a segment: at most half of `bytes`, and at least [`SEGMENT_LEAST`]. A batch that needs more gets one of its own.
    pub segment_bytes: u64,
}

impl Limits {
    fn check(&self) -> Result<(), SpoolError> {
        let Self { bytes, segment_bytes, .. } = *self;
        let fit = segment_bytes >= SEGMENT_LEAST && bytes / 2 >= segment_bytes;
        if fit { Ok(()) } else { Err(SpoolError::Limits { bytes, segment_bytes }) }
    }
}

/// When what was written is brought to the disk itself. The end of the daemon, by kill -9 too, costs nothing under any of
/// these: what write(2) took is the kernel's to keep. They differ in what a crash of the kernel or a loss of power costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Whatever the kernel had not yet written by itself (half a minute is usual); a whole segment, or the cursor, may be
    /// among that.
    Never,
    /// What was appended within this time before, and as much again as passes between calls of [`Spool::append`] and
    /// [`Spool::expire`], which see to it. What was acknowledged in that time comes again.
    Every(Duration),
    /// Nothing, if the disk tells the truth. Each batch and each acknowledgement waits for the disk.
    Always,
}

impl Default for Fsync {
    fn default() -> Self {
        Self::Every(Duration::from_secs(1))
    }
}

/// How a spool is. Records are counted since the spool was made, over all restarts, unless its cursor was lost; those it
/// then begins behind pass for acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Records that went in.
    pub appended: u64,
    /// That are done with, dead letters among them.
    pub acknowledged: u64,
    /// That are still to be acknowledged.
    pub waiting: u64,
    /// Not acknowledged, and dropped by the bound on bytes.
    pub dropped_bytes: u64,
    /// Not acknowledged, and dropped by the bound on age.
    pub dropped_age: u64,
    /// Found to be missing where files were damaged or removed. Of those that are not dealt with, reading finds them anew
    /// after a restart, and they stop counting if they turn up.
    pub lost: u64,
    /// Bytes of all segments on disk, also of acknowledged records in the oldest.
    pub bytes: u64,
    /// Dead letters since the spool was opened.
    pub dead_letters: u64,
}

/// A queue on disk: see the head of this module.
#[derive(Debug)]
pub struct Spool {
    folder: Folder,
    limits: Limits,
    fsync: Fsync,
    cursor: Cursor,
    /// What the cursor says.
    mark: Mark,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// Bytes of all of them.
    bytes: u64,
    /// Number of the next record that is appended.
    next: u64,
    /// The file of the last segment, unless the next batch has to begin another.
    writer: Option<File>,
    /// Since when something is not on the disk itself.
    unsynced: Option<SystemTime>,
    /// The moment of the last call that said one.
    now: SystemTime,
    reader: Reader,
    /// The frames of a batch, after room for a segment's header.
    buffer: Vec<u8>,
    dead_letters: DeadLetters,
}

/// Why records are dropped.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Bytes,
    Age,
}

impl Spool {
    /// Opens the spool in the folder `dir`, or makes one, and mends what a crash left.
    ///
    /// # Errors
    /// [`SpoolError::Limits`], [`SpoolError::Locked`], [`SpoolError::Unfit`] if others may enter the folder, and
    /// [`SpoolError::Io`]. Damaged files are none: see [`Recovered`].
    pub fn open(dir: &Path, limits: Limits, fsync: Fsync, now: SystemTime) -> Result<(Self, Recovered), SpoolError> {
        recover::open(dir, limits, fsync, now)
    }

    /// Appends a batch, with one write(2), and drops the oldest segments if there is no room for it. Records must not be longer
    /// than [`RECORD_MAX`].
    ///
    /// Past a limit on file sizes (RLIMIT_FSIZE) the kernel sends SIGXFSZ, which ends a process that does not ignore it.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`], [`SpoolError::TooMuch`], [`SpoolError::Gone`], and [`SpoolError::Io`], on a full disk for one.
    /// Then nothing of the batch is in the spool, and it can be appended again.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
        now: SystemTime,
    ) -> Result<(), SpoolError> {
        self.folder.check()?;
        self.sync_if_due(now)?;
        let time = nanos(now);
        let mut end = self.next;
        self.buffer.clear();
        segment::header(&mut self.buffer, self.next);
        for (nth, record) in records.into_iter().enumerate() {
            if record.len() > RECORD_MAX {
                return Err(SpoolError::TooLong { nth, bytes: record.len() });
            }
            frame::encode(&mut self.buffer, end, time, record);
            end += 1;
            if self.buffer.len() as u64 > self.limits.bytes {
                return Err(SpoolError::TooMuch { limit: self.limits.bytes });
            }
        }
        if end == self.next {
            return Ok(());
        }
        let whole = self.buffer.len() as u64;
        // Into a file that somebody removed one could write for ever.
        self.writer.take_if(|file| !linked(file));
        let frames = whole - HEADER as u64;
        if self.make_room(frames, whole)? {
            self.extend(end, frames)?;
        } else {
            self.begin(end, whole)?;
        }
        self.next = end;
        if let Some(last) = self.segments.back_mut() {
            last.until = time;
        }
        self.unsynced.get_or_insert(now);
        Ok(())
    }

    /// The next records after those that were read: at most `most` bytes of them, but at least one if there is any. An empty
    /// batch means that nothing waits that has not been read.
    ///
    /// # Errors
    /// [`SpoolError::Gone`] and [`SpoolError::Io`]: reading goes on where it was.
    pub fn read(&mut self, most: usize) -> Result<Batch<'_>, SpoolError> {
        self.folder.check()?;
        self.reader.read(&self.folder, &self.segments, most)?;
        let missing = std::mem::take(&mut self.reader.untold);
        Ok(Batch { window: &self.reader.window, missing })
    }

    /// Begins reading again after the last acknowledged record: what was on its way may not have arrived.
    pub fn rewind(&mut self) {
        self.reader.rewind(self.mark.number);
    }

    /// All records up to `number` are where they should be, for good: the cursor is written, then segments that hold
    /// nothing else are removed. What was acknowledged before may be so again.
    ///
    /// # Errors
    /// [`SpoolError::NotRead`], [`SpoolError::Gone`], and [`SpoolError::Io`]. If only removing a segment failed, the records
    /// count as acknowledged, and it is removed the next time.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), SpoolError> {
        self.folder.check()?;
        if number >= self.reader.high {
            return Err(SpoolError::NotRead { number, read: self.reader.high - 1 });
        }
        if number > self.mark.number {
            let lost = self.reader.missing.within(&(self.mark.number + 1..number + 1));
            self.advance(Mark { number, lost: self.mark.lost + lost, ..self.mark })?;
        }
        self.remove_behind()
    }

    /// Drops segments that are too old, and brings to the disk what is due; to be called about every second.
    ///
    /// # Errors
    /// [`SpoolError::Gone`] and [`SpoolError::Io`].
    pub fn expire(&mut self, now: SystemTime) -> Result<(), SpoolError> {
        self.folder.check()?;
        self.sync_if_due(now)?;
        let age = |segment: &Segment| Duration::from_nanos(nanos(now).saturating_sub(segment.until));
        // One that has only acknowledged records is the last one, and goes when there is another.
        while self.segments.front().is_some_and(|oldest| {
            oldest.end > self.mark.number + 1 && !oldest.is_empty() && age(oldest) > self.limits.age
        }) {
            self.drop_oldest(Bound::Age)?;
        }
        Ok(())
    }

    /// How it is. Nothing is read for it, so it may be asked as often as one likes.
    #[must_use]
    pub fn status(&self) -> Status {
        let Mark { number, dropped_bytes, dropped_age, lost } = self.mark;
        Status {
            appended: self.next - 1,
            acknowledged: number - dropped_bytes - dropped_age - lost,
            waiting: self.waiting(),
            dropped_bytes,
            dropped_age,
            lost: lost + self.missing(),
            bytes: self.bytes,
            dead_letters: self.dead_letters.count,
        }
    }

    /// Puts a record that a receiver will never take into `dead-letter.ndjson`, an object a line: `number`, `reason` (at most
    /// 1024 bytes of it), `time` (ns since 1970) and `record` (a byte that is not UTF-8 as `\xNN`, a backslash doubled). At
    /// 16 MiB the file is renamed to `dead-letter.ndjson.1`, and a former one is gone. Acknowledge the record then.
    ///
    /// # Errors
    /// [`SpoolError::Gone`] and [`SpoolError::Io`]; then the file is as it was.
    pub fn dead_letter(&mut self, record: Record<'_>, reason: &str, now: SystemTime) -> Result<(), SpoolError> {
        self.folder.check()?;
        self.dead_letters.append(&self.folder, record.number, record.bytes, reason, nanos(now))
    }

    /// Brings all to the disk itself, whatever the policy is: for an orderly end.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: what was written may be lost with the power.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.sync_writer()?;
        self.cursor.sync()?;
        self.unsynced = None;
        Ok(())
    }
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

//! Recovery: the folder of a spool goes in, in whatever state a crash or a disk left it; a spool comes out, and what was found.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Fsync, Limits, Spool, SpoolError,
    cursor::{Cursor, Found, Mark},
    dead_letter::DeadLetters,
    folder::Folder,
    read::Reader,
    segment::{self, Look, Segment},
};

/// What was found when a spool was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that wait.
    pub waiting: u64,
    /// Bytes that were cut off at the end: what a crash left of an append, or a damaged end. The numbers of what was
    /// there are given again.
    pub torn: u64,
    /// Files that could not be used.
    pub set_aside: Vec<SetAside>,
    /// The cursor was missing or damaged: records that were acknowledged may come again, and the totals of
    /// [`super::Status`] may begin anew.
    pub cursor_lost: bool,
}

/// A segment that could not be used. Its records are missing, and reading counts them.
#[derive(Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now. Of eight such files the oldest goes when a ninth comes.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

pub(super) fn open(
    dir: &Path,
    limits: Limits,
    fsync: Fsync,
    now: SystemTime,
) -> Result<(Spool, Recovered), SpoolError> {
    limits.check()?;
    let folder = Folder::open(dir)?;
    let (mut cursor, found) = Cursor::open(&folder)?;
    let mut recovered = Recovered::default();
    let (mut segments, after, writable) = segments(&folder, &mut recovered)?;
    let mark = mark(found, segments.front(), after, &mut recovered);
    // Also where the mark is ahead of the segments, whose end a power loss took.
    let next = after.max(mark.number + 1);
    let writer = match segments.back_mut() {
        Some(last) if writable && last.end == next => Some(segment::open(&folder, last.first)?),
        _ => None,
    };
    // Twice where it is new: then both slots have their room on the disk, and need none when it is full.
    for _ in 0..if found.mark.is_none() { 2 } else { 1 } {
        cursor.write(&mark)?;
    }
    let mut spool = Spool {
        bytes: segments.iter().map(|segment| segment.len).sum(),
        folder,
        limits,
        fsync,
        cursor,
        mark,
        segments,
        next,
        writer,
        unsynced: None,
        now,
        reader: Reader::new(mark.number + 1),
        buffer: Vec::new(),
        dead_letters: DeadLetters::default(),
    };
    if fsync != Fsync::Never {
        spool.sync()?;
        spool.folder.sync()?;
    }
    spool.remove_behind()?;
    spool.make_room(0, 0)?;
    recovered.waiting = spool.waiting();
    Ok((spool, recovered))
}

/// The segments that can be used; the number after the last record; whether the last one can be appended to.
fn segments(folder: &Folder, recovered: &mut Recovered) -> Result<(VecDeque<Segment>, u64, bool), SpoolError> {
    let (used, aside) = folder.segments()?;
    let mut bounds = [&used[..], &aside[..]].concat();
    bounds.sort_unstable();
    let mut segments = VecDeque::new();
    let mut after = bounds.last().copied().unwrap_or(1);
    let mut writable = false;
    for first in used {
        let end = bounds.get(bounds.partition_point(|bound| *bound <= first)).copied();
        let reason = match segment::look(folder, first, end.unwrap_or(first))? {
            Look::Bad(reason) => reason,
            Look::Ours { segment, .. } if end.is_some() => {
                segments.push_back(segment);
                continue;
            }
            Look::Ours { mut segment, whole } => {
                recovered.torn = segment::mend(folder, &mut segment)?;
                if whole || !segment.is_empty() {
                    after = segment.end;
                    writable = whole;
                    segments.push_back(segment);
                    continue;
                }
                "no record in it is whole".to_owned()
            }
        };
        let path = folder.set_aside(first)?;
        recovered.set_aside.push(SetAside { path, reason });
    }
    Ok((segments, after, writable))
}

/// Where to go on. Where that is in doubt, at the oldest record: rather twice than never.
fn mark(found: Found, oldest: Option<&Segment>, after: u64, recovered: &mut Recovered) -> Mark {
    let begin = oldest.map_or(after, |segment| segment.first) - 1;
    match found.mark {
        Some(mark) if !found.damaged => mark,
        // The newer mark, which is lost, said what became of those between.
        Some(mark) => {
            recovered.cursor_lost = true;
            Mark { number: mark.number.max(begin), ..mark }
        }
        None => {
            recovered.cursor_lost = found.damaged || begin > 0 || oldest.is_some();
            Mark { number: begin, ..Mark::default() }
        }
    }
}

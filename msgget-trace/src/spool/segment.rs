//! Segments: files of frames go in, what numbers each holds comes out; new ones are made here.
//!
//! A segment begins with a header, little-endian: magic (8 bytes), version (4), number of the first record (8), CRC32C of
//! these (4). Then come frames, whose numbers rise by one. The number in the file's name is the one in the header.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    time::UNIX_EPOCH,
};

use super::{
    SpoolError,
    folder::{Folder, step},
    frame::take,
    nanos,
    read::{Place, Window},
};

/// Bytes of the header.
pub(super) const HEADER: usize = 24;

const MAGIC: [u8; 8] = *b"\xffmtspool";
const VERSION: u32 = 1;

/// Bytes that are looked at in one go when the last segment is checked.
const WINDOW: usize = 1 << 20;

/// A segment in use.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Number of its first record.
    pub(super) first: u64,
    /// One more than that of its last.
    pub(super) end: u64,
    /// Bytes on disk.
    pub(super) len: u64,
    /// When the last record was appended, ns since 1970. The file's mtime, if another run did that.
    pub(super) until: u64,
}

impl Segment {
    /// True if it was made, and nothing appended.
    pub(super) const fn is_empty(&self) -> bool {
        self.first == self.end
    }
}

/// What a look at a segment shows.
pub(super) enum Look {
    /// A segment; `whole` unless its header is damaged, when its frames can be read all the same.
    Ours { segment: Segment, whole: bool },
    /// A file that cannot be used, and why.
    Bad(String),
}

/// Adds a header to `out`.
pub(super) fn header(out: &mut Vec<u8>, first: u64) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Makes the file of the segment that begins with `first`, with `bytes` in it: all of them, or there is no such file.
pub(super) fn create(folder: &Folder, first: u64, bytes: &[u8]) -> Result<File, SpoolError> {
    let path = folder.segment(first);
    // What an attempt that failed may have left under this name was never counted.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&path).map_err(SpoolError::io("make", &path))?;
    step();
    if let Err(error) = file.write_all_at(bytes, 0) {
        let _ = folder.remove(first);
        return Err(SpoolError::io("write", path)(error));
    }
    step();
    Ok(file)
}

/// Opens the file of a segment that is there.
pub(super) fn open(folder: &Folder, first: u64) -> Result<File, SpoolError> {
    let path = folder.segment(first);
    OpenOptions::new().read(true).write(true).open(&path).map_err(SpoolError::io("open", path))
}

/// Looks at a segment's header; `end` is where the next one begins.
pub(super) fn look(folder: &Folder, first: u64, end: u64) -> Result<Look, SpoolError> {
    let file = open(folder, first)?;
    let read = || -> io::Result<Look> {
        let about = file.metadata()?;
        let mut header = [0; HEADER];
        match file.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Look::Bad(format!("it has {} bytes, too few for a segment", about.len())));
            }
            other => other?,
        }
        let stated = decode(&header);
        Ok(match stated {
            Some((version, _)) if version != VERSION => {
                Look::Bad(format!("it is of version {version}, ours is {VERSION}"))
            }
            Some((_, number)) if number != first => {
                Look::Bad(format!("it begins with {number}, its name says {first}"))
            }
            _ => {
                let until = nanos(about.modified().unwrap_or(UNIX_EPOCH));
                Look::Ours { segment: Segment { first, end, len: about.len(), until }, whole: stated.is_some() }
            }
        })
    };
    read().map_err(SpoolError::io("read", folder.segment(first)))
}

/// The version and the number in a header; `None` if it is damaged.
fn decode(header: &[u8; HEADER]) -> Option<(u32, u64)> {
    let (fields, crc) = header.split_last_chunk::<4>()?;
    let mut rest = fields;
    let magic = take::<8>(&mut rest)?;
    let version = u32::from_le_bytes(take(&mut rest)?);
    let first = u64::from_le_bytes(take(&mut rest)?);
    (magic == MAGIC && crc32c::crc32c(fields) == u32::from_le_bytes(*crc)).then_some((version, first))
}

/// Reads the last segment to its last frame, and cuts off what comes after: what a crash left of an append. Gives the
/// bytes that were cut off.
pub(super) fn mend(folder: &Folder, segment: &mut Segment) -> Result<u64, SpoolError> {
    let file = open(folder, segment.first)?;
    let failed = |doing| SpoolError::io(doing, folder.segment(segment.first));
    let mut window = Window::default();
    let mut place = Place::start(segment.first);
    // Nothing says how far it goes.
    let whole = Segment { end: u64::MAX, ..segment.clone() };
    let (mut end, mut len, mut until) = (segment.first, (HEADER as u64).min(segment.len), segment.until);
    while place.offset < segment.len {
        window.fill(&file, &mut place, &whole, WINDOW).map_err(failed("read"))?;
        if let Some(last) = window.found.last() {
            (end, len, until) = (last.number + 1, place.offset, last.time);
        }
    }
    let torn = segment.len - len;
    if torn > 0 {
        file.set_len(len).map_err(failed("cut"))?;
        step();
    }
    (segment.end, segment.len, segment.until) = (end, len, until);
    Ok(torn)
}

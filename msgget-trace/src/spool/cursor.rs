//! The cursor: up to which record all is dealt with goes in, and comes out again when another process opens its small file.
//!
//! Two slots, written in turn, each with a counter and a CRC32C: whatever happens to the one being written, the other is
//! whole. It is overwritten in place rather than replaced by rename(2), because that needs no space, and a full disk is when
//! the cursor has to move on. The slots are a page apart, so that no sector of the disk holds both.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::PathBuf};

use super::{
    SpoolError,
    folder::{Folder, file_options, linked, step},
    frame::take,
};

/// Bytes of a slot: five numbers and the CRC.
const SLOT: usize = 44;

/// Bytes between the starts of the slots.
const APART: u64 = 4096;

/// What became of the records up to one, since the spool was made. What is neither dropped nor lost was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The last record that is dealt with; 0 before the first.
    pub(super) number: u64,
    /// Dropped by the bound on bytes.
    pub(super) dropped_bytes: u64,
    /// Dropped by the bound on age.
    pub(super) dropped_age: u64,
    /// Lost to damage.
    pub(super) lost: u64,
}

/// What was in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The newest mark that is whole.
    pub(super) mark: Option<Mark>,
    /// A slot is not whole, so that a newer mark may have been lost.
    pub(super) damaged: bool,
}

/// The file.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    file: File,
    counter: u64,
}

impl Cursor {
    /// Opens the file, or makes it.
    pub(super) fn open(folder: &Folder) -> Result<(Self, Found), SpoolError> {
        let path = folder.join("cursor");
        let file = file_options().open(&path).map_err(SpoolError::io("open", &path))?;
        step();
        let mut slots = [Slot::Empty; 2];
        for (slot, at) in slots.iter_mut().zip([0, APART]) {
            *slot = read(&file, at).map_err(SpoolError::io("read", &path))?;
        }
        let (counter, mark) = match slots {
            [Slot::Whole(a, _), Slot::Whole(b, mark)] if b > a => (b, Some(mark)),
            [Slot::Whole(a, mark), _] => (a, Some(mark)),
            [_, Slot::Whole(b, mark)] => (b, Some(mark)),
            _ => (0, None),
        };
        // The very first mark goes into the second slot, and has no other beside it.
        let damaged = match slots {
            [Slot::Whole(..), Slot::Whole(..)] | [Slot::Empty, Slot::Empty] => false,
            [Slot::Empty, Slot::Whole(counter, _)] => counter != 1,
            _ => true,
        };
        if mark.is_none() && damaged {
            // Else the first of the new marks would stand beside what is not whole, and be doubted.
            file.set_len(0).map_err(SpoolError::io("empty", &path))?;
            step();
        }
        Ok((Self { path, file, counter }, Found { mark, damaged }))
    }

    /// Writes the mark over the older of the two.
    pub(super) fn write(&mut self, mark: &Mark) -> Result<(), SpoolError> {
        if !linked(&self.file) {
            self.file = file_options().open(&self.path).map_err(SpoolError::io("open", &self.path))?;
            step();
        }
        let counter = self.counter + 1;
        let mut slot = Vec::with_capacity(SLOT);
        for number in [counter, mark.number, mark.dropped_bytes, mark.dropped_age, mark.lost] {
            slot.extend_from_slice(&number.to_le_bytes());
        }
        slot.extend_from_slice(&crc32c::crc32c(&slot).to_le_bytes());
        self.file.write_all_at(&slot, counter % 2 * APART).map_err(SpoolError::io("write", &self.path))?;
        self.counter = counter;
        step();
        Ok(())
    }

    /// Brings it to the disk.
    pub(super) fn sync(&self) -> Result<(), SpoolError> {
        self.file.sync_data().map_err(SpoolError::io("sync", &self.path))
    }
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    /// Never written.
    Empty,
    /// The counter, and what it counts.
    Whole(u64, Mark),
    Damaged,
}

fn read(file: &File, at: u64) -> io::Result<Slot> {
    let mut bytes = [0; SLOT];
    match file.read_exact_at(&mut bytes, at) {
        // Of a file that ends before, or amid.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(if file.metadata()?.len() <= at { Slot::Empty } else { Slot::Damaged });
        }
        other => other?,
    }
    if bytes == [0; SLOT] {
        return Ok(Slot::Empty);
    }
    Ok(decode(&bytes).map_or(Slot::Damaged, |(counter, mark)| Slot::Whole(counter, mark)))
}

fn decode(slot: &[u8; SLOT]) -> Option<(u64, Mark)> {
    let (numbers, crc) = slot.split_last_chunk::<4>()?;
    if crc32c::crc32c(numbers) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = numbers;
    let mut next = || take(&mut rest).map(u64::from_le_bytes);
    let counter = next()?;
    Some((counter, Mark { number: next()?, dropped_bytes: next()?, dropped_age: next()?, lost: next()? }))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::folder, *};

    fn mark(number: u64) -> Mark {
        Mark { number, dropped_bytes: 1, dropped_age: 2, lost: 3 }
    }

    #[test]
    fn the_newest_whole_mark_counts() {
        let dir = folder();
        let open = || {
            let folder = Folder::open(dir.path()).unwrap();
            Cursor::open(&folder).unwrap()
        };
        let (mut cursor, found) = open();
        assert_eq!(found, Found { mark: None, damaged: false });
        for number in 1..=5 {
            cursor.write(&mark(number)).unwrap();
            (cursor, _) = open();
            assert_eq!(open().1, Found { mark: Some(mark(number)), damaged: false });
        }
        // Five stands in the second slot.
        let flip = |at| {
            let file = File::options().read(true).write(true).open(dir.path().join("cursor")).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 16], at).unwrap();
        };
        flip(APART + 9);
        let (mut cursor, found) = open();
        assert_eq!(found, Found { mark: Some(mark(4)), damaged: true });
        cursor.write(&mark(6)).unwrap();
        assert_eq!(open().1, Found { mark: Some(mark(6)), damaged: false }, "the next mark mends it");
        flip(APART + 40);
        flip(3);
        let (mut cursor, found) = open();
        assert_eq!(found, Found { mark: None, damaged: true });
        cursor.write(&mark(7)).unwrap();
        assert_eq!(open().1, Found { mark: Some(mark(7)), damaged: false });
    }

    #[test]
    fn a_cursor_that_is_cut_is_said() {
        let dir = folder();
        let folder = Folder::open(dir.path()).unwrap();
        let (mut cursor, _) = Cursor::open(&folder).unwrap();
        cursor.write(&mark(1)).unwrap();
        cursor.write(&mark(2)).unwrap();
        cursor.file.set_len(APART + 20).unwrap();
        assert_eq!(Cursor::open(&folder).unwrap().1, Found { mark: Some(mark(2)), damaged: true });
        cursor.file.set_len(20).unwrap();
        assert_eq!(Cursor::open(&folder).unwrap().1, Found { mark: None, damaged: true });
        assert_eq!(cursor.file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_cursor_that_was_removed_is_made_anew() {
        let dir = folder();
        let folder = Folder::open(dir.path()).unwrap();
        let (mut cursor, _) = Cursor::open(&folder).unwrap();
        std::fs::remove_file(&cursor.path).unwrap();
        cursor.write(&mark(9)).unwrap();
        assert_eq!(Cursor::open(&folder).unwrap().1.mark, Some(mark(9)));
    }
}

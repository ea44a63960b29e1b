//! Dead letters: records that a receiver will never take go in, each with the reason; lines of `dead-letter.ndjson` come out.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use serde::Serialize;

use super::{
    SpoolError,
    folder::{Folder, step},
};
use crate::encode::Escaped;

/// Most bytes of the file. Past it the file becomes `dead-letter.ndjson.1`, in the place of a former one.
const MOST: u64 = 16 << 20;

/// Most bytes of a reason: it is a receiver's to choose.
const REASON: usize = 1024;

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    reason: &'a str,
    /// ns since 1970.
    time: u64,
    record: Escaped<'a>,
}

/// The file.
#[derive(Debug)]
pub(super) struct DeadLetters {
    pub(super) most: u64,
    /// Lines since the start.
    pub(super) count: u64,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self { most: MOST, count: 0 }
    }
}

impl DeadLetters {
    /// Adds a line.
    pub(super) fn append(
        &mut self,
        folder: &Folder,
        number: u64,
        record: &[u8],
        reason: &str,
        time: u64,
    ) -> Result<(), SpoolError> {
        let path = folder.join("dead-letter.ndjson");
        let reason = reason.get(..reason.floor_char_boundary(REASON)).unwrap_or_default();
        let line = Line { number, reason, time, record: Escaped(record.strip_suffix(b"\n").unwrap_or(record)) };
        let append = || -> io::Result<()> {
            let mut line = serde_json::to_vec(&line)?;
            line.push(b'\n');
            let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
            let mut file = open()?;
            let mut len = file.metadata()?.len();
            if len > 0 && len + line.len() as u64 > self.most {
                fs::rename(&path, folder.join("dead-letter.ndjson.1"))?;
                step();
                file = open()?;
                len = 0;
            }
            if len > 0 {
                // What a crash left of a line must not swallow this one.
                let mut end = [b'\n'];
                file.seek(SeekFrom::Start(len - 1))?;
                file.read_exact(&mut end)?;
                if end != *b"\n" {
                    line.insert(0, b'\n');
                }
            }
            let written = file.write_all(&line);
            if written.is_err() {
                let _ = file.set_len(len);
            }
            step();
            written
        };
        append().map_err(SpoolError::io("append to", &path))?;
        self.count += 1;
        Ok(())
    }
}

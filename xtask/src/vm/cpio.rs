//! In: folders, files and links by the path they shall have. Out: an archive in the format that
//! Linux unpacks into its first file system (cpio "newc").

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// What stands at a path.
enum Entry {
    Folder {
        mode: u32,
    },
    /// A copy of this file, executable if it is.
    Copy(PathBuf),
    Text(String),
    Link(PathBuf),
}

/// An archive in the making. It is sorted: a folder comes before what is in it.
#[derive(Default)]
pub(super) struct Archive(BTreeMap<PathBuf, Entry>);

impl Archive {
    pub(super) fn folder(&mut self, path: impl AsRef<Path>, mode: u32) {
        self.put(path.as_ref(), Entry::Folder { mode });
    }

    pub(super) fn copy(&mut self, path: impl AsRef<Path>, from: impl Into<PathBuf>) {
        self.put(path.as_ref(), Entry::Copy(from.into()));
    }

    pub(super) fn text(&mut self, path: impl AsRef<Path>, text: impl Into<String>) {
        self.put(path.as_ref(), Entry::Text(text.into()));
    }

    pub(super) fn link(&mut self, path: impl AsRef<Path>, to: impl Into<PathBuf>) {
        self.put(path.as_ref(), Entry::Link(to.into()));
    }

    fn put(&mut self, path: &Path, entry: Entry) {
        for folder in path.ancestors().skip(1).filter(|folder| folder.parent().is_some()) {
            self.0.entry(folder.to_owned()).or_insert(Entry::Folder { mode: 0o755 });
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// Writes the archive, one copied file in memory at a time.
    pub(super) fn write(&self, to: &mut impl Write) -> Result<()> {
        for (number, (path, entry)) in (1..).zip(&self.0) {
            let (mode, content) = match entry {
                Entry::Folder { mode } => (0o040_000 | mode, Vec::new()),
                Entry::Copy(from) => {
                    let reading = || format!("cannot read {}", from.display());
                    let executable = fs::metadata(from).with_context(reading)?.permissions().mode() & 0o111 != 0;
                    let mode = if executable { 0o100_755 } else { 0o100_644 };
                    (mode, fs::read(from).with_context(reading)?)
                }
                Entry::Text(text) => (0o100_644, text.clone().into_bytes()),
                Entry::Link(target) => (0o120_777, target.as_os_str().as_bytes().to_vec()),
            };
            // Relative to where it is unpacked.
            let name = path.strip_prefix("/").unwrap_or(path);
            member(to, number, mode, name.as_os_str().as_bytes(), &content)?;
        }
        member(to, 0, 0, b"TRAILER!!!", &[])?;
        Ok(())
    }
}

/// One member: its header of thirteen hexadecimal numbers, its name, what is in it; the latter two
/// filled up to a multiple of four.
fn member(to: &mut impl Write, number: u32, mode: u32, name: &[u8], content: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::other("a file of 4 GiB or more does not fit into the archive");
    let size = u32::try_from(content.len()).map_err(too_long)?;
    let name_size = u32::try_from(name.len() + 1).map_err(too_long)?;
    // Inode, mode, owner, group, links, time, size, four device numbers, size of the name with its
    // NUL, checksum (none in this format).
    let fields = [number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    let mut header = String::from("070701");
    header.extend(fields.iter().map(|field| format!("{field:08x}")));
    to.write_all(header.as_bytes())?;
    to.write_all(name)?;
    to.write_all(&b"\0\0\0\0"[..1 + padding(header.len() + name.len() + 1)])?;
    to.write_all(content)?;
    to.write_all(&b"\0\0\0"[..padding(content.len())])
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn it_is_what_cpio_writes() {
        let mut archive = Archive::default();
        archive.text("/etc/motd", "hello\n");
        archive.link("/bin", "usr/bin");
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();

        let zeros = "0".repeat(32);
        let member = |inode: u32, mode: &str, size: u32, name_size: u32| {
            format!(
                "070701{inode:08x}0000{mode}000000000000000000000001{zero:08x}{size:08x}{zeros}{name_size:08x}{zero:08x}",
                zero = 0
            )
        };
        let expected = [
            &member(1, "a1ff", 7, 4),
            "bin\0\0\0",
            "usr/bin\0",
            &member(2, "41ed", 0, 4),
            "etc\0\0\0",
            &member(3, "81a4", 6, 9),
            "etc/motd\0\0",
            "hello\n\0\0",
            &member(0, "0000", 0, 11),
            "TRAILER!!!\0\0\0\0",
        ];
        assert_eq!(String::from_utf8(bytes).unwrap(), expected.concat());
    }

    #[test]
    fn a_mode_that_was_asked_for_stays() {
        let mut archive = Archive::default();
        archive.text("/tmp/x/y", "");
        archive.folder("/tmp", 0o1777);
        archive.text("/tmp/z", "");
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        let names: Vec<_> = archive.0.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["/tmp", "/tmp/x", "/tmp/x/y", "/tmp/z"]);
        assert_eq!(&bytes[14..22], b"000043ff");
    }
}

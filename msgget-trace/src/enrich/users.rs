//! User and group ids go in, the names that this host's /etc/passwd and /etc/group have for them come out.
//!
//! The files are read directly, past NSS: asking it can mean waiting for a server (LDAP, sssd) while calls queue up,
//! loads code into a privileged process, and tells others whom the daemon looks at. So a name that only a directory
//! service knows is absent. The ids are those of the initial user namespace, and so has to be the host's /etc that is
//! read.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often is looked whether a file has changed.
const RECHECK: Duration = Duration::from_secs(1);

/// Most of a file that is read, in bytes; what comes after has no names.
const FILE: u64 = 4 << 20;

/// Most names of one file, and the longest one: `LOGIN_NAME_MAX`, limits.h.
const NAMES: usize = 65_536;
const NAME_LEN: usize = 256;

/// The names of users and groups, as the files had them when they were last looked at.
#[derive(Debug)]
pub struct Users {
    passwd: Table,
    group: Table,
    checked: Instant,
}

impl Users {
    /// Those of /etc/passwd and /etc/group. A file that is missing or cannot be read has no names, until it can.
    #[must_use]
    pub fn new() -> Self {
        Self::of("/etc/passwd".into(), "/etc/group".into())
    }

    fn of(passwd: PathBuf, group: PathBuf) -> Self {
        Self { passwd: Table::new(passwd), group: Table::new(group), checked: Instant::now() }
    }

    /// Reads what has changed, if the last look is more than a second ago.
    pub fn refresh(&mut self) {
        if self.checked.elapsed() >= RECHECK {
            self.passwd.refresh();
            self.group.refresh();
            self.checked = Instant::now();
        }
    }

    /// The name of user `uid`: bytes, of which only colon, newline and NUL are sure not to occur.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<&[u8]> {
        self.passwd.names.get(&uid).map(Vec::as_slice)
    }

    /// The name of group `gid`.
    #[must_use]
    pub fn group(&self, gid: u32) -> Option<&[u8]> {
        self.group.names.get(&gid).map(Vec::as_slice)
    }
}

impl Default for Users {
    fn default() -> Self {
        Self::new()
    }
}

/// What tells one state of a file from another: device, inode, size, and the times of change of content and inode, ns.
/// Tools replace these files; whoever edits them in place still changes a time.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

#[derive(Debug)]
struct Table {
    path: PathBuf,
    names: HashMap<u32, Vec<u8>>,
    /// `None` when it could not be read.
    stamp: Option<Stamp>,
}

impl Table {
    fn new(path: PathBuf) -> Self {
        let mut table = Self { path, names: HashMap::new(), stamp: None };
        table.refresh();
        table
    }

    fn refresh(&mut self) {
        let stamp = std::fs::metadata(&self.path).ok().map(|file| stamp(&file));
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        // The stamp is that of the file that was read, from before it was: a change meanwhile is seen the next time.
        (self.stamp, self.names) = match self.read() {
            Ok((stamp, text)) => (Some(stamp), parse(&text)),
            Err(_) => (None, HashMap::new()),
        };
    }

    fn read(&self) -> io::Result<(Stamp, Vec<u8>)> {
        // Without waiting, should it be a pipe.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path)?;
        let stamp = stamp(&file.metadata()?);
        let mut text = Vec::new();
        file.take(FILE).read_to_end(&mut text)?;
        Ok((stamp, text))
    }
}

fn stamp(file: &std::fs::Metadata) -> Stamp {
    let (modified, changed) = ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
    (file.dev(), file.ino(), file.size(), modified, changed)
}

/// The names in `text`, passwd(5) or group(5): in both the id is the third field. Of several names of an id the first
/// counts, as with getpwuid(3).
fn parse(text: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for (id, name) in text.split(|byte| *byte == b'\n').filter_map(entry) {
        if names.len() == NAMES {
            break;
        }
        names.entry(id).or_insert_with(|| name.to_vec());
    }
    names
}

fn entry(line: &[u8]) -> Option<(u32, &[u8])> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next()?;
    // A sign before it: an instruction to NSS, nsswitch.conf(5) `compat`. No name has either, nor a NUL.
    let valid = (1..=NAME_LEN).contains(&name.len()) && !matches!(name[0], b'+' | b'-' | b'#') && !name.contains(&0);
    let id = fields.nth(1)?;
    let digits = id.iter().all(u8::is_ascii_digit);
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    (valid && digits).then_some((id, name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_entries_count_and_of_two_the_first() {
        let names = parse(
            b"root:x:0:0:root:/root:/bin/sh\n#off:x:1:1\n+nis::2:2\n-x:x:3:\nk\xe4se:x:4:4\n\ntoor:x:0:0\nshort:x\n\
              plus:x:+5:5\nbig:x:4294967296:1\nmax:x:4294967295:1\nblank:x: 6:6\n:x:7:7\nlast:x:8",
        );
        let mut found: Vec<_> = names.iter().map(|(id, name)| (*id, &name[..])).collect();
        found.sort_unstable();
        assert_eq!(found, [(0, &b"root"[..]), (4, b"k\xe4se"), (8, b"last"), (u32::MAX, b"max")]);
    }

    #[test]
    fn the_number_and_length_of_names_are_bounded() {
        let many: String = (0..NAMES + 10).map(|id| format!("u{id}:x:{id}:\n")).collect();
        assert_eq!(parse(many.as_bytes()).len(), NAMES);
        let long = |len| parse(format!("{}:x:1:", "n".repeat(len)).as_bytes()).len();
        assert_eq!((long(NAME_LEN), long(NAME_LEN + 1)), (1, 0));
    }

    #[test]
    fn a_change_is_seen_but_not_looked_for_all_the_time() {
        let directory = tempfile::tempdir().unwrap();
        let (passwd, group) = (directory.path().join("passwd"), directory.path().join("group"));
        fs::write(&passwd, "ann:x:1:1").unwrap();
        let mut users = Users::of(passwd.clone(), group.clone());
        let later = |users: &mut Users| {
            users.checked = Instant::now().checked_sub(RECHECK).unwrap();
            users.refresh();
        };
        assert_eq!((users.user(1), users.user(2)), (Some(&b"ann"[..]), None));
        assert_eq!(users.group(1), None);

        fs::write(directory.path().join("new"), "bob:x:1:1").unwrap();
        fs::rename(directory.path().join("new"), &passwd).unwrap();
        fs::write(&group, "staff:x:1:").unwrap();
        users.refresh();
        assert_eq!((users.user(1), users.group(1)), (Some(&b"ann"[..]), None));
        later(&mut users);
        assert_eq!(users.user(1), Some(&b"bob"[..]));
        assert_eq!(users.group(1), Some(&b"staff"[..]));

        fs::remove_file(&passwd).unwrap();
        later(&mut users);
        assert_eq!(users.user(1), None);
    }

    #[test]
    fn a_file_that_has_not_changed_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let passwd = directory.path().join("passwd");
        fs::write(&passwd, "ann:x:1:1").unwrap();
        let mut table = Table::new(passwd);
        assert_eq!(table.names.len(), 1);
        table.names.clear();
        table.refresh();
        assert!(table.names.is_empty());
    }

    #[test]
    fn a_pipe_in_its_place_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert!(Table::new(path).names.is_empty());
    }

    #[test]
    fn this_host_knows_root() {
        let users = Users::new();
        assert_eq!(users.user(0), Some(&b"root"[..]));
        assert_eq!(users.group(0), Some(&b"root"[..]));
        assert_eq!(users.user(u32::MAX), None);
    }

    proptest! {
        #[test]
        fn names_are_whole_fields(text in "[a-z:0-9\n\\x00+#-]{0,200}") {
            for name in parse(text.as_bytes()).values() {
                prop_assert!(!name.is_empty() && !name.iter().any(|byte| b":\n\0".contains(byte)));
            }
        }

        #[test]
        fn takes_anything(bytes: Vec<u8>) {
            parse(&bytes);
        }
    }
}

//! The cgroup v2 id of a call goes in, the path of that cgroup comes out, or why there is none.
//!
//! The id is what `bpf_get_current_cgroup_id` gives: the number of the cgroup's node in kernfs, and so the inode number
//! of its directory. It is never given out again, and a v2 cgroup cannot be renamed: a path once found is right for
//! ever, even when the cgroup is gone.

mod membership;
mod mount;

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    num::NonZeroUsize,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{DirEntryExt, MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;
use thiserror::Error;

pub use membership::{Membership, memberships};

/// Most answers that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Most bytes of paths that are remembered: ten times what ordinary names take, and a bound to what long ones can.
const REMEMBERED_BYTES: usize = 2 << 20;

/// How long it is remembered that there is no answer.
const NEGATIVE: Duration = Duration::from_secs(5);

/// Most directories that one walk reads.
const WALK: usize = 4096;

/// After a walk there is none for this many times as long as it took, nor for a second: walking takes at most a
/// twentieth of the time, whatever is asked.
const WALK_PAUSE: u32 = 19;

/// Most levels that are climbed from a cgroup whose path is too long, to one whose path is not.
const CLIMB: usize = 256;

/// Most that is read of mountinfo.
const MOUNTINFO: u64 = 16 << 20;

/// Where a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath {
    /// From the root of the cgroup2 mount, in the notation of /proc/PID/cgroup: `/` is that root.
    pub bytes: Arc<[u8]>,
    /// False when the path goes on: it is longer than a system call can tell (4096 bytes), and only the part of it
    /// that fits is here. Whoever may make cgroups can bring this about.
    pub whole: bool,
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Absent {
    /// Nothing of cgroups is mounted where the daemon can see it.
    #[error("no cgroup file system is mounted")]
    NotMounted,
    /// Only cgroup v1 is: its cgroups have no such id, see [`memberships`].
    #[error("only cgroup v1 is mounted")]
    OnlyV1,
    /// The mount, or the cgroup, could not be read: errno.
    #[error("cgroups cannot be read: {}", io::Error::from_raw_os_error(*.0))]
    Unreadable(i32),
    /// There is no cgroup of this id, or not any more.
    #[error("the cgroup is gone")]
    Gone,
    /// It lies outside what is mounted: the daemon runs in a cgroup namespace.
    #[error("the cgroup is outside the cgroup namespace")]
    Outside,
    /// Its path is too long to be told, even in part.
    #[error("the cgroup is nested too deeply")]
    TooDeep,
    /// It was not among the directories that a walk may read.
    #[error("there are too many cgroups to search")]
    TooMany,
    /// Searching for it has to wait, because there was a search only just now.
    #[error("another search for a cgroup has just ended")]
    Postponed,
}

impl Absent {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMounted => "not_mounted",
            Self::OnlyV1 => "only_v1",
            Self::Unreadable(_) => "unreadable",
            Self::Gone => "gone",
            Self::Outside => "outside",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
            Self::Postponed => "postponed",
        }
    }
}

impl From<io::Error> for Absent {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// The path, or why there is none.
pub type Answer = Result<CgroupPath, Absent>;

/// The cgroups of this host, by id.
#[derive(Debug)]
pub struct Cgroups {
    /// The root of the cgroup2 mount, open for reading.
    root: Result<File, Absent>,
    /// With the moment until which it holds, if not for ever.
    known: LruCache<u64, (Answer, Option<Instant>)>,
    known_bytes: usize,
    next_walk: Instant,
}

impl Cgroups {
    /// Finds the cgroup2 mount in /proc/self/mountinfo, wherever it is. Without one every answer is the reason for
    /// that.
    #[must_use]
    pub fn new() -> Self {
        Self::at(root())
    }

    fn at(root: Result<File, Absent>) -> Self {
        Self { root, known: LruCache::new(REMEMBERED), known_bytes: 0, next_walk: Instant::now() }
    }

    /// The path of cgroup `id`: by file handle, in a time that does not depend on the number of cgroups, if the daemon
    /// has CAP_DAC_READ_SEARCH (in the initial user namespace); by a bounded search otherwise.
    ///
    /// # Errors
    /// The reason why it is absent.
    pub fn path(&mut self, id: u64) -> Answer {
        self.path_by(id, by_handle)
    }

    fn path_by(&mut self, id: u64, lookup: fn(&File, u64) -> io::Result<File>) -> Answer {
        let now = Instant::now();
        let root = self.root.as_ref().map_err(|absent| *absent)?;
        if let Some((answer, until)) = self.known.get(&id)
            && until.is_none_or(|until| now < until)
        {
            return answer.clone();
        }
        let answer = match lookup(root, id) {
            Ok(directory) => name(root, directory, id),
            Err(error) => match error.raw_os_error() {
                // No such node, or one that is no cgroup.
                Some(libc::ESTALE | libc::ENOENT | libc::ENOTDIR) => Err(Absent::Gone),
                // Not permitted, or (EINVAL, EOPNOTSUPP) not offered by this kernel.
                Some(libc::EPERM | libc::EACCES | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
                    self.search(id, now)
                }
                _ => Err(error.into()),
            },
        };
        if answer != Err(Absent::Postponed) {
            self.remember(id, answer.clone(), now);
        }
        answer
    }

    /// Reads all cgroups, and remembers them: a search makes the next one needless until there are new ones.
    fn search(&mut self, id: u64, now: Instant) -> Answer {
        if now < self.next_walk {
            return Err(Absent::Postponed);
        }
        let root = self.root.as_ref().map_err(|absent| *absent)?;
        let (found, all) = walk(root)?;
        let took = now.elapsed();
        self.next_walk = now + took + (took * WALK_PAUSE).max(Duration::from_secs(1));
        let absent = if all { Absent::Gone } else { Absent::TooMany };
        let mut answer = Err(absent);
        for (other, bytes) in found {
            let path = CgroupPath { bytes: bytes.into(), whole: true };
            if other == id {
                answer = Ok(path.clone());
            }
            self.remember(other, Ok(path), now);
        }
        answer
    }

    fn remember(&mut self, id: u64, answer: Answer, now: Instant) {
        let size = |answer: &Answer| answer.as_ref().map_or(0, |path| path.bytes.len());
        let until = answer.is_err().then(|| now + NEGATIVE);
        self.known_bytes += size(&answer);
        if let Some((_, (replaced, _))) = self.known.push(id, (answer, until)) {
            self.known_bytes -= size(&replaced);
        }
        while self.known_bytes > REMEMBERED_BYTES
            && let Some((_, (oldest, _))) = self.known.pop_lru()
        {
            self.known_bytes -= size(&oldest);
        }
    }
}

impl Default for Cgroups {
    fn default() -> Self {
        Self::new()
    }
}

/// The cgroup2 mount that shows most. In a container that may be the host's, mounted beside its own.
fn root() -> Result<File, Absent> {
    let mut mountinfo = Vec::new();
    File::open("/proc/self/mountinfo")?.take(MOUNTINFO).read_to_end(&mut mountinfo)?;
    let mut absent = Absent::NotMounted;
    let mut mounts: Vec<_> = mount::parse(&mountinfo).collect();
    mounts.sort_by_key(mount::Mount::depth);
    for mount in mounts {
        if !mount.unified {
            // Says less than a v2 mount that cannot be read.
            if absent == Absent::NotMounted {
                absent = Absent::OnlyV1;
            }
            continue;
        }
        match open(Path::new(OsStr::from_bytes(&mount.point)), libc::O_DIRECTORY) {
            // Another device: something else was mounted over it.
            Ok(root) if root.metadata().is_ok_and(|found| found.dev() == mount.device) => return Ok(root),
            Ok(_) => {}
            Err(error) => absent = error.into(),
        }
    }
    Err(absent)
}

/// Opens for reading, with more `flags` of open(2).
fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// What the kernel calls `file`; below it, a path that works whatever else is mounted.
fn link(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The directory with inode number `id` in the file system of `root`.
fn by_handle(root: &File, id: u64) -> io::Result<File> {
    /// `struct file_handle` of open_by_handle_at(2), as kernfs makes it: type `FILEID_KERNFS`
    /// (include/linux/exportfs.h) since 5.5, the id as the only content.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        id: u64,
    }
    let mut handle = Handle { bytes: 8, kind: 0xfe, id };
    // O_PATH: nothing is read, so nothing beyond the capability is asked for.
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `root` is open, and `handle` is a file handle with as many bytes as it says, valid during the call.
    let fd = unsafe { libc::open_by_handle_at(root.as_raw_fd(), (&raw mut handle).cast(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor out, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// The path of `directory`, which has inode number `id`, below `root`. What the kernel says is believed when looking
/// there leads back to `id`: it writes ` (deleted)` behind what is gone, and tells a path outside the mount as if it
/// began at the root of all files, and either could also be a name that somebody chose.
fn name(root: &File, mut directory: File, id: u64) -> Answer {
    let above = fs::read_link(link(root))?.into_os_string().into_vec();
    let mut inode = id;
    for climbed in 0..=CLIMB {
        match fs::read_link(link(&directory)) {
            Ok(told) => {
                let told = told.into_os_string().into_vec();
                let below = told.strip_prefix(&above[..]).ok_or(Absent::Outside)?;
                let relative = below.strip_prefix(b"/").unwrap_or(below);
                match fs::symlink_metadata(link(root).join(OsStr::from_bytes(relative))) {
                    Ok(found) if found.ino() == inode => {
                        return Ok(CgroupPath { bytes: [b"/", relative].concat().into(), whole: climbed == 0 });
                    }
                    Err(error) if too_long(&error) => {}
                    _ if told.ends_with(b" (deleted)") => return Err(Absent::Gone),
                    _ => return Err(Absent::Outside),
                }
            }
            Err(error) if too_long(&error) => {}
            Err(error) => return Err(error.into()),
        }
        directory = open(&link(&directory).join(".."), libc::O_PATH | libc::O_DIRECTORY)?;
        inode = directory.metadata()?.ino();
    }
    Err(Absent::TooDeep)
}

fn too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENAMETOOLONG)
}

/// A cgroup's id and its path.
type Named = (u64, Vec<u8>);

/// The cgroups below `root` and of itself, the outer ones first; false if those are not all.
fn walk(root: &File) -> io::Result<(Vec<Named>, bool)> {
    let base = link(root);
    let mut found = vec![(root.metadata()?.ino(), b"/".to_vec())];
    let mut all = true;
    let mut left = VecDeque::from([Vec::new()]);
    while let Some(directory) = left.pop_front() {
        let entries = match fs::read_dir(base.join(OsStr::from_bytes(&directory))) {
            Ok(entries) => entries,
            // Removed in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => {
                all = false;
                continue;
            }
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if found.len() == WALK {
                return Ok((found, false));
            }
            let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            let path = [&directory, separator, entry.file_name().as_bytes()].concat();
            found.push((entry.ino(), [b"/", &path[..]].concat()));
            left.push_back(path);
        }
    }
    Ok((found, all))
}

#[cfg(test)]
mod tests;

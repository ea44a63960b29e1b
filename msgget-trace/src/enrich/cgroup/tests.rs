//! Cgroups made for the occasion go in. Without the right to make any there is nothing to test: said on standard error.

use super::*;

/// A cgroup that is removed, with `inner` below it, when dropped.
struct Made {
    root: File,
    name: Vec<u8>,
}

impl Made {
    fn new(name: &[u8]) -> Option<Self> {
        let root = root().ok()?;
        let name = [name, b"-msgget-trace-", std::process::id().to_string().as_bytes()].concat();
        let made = Self { root, name };
        match fs::create_dir(made.below(b"")) {
            Ok(()) => Some(made),
            Err(error) => {
                eprintln!("skipped, no cgroup can be made here: {error}");
                None
            }
        }
    }

    fn below(&self, rest: &[u8]) -> PathBuf {
        let name = [&self.name[..], rest].concat();
        link(&self.root).join(OsStr::from_bytes(&name))
    }

    fn path(&self) -> Vec<u8> {
        [b"/", &self.name[..]].concat()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        fs::remove_dir(self.below(b"/inner")).ok();
        fs::remove_dir(self.below(b"")).ok();
    }
}

fn id(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn refused(_: &File, _: u64) -> io::Result<File> {
    Err(io::Error::from_raw_os_error(libc::EPERM))
}

fn whole(path: &[u8]) -> Answer {
    Ok(CgroupPath { bytes: path.into(), whole: true })
}

#[test]
fn a_handle_leads_to_the_path_and_outlives_the_cgroup() {
    let Some(made) = Made::new(b"h\xffandle (deleted)") else {
        return;
    };
    fs::create_dir(made.below(b"/inner")).unwrap();
    let (outer, inner) = (id(&made.below(b"")), id(&made.below(b"/inner")));
    let file = id(&made.below(b"/cgroup.procs"));
    let mut cgroups = Cgroups::new();

    assert_eq!(cgroups.path(outer), whole(&made.path()));
    assert_eq!(cgroups.path(id(&link(&made.root))), whole(b"/"));
    assert_eq!(cgroups.path(file), Err(Absent::Gone));
    assert_eq!(cgroups.path(u64::MAX), Err(Absent::Gone));

    fs::remove_dir(made.below(b"/inner")).unwrap();
    assert_eq!(cgroups.path(inner), Err(Absent::Gone));
    let name = made.path();
    drop(made);
    assert_eq!(cgroups.path(outer), whole(&name));
    assert_eq!(Cgroups::new().path(outer), Err(Absent::Gone));
}

#[test]
fn a_directory_held_open_while_it_is_removed_is_gone() {
    let Some(made) = Made::new(b"held") else { return };
    let id = id(&made.below(b""));
    let root = root().unwrap();
    let held = || by_handle(&root, id).unwrap();
    let gone = held();
    // At the path that the kernel tells lies something else.
    assert_eq!(name(&root, held(), id + 1), Err(Absent::Outside));
    drop(made);
    assert_eq!(name(&root, gone, id), Err(Absent::Gone));
}

#[test]
fn a_search_finds_the_same_and_rests_afterwards() {
    let Some(made) = Made::new(b"search") else { return };
    fs::create_dir(made.below(b"/inner")).unwrap();
    let (outer, inner) = (id(&made.below(b"")), id(&made.below(b"/inner")));
    let mut cgroups = Cgroups::new();
    let inside = [&made.path()[..], b"/inner"].concat();

    assert_eq!(cgroups.path_by(inner, refused), whole(&inside));
    // Not searched again: it is known already.
    assert_eq!(cgroups.path_by(outer, refused), whole(&made.path()));
    assert_eq!(cgroups.path_by(u64::MAX, refused), Err(Absent::Postponed));
    cgroups.next_walk = Instant::now();
    assert_eq!(cgroups.path_by(u64::MAX, refused), Err(Absent::Gone));
}

#[test]
fn of_a_path_too_long_to_tell_the_outer_part_is_told() {
    let Some(made) = Made::new(b"long") else { return };
    let mut parts = vec![open(&made.below(b""), libc::O_PATH).unwrap()];
    for _ in 0..20 {
        let next = link(parts.last().unwrap()).join("n".repeat(250));
        fs::create_dir(&next).unwrap();
        parts.push(open(&next, libc::O_PATH).unwrap());
    }
    let innermost = parts.last().unwrap().metadata().unwrap().ino();
    let answer = Cgroups::new().path(innermost);
    parts.pop();
    while let Some(part) = parts.pop() {
        fs::remove_dir(link(&part).join("n".repeat(250))).unwrap();
    }

    let path = answer.unwrap();
    assert!(!path.whole);
    assert!(path.bytes.starts_with(&made.path()));
    assert!((3500..4096).contains(&path.bytes.len()), "{}", path.bytes.len());
}

#[test]
fn that_there_is_no_answer_is_forgotten_soon() {
    let mut cgroups = Cgroups::at(File::open("/").map_err(Absent::from));
    let path = whole(b"/appeared");
    cgroups.known.push(1, (Err(Absent::Gone), Some(Instant::now() + NEGATIVE)));
    assert_eq!(cgroups.path_by(1, refused), Err(Absent::Gone));
    cgroups.known.push(1, (path.clone(), None));
    assert_eq!(cgroups.path_by(1, refused), path);
    cgroups.known.push(1, (path, Some(Instant::now())));
    cgroups.next_walk = Instant::now() + NEGATIVE;
    assert_eq!(cgroups.path_by(1, refused), Err(Absent::Postponed));
}

#[test]
fn memory_is_bounded_in_number_and_in_bytes() {
    let mut cgroups = Cgroups::at(Err(Absent::NotMounted));
    let now = Instant::now();
    for id in 0..10_000 {
        cgroups.remember(id, whole(&[b'x'; 4096]), now);
        cgroups.remember(id, whole(&[b'x'; 4000]), now);
    }
    assert_eq!(cgroups.known.len(), REMEMBERED_BYTES / 4000);
    assert_eq!(cgroups.known_bytes, cgroups.known.len() * 4000);
    for id in 0..10_000 {
        cgroups.remember(id, Err(Absent::Gone), now);
    }
    assert_eq!((cgroups.known.len(), cgroups.known_bytes), (REMEMBERED.get(), 0));
}

#[test]
fn without_a_mount_the_answer_is_the_reason() {
    assert_eq!(Cgroups::at(Err(Absent::OnlyV1)).path(1), Err(Absent::OnlyV1));
}

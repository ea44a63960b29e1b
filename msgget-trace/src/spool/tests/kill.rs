//! After every change of the folder a picture of it goes in, as kill -9 at that moment would leave it; each has to open as a
//! spool that lacks nothing.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::*;

type Picture = BTreeMap<String, Vec<u8>>;

thread_local! {
    static WATCHED: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    static PICTURES: RefCell<Vec<Picture>> = const { RefCell::new(Vec::new()) };
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// The folder has just changed.
pub(in crate::spool) fn step() {
    WATCHED.with_borrow(|watched| {
        if let Some(dir) = watched.as_ref().filter(|_| !BUSY.get()) {
            PICTURES.with_borrow_mut(|pictures| pictures.push(picture(dir)));
        }
    });
}

fn picture(dir: &Path) -> Picture {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u16>),
    Read(u16),
    Acknowledge(prop::sample::Index),
    Rewind,
    Reopen,
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(0..1500_u16, 1..6).prop_map(Step::Append),
        3 => (0..6000_u16).prop_map(Step::Read),
        3 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
        1 => Just(Step::Rewind),
        1 => Just(Step::Reopen),
        1 => (0..90_u8).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_kill_between_any_two_changes_costs_nothing(steps in steps(), fsync in 0..3_usize) {
        let fsync = [Fsync::Never, Fsync::Every(Duration::from_secs(1)), Fsync::Always][fsync];
        let (dir, copy) = (folder(), folder());
        let mut now = SystemTime::now();
        let (mut appended, mut acknowledged, mut read) = (BTreeMap::new(), 0, Vec::new());
        WATCHED.set(Some(dir.path().to_owned()));
        PICTURES.take();
        let mut spool = Some(Spool::open(dir.path(), LIMITS, fsync, now).unwrap().0);
        for step in steps {
            let before = appended.len() as u64;
            let it = spool.as_mut().unwrap();
            match step {
                Step::Append(lengths) => {
                    let first = it.status().appended + 1;
                    let records: Vec<_> = (first..).zip(&lengths).map(|(number, len)| record(number, *len)).collect();
                    appended.extend((first..).zip(records.iter().cloned()));
                    it.append(records.iter().map(Vec::as_slice), now).unwrap();
                }
                Step::Read(most) => read.extend(it.read(most.into()).unwrap().records().map(|record| record.number)),
                Step::Acknowledge(index) if !read.is_empty() => {
                    let number = *index.get(&read);
                    acknowledged = number.max(acknowledged);
                    it.acknowledge(number).unwrap();
                }
                Step::Acknowledge(_) => {}
                Step::Rewind => it.rewind(),
                Step::Reopen => {
                    drop(spool.take());
                    read.clear();
                    spool = Some(Spool::open(dir.path(), LIMITS, fsync, now).unwrap().0);
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds.into());
                    it.expire(now).unwrap();
                }
            }
            let dealt = spool.as_ref().unwrap().mark.number.max(acknowledged);
            BUSY.set(true);
            for picture in PICTURES.take() {
                for entry in fs::read_dir(copy.path()).unwrap() {
                    fs::remove_file(entry.unwrap().path()).unwrap();
                }
                for (name, bytes) in picture {
                    fs::write(copy.path().join(name), bytes).unwrap();
                }
                let (mut spool, recovered) = Spool::open(copy.path(), LIMITS, Fsync::Never, now).unwrap();
                prop_assert_eq!((recovered.torn, recovered.cursor_lost), (0, false));
                let (found, missing) = all(&mut spool);
                prop_assert_eq!(missing, 0);
                for number in dealt + 1..=before {
                    prop_assert!(found.contains_key(&number), "{} of {:?}", number, found.keys());
                }
                for (number, bytes) in &found {
                    prop_assert_eq!(bytes, &appended[number]);
                }
                let status = balanced(&spool);
                prop_assert!(status.appended == before || status.appended == appended.len() as u64, "a batch is whole");
                prop_assert_eq!(status.lost, 0);
                spool.append([&b"next"[..]], now).unwrap();
                prop_assert_eq!(all(&mut spool).0.keys().copied().collect::<Vec<_>>(), [status.appended + 1]);
            }
            BUSY.set(false);
        }
        WATCHED.set(None);
    }
}

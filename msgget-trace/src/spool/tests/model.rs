//! Any order of calls, restarts and damage goes in; a simple model that knows which frame lies where says what must come out.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
};

use proptest::{prelude::*, sample::Index};

use super::{super::frame::HEAD, *};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u16>),
    Read(u16),
    Acknowledge(Index),
    Rewind,
    Reopen,
    Wait(u8),
    /// A bit of a segment.
    Flip(Index, Index),
    /// The same one again, which mends it.
    FlipBack,
    /// Bytes off the end, as a crash leaves them, and a restart.
    Cut(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(0..1500_u16, 1..6).prop_map(Step::Append),
        5 => (0..6000_u16).prop_map(Step::Read),
        3 => any::<Index>().prop_map(Step::Acknowledge),
        1 => Just(Step::Rewind),
        1 => Just(Step::Reopen),
        1 => (0..50_u8).prop_map(Step::Wait),
        3 => any::<(Index, Index)>().prop_map(|(file, bit)| Step::Flip(file, bit)),
        1 => Just(Step::FlipBack),
        1 => (1..3000_u16).prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the spool should be.
struct Model {
    dir: TempDir,
    spool: Option<Spool>,
    now: SystemTime,
    records: BTreeMap<u64, Vec<u8>>,
    /// Bits that are not as they were: the record whose frame they are in (0: none), the file, the bit.
    flips: BTreeSet<(u64, PathBuf, u64)>,
    last_flip: Option<(PathBuf, u64)>,
    /// Up to which record all is dealt with, and how.
    mark: u64,
    acknowledged: u64,
    dropped: u64,
    lost: u64,
    wanted: u64,
    high: u64,
    /// Records after the mark that reading missed.
    missed: BTreeSet<u64>,
}

impl Model {
    fn next(&self) -> u64 {
        self.records.keys().next_back().map_or(1, |last| last + 1).max(self.mark + 1)
    }

    fn damaged(&self, number: u64) -> bool {
        self.flips.iter().any(|(of, ..)| *of == number)
    }

    fn segments(&self) -> Vec<(u64, PathBuf)> {
        self.files(".seg")
    }

    /// The files with names that end so, by number.
    fn files(&self, suffix: &str) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let segment = |path: PathBuf| {
            let first = path.file_name()?.to_str()?.strip_suffix(suffix)?.parse().unwrap();
            Some((first, path))
        };
        let mut segments: Vec<_> = entries.filter_map(segment).collect();
        segments.sort();
        segments
    }

    /// The last segment, unless one after it was set aside: then its end is known, and what is not there is missing.
    fn last(&self) -> Option<(u64, PathBuf)> {
        let last = self.segments().pop()?;
        let after = self.files(".seg.bad").into_iter().any(|(aside, _)| aside > last.0);
        (!after).then_some(last)
    }

    /// The record whose frame holds this byte of the segment.
    fn at(&self, first: u64, byte: u64) -> u64 {
        let mut end = HEADER as u64;
        if byte < end {
            return 0;
        }
        for (number, record) in self.records.range(first..) {
            end += (HEAD + record.len()) as u64;
            if byte < end {
                return *number;
            }
        }
        panic!("byte {byte} of segment {first} is nobody's");
    }

    fn flip(&mut self, path: PathBuf, bit: u64) {
        use std::os::unix::fs::FileExt as _;
        let first = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let of = self.at(first, bit / 8);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], bit / 8).unwrap();
        let flip = (of, path.clone(), bit);
        if !self.flips.remove(&flip) {
            self.flips.insert(flip);
        }
        self.last_flip = Some((path, bit));
    }

    /// All up to `mark` is dealt with; `dropped` says how those that are there were.
    fn advance(&mut self, mark: u64, dropped: bool) {
        if mark <= self.mark {
            return;
        }
        let missed = self.missed.range(self.mark + 1..=mark).count() as u64;
        let there = mark - self.mark - missed;
        self.lost += missed;
        *(if dropped { &mut self.dropped } else { &mut self.acknowledged }) += there;
        self.missed.retain(|number| *number > mark);
        self.mark = mark;
        self.wanted = self.wanted.max(mark + 1);
        self.high = self.high.max(self.wanted);
    }

    /// Reading went over the numbers before `next`, and found these.
    fn pass(&mut self, found: &BTreeSet<u64>, next: u64, told: u64) {
        let known = self.missed.range(self.wanted..next.max(self.wanted)).count() as u64;
        let mut news = 0;
        for number in self.wanted..next {
            if found.contains(&number) {
                assert!(!self.damaged(number));
                self.missed.remove(&number);
            } else {
                assert!(self.damaged(number), "{number} is not damaged, and was not read");
                news += u64::from(self.missed.insert(number));
            }
        }
        // A record that turns up offsets one that is news in the same gap at most.
        assert!(told >= news.saturating_sub(known) && told <= news, "{told} told, {news} new, {known} known");
        self.wanted = next.max(self.wanted);
        self.high = self.high.max(self.wanted);
    }

    fn read(&mut self, most: usize) -> bool {
        let batch = self.spool.as_mut().unwrap().read(most).unwrap();
        let mut found = BTreeSet::new();
        let mut bytes = 0;
        for record in batch.records() {
            assert_eq!(Some(record.bytes), self.records.get(&record.number).map(Vec::as_slice));
            assert!(record.number >= self.wanted && found.insert(record.number), "twice");
            bytes += record.bytes.len();
        }
        assert!(bytes <= most || found.len() == 1);
        let told = batch.missing();
        let next = found.last().map_or(self.next(), |last| last + 1);
        self.pass(&found, next, told);
        !found.is_empty()
    }

    fn reopen(&mut self) {
        drop(self.spool.take());
        // What comes after the last whole frame of the last segment is cut off.
        if let Some((last, path)) = self.last() {
            let end = self.records.range(last..).map(|(number, _)| *number).rfind(|number| !self.damaged(*number));
            let end = end.map_or(last, |number| number + 1);
            self.records.retain(|number, _| *number < end);
            let whole = self.records.range(last..).next().is_some();
            self.flips.retain(|(of, at, _)| *of < end && (whole || *at != path));
        }
        let (spool, recovered) = Spool::open(self.dir.path(), LIMITS, Fsync::Never, self.now).unwrap();
        assert!(!recovered.cursor_lost);
        self.spool = Some(spool);
        self.missed.clear();
        (self.wanted, self.high) = (self.mark + 1, self.mark + 1);
        self.last_flip = None;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(lengths) => {
                let next = self.next();
                let records: Vec<_> = (next..).zip(&lengths).map(|(number, len)| record(number, *len)).collect();
                self.spool.as_mut().unwrap().append(records.iter().map(Vec::as_slice), self.now).unwrap();
                self.records.extend((next..).zip(records));
            }
            Step::Read(most) => {
                self.read(most.into());
            }
            Step::Acknowledge(index) => {
                let number = index.index(self.high as usize) as u64;
                self.spool.as_mut().unwrap().acknowledge(number).unwrap();
                self.advance(number, false);
            }
            Step::Rewind => {
                self.spool.as_mut().unwrap().rewind();
                self.wanted = self.mark + 1;
            }
            Step::Reopen => self.reopen(),
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                self.spool.as_mut().unwrap().expire(self.now).unwrap();
            }
            Step::Flip(file, bit) => {
                let segments: Vec<_> = self.segments();
                if segments.is_empty() {
                    return;
                }
                let (_, path) = file.get(&segments);
                let bits = fs::metadata(path).unwrap().len() * 8;
                self.flip(path.clone(), bit.index(bits as usize) as u64);
            }
            Step::FlipBack => {
                if let Some((path, bit)) = self.last_flip.take().filter(|(path, _)| path.exists()) {
                    self.flip(path, bit);
                }
            }
            Step::Cut(bytes) => {
                drop(self.spool.take());
                if let Some((first, path)) = self.last() {
                    let len = fs::metadata(&path).unwrap().len().saturating_sub(bytes.into()).max(HEADER as u64);
                    let mut end = HEADER as u64;
                    let fits = |record: &&Vec<u8>| {
                        end += (HEAD + record.len()) as u64;
                        end <= len
                    };
                    let cut =
                        first + self.records.range(first..).map(|(_, record)| record).take_while(fits).count() as u64;
                    File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
                    self.records.retain(|number, _| *number < cut);
                    self.flips.retain(|(of, ..)| *of < cut);
                }
                self.reopen();
            }
        }
    }

    /// The segments that are gone were dropped; then all numbers have to be right.
    fn check(&mut self) {
        let oldest = self.segments().first().map_or(1, |(first, _)| *first);
        self.advance(oldest - 1, true);
        let files: BTreeSet<_> = self.segments().into_iter().map(|(_, path)| path).collect();
        self.flips.retain(|(_, path, _)| files.contains(path));
        self.records.retain(|number, _| *number >= oldest);
        let status = balanced(self.spool.as_ref().unwrap());
        let (next, missed) = (self.next(), self.missed.len() as u64);
        assert_eq!(status.appended, next - 1);
        assert_eq!(status.acknowledged, self.acknowledged);
        assert_eq!(status.dropped_bytes + status.dropped_age, self.dropped);
        assert_eq!(status.lost, self.lost + missed);
        assert_eq!(status.waiting, next - 1 - self.mark - missed);
        assert!(status.bytes <= LIMITS.bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn nothing_outside_damage_is_missing_and_all_counts_are_exact(steps in steps()) {
        let (dir, now) = (folder(), SystemTime::now());
        let spool = Some(Spool::open(dir.path(), LIMITS, Fsync::Never, now).unwrap().0);
        let mut model = Model {
            dir, spool, now, records: BTreeMap::new(), flips: BTreeSet::new(), last_flip: None, mark: 0, acknowledged: 0,
            dropped: 0, lost: 0, wanted: 1, high: 1, missed: BTreeSet::new(),
        };
        for step in steps {
            model.step(step);
            model.check();
        }
        model.step(Step::Rewind);
        while model.read(2000) {
            model.check();
        }
        model.check();
    }
}

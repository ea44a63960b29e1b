//! The near side of an output that has a spool: lines go in, they are in the spool or counted as lost, whatever the far side does.

use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;

use super::{Delivery, folder};
use crate::{
    config::{self, SpoolOptions},
    event::{LossReason, OutputState},
    failure::Failure,
    spool::{Recovered, SetAside, Spool, SpoolError, Status},
};

/// How long an output may be of no use before that is news.
const PATIENCE: Duration = Duration::from_secs(5);

/// Since when something has not worked, and why now; empty while it does.
#[derive(Debug, Default)]
struct Outage(Option<(Instant, String)>);

impl Outage {
    fn goes_on(&mut self, reason: String) {
        match &mut self.0 {
            Some((_, known)) => *known = reason,
            none => *none = Some((Instant::now(), reason)),
        }
    }

    fn over(&mut self) {
        self.0 = None;
    }

    fn reason(&self) -> Option<&str> {
        self.0.as_ref().map(|(_, reason)| reason.as_str())
    }

    /// The reason, if it has lasted for [`PATIENCE`].
    fn lasting(&self, now: Instant) -> Option<&str> {
        let (since, reason) = self.0.as_ref()?;
        (now.saturating_duration_since(*since) >= PATIENCE).then_some(reason.as_str())
    }
}

/// What the near and the far side, two tasks of one thread, share. Neither keeps a borrow while it waits.
#[derive(Debug)]
pub(super) struct Shared {
    /// Where the output leads.
    pub(super) name: String,
    spool: RefCell<Spool>,
    /// There is something to do for the far side.
    pub(super) wake: Notify,
    /// Lines that the receiver will never take, and that were put aside.
    refused: Cell<u64>,
    /// With the far side.
    outage: RefCell<Outage>,
    /// The reader has left, for good.
    closed: Cell<bool>,
    finishing: Cell<bool>,
    finished: Cell<bool>,
    reopening: Cell<bool>,
}

impl Shared {
    pub(super) fn spool(&self) -> RefMut<'_, Spool> {
        self.spool.borrow_mut()
    }

    /// A line was put aside.
    pub(super) fn refused(&self) {
        self.refused.update(|refused| refused + 1);
    }

    /// It does not work.
    pub(super) fn troubled(&self, reason: String) {
        self.outage.borrow_mut().goes_on(reason);
    }

    /// It works.
    pub(super) fn well(&self) {
        self.outage.borrow_mut().over();
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.finished.set(true);
    }

    /// No more lines come.
    pub(super) fn finishing(&self) -> bool {
        self.finishing.get()
    }

    /// Everything has arrived, and that was all.
    pub(super) fn finish(&self) {
        self.finished.set(true);
    }

    /// Whether files are to be opened anew; asked once.
    pub(super) fn reopening(&self) -> bool {
        self.reopening.replace(false)
    }
}

/// The near side.
#[derive(Debug)]
pub(super) struct Spooled {
    /// Lines that are not in the spool yet.
    pub(super) buffer: Vec<u8>,
    shared: super::Shared,
    /// How the spool was when we came.
    before: Status,
    /// Lines that the spool could not take.
    lost: u64,
    /// Of the spool itself. Not the far side's to end: that may be well because there is nothing for it to do.
    outage: Outage,
    /// What of each loss has been told: full, expired, damaged, refused.
    told: [u64; 4],
}

impl Spooled {
    /// Opens the spool of the output that `config` describes, and what delivers out of it.
    pub(super) fn open(config: &config::Output, options: &SpoolOptions) -> Result<(Self, Delivery), Failure> {
        let path = folder(&options.path, config);
        let (spool, recovered) = Spool::open(&path, options.limits, options.fsync, SystemTime::now())?;
        let Recovered { waiting, torn, set_aside, cursor_lost } = recovered;
        let place = path.display();
        if waiting > 0 {
            log::info!("{place}: {waiting} lines of a run before go first");
        }
        if torn > 0 {
            log::warn!("{place}: {torn} bytes at the end were no whole line, and are gone: what a crash left");
        }
        for SetAside { path, reason } in set_aside {
            log::warn!("{place}: a segment cannot be used ({reason}); it is now {}", path.display());
        }
        if cursor_lost {
            log::warn!("{place}: what had arrived was not to be read any more, so lines may come again");
        }
        let before = spool.status();
        let shared = Rc::new(Shared {
            name: config.to.to_string(),
            spool: RefCell::new(spool),
            wake: Notify::new(),
            refused: Cell::new(0),
            outage: RefCell::default(),
            closed: Cell::new(false),
            finishing: Cell::new(false),
            finished: Cell::new(false),
            reopening: Cell::new(false),
        });
        let delivery = Delivery::new(config.to.clone(), Rc::clone(&shared));
        Ok((Self { buffer: Vec::new(), shared, before, lost: 0, outage: Outage::default(), told: [0; 4] }, delivery))
    }

    /// Puts the buffer into the spool.
    pub(super) fn store(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.closed() {
            self.lost += lines(&self.buffer);
        } else {
            let records = self.buffer.split_inclusive(|byte| *byte == b'\n');
            let stored = self.shared.spool().append(records, SystemTime::now());
            if stored.is_err() {
                // Not kept for later: the others do not wait, and memory is bounded.
                self.lost += lines(&self.buffer);
            }
            self.came_off(stored);
        }
        self.buffer.clear();
        self.shared.wake.notify_one();
    }

    /// Drops what has waited for too long, whether the far side is at work or away, and brings to the disk what is due; to be
    /// called about every second.
    pub(super) fn expire(&mut self) {
        let expired = self.shared.spool().expire(SystemTime::now());
        if expired.is_err() {
            self.came_off(expired);
        }
    }

    /// Remembers how the last use of the spool came off.
    fn came_off(&mut self, used: Result<(), SpoolError>) {
        match used {
            Ok(()) => self.outage.over(),
            Err(error) => self.outage.goes_on(error.to_string()),
        }
    }

    pub(super) fn closed(&self) -> bool {
        self.shared.closed.get()
    }

    pub(super) fn delivered(&self) -> u64 {
        self.state(OutputState::default()).delivered
    }

    pub(super) fn finish(&self) {
        self.shared.finishing.set(true);
        self.shared.wake.notify_one();
    }

    pub(super) fn finished(&self) -> bool {
        self.shared.finished.get()
    }

    /// Has the file opened anew; true, for there is one.
    pub(super) fn reopen(&self) -> bool {
        self.shared.reopening.set(true);
        self.shared.wake.notify_one();
        true
    }

    /// Why it has been of no use for a while, if so.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        let far = self.shared.outage.borrow();
        self.outage.lasting(now).or_else(|| far.lasting(now)).map(str::to_owned)
    }

    /// Lines that will not arrive, by reason, as far as that was not asked before.
    pub(super) fn losses(&mut self) -> Vec<(LossReason, u64)> {
        let state = self.state(OutputState::default());
        let now = [state.dropped, state.expired, state.damaged, state.refused];
        let reasons = [LossReason::SpoolFull, LossReason::SpoolExpired, LossReason::SpoolDamaged, LossReason::Refused];
        let losses = reasons.into_iter().zip(now.into_iter().zip(&mut self.told)).map(|(reason, (now, told))| {
            // What was missing may turn up, and go missing again: that is no less told of, nor is it to be told twice.
            let untold = now.saturating_sub(*told);
            *told += untold;
            (reason, untold)
        });
        losses.filter(|(_, count)| *count > 0).collect()
    }

    /// Fills in what is known here.
    pub(super) fn state(&self, told: OutputState) -> OutputState {
        let (spool, before) = (self.shared.spool().status(), self.before);
        let refused = self.shared.refused.get();
        let far = self.shared.outage.borrow();
        OutputState {
            inherited: before.waiting,
            // One that was put aside is acknowledged a little later.
            delivered: (spool.acknowledged - before.acknowledged).saturating_sub(refused),
            waiting: spool.waiting + lines(&self.buffer),
            dropped: self.lost + spool.dropped_bytes - before.dropped_bytes,
            expired: spool.dropped_age - before.dropped_age,
            // A record that was missing may turn up in another reading.
            damaged: spool.lost.saturating_sub(before.lost),
            refused,
            trouble: self.outage.reason().or(far.reason()).map(str::to_owned),
            ..told
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    use super::*;
    use crate::spool::{Fsync, Limits};

    /// The spool of the output `to` in `dir`, in segments of a page.
    fn open(dir: &TempDir, to: &str) -> (Spooled, Delivery) {
        let limits = Limits { bytes: 1 << 30, age: Duration::MAX, segment_bytes: 4096 };
        let options = SpoolOptions { path: dir.path().join("spool"), limits, fsync: Fsync::Never };
        Spooled::open(&to.parse().unwrap(), &options).unwrap()
    }

    fn tell(spooled: &mut Spooled, lines: usize) {
        spooled.buffer.extend(b"some line or other\n".repeat(lines));
        spooled.store();
    }

    #[test]
    fn what_turns_up_and_goes_again_is_told_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spooled, delivery) = open(&dir, "tcp://127.0.0.1:9");
        for _ in 0..3 {
            tell(&mut spooled, 100);
        }
        let folder = fs::read_dir(dir.path().join("spool")).unwrap().next().unwrap().unwrap().path();
        let (there, away) = (folder.join(format!("{:020}.seg", 101)), dir.path().join("away"));
        let losses = |spooled: &mut Spooled, from: &Path, to: &Path| {
            fs::rename(from, to).unwrap();
            spooled.shared.spool().rewind();
            while !spooled.shared.spool().read(1 << 20).unwrap().is_empty() {}
            spooled.losses()
        };
        assert_eq!(losses(&mut spooled, &there, &away), [(LossReason::SpoolDamaged, 100)]);
        assert_eq!(losses(&mut spooled, &away, &there), []);
        assert_eq!(spooled.state(OutputState::default()).damaged, 0);
        assert_eq!(losses(&mut spooled, &there, &away), []);
        drop(delivery);
    }

    #[tokio::test]
    async fn a_backlog_for_a_file_does_not_keep_others_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spooled, delivery) = open(&dir, dir.path().join("file").to_str().unwrap());
        for _ in 0..10 {
            tell(&mut spooled, 10_000);
        }
        spooled.finish();
        let mut delivery = std::pin::pin!(delivery.run());
        tokio::select! {
            biased;
            () = &mut delivery => panic!("nobody else had a turn"),
            () = std::future::ready(()) => {}
        }
        let delivered = spooled.delivered();
        assert!(delivered > 0 && delivered < 100_000, "{delivered}");
        delivery.await;
        assert_eq!(spooled.delivered(), 100_000);
    }
}

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
    spool::{Recovered, SetAside, Spool, Status},
};

/// How long an output may be of no use before that is news.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Since when it has not worked, and why.
    trouble: RefCell<Option<(Instant, String)>>,
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

    /// It does not work; said once for each new reason.
    pub(super) fn troubled(&self, reason: String) {
        let mut trouble = self.trouble.borrow_mut();
        match &mut *trouble {
            Some((_, known)) if *known == reason => {}
            Some((_, known)) => *known = reason,
            None => *trouble = Some((Instant::now(), reason)),
        }
    }

    /// It works.
    pub(super) fn well(&self) {
        *self.trouble.borrow_mut() = None;
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
    /// What of each loss has been told: full, damaged, refused.
    told: [u64; 3],
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
        let before = spool.status(SystemTime::now());
        let shared = Rc::new(Shared {
            name: config.to.to_string(),
            spool: RefCell::new(spool),
            wake: Notify::new(),
            refused: Cell::new(0),
            trouble: RefCell::new(None),
            closed: Cell::new(false),
            finishing: Cell::new(false),
            finished: Cell::new(false),
            reopening: Cell::new(false),
        });
        let delivery = Delivery::new(config.to.clone(), Rc::clone(&shared));
        Ok((Self { buffer: Vec::new(), shared, before, lost: 0, told: [0; 3] }, delivery))
    }

    /// Puts the buffer into the spool.
    pub(super) fn store(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.closed() {
            self.lost += lines(&self.buffer);
        } else if let Err(error) =
            self.shared.spool().append(self.buffer.split_inclusive(|byte| *byte == b'\n'), SystemTime::now())
        {
            // Not kept for later: the others do not wait, and memory is bounded.
            self.lost += lines(&self.buffer);
            self.shared.troubled(error.to_string());
        }
        self.buffer.clear();
        self.shared.wake.notify_one();
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
        let trouble = self.shared.trouble.borrow();
        let (since, reason) = trouble.as_ref()?;
        (now.saturating_duration_since(*since) >= PATIENCE).then(|| reason.clone())
    }

    /// Lines that will not arrive, by reason, as far as that was not asked before.
    pub(super) fn losses(&mut self) -> Vec<(LossReason, u64)> {
        let state = self.state(OutputState::default());
        let now = [state.dropped, state.damaged, state.refused];
        let before = std::mem::replace(&mut self.told, now);
        let reasons = [LossReason::SpoolFull, LossReason::SpoolDamaged, LossReason::Refused];
        let losses =
            reasons.into_iter().zip(now.into_iter().zip(before)).map(|(reason, (now, before))| (reason, now - before));
        losses.filter(|(_, count)| *count > 0).collect()
    }

    /// Fills in what is known here.
    pub(super) fn state(&self, told: OutputState) -> OutputState {
        let (spool, before) = (self.shared.spool().status(SystemTime::now()), self.before);
        let dropped = |status: &Status| status.dropped_bytes + status.dropped_age;
        let refused = self.shared.refused.get();
        OutputState {
            inherited: before.waiting,
            // One that was put aside is acknowledged a little later.
            delivered: (spool.acknowledged - before.acknowledged).saturating_sub(refused),
            waiting: spool.waiting + lines(&self.buffer),
            dropped: self.lost + dropped(&spool) - dropped(&before),
            // A record that was missing may turn up in another reading.
            damaged: spool.lost.saturating_sub(before.lost),
            refused,
            trouble: self.shared.trouble.borrow().as_ref().map(|(_, reason)| reason.clone()),
            ..told
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

//! A source of calls: one set of hooks goes in; what they see comes out of their ring, decoded and decided, in the order
//! of the ring.
//!
//! A daemon reads one source at a time. When it changes its hooks, the new ones are attached before the old ones go, and
//! the moment between divides the calls among them. A call that one saw return before that moment, and the other after it
//! (they do not look at the same instruction), is told of by the first.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    path::Path,
};

use msgget_trace_ebpf::{Counters, Mark, Reader};
use uuid::Uuid;

use crate::{
    attribution::{Attribution, Look},
    config::Config,
    decide::{Decider, Progress},
    enrich::{Clock, Images},
    event::{
        Aggregate, BootTime, Counts, Event, Rung,
        decode::{Decoded, Decoder},
    },
    failure::Failure,
    kernel::{Handles, Kernel, KernelLogger, Settings, Skipped, pin::Folder, require, ring::Entry},
    pipeline::Tally,
};

/// Attached hooks, or detached ones whose ring is not empty yet.
#[derive(Debug)]
pub struct Source {
    kernel: Kernel,
    handles: Handles,
    decoder: Decoder,
    decider: Decider,
    attribution: Attribution,
    /// The events that this source tells of: those that returned within.
    told: Range<BootTime>,
    /// By thread, when the call returned that the former source told of last.
    former: HashMap<u32, BootTime>,
    /// What had been skipped when it handed over.
    skipped: Option<Skipped>,
    /// Calls that decide would have needed and that were not sent, as far as it has been told.
    lost: u64,
    /// Records of calls and of controls that have been said to be lost.
    said: (u64, u64),
    /// Both, on each CPU.
    losses: Vec<u64>,
    /// What had been counted when this daemon came.
    base: Counters,
    /// What was counted when it was looked last.
    seen: Counters,
    /// Calls and controls that were given out.
    given: (u64, u64),
    /// Positions of the records that are not given out, as far as their room has not been given back; true for those of
    /// images.
    sides: VecDeque<(u64, bool)>,
    /// What of the counters is accounted for: in lines that were written, or said to be lost.
    accounted: Counters,
    /// See [`Self::inherited`].
    inherited: Option<BootTime>,
    /// Its end is not to end the pins.
    trusted: bool,
    /// What was read before us is not known, and overlaps what we read first.
    unsure: bool,
    /// Up to where the room in the ring was given back.
    published: u64,
}

/// What a batch begins with.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Its moment.
    pub now: BootTime,
    /// Up to which position of the ring its progress counts.
    target: u64,
    /// Nobody in flight had entered before.
    since: BootTime,
}

impl Source {
    /// Loads and attaches the hooks of `rung`, pinned in `folder` if there is one, for the daemon that is `reader`. Until
    /// [`Self::trust`] none of their events is told of.
    ///
    /// # Errors
    /// What is missing for them, as a [`Failure`].
    pub fn attach(
        rung: Rung,
        config: &Config,
        reader: Reader,
        folder: Option<&Folder>,
    ) -> Result<(Self, KernelLogger), Failure> {
        // Of version 7, for pinned sets are told by age.
        let ring = Uuid::now_v7();
        let set = folder.map(|folder| folder.set(ring));
        let (kernel, handles) = Kernel::load(&settings(rung, config), ring, set)?;
        let never = BootTime(u64::MAX);
        // From here on its end removes the pins again.
        let mut source = Self::new(kernel, handles, ring, never, never..never);
        source.handles.shared.set_reader(reader);
        let logger = source.kernel.logger()?;
        source.kernel.attach()?;
        source.decoder.attached = Clock::boot_now();
        source.handles.shared.set_attached(source.decoder.attached.0);
        Ok((source, logger))
    }

    /// Takes over what a daemon that is gone left in the folder `set`. `None` if that was another version's, or was never
    /// trusted.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn adopt(set: &Path, config: &Config, reader: Reader) -> Result<Option<Self>, Failure> {
        let Some((kernel, handles)) = Kernel::adopt(&settings(Rung::TpBtf, config), set)? else { return Ok(None) };
        let state = handles.shared.read();
        let (ring, told) = (Uuid::from_bytes(state.ring), BootTime(state.from_ns)..BootTime(state.until_ns));
        let mut source = Self::new(kernel, handles, ring, BootTime(state.attached_ns), told);
        let Some(mark) = source.handles.shared.marked(source.handles.ring.cursor()) else { return Ok(None) };
        source.base = mark.counters;
        source.accounted = mark.counters;
        source.said = (mark.counters.lost_ring_full, mark.counters.controls_lost);
        source.attribution = Attribution::resume(&source.kernel.accounts()?);
        source.inherited = Some(BootTime(mark.at_ns));
        source.trusted = true;
        source.unsure = true;
        if !source.kernel.attached() {
            source.decoder.detached = Some(BootTime(mark.at_ns));
        }
        // The images that the one before knew are announced again.
        let generation = state.reader.generation.wrapping_add(1);
        source.handles.shared.set_reader(Reader { generation, ..reader });
        Ok(Some(source))
    }

    fn new(kernel: Kernel, handles: Handles, ring: Uuid, attached: BootTime, told: Range<BootTime>) -> Self {
        let decoder = Decoder { ring, rung: kernel.rung(), offsets: kernel.offsets, attached, detached: None };
        Self {
            kernel,
            handles,
            decoder,
            decider: Decider::new(require::id_index_bits()),
            attribution: Attribution::default(),
            told,
            former: HashMap::new(),
            skipped: None,
            lost: 0,
            said: (0, 0),
            losses: Vec::new(),
            base: Counters::default(),
            seen: Counters::default(),
            given: (0, 0),
            sides: VecDeque::new(),
            accounted: Counters::default(),
            inherited: None,
            trusted: false,
            unsure: false,
            published: 0,
        }
    }

    /// When the daemon that this was taken over from had last brought anything to its end.
    #[must_use]
    pub const fn inherited(&self) -> Option<BootTime> {
        self.inherited
    }

    /// Whether the hooks are still attached.
    #[must_use]
    pub const fn attached(&self) -> bool {
        self.kernel.attached()
    }

    /// Whether it would outlive the daemon.
    #[must_use]
    pub const fn pinned(&self) -> bool {
        self.kernel.pinned()
    }

    /// Whether it may go on: its hooks are attached, they are what we would have, and no others have taken over.
    #[must_use]
    pub fn current(&self) -> bool {
        self.kernel.attached() && !self.kernel.foreign() && self.told.end == BootTime(u64::MAX)
    }

    /// The hooks.
    #[must_use]
    pub const fn rung(&self) -> Rung {
        self.decoder.rung
    }

    /// Members of kernel structures that this kernel lacks.
    pub fn absent(&self) -> impl Iterator<Item = &'static str> {
        self.kernel.offsets.absent()
    }

    /// From now on its calls are told of.
    pub fn trust(&mut self) {
        self.told.start = Clock::boot_now();
        self.trusted = true;
        self.keep_span();
    }

    fn keep_span(&mut self) {
        self.handles.shared.set_span(self.told.start.0, self.told.end.0);
    }

    /// Lets `next`, whose hooks are attached, tell of the calls from now on, and detaches its own.
    pub fn hand_over(&mut self, next: &mut Self) {
        next.trust();
        self.told.end = next.told.start;
        self.keep_span();
        // What it misses from now on, the other one tells.
        self.skipped = Some(self.kernel.skipped());
        self.detach();
    }

    /// Detaches the hooks. What they saw is still to be read.
    pub fn detach(&mut self) {
        self.decoder.detached = Some(Clock::boot_now());
        self.kernel.detach();
    }

    /// Whether `event` is one that this source tells of.
    #[must_use]
    pub fn tells_of(&self, event: &Event) -> bool {
        // Whose entry was not seen may have been under way when the hooks came.
        let entered = event.entered().unwrap_or(self.decoder.attached);
        let before = self.former.get(&event.caller().host.tid).is_some_and(|left| *left >= entered);
        self.told.contains(&event.left()) && !before
    }

    /// Notes that the former source told of `event`. There are not more of these than its ring held.
    pub fn told_before(&mut self, event: &Event) {
        self.former.insert(event.caller().host.tid, event.left());
    }

    /// What the kernel side counted on each CPU.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the map cannot be read.
    pub fn counters(&self) -> Result<Vec<Counters>, Failure> {
        self.kernel.counters()
    }

    /// What they add up to since this daemon came.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn total(&self) -> Result<Counters, Failure> {
        Ok(self.raw()?.since(&self.base))
    }

    fn raw(&self) -> Result<Counters, Failure> {
        Ok(self.counters()?.iter().fold(Counters::default(), Counters::plus))
    }

    /// The calls that were counted instead of sent since the last time, each once. While two sources are attached, both count
    /// what is past a budget: for that moment, which is some milliseconds, it is told of twice.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn aggregates(&mut self) -> Result<Vec<Aggregate>, Failure> {
        let total = Counts(self.total()?.aggregated);
        if !self.attribution.due(&total) {
            return Ok(Vec::new());
        }
        let accounts = self.kernel.accounts()?;
        let Look { aggregates, quiet } =
            self.attribution.look(&total, &accounts, &self.kernel.offsets, Clock::boot_now());
        for key in quiet {
            self.kernel.close_account(key)?;
        }
        Ok(aggregates)
    }

    /// Runs of the programs that the kernel skipped.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped.unwrap_or_else(|| self.kernel.skipped())
    }

    /// Notes that calls of late were not seen, or only half.
    pub fn missed(&mut self) {
        self.decider.lost(Clock::boot_now());
    }

    /// True if the hooks are detached and all their records have been dealt with.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn exhausted(&self) -> Result<bool, Failure> {
        if self.decoder.detached.is_none() {
            return Ok(false);
        }
        let records =
            |counters: &Counters| counters.submitted + counters.controls_submitted + counters.contexts_submitted;
        Ok(records(&self.raw()?) == records(&self.accounted))
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn begin(&mut self) -> Result<Batch, Failure> {
        let now = Clock::boot_now();
        // First who is in flight, then what was lost, then which records there are: whoever is not in flight any more is
        // among these or those.
        let since = if self.decider.undecided() { self.handles.in_flight.since(now) } else { BootTime(0) };
        self.seen = self.raw()?;
        let lost = self.seen.lost_ring_full + self.seen.creators_unsent;
        if std::mem::replace(&mut self.lost, lost) != lost {
            self.decider.lost(Clock::boot_now());
        }
        Ok(Batch { now, target: self.handles.ring.produced(), since })
    }

    /// Takes the next record out of the ring, and knows of its call or program from then on. False if there is none.
    pub fn take(&mut self, batch: &Batch, images: &mut Images, tally: &mut Tally) -> bool {
        let Some(Entry { position, bytes }) = self.handles.ring.take() else { return false };
        match self.decoder.decode(position, bytes) {
            Ok(Decoded::Event(mut event)) => {
                if std::mem::take(&mut self.unsure) {
                    self.decider.lost(event.left());
                }
                images.attach(event.caller_mut());
                self.decider.push(event, batch.now);
            }
            Ok(Decoded::Image(image)) => {
                tally.read += 1;
                tally.contexts += 1;
                self.sides.push_back((position, true));
                images.remember(image);
            }
            Err(malformed) => {
                tally.read += 1;
                tally.rejected += 1;
                self.sides.push_back((position, false));
                log::error!("position {position} of the ring holds {malformed}; it is counted as rejected");
            }
        }
        true
    }

    /// True while the batch has records left.
    #[must_use]
    pub fn behind(&self, batch: &Batch) -> bool {
        self.handles.ring.cursor() < batch.target
    }

    /// The next event, if it waits for no call that `batch`, now read to its end, does not know of; without one, for none.
    pub fn next_event(&mut self, batch: Option<&Batch>) -> Option<Event> {
        let progress = batch.map(|batch| {
            let complete_until = if self.behind(batch) { BootTime(0) } else { batch.since };
            // Whoever enters while the hooks are being detached is not seen.
            let complete_until = self.decoder.detached.map_or(complete_until, |detached| complete_until.min(detached));
            Progress { complete_until, now: batch.now }
        });
        let event = self.decider.next(progress);
        match event {
            Some(Event::Call(_)) => self.given.0 += 1,
            Some(Event::Control(_)) => self.given.1 += 1,
            None => {}
        }
        event
    }

    /// True while a call waits for others to return.
    #[must_use]
    pub fn undecided(&self) -> bool {
        self.decider.undecided()
    }

    /// Gives the room of all records back that were given out and those in between, but for that of `current`, which is
    /// still on its way.
    pub fn publish(&mut self, current: Option<&Event>) {
        let held = current.or(self.decider.oldest()).map(|event| event.id().position);
        self.published = held.unwrap_or(self.handles.ring.cursor());
        while let Some((_, image)) = self.sides.pop_front_if(|(position, _)| *position < self.published) {
            self.accounted.contexts_submitted += u64::from(image);
            self.accounted.submitted += u64::from(!image);
        }
        let (calls, controls) = std::mem::take(&mut self.given);
        let (call, control) = match current {
            Some(Event::Call(_)) => (1, 0),
            Some(Event::Control(_)) => (0, 1),
            None => (0, 0),
        };
        self.given = (call, control);
        self.accounted = Counters {
            submitted: self.accounted.submitted + calls - call,
            contexts_submitted: self.accounted.contexts_submitted,
            controls_submitted: self.accounted.controls_submitted + controls - control,
            lost_ring_full: self.said.0,
            controls_lost: self.said.1,
            ..self.seen
        };
        let mut aggregated = Counts(self.base.aggregated);
        aggregated.add(&self.attribution.told());
        self.accounted.aggregated = aggregated.0;
        self.accounted.seen =
            self.accounted.submitted + self.accounted.aggregated_calls() + self.accounted.lost_ring_full;
        self.accounted.controls_seen = self.accounted.controls_submitted + self.accounted.controls_lost;
        let (position, at_ns) = (self.published, Clock::boot_now().0);
        self.handles.shared.mark(Mark { position, at_ns, counters: self.accounted });
        self.handles.ring.publish(self.published);
    }

    /// Records that the ring had no room for, and that have not been said to be lost: how many, and on which CPU, if that is
    /// known. From now on they have.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn losses(&mut self) -> Result<Vec<(u64, Option<u32>)>, Failure> {
        let cpus = self.kernel.counters()?;
        let sum = cpus.iter().fold(Counters::default(), Counters::plus);
        self.said = (sum.lost_ring_full, sum.controls_lost);
        let now = cpus.iter().map(|cpu| cpu.lost_ring_full + cpu.controls_lost).collect();
        let known = std::mem::replace(&mut self.losses, now);
        if known.is_empty() && self.inherited.is_some() {
            let lost: u64 = self.losses.iter().sum();
            return Ok(vec![(lost.saturating_sub(self.base.lost_ring_full + self.base.controls_lost), None)]);
        }
        let known = known.into_iter().chain(std::iter::repeat(0));
        let new = self.losses.iter().zip(known).zip(0..).map(|((now, known), cpu)| (now - known, Some(cpu)));
        Ok(new.filter(|(lost, _)| *lost > 0).collect())
    }

    /// Takes out what it has pinned, now that all is told.
    ///
    /// # Errors
    /// [`Failure::Pins`].
    pub fn remove(&mut self) -> Result<(), Failure> {
        self.kernel.detach();
        self.kernel.unpin()
    }

    /// Where the next record will stand in the ring.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.handles.ring.produced()
    }

    /// True if all records before `position` have been dealt with.
    #[must_use]
    pub const fn passed(&self, position: u64) -> bool {
        self.published >= position
    }

    /// Waits until the kernel program says that the ring fills up, at most `time`.
    ///
    /// # Errors
    /// [`Failure::Internal`]: those of the runtime's poll.
    pub async fn wait(&self, time: std::time::Duration) -> Result<(), Failure> {
        self.handles.ring.wait(time).await.map_err(Failure::internal("waiting for the ring"))
    }
}

impl Drop for Source {
    /// What was promised to outlive us does.
    fn drop(&mut self) {
        if self.kernel.pinned() && self.trusted {
            return;
        }
        if let Err(error) = self.remove() {
            log::error!("{error}");
        }
    }
}

const fn settings(rung: Rung, config: &Config) -> Settings {
    Settings {
        rung,
        scope: config.scope,
        ring_bytes: config.ring_bytes,
        log: config.kernel_log,
        command_lines: config.command_lines,
        budgets: config.budgets,
    }
}

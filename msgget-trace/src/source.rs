//! A source of calls: one set of hooks goes in; what they see comes out of their ring, decoded and decided, in the order
//! of the ring.
//!
//! A daemon reads one source at a time. When it changes its hooks, the new ones are attached before the old ones go, and
//! the moment between divides the calls among them. A call that one saw return before that moment, and the other after it
//! (they do not look at the same instruction), is told of by the first.

use std::{collections::HashMap, ops::Range};

use msgget_trace_ebpf::Counters;
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
    kernel::{
        self, Kernel, KernelLogger, Settings, Skipped,
        in_flight::InFlight,
        ring::{Entry, Ring},
    },
    pipeline::Tally,
};

/// Who the daemon is in the eyes of its kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Me {
    /// Its process id in its own pid namespace.
    pub pid: u32,
    /// Inode number of that namespace.
    pub pid_ns: u32,
    /// Key of its proving calls.
    pub canary_key: i32,
}

/// Attached hooks, or detached ones whose ring is not empty yet.
#[derive(Debug)]
pub struct Source {
    kernel: Kernel,
    ring: Ring,
    in_flight: InFlight,
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
    /// Records whose room in the ring was given back.
    done: u64,
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
    /// Loads and attaches the hooks of `rung`. Until [`Self::trust`] none of their calls is told of.
    ///
    /// # Errors
    /// What is missing for them, as a [`Failure`].
    pub fn attach(rung: Rung, config: &Config, me: Me) -> Result<(Self, KernelLogger), Failure> {
        let (mut kernel, ring, in_flight) = Kernel::load(&Settings {
            rung,
            scope: config.scope,
            ring_bytes: config.ring_bytes,
            log: config.kernel_log,
            command_lines: config.command_lines,
            budgets: config.budgets,
            self_pid: me.pid,
            self_pid_ns: me.pid_ns,
            canary_key: me.canary_key,
        })?;
        let logger = kernel.logger()?;
        kernel.attach()?;
        let decoder = Decoder {
            ring: Uuid::new_v4(),
            rung,
            offsets: kernel.offsets,
            attached: Clock::boot_now(),
            detached: None,
        };
        let decider = Decider::new(kernel::require::id_index_bits());
        let never = BootTime(u64::MAX);
        let told = never..never;
        let (attribution, former) = (Attribution::default(), HashMap::new());
        let (skipped, lost, done, published) = (None, 0, 0, 0);
        let source = Self {
            kernel,
            ring,
            in_flight,
            decoder,
            decider,
            attribution,
            told,
            former,
            skipped,
            lost,
            done,
            published,
        };
        Ok((source, logger))
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
    }

    /// Lets `next`, whose hooks are attached, tell of the calls from now on, and detaches its own.
    pub fn hand_over(&mut self, next: &mut Self) {
        next.trust();
        self.told.end = next.told.start;
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

    /// The same, added up.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn total(&self) -> Result<Counters, Failure> {
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
        let counters = self.total()?;
        Ok(counters.submitted + counters.controls_submitted + counters.contexts_submitted == self.done)
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// As [`Self::counters`].
    pub fn begin(&mut self) -> Result<Batch, Failure> {
        let now = Clock::boot_now();
        // First who is in flight, then what was lost, then which records there are: whoever is not in flight any more is
        // among these or those.
        let since = if self.decider.undecided() { self.in_flight.since(now) } else { BootTime(0) };
        let total = self.total()?;
        let lost = total.lost_ring_full + total.creators_unsent;
        if std::mem::replace(&mut self.lost, lost) != lost {
            self.decider.lost(Clock::boot_now());
        }
        Ok(Batch { now, target: self.ring.produced(), since })
    }

    /// Takes the next record out of the ring, and knows of its call or program from then on. False if there is none.
    pub fn take(&mut self, batch: &Batch, images: &mut Images, tally: &mut Tally) -> bool {
        let Some(Entry { position, bytes }) = self.ring.take() else { return false };
        match self.decoder.decode(position, bytes) {
            Ok(Decoded::Event(mut event)) => {
                images.attach(event.caller_mut());
                self.decider.push(event, batch.now);
            }
            Ok(Decoded::Image(image)) => {
                tally.read += 1;
                tally.contexts += 1;
                images.remember(image);
            }
            Err(malformed) => {
                tally.read += 1;
                tally.rejected += 1;
                log::error!("position {position} of the ring holds {malformed}; it is counted as rejected");
            }
        }
        true
    }

    /// True while the batch has records left.
    #[must_use]
    pub fn behind(&self, batch: &Batch) -> bool {
        self.ring.cursor() < batch.target
    }

    /// The next event, if it waits for no call that `batch`, now read to its end, does not know of; without one, for none.
    pub fn next_event(&mut self, batch: Option<&Batch>) -> Option<Event> {
        let progress = batch.map(|batch| {
            let complete_until = if self.behind(batch) { BootTime(0) } else { batch.since };
            // Whoever enters while the hooks are being detached is not seen.
            let complete_until = self.decoder.detached.map_or(complete_until, |detached| complete_until.min(detached));
            Progress { complete_until, now: batch.now }
        });
        self.decider.next(progress)
    }

    /// True while a call waits for others to return.
    #[must_use]
    pub fn undecided(&self) -> bool {
        self.decider.undecided()
    }

    /// Gives the room of `records` back, which are all before that of `current`, if there is one, and before those that
    /// are not decided yet.
    pub fn publish(&mut self, current: Option<&Event>, records: u64) {
        let held = current.or(self.decider.oldest()).map(|event| event.id().position);
        self.published = held.unwrap_or(self.ring.cursor());
        self.ring.publish(self.published);
        self.done += records;
    }

    /// Where the next record will stand in the ring.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.ring.produced()
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
        self.ring.wait(time).await.map_err(Failure::internal("waiting for the ring"))
    }
}

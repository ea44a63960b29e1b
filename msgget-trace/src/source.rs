//! A source of calls: one set of hooks goes in; what they see comes out of their ring, decoded and decided, in the order
//! of the ring.
//!
//! A daemon reads one source at a time. When it changes its hooks, the new ones are attached before the old ones go, and
//! the moment between divides the calls among them. A call that one saw return before that moment, and the other after it
//! (they do not look at the same instruction), is told of by the former (`told`).

mod count;
mod kinds;
mod read;
mod told;

use std::{collections::VecDeque, path::Path};

use kinds::Kinds;
use msgget_trace_ebpf::{Counters, Reader};
pub use read::Batch;
use told::Told;
use uuid::Uuid;

use crate::{
    attribution::Attribution,
    config::Config,
    decide::Decider,
    enrich::Clock,
    event::{BootTime, Rung, decode::Decoder},
    failure::Failure,
    kernel::{Handles, Kernel, KernelLogger, Settings, Skipped, pin::Folder, require},
    policy::Sieve,
};

/// Attached hooks, or detached ones whose ring is not empty yet.
#[derive(Debug)]
pub struct Source {
    kernel: Kernel,
    handles: Handles,
    decoder: Decoder,
    decider: Decider,
    attribution: Attribution,
    /// The events that this source tells of.
    told: Told,
    /// What had been skipped when it handed over.
    skipped: Option<Skipped>,
    /// Calls that decide would have needed and that were not sent, as far as it has been told.
    lost: u64,
    /// Calls and controls that were not sent, when detection was told of them last.
    told_unsent: u64,
    /// Records of calls, of controls and of uses that have been said to be lost.
    said: Kinds,
    /// All of them, on each CPU.
    losses: Vec<u64>,
    /// Runs that have been said to be skipped.
    said_skipped: Skipped,
    /// What had been counted when this daemon came.
    base: Counters,
    /// What had been skipped then.
    base_skipped: Skipped,
    /// What was counted when it was looked last.
    seen: Counters,
    /// Events that were given out.
    given: Kinds,
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
    /// Up to where all records have been dealt with.
    passed: u64,
    /// Up to where the room in the ring was given back.
    published: u64,
    /// Somebody else gave room back.
    robbed: Option<String>,
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
        // From here on its end removes the pins again.
        let mut source = Self::new(kernel, handles, ring, BootTime(u64::MAX), Told::nothing());
        source.handles.shared.set_reader(reader);
        source.leave_out(config.policies.sieve().as_ref());
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
        let Some((kernel, mut handles)) = Kernel::adopt(&settings(Rung::TpBtf, config), set)? else { return Ok(None) };
        let Some(mark) = handles.shared.marked(handles.ring.cursor()) else { return Ok(None) };
        let state = handles.shared.read();
        let (ring, told) = (Uuid::from_bytes(state.ring), Told::new(BootTime(state.from_ns), BootTime(state.until_ns)));
        let mut source = Self::new(kernel, handles, ring, BootTime(state.attached_ns), told);
        source.base = mark.counters;
        source.base_skipped = mark.skipped.into();
        source.said_skipped = source.base_skipped;
        source.accounted = mark.counters;
        source.seen = mark.counters;
        source.said = Kinds::lost(&mark.counters);
        source.attribution = Attribution::resume(&source.kernel.accounts()?);
        source.inherited = Some(BootTime(mark.at_ns));
        source.passed = mark.position;
        source.published = mark.position;
        source.trusted = true;
        source.unsure = true;
        if !source.kernel.attached() {
            source.decoder.detached = Some(BootTime(mark.at_ns));
        }
        // The images that the one before knew are announced again.
        let generation = state.reader.generation.wrapping_add(1);
        source.handles.shared.set_reader(Reader { generation, ..reader });
        source.leave_out(config.policies.sieve().as_ref());
        Ok(Some(source))
    }

    fn new(kernel: Kernel, handles: Handles, ring: Uuid, attached: BootTime, told: Told) -> Self {
        let decoder = Decoder { ring, rung: kernel.rung(), offsets: kernel.offsets, attached, detached: None };
        Self {
            kernel,
            handles,
            decoder,
            decider: Decider::new(require::id_index_bits()),
            attribution: Attribution::default(),
            told,
            skipped: None,
            lost: 0,
            told_unsent: 0,
            said: Kinds::default(),
            losses: Vec::new(),
            said_skipped: Skipped::default(),
            base: Counters::default(),
            base_skipped: Skipped::default(),
            seen: Counters::default(),
            given: Kinds::default(),
            sides: VecDeque::new(),
            accounted: Counters::default(),
            inherited: None,
            trusted: false,
            unsure: false,
            passed: 0,
            published: 0,
            robbed: None,
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

    /// Which programs these are and what they were told, as a digest.
    #[must_use]
    pub fn settings(&self) -> Uuid {
        Uuid::from_bytes(self.handles.shared.read().settings)
    }

    /// What somebody else did to it, if that can be seen.
    #[must_use]
    pub fn tampered(&self) -> Option<String> {
        if let Some(robbed) = &self.robbed {
            return Some(robbed.clone());
        }
        self.kernel
            .unpinned()
            .map(|pin| format!("{} is gone, so the hooks would not outlive the daemon", pin.display()))
    }

    /// Whether it would outlive the daemon.
    #[must_use]
    pub const fn pinned(&self) -> bool {
        self.kernel.pinned()
    }

    /// Whether it may go on: its hooks are attached, they are what we would have, and no others have taken over.
    #[must_use]
    pub fn current(&self) -> bool {
        self.kernel.attached() && !self.kernel.foreign() && self.told.is_last()
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

    /// Has calls left out that nobody wants, from now on.
    pub fn leave_out(&mut self, sieve: Option<&Sieve>) {
        if let Err(error) = self.kernel.leave_out(sieve, &mut self.handles.shared) {
            log::warn!("calls that no policy wants are sent all the same: {error}");
        }
    }

    /// The same of a cgroup, by its id, and the policies that may want its calls.
    pub fn leave_out_cgroup(&mut self, cgroup: u64, policies: u64) {
        if let Err(error) = self.kernel.leave_out_cgroup(cgroup, policies, &self.handles.shared) {
            log::debug!("calls of cgroup {cgroup} are sent all the same: {error}");
        }
    }

    /// From now on its calls are told of.
    pub fn trust(&mut self) {
        self.told.begin(Clock::boot_now());
        self.trusted = true;
        self.keep_span();
    }

    fn keep_span(&mut self) {
        let [from, until] = self.told.span();
        self.handles.shared.set_span(from.0, until.0);
    }

    /// Lets `next`, whose hooks are attached, tell of the calls from now on, and detaches its own.
    pub fn hand_over(&mut self, next: &mut Self) {
        next.trust();
        self.told.end(&next.told);
        self.keep_span();
        // What it misses from now on, the other one tells.
        self.skipped = Some(self.kernel.skipped());
        self.detach();
    }

    /// Gives way to `next`, which has taken over, as [`Self::hand_over`] would have done to its end.
    pub fn give_way(&mut self, next: &Self) {
        if self.told.is_last() {
            self.told.end(&next.told);
            self.keep_span();
        }
        if self.kernel.attached() {
            self.detach();
        }
    }

    /// Says who reads from now on.
    pub fn set_reader(&mut self, reader: Reader) {
        let generation = self.handles.shared.read().reader.generation;
        self.handles.shared.set_reader(Reader { generation, ..reader });
    }

    /// Detaches the hooks. What they saw is still to be read.
    pub fn detach(&mut self) {
        self.decoder.detached = Some(Clock::boot_now());
        self.kernel.detach();
    }

    /// Takes out what it has pinned, now that all is told.
    ///
    /// # Errors
    /// [`Failure::Pins`].
    pub fn remove(&mut self) -> Result<(), Failure> {
        self.kernel.detach();
        self.kernel.unpin()
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

fn settings(rung: Rung, config: &Config) -> Settings {
    Settings {
        rung,
        scope: config.scope,
        ring_bytes: config.ring_bytes,
        log: config.kernel_log,
        command_lines: config.command_lines,
        budgets: config.budgets,
        stale_ids: config.stale_ids,
        scoped: !config.policy_files.is_empty(),
    }
}

//! Reading a source: the records of its ring go in, batch by batch; events come out, each as soon as it is decided, and the room
//! of those that are written is given back.

use std::time::Duration;

use msgget_trace_ebpf::{Counters, Mark};

use super::{Kinds, Source, count::unsent, told::Content};
use crate::{
    decide::Progress,
    enrich::{Clock, Images},
    event::{BootTime, Counts, Event, decode::Decoded},
    failure::Failure,
    kernel::ring::Entry,
    pipeline::Tally,
};

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
    /// Whether `event`, the next one, is one that this source tells of.
    #[must_use]
    pub fn tells_of(&mut self, event: &Event) -> bool {
        // Whose entry was not seen may have been under way when the hooks came.
        let entered = event.entered().unwrap_or(self.decoder.attached);
        self.told.tells_of(event.caller().host.tid, [entered, event.left()], content(event))
    }

    /// Notes that the former source told of `event`.
    pub fn told_before(&mut self, event: &Event) {
        self.told.told_before(event.caller().host.tid, event.entered(), event.left(), content(event));
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
        let lost = unsent(&self.seen);
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
        self.given = self.given + Kinds::from(event.as_ref());
        event
    }

    /// True while a call waits for others to return.
    #[must_use]
    pub fn undecided(&self) -> bool {
        self.decider.undecided()
    }

    /// Gives the room of all records back that were given out and those in between, but for that of `current`, which is
    /// still on its way. One that has handed over keeps all: should the daemon die before it is past what the next one saw of
    /// the same calls, they are told of again, as these, and left out there.
    pub fn publish(&mut self, current: Option<&Event>) {
        let given_back = self.handles.ring.published();
        if given_back != self.published {
            self.robbed = Some(format!(
                "somebody else reads the ring: its room was given back up to {given_back}, by us up to {}",
                self.published
            ));
        }
        let held = current.or(self.decider.oldest()).map(|event| event.id().position);
        self.passed = held.unwrap_or(self.handles.ring.cursor());
        while let Some((_, image)) = self.sides.pop_front_if(|(position, _)| *position < self.passed) {
            self.accounted.contexts_submitted += u64::from(image);
            self.accounted.submitted += u64::from(!image);
        }
        let held = Kinds::from(current);
        let given = std::mem::replace(&mut self.given, held) - held;
        self.accounted = Counters {
            submitted: self.accounted.submitted + given.calls,
            contexts_submitted: self.accounted.contexts_submitted,
            controls_submitted: self.accounted.controls_submitted + given.controls,
            uses_submitted: self.accounted.uses_submitted + given.uses,
            lost_ring_full: self.said.calls,
            controls_lost: self.said.controls,
            uses_lost: self.said.uses,
            ..self.seen
        };
        let mut aggregated = Counts(self.base.aggregated);
        aggregated.add(&self.attribution.told());
        self.accounted.aggregated = aggregated.0;
        self.accounted.seen = self.accounted.submitted
            + self.accounted.aggregated_calls()
            + self.accounted.lost_ring_full
            + self.accounted.out_of_scope;
        self.accounted.controls_seen = self.accounted.controls_submitted + self.accounted.controls_lost;
        let uses = self.accounted.uses_submitted + self.accounted.uses_past_budget + self.accounted.uses_lost;
        self.accounted.uses_seen = uses;
        if !self.told.is_last() {
            return;
        }
        self.published = self.passed;
        let (position, at_ns) = (self.published, Clock::boot_now().0);
        self.handles.shared.mark(Mark { position, at_ns, counters: self.accounted, skipped: self.said_skipped.into() });
        self.handles.ring.publish(self.published);
    }

    /// Where the next record will stand in the ring.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.handles.ring.produced()
    }

    /// True if all records before `position` have been dealt with.
    #[must_use]
    pub const fn passed(&self, position: u64) -> bool {
        self.passed >= position
    }

    /// Waits until the kernel program says that the ring fills up, at most `time`.
    ///
    /// # Errors
    /// [`Failure::Internal`]: those of the runtime's poll.
    pub async fn wait(&self, time: Duration) -> Result<(), Failure> {
        self.handles.ring.wait(time).await.map_err(Failure::internal("waiting for the ring"))
    }
}

/// By which two calls of one thread are told apart where their times do not do it.
fn content(event: &Event) -> Content {
    let about = event.call().map(|call| i64::from(call.key)).or_else(|| event.queue());
    (about.unwrap_or_default(), event.result())
}

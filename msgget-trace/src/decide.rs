//! Decide: calls go in as they were decoded, in the order of the ring; they come out in the same order, each as soon as
//! what it did is as certain as it can become. Pure; the times are the calls' own.
//!
//! Open is only what IPC_CREAT without IPC_EXCL did where the hooks do not say so. Ids of a namespace only grow
//! (`ipc_idr_alloc`, ipc/util.c), so an id that does not lie after where allocation stood when the call began is that of an
//! older queue: opened. One that does was allocated during the call, by it or by another call that overlaps it and returned
//! the same id. Nobody else did if, among all calls that were in flight together with it, none claims that id, too: then it
//! is created. So such a claim waits until everybody who was in flight with it has returned and been read, and stays
//! ambiguous if there are several claims, if a record was lost meanwhile, or if that takes too long.

use std::{collections::VecDeque, num::NonZeroUsize};

use lru::LruCache;

use crate::event::{BootTime, Call, MsgFlags, Outcome, Position, Source};

/// Longest wait for a call that does not return: 200 ms, in ns.
const PATIENCE: u64 = 200_000_000;

/// Calls that wait at once; beyond it the oldest go undecided.
const CAPACITY: usize = 16_384;

/// Ids whose creator is known or contested, the latest of them.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// An id in a namespace. Both may be used again; the times beside it tell.
type Id = (Option<u32>, i64);

/// What has been read, in terms of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The records of all calls that returned, or will return, but were entered before this moment have been read.
    pub complete_until: BootTime,
    /// Now.
    pub now: BootTime,
}

#[derive(Debug)]
struct Waiting {
    call: Call,
    /// It may have created the queue whose id it returned.
    claims: bool,
    /// When it was taken in.
    since: BootTime,
}

/// Calls on their way from decode to detect.
#[derive(Debug)]
pub struct Decider {
    waiting: VecDeque<Waiting>,
    /// Claims among them.
    claims: usize,
    /// Ids that somebody certainly created, and until when they were at it.
    created: LruCache<Id, BootTime>,
    /// Ids that more than one may have created, and until when they were at it.
    contested: LruCache<Id, BootTime>,
    /// When a loss of records was last noticed.
    lost: Option<BootTime>,
    /// Bits of an id that are its index: 15, or 24 with `ipcmni_extend` (ipc/util.h).
    index_bits: u32,
}

impl Decider {
    /// Nothing waits. `index_bits` of an id are its index, the others its sequence number.
    #[must_use]
    pub fn new(index_bits: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            claims: 0,
            created: LruCache::new(REMEMBERED),
            contested: LruCache::new(REMEMBERED),
            lost: None,
            index_bits,
        }
    }

    /// Takes the next call in, at the moment `now`.
    pub fn push(&mut self, mut call: Call, now: BootTime) {
        let id = (call.caller.ipc_ns, call.result);
        let mut claims = false;
        match call.outcome {
            Outcome::Created => {
                self.created.put(id, call.left);
            }
            // Without its entry it can be placed nowhere, but it may be the one.
            Outcome::Unpaired if call.result >= 0 && call.flags.has(MsgFlags::IPC_CREAT) => {
                self.contested.put(id, call.left);
            }
            Outcome::Ambiguous => {
                let at = self.position(call.result);
                match call.positions {
                    // Backwards, or an id out of nowhere: another namespace under an old number, or a number that was
                    // chosen. Nothing follows.
                    // Still it may be the one.
                    Some((before, after)) if after < before || at > after => _ = self.contested.put(id, call.left),
                    Some((before, _)) if at <= before => call.decide(Outcome::Opened, Source::Counters),
                    Some(_) => claims = true,
                    None => _ = self.contested.put(id, call.left),
                }
            }
            _ => {}
        }
        self.claims += usize::from(claims);
        self.waiting.push_back(Waiting { call, claims, since: now });
    }

    /// True while a call waits for others to return.
    #[must_use]
    pub fn undecided(&self) -> bool {
        self.claims > 0
    }

    /// Notes that by `now` records had been lost: whoever was in flight till then may have been seen incompletely.
    pub fn lost(&mut self, now: BootTime) {
        self.lost = Some(now);
    }

    /// The oldest call that waits.
    #[must_use]
    pub fn oldest(&self) -> Option<&Call> {
        self.waiting.front().map(|waiting| &waiting.call)
    }

    /// The next call, if it waits for nothing any more. Without knowledge of the progress claims just wait.
    pub fn next(&mut self, progress: Option<Progress>) -> Option<Call> {
        let waiting = self.waiting.front()?;
        if !waiting.claims {
            return self.waiting.pop_front().map(|waiting| waiting.call);
        }
        let Progress { complete_until, now } = progress?;
        let complete = waiting.call.left < complete_until;
        if !complete && now.since(waiting.since) <= PATIENCE && self.waiting.len() <= CAPACITY {
            return None;
        }
        let Waiting { mut call, .. } = self.waiting.pop_front()?;
        self.claims -= 1;
        let id = (call.caller.ipc_ns, call.result);
        match if complete { self.judge(&call) } else { None } {
            Some(outcome) => {
                call.decide(outcome, Source::Counters);
                if outcome == Outcome::Created {
                    self.created.put(id, call.left);
                }
            }
            None => {
                self.contested.put(id, call.left);
            }
        }
        Some(call)
    }

    /// What `call`, a claim that was the first in the queue, did, now that all calls it overlaps have been read.
    fn judge(&self, call: &Call) -> Option<Outcome> {
        let began = call.entered?;
        let id = (call.caller.ipc_ns, call.result);
        let during = |end: Option<&BootTime>| end.is_some_and(|end| *end > began);
        if self.lost.is_some_and(|lost| began <= lost) || during(self.contested.peek(&id)) {
            return None;
        }
        if during(self.created.peek(&id)) {
            return Some(Outcome::Opened);
        }
        let rival = |other: &Waiting| {
            other.claims && (other.call.caller.ipc_ns, other.call.result) == id && overlap(&other.call, call)
        };
        if self.waiting.iter().any(rival) { None } else { Some(Outcome::Created) }
    }

    fn position(&self, id: i64) -> Position {
        // An id is an int that is not negative, or the outcome would be another.
        Position { seq: (id >> self.index_bits) as u32, last_idx: (id & ((1 << self.index_bits) - 1)) as i32 }
    }
}

fn overlap(one: &Call, other: &Call) -> bool {
    one.timestamp() < other.left && other.timestamp() < one.left
}

#[cfg(test)]
mod tests;

//! Decide: events go in as they were decoded, in the order of the ring; they come out in the same order, each call as soon
//! as what it did is as certain as it can become. What became of a queue is certain at once, and keeps its
//! place. Pure; the times are the calls' own.
//!
//! Open is only what IPC_CREAT without IPC_EXCL did where the hooks do not say so. Ids of a namespace only grow
//! (`ipc_idr_alloc`, ipc/util.c), so an id that does not lie after where allocation stood when the call began is that of an
//! older queue: opened. One that does was allocated during the call, by it or by another call that overlaps it and returned
//! the same id. Nobody else did if, among all calls that were in flight together with it, none claims that id, too: then it
//! is created. So such a claim waits until everybody who was in flight with it has returned and been read, and stays
//! ambiguous if there are several claims, if a record was lost meanwhile, or if that takes too long.

use std::{collections::VecDeque, num::NonZeroUsize};

use lru::LruCache;

use crate::event::{BootTime, Call, Event, MsgFlags, Outcome, Position, Rivals, Source};

/// Longest wait for a call that does not return: 200 ms, in ns.
const PATIENCE: u64 = 200_000_000;

/// Calls that wait at once; beyond it the oldest go undecided.
const CAPACITY: usize = 16_384;

/// Ids whose creator is known or contested, the latest of them.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Different makers of one queue that are told apart.
const MAKERS: usize = 8;

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
    event: Event,
    /// It is a call that may have created the queue whose id it returned.
    claims: bool,
    /// When it was taken in.
    since: BootTime,
}

/// Those who may have created a queue.
#[derive(Debug)]
struct Contest {
    /// Until when they were at it.
    until: BootTime,
    /// Their effective ids, each pair once; `None` when they are too many, or unknown.
    makers: Option<Vec<(u32, u32)>>,
}

/// Events on their way from decode to detect.
#[derive(Debug)]
pub struct Decider {
    waiting: VecDeque<Waiting>,
    /// Claims among them.
    claims: usize,
    /// Ids that somebody certainly created, and until when they were at it.
    created: LruCache<Id, BootTime>,
    /// Ids that more than one may have created.
    contested: LruCache<Id, Contest>,
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

    /// Takes the next event in, at the moment `now`.
    pub fn push(&mut self, mut event: Event, now: BootTime) {
        let claims = match &mut event {
            Event::Call(call) => self.claims(call),
            Event::Control(_) | Event::Use(_) => false,
        };
        self.claims += usize::from(claims);
        self.waiting.push_back(Waiting { event, claims, since: now });
    }

    /// Decides `call` if that is possible at once; true if it is a claim, which has to wait.
    fn claims(&mut self, call: &mut Call) -> bool {
        let id = (call.caller.ipc_ns, call.result);
        let mut claims = false;
        match call.outcome {
            Outcome::Created => {
                self.created.put(id, call.left);
            }
            // Without its entry it can be placed nowhere, but it may be the one.
            Outcome::Unpaired if call.result >= 0 && call.flags.has(MsgFlags::IPC_CREAT) => {
                self.contest(call);
            }
            Outcome::Ambiguous => {
                let at = self.position(call.result);
                match call.positions {
                    // Backwards, or an id out of nowhere: another namespace under an old number, or a number that was
                    // chosen. Nothing follows.
                    // Still it may be the one.
                    Some((before, after)) if after < before || at > after => self.contest(call),
                    Some((before, _)) if at <= before => call.decide(Outcome::Opened, Source::Counters),
                    Some(_) => claims = true,
                    None => self.contest(call),
                }
            }
            _ => {}
        }
        claims
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

    /// The oldest event that waits.
    #[must_use]
    pub fn oldest(&self) -> Option<&Event> {
        self.waiting.front().map(|waiting| &waiting.event)
    }

    /// The next event, if it waits for nothing any more. Without knowledge of the progress claims just wait.
    pub fn next(&mut self, progress: Option<Progress>) -> Option<Event> {
        let waiting = self.waiting.front()?;
        let Some(call) = waiting.event.call().filter(|_| waiting.claims) else {
            return self.waiting.pop_front().map(|waiting| waiting.event);
        };
        let Progress { complete_until, now } = progress?;
        let complete = call.left < complete_until;
        if !complete && now.since(waiting.since) <= PATIENCE && self.waiting.len() <= CAPACITY {
            return None;
        }
        let Waiting { mut event, .. } = self.waiting.pop_front()?;
        self.claims -= 1;
        let Event::Call(call) = &mut event else { return Some(event) };
        let id = (call.caller.ipc_ns, call.result);
        match if complete { self.judge(call) } else { Err(Rivals::Unknown) } {
            Ok(outcome) => {
                call.decide(outcome, Source::Counters);
                if outcome == Outcome::Created {
                    self.created.put(id, call.left);
                }
            }
            Err(rivals) => {
                call.rivals = Some(rivals);
                self.contest(call);
            }
        }
        Some(event)
    }

    /// What `call`, a claim that was the first in the queue, did, now that all calls it overlaps have been read; or who
    /// else may have done it.
    fn judge(&self, call: &Call) -> Result<Outcome, Rivals> {
        let began = call.entered.ok_or(Rivals::Unknown)?;
        let id = (call.caller.ipc_ns, call.result);
        if self.lost.is_some_and(|lost| began <= lost) {
            return Err(Rivals::Unknown);
        }
        let earlier = self.contested.peek(&id).filter(|contest| contest.until > began);
        if earlier.is_none() && self.created.peek(&id).is_some_and(|until| *until > began) {
            return Ok(Outcome::Opened);
        }
        let rival = |other: &&Call| (other.caller.ipc_ns, other.result) == id && overlap(other, call);
        let others = self.waiting.iter().filter(|other| other.claims).filter_map(|other| other.event.call());
        let later: Vec<_> = others.filter(rival).map(ids).collect();
        if earlier.is_none() && later.is_empty() {
            return Ok(Outcome::Created);
        }
        let earlier = match earlier.map(|contest| &contest.makers) {
            None => &[][..],
            Some(Some(makers)) => makers,
            Some(None) => return Err(Rivals::Unknown),
        };
        let own = ids(call).ok_or(Rivals::Unknown)?;
        let later: Option<Vec<_>> = later.into_iter().collect();
        let mut rivals = earlier.iter().copied().chain(later.ok_or(Rivals::Unknown)?);
        Err(if rivals.any(|ids| ids == own) { Rivals::Alike } else { Rivals::Different })
    }

    /// Notes that `call` may have created the queue it returned.
    fn contest(&mut self, call: &Call) {
        let id = (call.caller.ipc_ns, call.result);
        let began = call.entered.unwrap_or(call.left);
        let until = self.contested.peek(&id).map_or(call.left, |contest| contest.until.max(call.left));
        let mut makers = match self.contested.pop(&id) {
            Some(contest) if contest.until > began => contest.makers,
            _ => Some(Vec::new()),
        };
        // A call that was not seen entering may have begun at any time before.
        let maker = call.entered.and(ids(call));
        makers = makers.zip(maker).filter(|(makers, _)| makers.len() < MAKERS).map(|(mut makers, maker)| {
            if !makers.contains(&maker) {
                makers.push(maker);
            }
            makers
        });
        self.contested.put(id, Contest { until, makers });
    }

    fn position(&self, id: i64) -> Position {
        // An id is an int that is not negative, or the outcome would be another.
        Position { seq: (id >> self.index_bits) as u32, last_idx: (id & ((1 << self.index_bits) - 1)) as i32 }
    }
}

/// The effective ids of `call`: those of what it creates.
fn ids(call: &Call) -> Option<(u32, u32)> {
    call.caller.euid.zip(call.caller.egid)
}

fn overlap(one: &Call, other: &Call) -> bool {
    one.timestamp() < other.left && other.timestamp() < one.left
}

#[cfg(test)]
mod tests;

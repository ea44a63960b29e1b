//! Memory: what the rules know of the past. Events go in; processes, keys, queues, namespaces and programs come out as they were
//! before. All of it is bounded, the longest untouched goes first.
//!
//! The bound: 32,768 processes, 131,072 keys and as many acts on them, 65,536 queues, as many namespaces as keys, 8,192 programs and 32,768
//! stories. `cargo bench -p msgget-trace --bench detect` says what they take.

use std::{mem, sync::Arc};

use smallvec::SmallVec;

use super::{
    Actor,
    act::{Act, History},
    actor::{Doer, ProcessId, Program},
    table::Table,
};
use crate::event::{BootTime, Call, CallId, Event, Outcome};

const PROCESSES: usize = 32_768;
const KEYS: usize = 131_072;
const ACTS: usize = 131_072;
const QUEUES: usize = 65_536;
const SPACES: usize = 131_072;
const PROGRAMS: usize = 8_192;

/// Users of a queue that are remembered, the creator not counted.
pub(super) const USERS: usize = 4;

/// An IPC namespace: its number, and which of those that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SpaceId {
    pub(super) inode: Option<u32>,
    pub(super) generation: u32,
}

/// An IPC namespace.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) id: SpaceId,
    /// When its first call was seen.
    pub(super) since: BootTime,
    /// Queues known to be alive.
    pub(super) live: u64,
    /// The id made last, and when that call returned.
    newest: Option<(i32, BootTime)>,
}

impl Space {
    fn new(id: SpaceId, since: BootTime) -> Self {
        Self { id, since, live: 0, newest: None }
    }
}

/// A process. What not every call looks at lies elsewhere: the table is the smaller.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) actor: Arc<Actor>,
    /// Where it last had to do with a queue that was seen to be made: that it is there is certain.
    pub(super) proved: Option<SpaceId>,
    pub(super) scan: Scan,
    pub(super) spray: Box<Spray>,
    pub(super) calls: u64,
    /// A call that stands for those that are only counted.
    pub(super) sample: Option<Box<Call>>,
}

impl Process {
    pub(super) fn new(actor: Arc<Actor>) -> Self {
        Self { actor, proved: None, scan: Scan::default(), spray: Box::default(), calls: 0, sample: None }
    }
}

/// Keys a process looked for without making a queue.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) since: BootTime,
    /// Different keys whose queue it got or made: for each the bit of its hash.
    pub(super) got: u64,
    /// Calls that got a queue.
    pub(super) hits: u64,
    /// Calls that found nothing, or nothing it may have.
    pub(super) misses: u64,
    pub(super) missed: Option<Box<Missed>>,
}

/// The keys of such calls.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) first: CallId,
    /// Different ones that have no queue.
    pub(super) missing: Vec<i32>,
    /// Different ones whose queue it must not have.
    pub(super) denied: Vec<i32>,
}

/// Queues without a key that a process made.
#[derive(Debug, Default)]
pub(super) struct Spray {
    pub(super) since: BootTime,
    pub(super) created: u64,
    pub(super) removed: u64,
    pub(super) first: Option<CallId>,
}

/// A queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) key: i32,
    /// Its creator's effective user; `None` where nobody knows.
    pub(super) cuid: Option<u32>,
    /// Its mode when it was made.
    pub(super) mode: Option<u16>,
    /// Who made it, if that was seen.
    pub(super) creator: Option<Doer>,
    /// Others who got it, the first of them.
    pub(super) users: SmallVec<[Doer; 1]>,
    /// By whom it was removed.
    pub(super) removed: Option<Box<Doer>>,
}

impl Queue {
    /// The one that `call` made.
    pub(super) fn made(call: &Call, creator: Doer) -> Self {
        let (cuid, mode) = (creator.actor.euid, Some(call.flags.mode()));
        Self { key: call.key, cuid, mode, creator: Some(creator), users: SmallVec::new(), removed: None }
    }

    /// One of which only the key is known.
    fn found(key: i32) -> Self {
        Self { key, cuid: None, mode: None, creator: None, users: SmallVec::new(), removed: None }
    }

    /// Whether it is the one that `call` made, whose record came after that of somebody who got it.
    pub(super) fn was_made_by(&self, call: &Call) -> bool {
        let met = |user: &Doer| call.entered.is_none_or(|entered| user.left >= entered);
        self.creator.is_none() && self.removed.is_none() && self.key == call.key && self.users.iter().any(met)
    }

    /// Whether `event`, which names its id, shows that its caller is where it was made: ids alone are the same everywhere.
    pub(super) fn is_proof(&self, event: &Event) -> bool {
        let named = match event {
            Event::Call(call) => call.key == self.key,
            Event::Control(control) => control.outcome == Outcome::Removed,
            // It failed, so it shows nothing.
            Event::Use(_) => false,
        };
        named && self.creator.is_some() && self.removed.is_none()
    }

    /// All who had it, with what they were to it.
    pub(super) fn holders(&self) -> impl Iterator<Item = (&'static str, &Doer)> {
        self.creator.iter().map(|creator| ("creator", creator)).chain(self.users.iter().map(|user| ("user", user)))
    }
}

/// What one program does in one namespace for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) space: SpaceId,
    pub(super) program: Program,
    pub(super) euid: Option<u32>,
}

/// A program in its place.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// Queues with or without a key that it made and nobody removed.
    pub(super) live: u64,
    /// Different processes of it that made one, the first of them.
    pub(super) makers: Vec<ProcessId>,
}

/// Whoever is behind `event`.
pub(super) fn process<'a>(processes: &'a mut Table<ProcessId, Process>, event: &Event) -> &'a mut Process {
    let process = processes.entry(ProcessId::of(event.caller()), || Process::new(Arc::new(Actor::of(event))));
    if !process.actor.is(event) {
        process.actor = Arc::new(Actor::of(event));
    }
    process
}

/// The namespace `inode`, where `process` now makes the queue `created`, if it does; and that which had its number until then.
///
/// Ids only grow (`ipc_idr_alloc`, ipc/util.c), so one that does not, by a process that had to do with none of its queues, was made
/// in a namespace that has got the number of one that has ended; unless the two calls, `entered` being when this one began, were
/// under way at once, whose records come in any order.
pub(super) fn space<'a>(
    spaces: &'a mut Table<Option<u32>, Space>,
    namespaces: &mut u32,
    process: &mut Process,
    inode: Option<u32>,
    (entered, at): (Option<BootTime>, BootTime),
    created: Option<i32>,
) -> (&'a mut Space, Option<SpaceId>) {
    let mut next = || {
        *namespaces = namespaces.wrapping_add(1);
        Space::new(SpaceId { inode, generation: *namespaces }, at)
    };
    let space = spaces.entry(inode, &mut next);
    let mut former = None;
    if let Some(id) = created {
        let later = |left| entered.is_some_and(|entered| entered > left);
        let lower = space.newest.filter(|(newest, _)| id <= *newest);
        if lower.is_some_and(|(_, left)| later(left)) && process.proved != Some(space.id) {
            former = Some(space.id);
            *space = next();
        }
        if lower.is_none_or(|(_, left)| later(left)) {
            space.newest = Some((id, at));
        }
        process.proved = Some(space.id);
    }
    (space, former)
}

/// Takes along what `process` did to a key when its namespace was still taken for another one, which only had its number.
pub(super) fn take_along(
    keys: &mut Table<(SpaceId, i32), History>,
    acts: &mut usize,
    process: ProcessId,
    [from, to]: [SpaceId; 2],
    key: i32,
) {
    let young = keys.is_young(&(from, key));
    let Some(history) = keys.get_mut(&(from, key)) else { return };
    let taken = history.take(process);
    *acts = if young { acts.saturating_sub(taken.len()) } else { *acts + history.len() };
    let history = keys.entry((to, key), History::default);
    taken.into_iter().for_each(|act| *acts += history.push(act));
}

/// Everything.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) processes: Table<ProcessId, Process>,
    pub(super) keys: Table<(SpaceId, i32), History>,
    /// Acts on the keys that are young.
    pub(super) acts: usize,
    pub(super) queues: Table<(SpaceId, i32), Queue>,
    pub(super) spaces: Table<Option<u32>, Space>,
    pub(super) programs: Table<Place, Habits>,
    /// Namespaces that were ever told apart, so that none passes for one that was forgotten.
    pub(super) namespaces: u32,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            processes: Table::new(PROCESSES),
            keys: Table::new(KEYS),
            acts: 0,
            queues: Table::new(QUEUES),
            spaces: Table::new(SPACES),
            programs: Table::new(PROGRAMS),
            namespaces: 0,
        }
    }

    /// Remembers `act` on `key`.
    pub(super) fn act(&mut self, space: SpaceId, key: i32, act: Act) {
        let (young, history) = self.keys.touch((space, key), History::default);
        let more = history.push(act);
        self.acts += if young { more } else { history.len() };
        if self.acts > ACTS / 2 {
            self.acts = 0;
            self.keys.age();
        }
    }

    /// Remembers that `call` made the queue `id`.
    pub(super) fn made(&mut self, space: SpaceId, id: i32, call: &Call, creator: Doer) {
        if let Some(space) = self.spaces.get_mut(&space.inode) {
            space.live += 1;
        }
        let early = self.queues.get_mut(&(space, id)).filter(|known| known.was_made_by(call));
        let users = early.map(|known| mem::take(&mut known.users)).unwrap_or_default();
        self.queues.put((space, id), Queue { users, ..Queue::made(call, creator) });
    }

    /// Remembers that `call` got the queue `id`.
    pub(super) fn opened(&mut self, space: SpaceId, id: i32, call: &Call, user: Doer) {
        let queue = self.queues.entry((space, id), || Queue::found(call.key));
        if let Some(known) = call.queue {
            queue.cuid = Some(known.cuid);
            queue.mode = Some(known.mode);
        }
        let known = queue.holders().any(|(_, holder)| holder.same_process(&user));
        if !known && queue.users.len() < USERS {
            queue.users.push(user);
        }
    }

    /// Remembers that the queue `id` was removed; its key, if that is known.
    pub(super) fn removed(&mut self, space: SpaceId, id: i32, remover: Doer) -> Option<i32> {
        if let Some(space) = self.spaces.get_mut(&space.inode) {
            space.live = space.live.saturating_sub(1);
        }
        let queue = self.queues.get_mut(&(space, id))?;
        queue.removed = Some(Box::new(remover));
        if let Some(creator) = &queue.creator {
            let place = Place { space, program: creator.actor.program, euid: creator.actor.euid };
            if let Some(habits) = self.programs.get_mut(&place) {
                habits.live = habits.live.saturating_sub(1);
            }
        }
        Some(queue.key)
    }
}

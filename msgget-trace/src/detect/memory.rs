//! Memory: what the rules know of the past. Events go in; processes, keys, queues, namespaces and programs come out as they were
//! before. All of it is bounded, the longest untouched goes first.
//!
//! The bound: 16,384 processes, 65,536 keys with 131,072 acts, 65,536 queues, 4,096 namespaces, 8,192 programs and 16,384 stories,
//! under 80 MB with every table full and every act another process's.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;

use super::{
    Actor, Party,
    act::{Act, History},
    actor::{ProcessId, Program},
};
use crate::event::{BootTime, Call, CallId, Caller, Event};

const PROCESSES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
const KEYS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const ACTS: usize = 131_072;
const QUEUES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const SPACES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
const PROGRAMS: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();

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
    /// Queues made so far.
    pub(super) created: u64,
    /// The id made last.
    newest: Option<i32>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) actor: Arc<Actor>,
    /// Where it was last.
    space: Option<SpaceId>,
    pub(super) scan: Scan,
    pub(super) spray: Spray,
    pub(super) calls: u64,
    /// A call that stands for those that are only counted.
    pub(super) sample: Option<Box<Call>>,
}

/// Keys a process looked for without making a queue.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) since: BootTime,
    /// Different keys that have no queue.
    pub(super) missing: Vec<i32>,
    /// Different keys whose queue it must not have.
    pub(super) denied: Vec<i32>,
    /// Calls that found nothing, or nothing it may have.
    pub(super) misses: u64,
    /// Calls that got a queue.
    pub(super) hits: u64,
    pub(super) first: Option<CallId>,
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
    pub(super) creator: Option<Holder>,
    /// Others who got it, the first of them.
    pub(super) users: Vec<Holder>,
    /// By whom it was removed.
    pub(super) removed: Option<Holder>,
}

impl Queue {
    /// The one that `call` made.
    pub(super) fn made(call: &Call, creator: Holder) -> Self {
        let (cuid, mode) = (creator.actor.euid, Some(call.flags.mode()));
        Self { key: call.key, cuid, mode, creator: Some(creator), users: Vec::new(), removed: None }
    }

    /// All who had it, with what they were to it.
    pub(super) fn holders(&self) -> impl Iterator<Item = (&'static str, &Holder)> {
        self.creator.iter().map(|creator| ("creator", creator)).chain(self.users.iter().map(|user| ("user", user)))
    }
}

/// Somebody who had to do with a queue.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) actor: Arc<Actor>,
    pub(super) call: CallId,
    pub(super) entered: Option<BootTime>,
    pub(super) left: BootTime,
}

impl Holder {
    /// Whoever is behind `event`.
    pub(super) fn of(event: &Event, actor: &Arc<Actor>) -> Self {
        Self { actor: Arc::clone(actor), call: event.id(), entered: event.entered(), left: event.left() }
    }

    /// As one whom a finding names.
    pub(super) fn party(&self, role: &'static str) -> Party {
        Party { role, actor: Arc::clone(&self.actor), call: self.call, entered: self.entered, left: self.left }
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
    /// Processes of it that made one, not more told apart than follow each other.
    pub(super) makers: u64,
    pub(super) maker: Option<ProcessId>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) processes: LruCache<ProcessId, Process>,
    pub(super) keys: LruCache<(SpaceId, i32), History>,
    acts: usize,
    pub(super) queues: LruCache<(SpaceId, i32), Queue>,
    spaces: LruCache<Option<u32>, Space>,
    pub(super) programs: LruCache<Place, Habits>,
    /// Of namespaces, so that none has that of one that was forgotten.
    generation: u32,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            processes: LruCache::new(PROCESSES),
            keys: LruCache::new(KEYS),
            acts: 0,
            queues: LruCache::new(QUEUES),
            spaces: LruCache::new(SPACES),
            programs: LruCache::new(PROGRAMS),
            generation: 0,
        }
    }

    /// Who `caller` is.
    pub(super) fn process(&mut self, caller: &Caller) -> &mut Process {
        let process = self.processes.get_or_insert_mut(ProcessId::of(caller), || Process {
            actor: Arc::new(Actor::new(caller)),
            space: None,
            scan: Scan::default(),
            spray: Spray::default(),
            calls: 0,
            sample: None,
        });
        if !process.actor.is(caller) {
            process.actor = Arc::new(Actor::new(caller));
        }
        process
    }

    /// The namespace `inode`, where `process` now makes a queue `created`, if it does.
    ///
    /// Ids only grow (`ipc_idr_alloc`, ipc/util.c), so one that does not, by a process that was not there before, was made in
    /// a namespace that has got the number of one that has ended.
    pub(super) fn space(
        &mut self,
        inode: Option<u32>,
        at: BootTime,
        process: ProcessId,
        created: Option<i32>,
    ) -> &mut Space {
        let generation = self.generation;
        let fresh =
            |generation| Space { id: SpaceId { inode, generation }, since: at, live: 0, created: 0, newest: None };
        let space = self.spaces.get_or_insert_mut(inode, || fresh(generation.wrapping_add(1)));
        let known = self.processes.peek(&process).is_some_and(|process| process.space == Some(space.id));
        if let Some(id) = created
            && space.newest.is_some_and(|newest| id <= newest)
            && !known
        {
            *space = fresh(generation.wrapping_add(1));
        }
        if space.id.generation == generation.wrapping_add(1) {
            self.generation = generation.wrapping_add(1);
        }
        if created.is_some() {
            space.newest = created;
        }
        let id = space.id;
        if let Some(process) = self.processes.peek_mut(&process).filter(|process| process.space != Some(id)) {
            process.space = Some(id);
        }
        space
    }

    /// The namespace `inode`, if any call in it was seen.
    pub(super) fn seen_space(&mut self, inode: Option<u32>) -> Option<&mut Space> {
        self.spaces.peek_mut(&inode)
    }

    /// What was done to `key`.
    pub(super) fn history(&self, space: SpaceId, key: i32) -> Option<&History> {
        self.keys.peek(&(space, key))
    }

    /// Remembers `act` on `key`.
    pub(super) fn act(&mut self, space: SpaceId, key: i32, act: Act) {
        // Before the table does so, for the acts that go are counted.
        if self.keys.len() >= KEYS.get() && !self.keys.contains(&(space, key)) {
            self.forget_key();
        }
        let history = self.keys.get_or_insert_mut((space, key), History::default);
        self.acts += history.push(act);
        while self.acts > ACTS && self.forget_key() {}
    }

    fn forget_key(&mut self) -> bool {
        let forgotten = self.keys.pop_lru();
        self.acts -= forgotten.as_ref().map_or(0, |(_, history)| history.len());
        forgotten.is_some()
    }

    /// What `place` is used to do.
    pub(super) fn habits(&mut self, place: Place) -> &mut Habits {
        self.programs.get_or_insert_mut(place, Habits::default)
    }

    /// Remembers that `queue` was made.
    pub(super) fn made(&mut self, space: SpaceId, id: i32, queue: Queue) {
        if let Some(space) = self.spaces.peek_mut(&space.inode) {
            space.created += 1;
            space.live += 1;
        }
        self.queues.put((space, id), queue);
    }

    /// Remembers that `call` got the queue `id`.
    pub(super) fn opened(&mut self, space: SpaceId, id: i32, call: &Call, user: Holder) {
        let fresh = || Queue { key: call.key, cuid: None, mode: None, creator: None, users: Vec::new(), removed: None };
        let queue = self.queues.get_or_insert_mut((space, id), fresh);
        if let Some(known) = call.queue {
            queue.cuid = Some(known.cuid);
            queue.mode = Some(known.mode);
        }
        let process = user.actor.process();
        let known = queue.holders().any(|(_, holder)| holder.actor.process() == process);
        if !known && queue.users.len() < USERS {
            queue.users.push(user);
        }
    }

    /// Remembers that the queue `id` was removed; its key, if that is known.
    pub(super) fn removed(&mut self, space: SpaceId, id: i32, remover: Holder) -> Option<i32> {
        if let Some(space) = self.spaces.peek_mut(&space.inode) {
            space.live = space.live.saturating_sub(1);
        }
        let queue = self.queues.get_mut(&(space, id))?;
        queue.removed = Some(remover);
        let key = queue.key;
        if let Some(creator) = &queue.creator {
            let place = Place { space, program: creator.actor.program, euid: creator.actor.euid };
            if let Some(habits) = self.programs.peek_mut(&place) {
                habits.live = habits.live.saturating_sub(1);
            }
        }
        Some(key)
    }
}

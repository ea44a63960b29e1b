//! Acts: what was done to a key, in the order in which it happened. Calls go in; pairs of acts that leave a window, and whoever was
//! in it, come out.

use smallvec::SmallVec;

use super::{
    Certainty,
    actor::{Doer, Moment, ProcessId},
};
use crate::event::BootTime;

/// Acts on one key that are remembered.
const REMEMBERED: usize = 12;

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// There was no queue: ENOENT.
    Missing,
    /// Made one.
    Created,
    /// Made one, or got one that somebody made at the same moment.
    MayHaveCreated,
    /// Got one that was there.
    Opened,
    /// There was one, and it was to be new: EEXIST.
    Exists,
    /// There was one that it must not have: EACCES.
    Denied,
    /// Removed it.
    Removed,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) deed: Deed,
    /// It asked to create.
    pub(super) create: bool,
    /// The queue, where there is one.
    pub(super) queue: Option<i32>,
    /// When it happened, where the kernel states it.
    pub(super) happened: Moment,
    pub(super) by: Doer,
}

impl Act {
    /// Not before this moment did it happen.
    pub(super) fn earliest(&self) -> BootTime {
        self.happened.known().or_else(|| self.by.entered()).unwrap_or(self.by.left)
    }

    /// True if what it made is known not to be the queue that `other` got.
    pub(super) fn made_another(&self, other: &Self) -> bool {
        matches!((self.queue, other.queue), (Some(made), Some(got)) if made != got)
    }

    /// Not after this.
    pub(super) fn latest(&self) -> BootTime {
        self.happened.known().unwrap_or(self.by.left)
    }
}

/// Two acts of one process, between which the key was open to others.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    pub(super) from: &'a Act,
    pub(super) to: &'a Act,
}

impl Window<'_> {
    /// Whether `rival`, who made a queue, was in it.
    pub(super) fn holds(&self, rival: &Act) -> Option<Certainty> {
        let (from, to) = (self.from, self.to);
        if !matches!(rival.deed, Deed::Created | Deed::MayHaveCreated) || rival.by.same_process(&to.by) {
            return None;
        }
        // What was seen entering neither by us nor before the other's return may have happened at any time.
        if rival.earliest() > to.latest() || rival.latest() < from.earliest() {
            return None;
        }
        let certain = rival.deed == Deed::Created && rival.by.entered().is_some();
        let inside = rival.earliest() > from.latest() && rival.latest() < to.earliest() && to.by.entered().is_some();
        // There was no queue, the rival made one, and that very one is what was got then: so it was made in between,
        // whatever the clock says.
        let got = from.deed != Deed::Exists && rival.queue.is_some() && rival.queue == to.queue;
        Some(if certain && (inside || got) && !rival.made_another(to) {
            Certainty::Definite
        } else {
            Certainty::Possible
        })
    }

    /// The shortest time it can have been open, ns.
    pub(super) fn least(&self) -> Option<u64> {
        self.to.by.entered().map(|entered| entered.since(self.from.by.left))
    }

    /// The longest, ns.
    pub(super) fn most(&self) -> u64 {
        self.to.by.left.since(self.from.by.left)
    }
}

/// The latest acts on one key, in the order of their records.
#[derive(Debug, Default)]
pub(super) struct History(SmallVec<[Act; 1]>);

impl History {
    /// Of a key that nobody asked for yet.
    pub(super) const EMPTY: &'static Self = &Self(SmallVec::new_const());

    /// Remembers `act`; how many more acts are remembered now, which may be none.
    pub(super) fn push(&mut self, act: Act) -> usize {
        // Who looks again and again looks once: the latest time counts.
        if let Some(last) = self.0.iter_mut().rfind(|other| other.by.same_process(&act.by))
            && last.deed == act.deed
            && matches!(act.deed, Deed::Missing | Deed::Opened | Deed::Exists | Deed::Denied)
        {
            *last = act;
            return 0;
        }
        let full = self.0.len() >= REMEMBERED;
        if full {
            // Opening is what a crowd does, and what others would do to have a check forgotten.
            let of_crowd = self.0.iter().position(|act| act.deed == Deed::Opened);
            self.0.remove(of_crowd.unwrap_or(0));
        }
        // Most keys see an act or two.
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(self.0.len().max(1));
        }
        self.0.push(act);
        usize::from(!full)
    }

    /// Takes out what `process` did.
    pub(super) fn take(&mut self, process: ProcessId) -> Vec<Act> {
        self.0.drain_filter(|act| act.by.actor.process() == process).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The act before `act` of the same process.
    pub(super) fn before(&self, act: &Act) -> Option<&Act> {
        self.0.iter().rfind(|other| other.by.same_process(&act.by))
    }

    /// The latest creation by anybody.
    pub(super) fn latest_creation(&self) -> Option<&Act> {
        self.0.iter().rfind(|act| act.deed == Deed::Created)
    }

    /// True if the effective user `euid` made a queue of this key, as far as is remembered.
    pub(super) fn made_by(&self, euid: Option<u32>) -> bool {
        self.0.iter().any(|act| act.deed == Deed::Created && act.by.actor.euid == euid)
    }

    /// Whoever made a queue in `window`; the surest one.
    pub(super) fn rival(&self, window: &Window<'_>) -> Option<(&Act, Certainty)> {
        let rivals = self.0.iter().filter_map(|act| Some((act, self.certainty(window, act)?)));
        rivals.max_by_key(|(act, certainty)| (*certainty, act.by.left))
    }

    /// The windows that were closed before `act` came in, although it was in them: its record came later than the one that
    /// closed them.
    pub(super) fn missed<'a>(&'a self, act: &'a Act) -> impl Iterator<Item = (Window<'a>, Certainty)> {
        self.0.iter().enumerate().filter_map(move |(nth, to)| {
            let from = self.0[..nth].iter().rfind(|from| from.by.same_process(&to.by))?;
            let window = Window { from, to };
            let certainty = self.certainty(&window, act)?;
            Some((window, certainty))
        })
    }

    /// Whether `rival` was in `window`. Whose queue was gone when the window closed did not close it: somebody else's did, of
    /// whom nothing is known.
    fn certainty(&self, window: &Window<'_>, rival: &Act) -> Option<Certainty> {
        let certainty = window.holds(rival)?;
        let gone = |act: &Act| {
            act.deed == Deed::Removed
                && act.queue == rival.queue
                && (rival.by.left..=window.to.by.left).contains(&act.by.left)
        };
        let refused = matches!(window.to.deed, Deed::Exists | Deed::Denied);
        Some(if refused && self.0.iter().any(gone) { Certainty::Possible } else { certainty })
    }
}

//! Stories: a match goes in; it comes out whether that is to be told, or only to be counted.
//!
//! What a program does in a loop is one story: told when it begins, when it gets worse or surer, and when it has happened 10, 100, 1000 ...
//! times. After an hour it begins anew, so that who reads only today's findings meets it, too.

use uuid::Uuid;

use super::{Certainty, Severity, finding::Story, memory::Place, table::Table};
use crate::event::BootTime;

const STORIES: usize = 32_768;

/// An hour, in ns.
const LENGTH: u64 = 3_600_000_000_000;

/// What makes two matches one story: the rule, the program in its place, and where others are in it, what it is about.
pub(super) type Plot = (u32, Place, Option<(i32, Option<u32>)>);

/// How bad a match is, and how sure that somebody was in the way. It gets worse by either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grade {
    pub(super) severity: Severity,
    pub(super) certainty: Option<Certainty>,
}

impl From<Severity> for Grade {
    fn from(severity: Severity) -> Self {
        Self { severity, certainty: None }
    }
}

impl Grade {
    fn is_worse_than(self, other: Self) -> bool {
        self.severity > other.severity || self.certainty > other.certainty
    }

    fn worst(self, other: Self) -> Self {
        Self { severity: self.severity.max(other.severity), certainty: self.certainty.max(other.certainty) }
    }
}

#[derive(Debug)]
struct Told {
    story: Story,
    worst: Grade,
    /// The count that is told next.
    next: u64,
    /// Grade and next count before what was told last; `None` when that began the story.
    former: Option<(Grade, u64)>,
}

#[derive(Debug)]
pub(super) struct Stories(Table<Plot, Told>);

impl Stories {
    pub(super) fn new() -> Self {
        Self(Table::new(STORIES))
    }

    /// The story of a match at the moment `at`, if it is to be told; `id` makes the one of a finding.
    pub(super) fn next(&mut self, plot: Plot, grade: Grade, at: BootTime, id: impl FnOnce() -> Uuid) -> Option<Story> {
        if let Some(told) = self.0.get_mut(&plot).filter(|told| at.since(told.story.since) < LENGTH) {
            told.story.count += 1;
            let due = told.story.count >= told.next;
            if !due && !grade.is_worse_than(told.worst) {
                return None;
            }
            told.former = Some((told.worst, told.next));
            told.worst = told.worst.worst(grade);
            if due {
                told.next = told.next.saturating_mul(10);
            }
            return Some(told.story);
        }
        let story = Story { id: id(), count: 1, since: at };
        self.0.put(plot, Told { story, worst: grade, next: 10, former: None });
        Some(story)
    }

    /// Takes the match that was to be told last out of its story again: nobody was told of it.
    pub(super) fn withdraw(&mut self, plot: &Plot) {
        let Some(told) = self.0.get_mut(plot) else { return };
        match told.former.take() {
            Some(former) => {
                told.story.count -= 1;
                (told.worst, told.next) = former;
            }
            None => self.0.remove(plot),
        }
    }
}

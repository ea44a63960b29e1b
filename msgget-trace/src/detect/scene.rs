//! A scene: one event with all that is known of those in it goes to the rules; their matches become findings.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Actor, Certainty, Confidence, Finding, Party, RuleInfo, Tag, Value, Verdict,
    act::History,
    finding,
    memory::{Habits, Place, Process, Queue, Space, SpaceId},
    story::{Grade, Stories},
    table::Table,
};
use crate::event::{BootTime, CallId, Event};

/// Spans of time in which calls are missing that are remembered.
const DOUBTS: usize = 64;

/// When calls are missing, and of which namespace; `None`: of any.
#[derive(Debug, Default)]
pub(super) struct Doubts(VecDeque<(Option<u32>, BootTime, BootTime)>);

impl Doubts {
    pub(super) fn add(&mut self, space: Option<u32>, from: BootTime, to: BootTime) {
        if self.0.len() >= DOUBTS {
            self.0.pop_front();
        }
        self.0.push_back((space, from, to));
    }

    /// True if a call may be missing in `space` between the two moments.
    fn cover(&self, space: Option<u32>, from: BootTime, to: BootTime) -> bool {
        let concerns = |other: Option<u32>| other.is_none() || other == space;
        self.0.iter().any(|(other, begin, end)| concerns(*other) && *begin <= to && from <= *end)
    }
}

/// An event in its surroundings.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) event: &'a Event,
    /// When it was over; of calls that were only counted, the last of them.
    pub(super) at: BootTime,
    /// Who is behind it.
    pub(super) actor: Arc<Actor>,
    pub(super) place: Place,
    /// Its process.
    pub(super) process: &'a mut Process,
    /// Its namespace.
    pub(super) space: &'a mut Space,
    /// What was done before to the key it is about.
    pub(super) history: &'a History,
    /// The queue it is about, as far as it was known before.
    pub(super) queue: Option<&'a Queue>,
    pub(super) queues: &'a Table<(SpaceId, i32), Queue>,
    pub(super) programs: &'a mut Table<Place, Habits>,
    pub(super) doubts: &'a Doubts,
}

impl Scene<'_> {
    /// `certainty`, as far as the calls between the two moments are known.
    pub(super) fn sure(&self, certainty: Certainty, from: BootTime, to: BootTime) -> Certainty {
        if self.doubts.cover(self.place.space.inode, from, to) { Certainty::Possible } else { certainty }
    }
}

/// The particulars of a match.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) confidence: Confidence,
    pub(super) parties: Vec<Party>,
    pub(super) values: Vec<(&'static str, Value)>,
    pub(super) summary: String,
}

impl Case {
    pub(super) fn new(confidence: Confidence, values: Vec<(&'static str, Value)>, summary: String) -> Self {
        Self { confidence, parties: Vec::new(), values, summary }
    }
}

/// What came of an event so far.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    pub(super) verdict: Verdict,
    pub(super) stories: &'a mut Stories,
}

impl Findings<'_> {
    /// Takes note that `rule` matches: by the calls `evidence`, oldest first; `about` a key and whose it is, where each of
    /// these is a story of its own. The `case` is made only if it is told.
    pub(super) fn add(
        &mut self,
        scene: &Scene<'_>,
        rule: &'static RuleInfo,
        grade: impl Into<Grade>,
        about: Option<(i32, Option<u32>)>,
        evidence: &[CallId],
        case: impl FnOnce() -> Case,
    ) {
        self.verdict.tags.insert(rule.tag);
        let privilege = scene.actor.privilege.filter(|_| rule.rises);
        let mut grade = grade.into();
        if privilege.is_some() {
            self.verdict.tags.insert(Tag::Privileged);
            grade.severity = grade.severity.raised();
        }
        let plot = (rule.event_id, scene.place, about);
        let story = self.stories.next(plot, grade, scene.at, || finding::id(rule, evidence, 1));
        let Some(story) = story else { return };
        let Case { confidence, parties, mut values, summary } = case();
        values.extend(privilege.map(|privilege| ("privilege", Value::Word(privilege))));
        self.verdict.findings.push(Finding {
            rule,
            severity: grade.severity,
            confidence,
            certainty: grade.certainty,
            event: scene.event.clone(),
            parties,
            evidence: evidence.to_vec(),
            values,
            summary,
            story,
            plot,
        });
    }
}

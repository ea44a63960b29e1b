//! Findings: what a rule says of an event, complete enough to be told without asking anybody.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use super::{Actor, Confidence, RuleInfo, Severity, story::Plot};
use crate::event::{BootTime, CallId, Event};

/// A value of a finding, named and typed as an argument of a Tracee event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `int32`
    Int32(i32),
    /// `uint64`
    Uint64(u64),
    /// `string`, the id of a call
    Call(CallId),
    /// `string`, one of a few words
    Word(&'static str),
}

/// How sure it is that somebody was in the window of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// The times overlap, or calls are missing that would tell.
    Possible,
    /// The order of the calls leaves no doubt.
    Definite,
}

impl Certainty {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Definite => "definite",
        }
    }
}

/// Somebody a finding names, other than the caller of the call that completed it.
#[derive(Clone, Debug)]
pub struct Party {
    /// What he was in this story: `rival`, `creator`, `user`, `victim`.
    pub role: &'static str,
    /// Who.
    pub actor: Arc<Actor>,
    /// By which call.
    pub call: CallId,
    /// When that began; `None` when it was not seen.
    pub entered: Option<BootTime>,
    /// When it was over.
    pub left: BootTime,
}

/// The story a finding belongs to: what one program does again and again is told when it begins, and when it has been done 10,
/// 100, 1000 ... times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Story {
    /// Id of the finding it began with.
    pub id: Uuid,
    /// How often so far.
    pub count: u64,
    /// When it began.
    pub since: BootTime,
}

/// A rule's verdict.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static RuleInfo,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Of a race that was observed; `None` where a pattern only makes one possible.
    pub certainty: Option<Certainty>,
    /// The call that completed the pattern.
    pub event: Event,
    /// The others in it.
    pub parties: Vec<Party>,
    /// The calls it rests on, oldest first.
    pub evidence: Vec<CallId>,
    /// What was found.
    pub values: Vec<(&'static str, Value)>,
    /// A sentence that explains this very case.
    pub summary: String,
    /// How often it has happened.
    pub story: Story,
    /// Which story that is.
    pub(super) plot: Plot,
}

impl Finding {
    /// Whether it names somebody for certain.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        self.certainty == Some(Certainty::Definite)
    }

    /// Takes the certainty back: a call that nobody knows of may have been another's.
    pub fn doubt(&mut self) {
        if self.is_definite() {
            (self.certainty, self.confidence) = (Some(Certainty::Possible), Confidence::Medium);
        }
    }

    /// The key it is about, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<i32> {
        let given = self.values.iter().find_map(|(name, value)| match value {
            Value::Int32(key) if *name == "key" => Some(*key),
            _ => None,
        });
        given.or_else(|| self.event.call().map(|call| call.key))
    }

    /// Made from the rule, its evidence and how often it has happened, so that the same calls give the same id in every replay.
    #[must_use]
    pub fn id(&self) -> Uuid {
        id(self.rule, &self.evidence, self.story.count)
    }
}

/// As [`Finding::id`].
pub(super) fn id(rule: &RuleInfo, evidence: &[CallId], count: u64) -> Uuid {
    /// Namespace of our findings: a random UUID, fixed for ever.
    const NAMESPACE: Uuid = Uuid::from_u128(0x3f0c_5a52_76ce_4d0b_a6b1_7f0b_0d1e_9a44);
    let mut name = format!("{}@{}", rule.id, rule.version);
    for call in evidence {
        // Writing to a String cannot fail.
        let _ = fmt::Write::write_fmt(&mut name, format_args!(" {call}"));
    }
    if count > 1 {
        let _ = fmt::Write::write_fmt(&mut name, format_args!(" {count}"));
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

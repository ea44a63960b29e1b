//! Detect: calls go in, in the order of the ring; tags on them and findings come out. Pure: no clock but the calls' own
//! times, no I/O, bounded state, so that the same calls always give the same findings.
//!
//! A rule is a file below, listed in [`Engine::new`].

mod check_then_create;
mod tags;

use std::fmt;

pub use tags::{Tag, Tags};
use uuid::Uuid;

use crate::event::{Call, CallId, Control};

/// How bad it is; the numbers are those of Tracee's `Severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info = 0,
    /// A habit that invites trouble.
    Low = 1,
    /// Trouble, if somebody is waiting for it.
    Medium = 2,
    /// Somebody probably was.
    High = 3,
    /// Act.
    Critical = 4,
}

/// What a rule is. Nothing here depends on the calls it sees.
#[derive(Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Number of the event a finding is: above 6000, as Tracee's signatures, and never reused.
    pub event_id: u32,
    /// For ever the same, across versions.
    pub id: &'static str,
    /// Name of the finding's event.
    pub name: &'static str,
    /// Raised with every change of its logic.
    pub version: &'static str,
    /// What it means, in a sentence.
    pub description: &'static str,
    /// Its kind in the words of CWE, <https://cwe.mitre.org>.
    pub cwe: &'static str,
}

/// A value of a finding, named and typed as an argument of a Tracee event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `int32`
    Int32(i32),
    /// `uint64`
    Uint64(u64),
    /// `string`
    Call(CallId),
}

/// A rule's verdict.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static RuleInfo,
    /// How bad.
    pub severity: Severity,
    /// The call that completed the pattern.
    pub call: Call,
    /// The calls it rests on, oldest first.
    pub evidence: Vec<CallId>,
    /// What was found.
    pub values: Vec<(&'static str, Value)>,
}

impl Finding {
    /// Made from the rule and its evidence only, so that the same calls give the same id in every replay.
    #[must_use]
    pub fn id(&self) -> Uuid {
        /// Namespace of our findings: a random UUID, fixed for ever.
        const NAMESPACE: Uuid = Uuid::from_u128(0x3f0c_5a52_76ce_4d0b_a6b1_7f0b_0d1e_9a44);
        let mut name = format!("{}@{}", self.rule.id, self.rule.version);
        for call in &self.evidence {
            // Writing to a String cannot fail.
            let _ = fmt::Write::write_fmt(&mut name, format_args!(" {call}"));
        }
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }
}

/// What one call led to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Of the call itself.
    pub tags: Tags,
    /// Completed by it.
    pub findings: Vec<Finding>,
}

/// A pattern over several calls.
trait Rule: fmt::Debug + Send {
    /// Takes note of `call`, which was executed, and adds what it completes to `verdict`.
    fn observe(&mut self, call: &Call, verdict: &mut Verdict);
}

/// All rules and their state.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Box<dyn Rule>>,
}

impl Engine {
    /// Every rule, having seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { rules: vec![Box::new(check_then_create::CheckThenCreate::new())] }
    }

    /// Judges the next call.
    pub fn observe(&mut self, call: &Call) -> Verdict {
        let mut verdict = Verdict { tags: tags::of(call), findings: Vec::new() };
        if call.executed() {
            for rule in &mut self.rules {
                rule.observe(call, &mut verdict);
            }
        }
        verdict
    }

    /// Tags what became of a queue. No rule asks for it.
    #[must_use]
    pub fn observe_control(&self, control: &Control) -> Tags {
        tags::of_control(control)
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;

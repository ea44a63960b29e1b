//! Policy: which events and findings are wanted. The texts of policy files go in; what of them matches an event comes out.
//! Pure: no clock, no I/O.
//!
//! ```text
//!  bytes ─► yaml ─► document ─┬─► events, filter (field, value), condition ─► Policy
//!                             └─► exceptions
//!  Policy ─► scope ─► Sieve, for the kernel program
//! ```
//!
//! A policy is one of Tracee's. An event is wanted if any policy wants it, and always if there is none. Findings that an
//! exception is about are not wanted, and counted.

mod condition;
mod document;
mod events;
mod field;
mod filter;
mod node;
mod problem;
mod scope;
mod subject;
mod value;
mod yaml;

pub use problem::{At, Problem};
pub use scope::Sieve;
pub use subject::{Subject, What};
use uuid::Uuid;

use condition::Condition;
use filter::Filters;

/// Most policies at a time: a bit each, as in Tracee.
pub const MOST_POLICIES: usize = 64;

/// Most exceptions at a time.
pub const MOST_EXCEPTIONS: usize = 256;

/// Most bytes of one file.
pub const LARGEST: usize = 1 << 20;

/// A file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is told.
    pub wanted: bool,
    /// The policies that want it, a bit each, by their place in [`Policies::names`].
    pub matched: u64,
    /// The exception that keeps it back, by its place in [`Policies::exceptions`].
    pub suppressed_by: Option<usize>,
}

/// Names of the policies that want something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched<'a> {
    names: &'a [Box<str>],
    bits: u64,
}

impl<'a> Matched<'a> {
    /// None, as where there are no policies.
    pub const NONE: Self = Self { names: &[], bits: 0 };

    /// Those of `names` whose bits, by their place, are set.
    #[must_use]
    pub const fn new(names: &'a [Box<str>], bits: u64) -> Self {
        Self { names, bits }
    }

    /// The names, in the order of the policies.
    pub fn names(self) -> impl Iterator<Item = &'a str> {
        let Self { names, bits } = self;
        names.iter().enumerate().filter(move |(nth, _)| bits >> nth & 1 == 1).map(|(_, name)| &**name)
    }

    /// True if there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bits == 0
    }
}

/// All policies and exceptions.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    policies: Vec<Policy>,
    names: Vec<Box<str>>,
    exceptions: Vec<Exception>,
    warnings: Vec<Problem>,
    digest: Option<Uuid>,
}

/// One policy.
#[derive(Clone, Debug)]
struct Policy {
    scope: Filters,
    rules: Vec<Rule>,
}

/// What it wants.
#[derive(Clone, Debug)]
struct Rule {
    events: Vec<&'static str>,
    filters: Filters,
    when: Option<Condition>,
}

/// Findings that are known to mean nothing.
#[derive(Clone, Debug)]
pub struct Exception {
    /// What it is called.
    pub name: String,
    /// Why.
    pub reason: String,
    findings: Vec<&'static str>,
    filters: Filters,
    when: Option<Condition>,
}

impl Policies {
    /// Reads `sources`.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, in their order.
    pub fn parse(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        document::parse(sources)
    }

    /// What becomes of `subject`.
    #[must_use]
    pub fn judge(&self, subject: &Subject<'_>) -> Judgement {
        let mut matched = 0;
        for (nth, policy) in self.policies.iter().enumerate() {
            matched |= u64::from(policy.wants(subject)) << nth;
        }
        let wanted = matched != 0 || self.policies.is_empty();
        let suppressed_by = match subject.what {
            What::Finding(_) if wanted => self.exceptions.iter().position(|exception| exception.excepts(subject)),
            _ => None,
        };
        Judgement { wanted: wanted && suppressed_by.is_none(), matched, suppressed_by }
    }

    /// Names of the policies.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The exceptions.
    #[must_use]
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// What is no error, and should be said.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Made from the bytes of the files only; `None` if there are none.
    #[must_use]
    pub const fn digest(&self) -> Option<Uuid> {
        self.digest
    }
}

impl Policy {
    fn wants(&self, subject: &Subject<'_>) -> bool {
        self.rules.iter().any(|rule| rule.events.contains(&subject.event()))
            && self.scope.hold(subject)
            && self.rules.iter().any(|rule| rule.wants(subject))
    }
}

impl Rule {
    fn wants(&self, subject: &Subject<'_>) -> bool {
        self.events.contains(&subject.event())
            && self.filters.hold(subject)
            && self.when.as_ref().is_none_or(|when| when.holds(subject))
    }
}

impl Exception {
    fn excepts(&self, subject: &Subject<'_>) -> bool {
        self.findings.contains(&subject.event())
            && self.filters.hold(subject)
            && self.when.as_ref().is_none_or(|when| when.holds(subject))
    }
}

#[cfg(test)]
mod tests;

//! What was to be found and what was found go in; a table of true and false, found and not, by rule, comes out.

use std::{collections::BTreeMap, fmt::Write as _};

use msgget_trace::detect::{RULES, Severity};

use crate::{
    seen::{Finding, Seen},
    stage::{Told, Who},
};

/// One run of one or more programs, and what should come of it.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    /// Everybody in it.
    pub(crate) processes: Vec<Who>,
    /// What must be found: nothing, in the run without an attacker.
    pub(crate) expected: Vec<Expected>,
    /// The worst that these rules may say all the same.
    pub(crate) harmless: Vec<(&'static str, Severity)>,
    /// What the run is there for: rules that must not match at all in it, but as `harmless` says.
    pub(crate) silent: Vec<&'static str>,
}

/// A finding that must be there.
#[derive(Clone)]
pub(crate) struct Expected {
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    pub(crate) certainty: Option<&'static str>,
    /// Any of these, as the caller.
    pub(crate) by: Vec<Who>,
    /// All of these, as parties.
    pub(crate) parties: Vec<(&'static str, Who)>,
    /// An argument that it has.
    pub(crate) argument: Option<(&'static str, &'static str)>,
    /// The rule that it proves, where another one tells of it.
    pub(crate) proves: &'static str,
    /// Hooks that do not show it.
    pub(crate) unseen: &'static [&'static str],
}

impl Expected {
    pub(crate) fn new(rule: &'static str, severity: Severity, by: &Told) -> Self {
        let by = by.processes.clone();
        Self { rule, severity, certainty: None, by, parties: Vec::new(), argument: None, proves: rule, unseen: &[] }
    }

    pub(crate) fn definite(self) -> Self {
        Self { certainty: Some("definite"), ..self }
    }

    pub(crate) fn with(mut self, role: &'static str, who: &Told) -> Self {
        self.parties.push((role, who.who().clone()));
        self
    }

    pub(crate) fn saying(self, name: &'static str, value: &'static str) -> Self {
        Self { argument: Some((name, value)), ..self }
    }

    pub(crate) fn proving(self, proves: &'static str) -> Self {
        Self { proves, ..self }
    }

    pub(crate) fn unseen_on(self, unseen: &'static [&'static str]) -> Self {
        Self { unseen, ..self }
    }

    fn is(&self, seen: &Seen, finding: Finding<'_>) -> bool {
        let caller = |who: &Who| {
            finding.0["hostProcessId"].as_i64() == seen.host(who)
                && finding.0["effectiveUserId"] == who.euid
                && finding.0["userId"] == who.uid
        };
        finding.rule() == self.rule
            && finding.severity() == self.severity as u64
            && self.certainty.is_none_or(|certainty| finding.certainty() == Some(certainty))
            && self.by.iter().any(caller)
            && self.parties.iter().all(|(role, who)| finding.names(role, seen.host(who), who.euid))
            && self.argument.is_none_or(|(name, value)| finding.argument(name).is_some_and(|said| said == value))
    }
}

impl Run {
    pub(crate) fn new(name: &'static str, programs: &[&Told]) -> Self {
        let processes = programs.iter().flat_map(|told| told.processes.clone()).collect();
        Self { name, processes, expected: Vec::new(), harmless: Vec::new(), silent: Vec::new() }
    }

    pub(crate) fn expects(mut self, expected: Expected) -> Self {
        self.expected.push(expected);
        self
    }

    /// This rule must have nothing to say.
    pub(crate) fn without(mut self, rule: &'static str) -> Self {
        self.silent.push(rule);
        self
    }

    /// This rule may say so much and no more.
    pub(crate) fn at_most(mut self, rule: &'static str, severity: Severity) -> Self {
        self.harmless.push((rule, severity));
        self
    }
}

/// Right and wrong answers of one rule.
#[derive(Clone, Copy, Default)]
struct Cell {
    true_positives: u64,
    false_positives: u64,
    false_negatives: u64,
    true_negatives: u64,
}

/// Of all rules, with what went wrong.
#[derive(Default)]
pub(crate) struct Score {
    cells: BTreeMap<&'static str, Cell>,
    pub(crate) wrong: Vec<String>,
}

impl Score {
    fn cell(&mut self, rule: &'static str) -> &mut Cell {
        self.cells.entry(rule).or_default()
    }

    /// Counts an answer of `rule` that was to be given (`due`) or not, and was (`given`) or not; `why` explains a wrong one.
    pub(crate) fn count(&mut self, rule: &'static str, due: bool, given: bool, why: impl FnOnce() -> String) {
        let cell = self.cell(rule);
        match (due, given) {
            (true, true) => cell.true_positives += 1,
            (true, false) => cell.false_negatives += 1,
            (false, true) => cell.false_positives += 1,
            (false, false) => cell.true_negatives += 1,
        }
        if due != given {
            self.wrong.push(why());
        }
    }

    /// Counts that `rule` had nothing to say where its blind spots say so.
    pub(crate) fn blind(&mut self, rule: &'static str) {
        self.cell(rule).false_negatives += 1;
    }

    /// Judges what `seen` says of `run`, by every rule: one that is not named must say nothing high or critical.
    pub(crate) fn judge(&mut self, run: &Run, seen: &Seen) {
        let found: Vec<_> = run.processes.iter().flat_map(|who| seen.about(who)).collect();
        let all = || found.iter().map(|finding| format!("\n    {}", finding.shown())).collect::<String>();
        let place = format!("{} on {}", run.name, seen.hook);
        for expected in &run.expected {
            let given = found.iter().any(|finding| expected.is(seen, *finding));
            if expected.unseen.contains(&&*seen.hook) {
                // A blind spot that is known: it counts, and would be news if it were seen.
                self.blind(expected.proves);
                if given {
                    self.wrong.push(format!("{place}: {} is seen, against what its blind spots say", expected.rule));
                }
                continue;
            }
            self.count(expected.proves, true, given, || {
                let who: Vec<_> = expected.by.iter().map(|who| (seen.host(who), who.euid)).collect();
                let parties: Vec<_> =
                    expected.parties.iter().map(|(role, who)| (role, seen.host(who), who.euid)).collect();
                let severity = expected.severity.name();
                format!("{place}: no {} {severity} by {who:?} with {parties:?}, but:{}", expected.rule, all())
            });
        }
        for rule in RULES.iter().map(|rule| rule.name) {
            if run.expected.iter().any(|expected| expected.rule == rule || expected.proves == rule) {
                continue;
            }
            let harmless = run.harmless.iter().find(|(name, _)| *name == rule).map(|(_, severity)| *severity as u64);
            let silent = run.silent.contains(&rule);
            let wrong = found.iter().filter(|finding| finding.rule() == rule).any(|finding| {
                harmless.map_or(silent || finding.severity() >= Severity::High as u64, |most| finding.severity() > most)
            });
            self.count(rule, false, wrong, || format!("{place}: {rule} is wrong:{}", all()));
        }
    }

    /// A line for each rule that makes findings, and the sums.
    pub(crate) fn table(&self, title: &str) -> String {
        let mut sum = Cell::default();
        let mut text = format!("\n{title:<32}{:>8}{:>8}{:>8}{:>8}\n", "TP", "FP", "FN", "TN");
        let mut row = |name: &str, cell: Cell| {
            let Cell { true_positives, false_positives, false_negatives, true_negatives } = cell;
            let _ = writeln!(
                text,
                "{name:<32}{true_positives:>8}{false_positives:>8}{false_negatives:>8}{true_negatives:>8}"
            );
        };
        for rule in RULES {
            let cell = self.cells.get(rule.name).copied().unwrap_or_default();
            sum.true_positives += cell.true_positives;
            sum.false_positives += cell.false_positives;
            sum.false_negatives += cell.false_negatives;
            sum.true_negatives += cell.true_negatives;
            row(rule.name, cell);
        }
        row("all", sum);
        text
    }

    /// Adds what `other` counted.
    pub(crate) fn add(&mut self, other: Self) {
        for (rule, cell) in other.cells {
            let sum = self.cell(rule);
            sum.true_positives += cell.true_positives;
            sum.false_positives += cell.false_positives;
            sum.false_negatives += cell.false_negatives;
            sum.true_negatives += cell.true_negatives;
        }
        self.wrong.extend(other.wrong);
    }
}

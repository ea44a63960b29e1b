//! A command line goes in, its arguments come out, without what the user's patterns forbid.
//!
//! # Patterns
//! Regular expressions in the syntax of the `regex` crate, on bytes: `\w` and its kin are ASCII, `.` is any byte.
//! Case counts, unless the pattern begins with `(?i)`.
//! - A pattern is looked for anywhere inside each argument, `^` and `$` are the ends of an argument, and every match
//!   becomes `[redacted]`: `sk-\w+`, `(?i)(password|token)=.*`. Matches that touch become one, which hides how many
//!   there were.
//! - With a group called `secret` only what that group matched is replaced, so that the rest stays readable:
//!   `--password=(?<secret>.*)`. Where the group took no part in a match, all of the match is replaced. Other groups
//!   have no such meaning: `(a|b)` must not turn the name into the secret.
//! - A pattern in which `\x00` stands is looked for in the whole command line, where `\x00` is the end of an argument:
//!   `^--password\x00(?<secret>.*)` is the argument after `--password`. `.`, `^` and `$` mean the same as before. The
//!   number of arguments does not change.
//!
//! All patterns see the original command line, in no order. There are no built-in patterns: an invisible one would
//! destroy evidence that nobody decided to give up, and a list of secrets is never complete.
//!
//! Of a command line that was cut, the argument that the cut went through is withheld as a whole if there is any
//! pattern: what is missing could have made a match, and one half of a secret is one.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

/// What stands in the place of a secret.
pub const REDACTED: &[u8] = b"[redacted]";

/// Most patterns, and most bytes that one of them may take when compiled, or its cache while it searches.
const PATTERNS: usize = 64;
const COMPILED: usize = 256 << 10;

/// Group whose match is replaced in the place of all.
const SECRET: &str = "secret";

/// Everything that is wrong with a list of patterns, so that it can be mended at once.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RedactError(pub Vec<BadPattern>);

/// One that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("redaction pattern {nth}, {pattern:?}{}: {reason}", .at.map_or_else(String::new, |at| format!(", at character {at}")))]
pub struct BadPattern {
    /// Which of the patterns, from 1.
    pub nth: usize,
    /// The pattern.
    pub pattern: String,
    /// Character of the pattern where the error is, from 1; `None` where it is in no one place.
    pub at: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// The patterns, ready to be used.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    regex: Regex,
    /// Looked for in the whole command line.
    across: bool,
    /// It has a group called `secret`.
    secret: bool,
}

impl Redactor {
    /// Compiles `patterns`, at most 64.
    ///
    /// # Errors
    /// Every pattern that is empty, has an error in it, or is too large (256 KiB compiled), and the first one too many.
    pub fn new(patterns: &[String]) -> Result<Self, RedactError> {
        let mut compiled = Vec::new();
        let mut bad = Vec::new();
        for (nth, pattern) in (1..=PATTERNS).zip(patterns) {
            match compile(pattern) {
                Ok(pattern) => compiled.push(pattern),
                Err((at, reason)) => bad.push(BadPattern { nth, pattern: pattern.clone(), at, reason }),
            }
        }
        if let Some(pattern) = patterns.get(PATTERNS) {
            bad.push(BadPattern {
                nth: PATTERNS + 1,
                pattern: pattern.clone(),
                at: None,
                reason: format!("more than {PATTERNS} patterns"),
            });
        }
        if bad.is_empty() { Ok(Self { patterns: compiled }) } else { Err(RedactError(bad)) }
    }

    /// The arguments in `cmdline`, in the layout of /proc/PID/cmdline: each ends with a NUL, but the last may lack it.
    /// `cut` says that more came after; if `cmdline` then ends with a NUL, the cut went between two arguments.
    ///
    /// The result is at most ten times as long as `cmdline`. The time is linear in it for each pattern and match.
    #[must_use]
    pub fn arguments(&self, cmdline: &[u8], cut: bool) -> Vec<Vec<u8>> {
        if cmdline.is_empty() {
            return Vec::new();
        }
        let text = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        let secrets = self.secrets(text, cut && text.len() == cmdline.len());
        let mut start = 0;
        let mut arguments = Vec::new();
        for argument in text.split(|byte| *byte == 0) {
            let end = start + argument.len();
            let mut shown = Vec::with_capacity(argument.len());
            let mut at = start;
            let first = secrets.partition_point(|secret| secret.end <= start);
            // In an empty argument there is nothing to hide, even if a match goes on beyond it.
            for secret in secrets[first..].iter().take_while(|secret| start < end && secret.start < end) {
                shown.extend_from_slice(&text[at..secret.start.max(at)]);
                shown.extend_from_slice(REDACTED);
                at = secret.end.min(end);
            }
            shown.extend_from_slice(&text[at..end]);
            arguments.push(shown);
            start = end + 1;
        }
        arguments
    }

    /// What has to go, in order, apart from each other. A range may go beyond an argument.
    fn secrets(&self, text: &[u8], cut: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for pattern in &self.patterns {
            if pattern.across {
                pattern.find(text, 0, &mut found);
                continue;
            }
            let mut start = 0;
            for argument in text.split(|byte| *byte == 0) {
                pattern.find(argument, start, &mut found);
                start += argument.len() + 1;
            }
        }
        if cut && !self.patterns.is_empty() {
            let last = text.iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
            found.push(last..text.len());
        }
        found.retain(|range| !range.is_empty());
        found.sort_unstable_by_key(|range| range.start);
        found.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        found
    }
}

impl Pattern {
    /// Adds what it finds in `text`, which begins at `offset`.
    fn find(&self, text: &[u8], offset: usize, found: &mut Vec<Range<usize>>) {
        let mut add = |range: Range<usize>| found.push(range.start + offset..range.end + offset);
        if self.secret {
            for captures in self.regex.captures_iter(text) {
                let whole = captures.get(0);
                if let Some(secret) = captures.name(SECRET).or(whole) {
                    add(secret.range());
                }
            }
        } else {
            for whole in self.regex.find_iter(text) {
                add(whole.range());
            }
        }
    }
}

fn compile(pattern: &str) -> Result<Pattern, (Option<usize>, String)> {
    if pattern.is_empty() {
        return Err((None, "it is empty".to_owned()));
    }
    // NUL ends the lines: then `.`, `^` and `$` do not go beyond an argument.
    let regex = RegexBuilder::new(pattern)
        .unicode(false)
        .multi_line(true)
        .line_terminator(0)
        .size_limit(COMPILED)
        .dfa_size_limit(COMPILED)
        .build()
        .map_err(|error| explain(&error))?;
    Ok(Pattern {
        secret: regex.capture_names().any(|name| name == Some(SECRET)),
        across: pattern.contains(r"\x00"),
        regex,
    })
}

/// Place and reason of an error. The crate tells the place only by a drawing: the pattern, indented by four, and carets
/// below.
fn explain(error: &regex::Error) -> (Option<usize>, String) {
    match error {
        regex::Error::Syntax(text) => {
            let carets = |line: &&str| line.contains('^') && line.bytes().all(|byte| matches!(byte, b' ' | b'^'));
            let at = match text.lines().collect::<Vec<_>>()[..] {
                [_, _, line, _] if carets(&line) => line.find('^').and_then(|column| column.checked_sub(3)),
                _ => None,
            };
            let reason = text.rsplit("error: ").next().unwrap_or(text);
            (at, reason.trim().to_owned())
        }
        regex::Error::CompiledTooBig(_) => (None, format!("it takes more than {} KiB", COMPILED >> 10)),
        other => (None, other.to_string()),
    }
}

#[cfg(test)]
mod tests;

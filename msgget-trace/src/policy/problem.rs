//! What is wrong with a policy file: where and what goes in, a line for people comes out.

use std::fmt;

/// A place in a text, both counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl At {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Something wrong with a file, or worth a warning: what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file.
    pub file: String,
    /// Where in it; `None` where it cannot be read at all.
    pub at: Option<At>,
    /// In words.
    pub what: String,
}

/// `file:line:column: what`, as compilers say it and editors find it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, at, what } = self;
        match at {
            Some(At { line, column }) => write!(f, "{file}:{line}:{column}: {what}"),
            None => write!(f, "{file}: {what}"),
        }
    }
}

/// Most problems of one file that are told: in a file of garbage every line is one.
const MOST: usize = 100;

/// Gathers what is wrong with one file.
#[derive(Debug)]
pub(super) struct Log<'a> {
    file: &'a str,
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Log<'a> {
    pub(super) const fn new(file: &'a str) -> Self {
        Self { file, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Takes note of an error.
    pub(super) fn error(&mut self, at: At, what: impl Into<String>) {
        if self.errors.len() < MOST {
            self.errors.push(Problem { file: self.file.to_owned(), at: Some(at), what: what.into() });
        }
    }

    /// Takes note of what is no error.
    pub(super) fn warn(&mut self, at: At, what: impl Into<String>) {
        if self.warnings.len() < MOST {
            self.warnings.push(Problem { file: self.file.to_owned(), at: Some(at), what: what.into() });
        }
    }
}

/// What was typed, fit for a message: short, and without anything that moves the cursor.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() { format!("\"{short}...\"") } else { format!("\"{short}\"") }
}

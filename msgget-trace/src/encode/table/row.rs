//! What the columns say goes in, a line with each in its place comes out.

use std::{borrow::Cow, fmt::Display};

use unicode_width::UnicodeWidthChar as _;

/// A column: every line has it at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// What kind of line it is.
    Mark,
    /// Time of day.
    Time,
    /// Process id on the host.
    Pid,
    /// Real user, and the effective one where that is another.
    User,
    /// Command name.
    Comm,
    /// Key of the queue.
    Key,
    /// What the kernel did.
    Outcome,
    /// What was asked for.
    Call,
    /// Whose the queue is, and its mode.
    Owner,
}

impl Column {
    /// All of them, from the left.
    pub(super) const ALL: [Self; 9] =
        [Self::Mark, Self::Time, Self::Pid, Self::User, Self::Comm, Self::Key, Self::Outcome, Self::Call, Self::Owner];

    /// Its heading; the day stands above the times.
    const fn name(self) -> &'static str {
        match self {
            Self::Mark | Self::Time => "",
            Self::Pid => "PID",
            Self::User => "USER",
            Self::Comm => "COMM",
            Self::Key => "KEY",
            Self::Outcome => "OUTCOME",
            Self::Call => "CALL",
            Self::Owner => "OWNER",
        }
    }

    /// How wide it is. With the outcome a line fills 80 columns; process ids go up to 4194304 (proc(5), `pid_max`).
    pub(super) const fn width(self) -> usize {
        match self {
            Self::Mark => 1,
            Self::Time => 12,
            Self::Pid => 7,
            Self::User => 12,
            Self::Comm => 15,
            Self::Key => 10,
            Self::Outcome => 16,
            Self::Call => 20,
            Self::Owner => 16,
        }
    }
}

/// The heading of what stands behind the columns.
const REST: &str = "TAGS";

/// A line that is filled from the left.
#[derive(Debug, Default)]
pub(super) struct Row {
    text: String,
    /// Columns that are filled.
    filled: usize,
}

impl Row {
    /// The names of the columns, with `day` above the times.
    pub(super) fn heading(day: &str) -> Self {
        let mut row = Self::default();
        for column in Column::ALL {
            row.cell(column, if column == Column::Time { day } else { column.name() });
        }
        row.rest(REST)
    }

    /// Fills `column`, and leaves what was skipped before it empty.
    pub(super) fn cell(&mut self, column: Column, content: impl Display) {
        self.skip_to(column as usize);
        self.put(column.width(), &content.to_string());
    }

    /// Ends the line with `content`, which begins where the next column would.
    pub(super) fn text(mut self, content: &str) -> Self {
        self.text.push_str(content);
        self
    }

    /// Ends the line with `content`, which begins behind all columns.
    pub(super) fn rest(mut self, content: &str) -> Self {
        self.skip_to(Column::ALL.len());
        self.text(content)
    }

    fn skip_to(&mut self, nth: usize) {
        for skipped in Column::ALL.iter().take(nth).skip(self.filled) {
            self.put(skipped.width(), "");
        }
    }

    fn put(&mut self, width: usize, content: &str) {
        let content = cut(content, width);
        self.text.push_str(&content);
        // And one blank to the next.
        self.text.extend(std::iter::repeat_n(' ', width + 1 - columns(&content)));
        self.filled += 1;
    }

    /// The line, at most `width` columns wide.
    pub(super) fn line(&self, width: Option<u16>) -> Cow<'_, str> {
        let text = self.text.trim_end_matches(' ');
        width.map_or(Cow::Borrowed(text), |width| cut(text, usize::from(width)))
    }
}

/// Columns of a terminal that `text` takes. Every character counts for itself: those that join others have been escaped.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|char| char.width().unwrap_or_default()).sum()
}

/// As much of `text` as fits into `width` columns, and a mark where something is missing.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let Some(mut left) = width.checked_sub(columns("…")) else { return Cow::Borrowed("") };
    let mut short = String::new();
    for char in text.chars() {
        match left.checked_sub(char.width().unwrap_or_default()) {
            Some(rest) => left = rest,
            None => break,
        }
        short.push(char);
    }
    short.push('…');
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("漢字漢", 5), "漢字…");
        assert_eq!(cut("漢字漢", 4), "漢…");
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".into(), "".into()));
    }

    #[test]
    fn skipped_columns_stay_empty() {
        let mut row = Row::default();
        row.cell(Column::Mark, "!");
        row.cell(Column::Pid, 17);
        assert_eq!(row.text("end").line(None), "!              17      end");
    }

    proptest! {
        #[test]
        fn is_never_wider(text in "\\PC{0,40}", width in 0usize..50) {
            let short = cut(&text, width);
            prop_assert!(columns(&short) <= width);
            prop_assert!(text.starts_with(short.trim_end_matches('…')) || text.contains('…'));
        }
    }
}

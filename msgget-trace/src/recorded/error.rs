//! Why a line cannot be read back: what is wrong goes in, words that say where and what to do come out.

use thiserror::Error;

use crate::encode::JSON_VERSION;

/// What is wrong with a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no JSON, or not the object that it should be.
    #[error("column {column}: {reason}; it was cut, or something else wrote it")]
    Json {
        /// Where, in bytes from 1.
        column: usize,
        /// Why.
        reason: String,
    },
    /// It is an object of somebody else's.
    #[error(
        "it has no `eventName` and `schemaVersion`, so it is not of the json format; replay reads what `--output json=FILE` of \
         run and exec wrote, and none of the other formats"
    )]
    Foreign,
    /// Fields mean something else there.
    #[error(
        "it is of schemaVersion {0}, and this program reads {JSON_VERSION} and its like; use the version that wrote it"
    )]
    Version(String),
    /// Of a version that did not yet say when things happened by the boot clock.
    #[error("it has no `bootTimestamp`, which lines have since schemaVersion 1.1, and is of {0}; record anew")]
    Clockless(String),
    /// It does not say what it must.
    #[error("it has no `{0}`; something else wrote it, or left that out")]
    Missing(&'static str),
    /// It says what is never said.
    #[error("`{field}` is {value}, and should be {wanted}; something else wrote it, or a newer version")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it should.
        wanted: &'static str,
    },
}

impl Unreadable {
    pub(super) fn json(error: &serde_json::Error) -> Self {
        let (text, column) = (error.to_string(), error.column());
        // All is on one line, which has another number for whoever reads this.
        let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
        Self::Json { column, reason: reason.chars().take(SHOWN).collect() }
    }
}

/// Characters of somebody else's text that are shown.
const SHOWN: usize = 100;

/// `text`, quoted, and no more of it than tells which one it is.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN).collect::<String>())
}

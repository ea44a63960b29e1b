//! How it ended: an item goes in, the `status` attributes of its class come out.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    encode::{Item, show::Shown},
    event::{Errno, News, Outcome},
};

/// `status` and its company.
#[derive(Serialize)]
pub(super) struct Status<'a> {
    status_id: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<Shown<Code>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<Shown<Detail<'a>>>,
}

/// What the call, or the sensor, gave as the reason.
enum Code {
    Errno(u16),
    Word(&'static str),
}

impl Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

enum Detail<'a> {
    Errno(Errno),
    Text(&'a str),
}

impl Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

const UNKNOWN: (u32, &str) = (0, "Unknown");
const SUCCESS: (u32, &str) = (1, "Success");
const FAILURE: (u32, &str) = (2, "Failure");
/// Of findings, where the numbers mean something else.
const NEW: (u32, &str) = (1, "New");

impl<'a> Status<'a> {
    pub(super) fn of(item: &Item<'a>) -> Self {
        match *item {
            Item::Call { call, .. } => Self::of_result(call.outcome, call.result),
            Item::Control { control, .. } => Self::of_result(control.outcome, control.result),
            Item::Use { used, .. } => Self::of_result(used.outcome(), used.result()),
            Item::Finding { .. } => Self::new(NEW, None, None),
            Item::Health { health, .. } => Self::of_news(&health.news),
            // Some of them failed, some did not.
            Item::Aggregate { .. } => Self::new(UNKNOWN, None, None),
        }
    }

    fn new((status_id, status): (u32, &'static str), code: Option<Code>, detail: Option<Detail<'a>>) -> Self {
        Self { status_id, status, status_code: code.map(Shown), status_detail: detail.map(Shown) }
    }

    /// An errno is somebody's answer even where the kernel was not asked.
    fn of_result(outcome: Outcome, result: i64) -> Self {
        match (Errno::from_result(result), outcome) {
            (Some(errno), _) => Self::new(FAILURE, Some(Code::Errno(errno.0)), Some(Detail::Errno(errno))),
            (None, Outcome::NotExecuted) => Self::new(UNKNOWN, None, None),
            (None, _) => Self::new(SUCCESS, Some(Code::Errno(0)), None),
        }
    }

    fn of_news(news: &'a News) -> Self {
        match news {
            News::Start { .. }
            | News::Heartbeat { .. }
            | News::ConfigChange { .. }
            | News::PolicyChange { .. }
            | News::Recovered { .. } => Self::new(SUCCESS, None, None),
            News::PolicyRefused { detail, .. } => {
                Self::new(FAILURE, Some(Code::Word("policy_refused")), Some(Detail::Text(detail)))
            }
            News::Stop { reason, .. } => Self::new(SUCCESS, Some(Code::Word(reason)), None),
            News::Loss { reason, .. } => Self::new(FAILURE, Some(Code::Word(reason.name())), None),
            News::Degraded { reason, detail } => {
                Self::new(FAILURE, Some(Code::Word(reason)), Some(Detail::Text(detail)))
            }
        }
    }
}

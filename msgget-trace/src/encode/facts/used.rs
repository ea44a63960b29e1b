//! What was asked of a queue that was not there: a use goes in, its facts come out.

use serde::Serialize;

use super::call::DoorFacts;
use crate::{
    encode::show::Digits,
    event::{Source, Use},
};

/// Of a `msgsnd` or a `msgrcv`.
#[derive(Serialize)]
pub(super) struct UseFacts {
    queue_id: i32,
    /// Bytes.
    message_size: Digits<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_type: Option<Digits<i64>>,
    msgflg: i32,
    return_value: i64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    door: DoorFacts,
}

impl UseFacts {
    pub(super) fn new(used: &Use) -> Self {
        Self {
            queue_id: used.msqid,
            message_size: Digits(used.msgsz),
            message_type: used.msgtyp.map(Digits),
            msgflg: used.msgflg,
            return_value: used.result(),
            outcome: used.outcome().name(),
            outcome_source: used.source.map(Source::name),
            door: DoorFacts::new(used.door),
        }
    }
}

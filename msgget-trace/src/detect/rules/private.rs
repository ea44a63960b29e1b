//! `private_key` and `accidental_private_key`: queues without a key. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag, Value,
    scene::{Case, Findings, Scene},
};
use crate::event::{Call, IPC_PRIVATE};

pub(super) static PRIVATE: RuleInfo = RuleInfo {
    event_id: 6801,
    id: "MSGGET-1",
    name: "private_key",
    version: "1.0.0",
    tag: Tag::IpcPrivate,
    description: "A queue was made without a key (IPC_PRIVATE): nobody finds it by name, and whoever is told or guesses its id may \
                  use it as far as its mode lets him",
    logic: "Key 0, and the call succeeded. Info.",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "Whom the creator tells the id.",
    false_positives: "This is how processes of one family share a queue.",
    response: "None by itself. The mode matters: see weak_mode.",
};

pub(super) static ACCIDENTAL: RuleInfo = RuleInfo {
    event_id: 6816,
    id: "MSGGET-16",
    name: "accidental_private_key",
    version: "1.0.0",
    tag: Tag::IpcPrivate,
    description: "A queue was made without a key and without any permission, which nobody can use: a key that was computed came out \
                  as 0",
    logic: "Key 0, mode 0, and the call succeeded. Medium.",
    cwe: Some("CWE-772"),
    attack: None,
    rises: false,
    blind_spots: "A computed key of 0 together with a mode looks as if it were meant.",
    false_positives: "Tests of msgget. CAP_IPC_OWNER can use such a queue.",
    response: "Look for a key of more than 32 bits, or a failed ftok, in the program (php-src had this in msg_queue_exists); every \
               such call leaves a queue behind: remove it by ipcrm -q.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    if call.key != IPC_PRIVATE || call.result < 0 {
        return;
    }
    let id = call.result as i32;
    if call.flags.mode() == 0 {
        found.add(scene, &ACCIDENTAL, Severity::Medium, None, &[call.id], || {
            let summary = format!("made queue {id} with key 0 and mode 0, which nobody can use and nobody will remove");
            Case::new(Confidence::High, vec![("queue", Value::Int32(id))], summary)
        });
        return;
    }
    found.add(scene, &PRIVATE, Severity::Info, None, &[call.id], || {
        let summary = format!("made queue {id} without a key, with mode {:04o}", call.flags.mode());
        Case::new(Confidence::High, vec![("queue", Value::Int32(id))], summary)
    });
}

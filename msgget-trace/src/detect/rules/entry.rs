//! `compat_evasion`: 64-bit code calls by the door of 32-bit code. A call goes in.

use super::super::{
    Confidence, RuleInfo, Severity, Tag,
    scene::{Case, Findings, Scene},
};
use crate::event::{Call, Entry};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6815,
    id: "MSGGET-15",
    name: "compat_evasion",
    version: "1.0.0",
    tag: Tag::Evasion,
    description: "64-bit code made the call by int 0x80, an entry that no compiler emits there and that sensors on the tracepoints \
                  of single system calls do not see",
    logic: "The call came by int 0x80 and the code segment is that of 64-bit code. High.",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "The tracepoint hooks do not see such calls at all.",
    false_positives: "Tests of kernels and sandboxes. Nothing else is known to do it.",
    response: "Find out what the executable is and who started it; look at the other calls of the process, which other sensors \
               may have missed in the same way.",
};

pub(super) fn observe(scene: &mut Scene<'_>, call: &Call, found: &mut Findings<'_>) {
    if call.door.entry != Entry::Int80From64 {
        return;
    }
    found.add(scene, &INFO, Severity::High, None, &[call.id], || {
        let summary = format!("entered the kernel by int 0x80 from 64-bit code, as system call {}", call.door.number);
        Case::new(Confidence::High, Vec::new(), summary)
    });
}

//! `privileged_context`: what makes other rules' findings worse; it has none of its own.

use super::super::{RuleInfo, Tag};

pub(super) static INFO: RuleInfo = RuleInfo {
    event_id: 6813,
    id: "MSGGET-13",
    name: "privileged_context",
    version: "1.1.0",
    tag: Tag::Privileged,
    description: "The caller may do more than whoever started it: a habit that is harmless in others is a way to its rights",
    logic: "Real and effective or saved user differ, as in a set-user-ID program; or CAP_IPC_OWNER in the initial user namespace. \
            Root is neither. It makes no finding \
            of its own, but raises those of the rules that say so from low to medium and from medium to high, and says why (privilege).",
    cwe: None,
    attack: None,
    rises: false,
    blind_spots: "Programs that have given their rights up for good before the call; other capabilities.",
    false_positives: "See the rule that is raised.",
    response: "See the rule that is raised.",
};

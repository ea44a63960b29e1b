//! The documentation of the rules: what they say of themselves goes in, Markdown comes out (docs/DETECTIONS.md).

use std::fmt::Write as _;

use super::{ATTACK_VERSION, RULES, RuleInfo};

/// All rules, as docs/DETECTIONS.md has them.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Detections\n\
         What `msgget-trace` finds, rule by rule. Written by `msgget-trace rules`; do not edit.\n\n\
         A finding names the rule and its version, how bad it is (severity) and how sure (confidence), the calls it rests on (evidence) \
         and the others in it (parties), and explains the case in a sentence. A race is *prone* where the pattern leaves a window to \
         others, and *observed* (rules ending in `_raced`) where another process was in it; `certainty` then says whether that is \
         `definite` or `possible`. Lost calls, and those that were only counted, make a race at most possible.\n\n\
         What one program does again and again, in one IPC namespace for one user, is one story: told when it begins, when it gets worse, and \
         when it has happened 10, 100, 1000 ... times (`count`, `story`); after an hour it begins anew.\n\n\
         All of it is done with the events' own times and bounded memory, so `msgget-trace replay` finds the same in a recording.\n\n\
         | id | name | tag | CWE | ATT&CK |\n|---|---|---|---|---|\n",
    );
    for rule in RULES {
        let cwe = rule.cwe.map(link).unwrap_or_default();
        let attack = rule.attack.map(|(id, name)| format!("{id} {name}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | [{1}](#{1}) | `{2}` | {cwe} | {attack} |", rule.id, rule.name, rule.tag.name());
    }
    let _ = writeln!(
        text,
        "\nTechniques are those of MITRE ATT&CK {ATTACK_VERSION}, given only where they describe exactly this."
    );
    for rule in RULES {
        section(rule, &mut text);
    }
    text
}

fn link(cwe: &str) -> String {
    let number = cwe.trim_start_matches("CWE-");
    format!("[{cwe}](https://cwe.mitre.org/data/definitions/{number}.html)")
}

fn section(rule: &RuleInfo, text: &mut String) {
    let RuleInfo { id, name, version, event_id, description, logic, blind_spots, false_positives, response, .. } = rule;
    let _ = write!(
        text,
        "\n## {name}\n{id}, version {version}, event {event_id}\n\n{description}.\n\n- **When:** {logic}\n- **Blind spots:** {blind_spots}\n\
         - **False positives:** {false_positives}\n- **Response:** {response}\n"
    );
    if rule.rises {
        text.push_str("- Worse by one step in a [privileged_context](#privileged_context).\n");
    }
}

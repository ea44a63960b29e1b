//! Lines of which there are too many to parse them: text goes in, single facts and numbers of lines come out.

use super::is_health;

/// Numbers of lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) calls: usize,
    pub(crate) controls: usize,
    pub(crate) findings: usize,
}

impl Counted {
    /// Counts the line of a call, a control or a finding; true if it is a call's.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        let is = |name: &str| line.contains(&format!("\"eventName\":\"{name}\""));
        let (call, control) = (is("msgget"), is("msgctl"));
        self.calls += usize::from(call);
        self.controls += usize::from(control);
        self.findings += usize::from(!call && !control && !is_health(line));
        call
    }
}

/// What stands before the value of the first argument.
pub(crate) const KEY: &str = r#""name":"key","type":"int32","value":"#;

/// The integer that follows `before`.
pub(crate) fn number(line: &str, before: &str) -> Option<i64> {
    let rest = line.split_once(before)?.1;
    rest[..rest.find([',', '}'])?].parse().ok()
}

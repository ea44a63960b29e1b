//! Rules: what each of them is, in constants that outputs, documentation and policies read. Nothing here depends on the calls a
//! rule sees.

use super::Tag;

/// How bad it is; the numbers are those of Tracee's `Severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info = 0,
    /// A habit that invites trouble.
    Low = 1,
    /// Trouble, if somebody is waiting for it.
    Medium = 2,
    /// Somebody probably was.
    High = 3,
    /// Act.
    Critical = 4,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The same for a caller with more rights than whoever started it: what is a habit in others is a way in here.
    #[must_use]
    pub(super) const fn raised(self) -> Self {
        match self {
            Self::Low => Self::Medium,
            Self::Medium => Self::High,
            other => other,
        }
    }
}

/// How sure it is that the pattern means what the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Often harmless.
    Low,
    /// As often as not.
    Medium,
    /// Hardly ever anything else.
    High,
}

impl Confidence {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// From 0 to 100, as CEF and OCSF want it.
    #[must_use]
    pub const fn score(self) -> u8 {
        match self {
            Self::Low => 30,
            Self::Medium => 60,
            Self::High => 90,
        }
    }
}

/// What a rule is.
#[derive(Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Number of the event a finding is: above 6000, as Tracee's signatures, and never reused.
    pub event_id: u32,
    /// For ever the same, across versions.
    pub id: &'static str,
    /// Name of the finding's event.
    pub name: &'static str,
    /// Raised with every change of its logic.
    pub version: &'static str,
    /// On the calls that complete it.
    pub tag: Tag,
    /// What it means, in a sentence.
    pub description: &'static str,
    /// When it matches, and with which severity.
    pub logic: &'static str,
    /// The weakness of the program that suffers it, <https://cwe.mitre.org>; none where none is meant by it.
    pub cwe: Option<&'static str>,
    /// The technique of MITRE ATT&CK and its name, only where that describes exactly this.
    pub attack: Option<(&'static str, &'static str)>,
    /// Whether it is worse, by one step, when the caller has more rights than whoever started it (MSGGET-13).
    pub rises: bool,
    /// What it cannot see.
    pub blind_spots: &'static str,
    /// Who does this without meaning harm.
    pub false_positives: &'static str,
    /// What to do.
    pub response: &'static str,
}

/// The version of ATT&CK that [`RuleInfo::attack`] speaks of.
pub const ATTACK_VERSION: &str = "18.1";

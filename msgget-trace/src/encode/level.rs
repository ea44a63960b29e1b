//! What is to be told goes in, how much it matters comes out, on a scale that the formats share.

use super::Item;
use crate::{
    detect::Severity,
    event::{LossReason, News},
};

/// How much it matters; the numbers are those of OCSF's `severity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Informational = 1,
    Low = 2,
    Medium = 3,
    High = 4,
    Critical = 5,
}

impl Level {
    /// Calls are facts and no more. News weighs as much as what is not seen because of it: a sensor that is blind, or is
    /// being meddled with, is what somebody who hides would bring about.
    pub(super) const fn of(item: &Item<'_>) -> Self {
        match item {
            Item::Call { .. } | Item::Control { .. } | Item::Use { .. } | Item::Aggregate { .. } => Self::Informational,
            Item::Finding { finding, .. } => match finding.severity {
                Severity::Info => Self::Informational,
                Severity::Low => Self::Low,
                Severity::Medium => Self::Medium,
                Severity::High => Self::High,
                Severity::Critical => Self::Critical,
            },
            Item::Health { health, .. } => match &health.news {
                News::Degraded { .. } | News::Loss { reason: LossReason::Rejected, .. } => Self::High,
                News::Loss { .. } | News::PolicyRefused { .. } => Self::Medium,
                News::Start { .. }
                | News::Heartbeat { .. }
                | News::ConfigChange { .. }
                | News::PolicyChange { .. }
                | News::Recovered { .. }
                | News::Stop { .. } => Self::Informational,
            },
        }
    }

    /// OCSF's word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// The number that Elastic's own rules give it, out of a hundred.
    pub(super) const fn of_hundred(self) -> u8 {
        match self {
            Self::Informational => 1,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}

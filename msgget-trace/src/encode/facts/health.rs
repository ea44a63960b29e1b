//! News of the sensor itself goes in, what it says comes out.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    encode::{
        Sensor,
        show::{Digits, Numbers, Shown},
        write::{Object, Written},
    },
    event::{News, OutputState},
};

/// Adds those of `news`.
pub(super) fn of_news(news: &News, sensor: &Sensor, to: &mut Object<'_>) -> Written {
    to.member("coverage_gap", sensor.rung.gap())?;
    to.fields(&NewsFacts::new(news, sensor))
}

#[derive(Serialize)]
#[serde(untagged)]
enum NewsFacts<'a> {
    Start {
        int80_proved: bool,
        passed_over: Vec<PassedOver<'a>>,
        absent: &'a [&'static str],
        config_digest: Shown<Uuid>,
        #[serde(skip_serializing_if = "Option::is_none")]
        policy_digest: Option<Shown<Uuid>>,
        pinned: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        inherited_since_ns: Option<Digits<u64>>,
    },
    ConfigChange {
        former_config_digest: Shown<Uuid>,
        config_digest: Shown<Uuid>,
    },
    PolicyChange {
        former_policy_digest: Shown<Uuid>,
        policy_digest: Shown<Uuid>,
    },
    PolicyRefused {
        policy_digest: Shown<Uuid>,
        problems: usize,
        detail: &'a str,
    },
    Loss {
        reason: &'static str,
        count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<&'a str>,
        since_ns: Digits<u64>,
    },
    Degraded {
        reason: &'static str,
        detail: &'a str,
    },
    Balance {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        balance: Numbers<'a>,
        outputs: &'a [OutputState],
    },
    Recovered {
        reason: &'static str,
    },
}

#[derive(Serialize)]
struct PassedOver<'a> {
    hook: &'static str,
    reason: &'a str,
}

impl<'a> NewsFacts<'a> {
    fn new(news: &'a News, sensor: &Sensor) -> Self {
        let wall = |moment| Digits(sensor.clock.wall(moment));
        match news {
            News::Start { passed, int80_proved, absent, config, policy, pinned, inherited } => Self::Start {
                int80_proved: *int80_proved,
                passed_over: passed
                    .iter()
                    .map(|passed| PassedOver { hook: passed.rung.name(), reason: &passed.reason })
                    .collect(),
                absent,
                config_digest: Shown(*config),
                policy_digest: policy.map(Shown),
                pinned: *pinned,
                inherited_since_ns: inherited.map(wall),
            },
            News::ConfigChange { from, to } => {
                Self::ConfigChange { former_config_digest: Shown(*from), config_digest: Shown(*to) }
            }
            News::PolicyChange { from, to } => {
                Self::PolicyChange { former_policy_digest: Shown(*from), policy_digest: Shown(*to) }
            }
            News::PolicyRefused { kept, problems, detail } => {
                Self::PolicyRefused { policy_digest: Shown(*kept), problems: *problems, detail }
            }
            News::Loss { reason, count, cpu, output, since } => Self::Loss {
                reason: reason.name(),
                count: *count,
                cpu: *cpu,
                output: output.as_deref(),
                since_ns: wall(*since),
            },
            News::Degraded { reason, detail } => Self::Degraded { reason, detail },
            News::Heartbeat { balance, outputs } => Self::Balance { reason: None, balance: Numbers(balance), outputs },
            News::Stop { reason, balance, outputs } => {
                Self::Balance { reason: Some(reason), balance: Numbers(balance), outputs }
            }
            News::Recovered { reason } => Self::Recovered { reason },
        }
    }
}

//! Health records, which say how the sensor itself is: what happened to it goes in, one object a line comes out, in the
//! same sequence as the calls.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    encode::{
        Sensor,
        show::{Numbers, OutputFacts, Shown},
    },
    event::{Health, News},
};

impl Sensor {
    /// What only news says.
    pub(super) fn news<'a>(&self, health: &'a Health) -> Facts<'a> {
        Facts { coverage_gap: self.rung.gap(), news: self.kind(&health.news) }
    }

    fn kind<'a>(&self, news: &'a News) -> NewsFacts<'a> {
        match news {
            News::Start { passed, int80_proved, absent, config, pinned, inherited } => {
                let passed =
                    passed.iter().map(|passed| PassedOver { hook: passed.rung.name(), reason: &passed.reason });
                NewsFacts::Start {
                    version: env!("CARGO_PKG_VERSION"),
                    int80_proved: *int80_proved,
                    passed_over: passed.collect(),
                    absent,
                    config_digest: Shown(*config),
                    pinned: *pinned,
                    inherited_since: inherited.map(|moment| self.clock.wall(moment)),
                }
            }
            News::ConfigChange { from, to } => {
                NewsFacts::ConfigChange { former_config_digest: Shown(*from), config_digest: Shown(*to) }
            }
            News::Heartbeat { balance, outputs } => {
                NewsFacts::Heartbeat { balance: Numbers(balance), outputs: OutputFacts::of(outputs) }
            }
            News::Loss { reason, count, cpu, output, since } => NewsFacts::Loss {
                reason: reason.name(),
                count: *count,
                cpu: *cpu,
                output: output.as_deref(),
                since: self.clock.wall(*since),
            },
            News::Degraded { reason, detail } => NewsFacts::Degraded { reason, detail },
            News::Recovered { reason } => NewsFacts::Recovered { reason },
            News::Stop { reason, balance, outputs } => {
                NewsFacts::Stop { reason, balance: Numbers(balance), outputs: OutputFacts::of(outputs) }
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts<'a> {
    coverage_gap: &'static str,
    #[serde(flatten)]
    news: NewsFacts<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum NewsFacts<'a> {
    Start {
        version: &'static str,
        int80_proved: bool,
        passed_over: Vec<PassedOver<'a>>,
        absent: &'a [&'static str],
        config_digest: Shown<Uuid>,
        pinned: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        inherited_since: Option<u64>,
    },
    ConfigChange {
        former_config_digest: Shown<Uuid>,
        config_digest: Shown<Uuid>,
    },
    Heartbeat {
        balance: Numbers<'a>,
        outputs: Vec<OutputFacts<'a>>,
    },
    Loss {
        reason: &'static str,
        count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<&'a str>,
        since: u64,
    },
    Degraded {
        reason: &'static str,
        detail: &'a str,
    },
    Recovered {
        reason: &'static str,
    },
    Stop {
        reason: &'static str,
        balance: Numbers<'a>,
        outputs: Vec<OutputFacts<'a>>,
    },
}

#[derive(Serialize)]
struct PassedOver<'a> {
    hook: &'static str,
    reason: &'a str,
}

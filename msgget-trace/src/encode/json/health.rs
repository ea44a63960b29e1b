//! Health records, which say how the sensor itself is: what happened to it goes in, one object a line comes out, in the
//! same sequence as the calls.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use uuid::Uuid;

use super::{Json, SCHEMA_VERSION, Shown, append};
use crate::event::{Health, News};

impl Json {
    /// Appends the line of `health`, the run's `nth` health record and the output's `sequence`th line, to `out`.
    pub fn health(&self, health: &Health, nth: u64, sequence: u64, out: &mut Vec<u8>) {
        let record = Record {
            timestamp: self.clock.wall(health.at),
            event_name: health.news.name(),
            schema_version: SCHEMA_VERSION,
            id: Shown(format_args!("{}-{nth}", self.run)),
            sequence,
            hook: self.rung.name(),
            coverage_gap: self.rung.gap(),
            facts: self.facts(&health.news),
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
        };
        append(&record, out);
    }

    fn facts<'a>(&self, news: &'a News) -> Facts<'a> {
        match news {
            News::Start { passed, int80_proved, absent, config, pinned, inherited } => {
                let passed =
                    passed.iter().map(|passed| PassedOver { hook: passed.rung.name(), reason: &passed.reason });
                Facts::Start {
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
                Facts::ConfigChange { former_config_digest: Shown(*from), config_digest: Shown(*to) }
            }
            News::Heartbeat { balance } => Facts::Heartbeat { balance: Numbers(balance) },
            News::Loss { reason, count, cpu, since } => {
                Facts::Loss { reason: reason.name(), count: *count, cpu: *cpu, since: self.clock.wall(*since) }
            }
            News::Degraded { reason, detail } => Facts::Degraded { reason, detail },
            News::Recovered => Facts::Recovered {},
            News::Stop { reason, balance } => Facts::Stop { reason, balance: Numbers(balance) },
        }
    }
}

/// A health record: what each has, around what only this kind has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a, I> {
    timestamp: u64,
    event_name: &'static str,
    schema_version: &'static str,
    id: I,
    sequence: u64,
    hook: &'static str,
    coverage_gap: &'static str,
    #[serde(flatten)]
    facts: Facts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Facts<'a> {
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
    },
    Loss {
        reason: &'static str,
        count: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<u32>,
        since: u64,
    },
    Degraded {
        reason: &'static str,
        detail: &'a str,
    },
    Recovered {},
    Stop {
        reason: &'static str,
        balance: Numbers<'a>,
    },
}

#[derive(Serialize)]
struct PassedOver<'a> {
    hook: &'static str,
    reason: &'a str,
}

/// An object of numbers.
struct Numbers<'a>(&'a [(&'static str, u64)]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, number) in self.0 {
            map.serialize_entry(name, number)?;
        }
        map.end()
    }
}

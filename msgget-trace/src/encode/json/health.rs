//! Health records, which say how the sensor itself is: what happened to it goes in, one object a line comes out, in the
//! same sequence as the calls.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::schema;
use crate::{
    encode::{
        Sensor,
        show::{Numbers, Shown},
    },
    event::{Health, News, OutputState},
};

impl Sensor {
    /// What only news says.
    pub(super) fn news<'a>(&'a self, health: &'a Health) -> Facts<'a> {
        Facts { coverage_gap: self.rung.gap(), news: self.kind(&health.news) }
    }

    fn kind<'a>(&'a self, news: &'a News) -> NewsFacts<'a> {
        match news {
            News::Start { passed, int80_proved, absent, config, policy, pinned, inherited } => {
                let passed =
                    passed.iter().map(|passed| PassedOver { hook: passed.rung.name(), reason: &passed.reason });
                NewsFacts::Start {
                    version: env!("CARGO_PKG_VERSION"),
                    int80_proved: *int80_proved,
                    passed_over: passed.collect(),
                    absent,
                    config_digest: Shown(*config),
                    policy_digest: policy.map(Shown),
                    pinned: *pinned,
                    inherited_since: inherited.map(|moment| self.clock.wall(moment)),
                    machine_name: self.host.name.as_deref(),
                    kernel_release: self.host.kernel.as_deref(),
                }
            }
            News::ConfigChange { from, to } => {
                NewsFacts::ConfigChange { former_config_digest: Shown(*from), config_digest: Shown(*to) }
            }
            News::PolicyChange { from, to } => {
                NewsFacts::PolicyChange { former_policy_digest: Shown(*from), policy_digest: Shown(*to) }
            }
            News::PolicyRefused { kept, problems, detail } => {
                NewsFacts::PolicyRefused { policy_digest: Shown(*kept), problems: *problems, detail }
            }
            News::Heartbeat { balance, outputs } => NewsFacts::Heartbeat { balance: Numbers(balance), outputs },
            News::Loss { reason, count, cpu, output, since } => NewsFacts::Loss {
                reason: reason.name(),
                count: *count,
                cpu: *cpu,
                output: output.as_deref(),
                since: self.clock.wall(*since),
            },
            News::Degraded { reason, detail } => NewsFacts::Degraded { reason, detail },
            News::Recovered { reason } => NewsFacts::Recovered { reason },
            News::Stop { reason, balance, outputs } => NewsFacts::Stop { reason, balance: Numbers(balance), outputs },
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts<'a> {
    /// What the hooks cannot see.
    coverage_gap: &'static str,
    #[serde(flatten)]
    news: NewsFacts<'a>,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum NewsFacts<'a> {
    /// Tracing begins.
    #[schemars(transform = schema::named("start"))]
    Start {
        /// Of the sensor.
        version: &'static str,
        /// Whether a call by int 0x80 proved to be seen.
        int80_proved: bool,
        /// Better hooks that are not in use.
        passed_over: Vec<PassedOver<'a>>,
        /// Members of kernel structures that this kernel lacks, and so does every line.
        absent: &'a [&'static str],
        /// Of the programs and what they were told.
        config_digest: Shown<Uuid>,
        /// Of the policy files; absent where there are none.
        #[serde(skip_serializing_if = "Option::is_none")]
        policy_digest: Option<Shown<Uuid>>,
        /// Whether hooks and ring would outlive the daemon.
        pinned: bool,
        /// When the daemon before had last brought anything to its end, ns since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        inherited_since: Option<u64>,
        /// Name of the machine on which the sensor runs, gethostname(2).
        #[serde(skip_serializing_if = "Option::is_none")]
        machine_name: Option<&'a str>,
        /// Release of its kernel, uname(2).
        #[serde(skip_serializing_if = "Option::is_none")]
        kernel_release: Option<&'a str>,
    },
    /// The options are not those of the daemon before.
    #[schemars(transform = schema::named("config_change"))]
    ConfigChange { former_config_digest: Shown<Uuid>, config_digest: Shown<Uuid> },
    /// From here on other policies say what is wanted.
    #[schemars(transform = schema::named("policy_change"))]
    PolicyChange { former_policy_digest: Shown<Uuid>, policy_digest: Shown<Uuid> },
    /// The policy files were to be read again, and are wrong: what was wanted goes on to be.
    #[schemars(transform = schema::named("policy_refused"))]
    PolicyRefused {
        /// Of those that go on.
        policy_digest: Shown<Uuid>,
        /// How many.
        problems: usize,
        /// The first.
        detail: &'a str,
    },
    /// Tracing goes on.
    #[schemars(transform = schema::named("heartbeat"))]
    Heartbeat {
        balance: Numbers<'a>,
        /// How each output is.
        outputs: &'a [OutputState],
    },
    /// Calls, or lines of an output, went missing.
    #[schemars(transform = schema::named("loss"))]
    Loss {
        /// By which way.
        #[schemars(schema_with = "schema::loss_reason")]
        reason: &'static str,
        /// How many calls.
        count: u64,
        /// On which CPU, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<u32>,
        /// At which output, if they are not missing from all.
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<&'a str>,
        /// After this moment, ns since 1970.
        since: u64,
    },
    /// The sensor sees less from now on, or is not sure what it sees.
    #[schemars(transform = schema::named("degraded"))]
    Degraded {
        /// Why, in a word.
        reason: &'static str,
        /// Why, in words.
        detail: &'a str,
    },
    /// It is again as it was before.
    #[schemars(transform = schema::named("recovered"))]
    Recovered {
        /// Before what.
        reason: &'static str,
    },
    /// Tracing ends.
    #[schemars(transform = schema::named("stop"))]
    Stop {
        /// Why.
        reason: &'static str,
        balance: Numbers<'a>,
        /// How each output is left.
        outputs: &'a [OutputState],
    },
}

/// Better hooks that are not in use, and why.
#[derive(JsonSchema, Serialize)]
struct PassedOver<'a> {
    #[schemars(schema_with = "schema::hook")]
    hook: &'static str,
    reason: &'a str,
}

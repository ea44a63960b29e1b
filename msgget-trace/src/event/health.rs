//! What happens to the sensor itself: the types of the health records, which stand in the stream among the calls.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BootTime, Rung};

/// Names and numbers, each name once: the ledger as a record carries it.
pub type Balance = Vec<(&'static str, u64)>;

/// A rung that is not in use, though it is higher than the one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Which.
    pub rung: Rung,
    /// Why, in words.
    pub reason: String,
}

/// By which way calls went missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The ring had no room for their records.
    RingFull,
    /// The kernel did not run our program, because it was running on that CPU already.
    RecursionMisses,
    /// Decode refused their records: a defect, or somebody else's program wrote them.
    Rejected,
    /// They stood in a ring that another version, or one with other options, had left behind.
    AbiChanged,
    /// The spool of an output had no room for their lines.
    SpoolFull,
    /// Their lines were in the spool for as long as it keeps any.
    SpoolExpired,
    /// Their lines stood where the spool was damaged.
    SpoolDamaged,
    /// The receiver of an output will never take their lines, which have been put aside.
    Refused,
}

impl LossReason {
    /// The word for it in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::RecursionMisses => "recursion_misses",
            Self::Rejected => "rejected",
            Self::AbiChanged => "abi_changed",
            Self::SpoolFull => "spool_full",
            Self::SpoolExpired => "spool_expired",
            Self::SpoolDamaged => "spool_damaged",
            Self::Refused => "refused",
        }
    }
}

/// Something happened to the sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// When it was noticed.
    pub at: BootTime,
    /// What.
    pub news: News,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Tracing begins.
    Start {
        /// Higher rungs, and why they are not in use.
        passed: Vec<Passed>,
        /// Whether a call by `int 0x80` proved to be seen; false also where the kernel does not answer to it.
        int80_proved: bool,
        /// Members of kernel structures that this kernel lacks, and so does every event.
        absent: Vec<&'static str>,
        /// Digest of the programs and what they were told.
        config: Uuid,
        /// Digest of the policy files, if there are any.
        policy: Option<Uuid>,
        /// Whether programs and ring would outlive the daemon.
        pinned: bool,
        /// When the daemon that left them had last brought anything to its end, if one did: what was called since then
        /// follows.
        inherited: Option<BootTime>,
    },
    /// Tracing goes on.
    Heartbeat {
        /// A snapshot: what is on its way has been taken in, and not yet given out.
        balance: Balance,
        /// How each output is.
        outputs: Vec<OutputState>,
    },
    /// The options are not those of the daemon whose hooks were taken over: from here on the calls are seen by others.
    ConfigChange {
        /// Digest of the former programs and what they were told.
        from: Uuid,
        /// Of those in use.
        to: Uuid,
    },
    /// The policy files were read again, and are others: from here on they say what is wanted.
    PolicyChange {
        /// Digest of the former files.
        from: Uuid,
        /// Of those in use.
        to: Uuid,
    },
    /// The policy files were to be read again, and are wrong: the former ones go on.
    PolicyRefused {
        /// Digest of those that go on.
        kept: Uuid,
        /// How many things are wrong.
        problems: usize,
        /// The first of them, in words.
        detail: String,
    },
    /// Calls, or lines of an output, went missing, and it is known how many.
    Loss {
        /// How.
        reason: LossReason,
        /// How many; of [`LossReason::RecursionMisses`] at most so many, for other calls may have been skipped with them.
        count: u64,
        /// On which CPU, where that is known.
        cpu: Option<u32>,
        /// At which output, if they are not missing from all.
        output: Option<String>,
        /// After this moment, and before the record's.
        since: BootTime,
    },
    /// From now on the sensor sees less, or is not sure what it sees.
    Degraded {
        /// Why, in a word.
        reason: &'static str,
        /// Why, in words.
        detail: String,
    },
    /// It is again as it was before.
    Recovered {
        /// Before what: the reason that was given then.
        reason: &'static str,
    },
    /// Tracing ends; the last record of a run that had an orderly end.
    Stop {
        /// Why.
        reason: &'static str,
        /// Where all calls went.
        balance: Balance,
        /// How each output is left.
        outputs: Vec<OutputState>,
    },
}

/// How an output is: `told + inherited = delivered + waiting + dropped + expired + damaged + refused`, all of them lines. Where
/// it is written, what is 0 is left out but for what tells that it works.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub struct OutputState {
    /// Where it leads.
    pub name: String,
    /// How its lines look.
    pub format: Cow<'static, str>,
    /// Lines made in this run.
    pub told: u64,
    /// Lines that have arrived, as far as that can be known.
    pub delivered: u64,
    /// Lines on their way.
    pub waiting: u64,
    /// Lines found in its spool when this run began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inherited: u64,
    /// Lines the spool had no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Lines that were in the spool for as long as it keeps any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expired: u64,
    /// Lines that stood where the spool was damaged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub damaged: u64,
    /// Lines the receiver will never take; they stand in the spool's `dead-letter.ndjson`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Why it does not work now, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl OutputState {
    /// Lines that will not arrive.
    #[must_use]
    pub const fn gone(&self) -> u64 {
        self.dropped + self.expired + self.damaged + self.refused
    }

    /// What does not add up, in words. To be asked between two batches.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        let Self { name, told, inherited, delivered, waiting, .. } = self;
        let (before, after) = (told + inherited, delivered + waiting + self.gone());
        (before != after).then(|| {
            format!(
                "of output {name} told + inherited = delivered + waiting + dropped + expired + damaged + refused does not hold: \
                 {before} and {after}"
            )
        })
    }
}

/// As serde asks it.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl News {
    /// The event's name in every output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Heartbeat { .. } => "heartbeat",
            Self::ConfigChange { .. } => "config_change",
            Self::PolicyChange { .. } => "policy_change",
            Self::PolicyRefused { .. } => "policy_refused",
            Self::Loss { .. } => "loss",
            Self::Degraded { .. } => "degraded",
            Self::Recovered { .. } => "recovered",
            Self::Stop { .. } => "stop",
        }
    }
}

//! `event.*`: an item goes in, what kind of event it is in the words of ECS comes out.

use serde::Serialize;

use crate::{
    encode::{
        Id, Item, Sensor,
        facts::dataset,
        level::Level,
        show::{Rfc3339, Shown},
    },
    event::{Aggregate, Call, Command, Control, Errno, Health, News, Outcome},
};

/// ECS field set `event`.
#[derive(Serialize)]
pub(super) struct Event<'a> {
    id: Shown<Id>,
    sequence: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    category: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<[&'static str; 1]>,
    code: &'static str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// ns
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    /// Of several calls the first, and the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Shown<Rfc3339>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Shown<Rfc3339>>,
    severity: u8,
    module: &'static str,
    dataset: &'static str,
    provider: &'static str,
}

/// Which of the schema's kinds an item is, and what in it differs by that.
struct Class<'a> {
    kind: &'static str,
    /// Where none fits there is none, as the schema asks.
    category: &'static [&'static str],
    r#type: Option<&'static str>,
    action: &'static str,
    reason: Option<&'a str>,
    duration: Option<u64>,
    provider: &'static str,
}

/// Calls of the operating system, in the schema's words.
const API: &[&str] = &["api"];
const KERNEL: &str = "kernel";
const SENSOR: &str = "msgget-trace";

impl<'a> Event<'a> {
    pub(super) fn new(item: &Item<'a>, sensor: &Sensor, sequence: u64) -> Self {
        let Class { kind, category, r#type, action, reason, duration, provider } = match *item {
            Item::Call { call, .. } => Class {
                kind: "event",
                category: API,
                r#type: Some(r#type(call.outcome, call.result)),
                action: "msgget",
                reason: None,
                duration: of_call(call),
                provider: KERNEL,
            },
            Item::Control { control, .. } => Class {
                kind: "event",
                category: API,
                r#type: Some(r#type(control.outcome, control.result)),
                action: action(control),
                reason: None,
                duration: control.entered.map(|entered| control.left.since(entered)),
                provider: KERNEL,
            },
            Item::Use { used, .. } => Class {
                kind: "event",
                category: API,
                r#type: Some(r#type(used.outcome(), used.result())),
                action: used.operation.name(),
                reason: None,
                duration: None,
                provider: KERNEL,
            },
            Item::Finding { finding, .. } => Class {
                kind: "alert",
                category: &["intrusion_detection", "api"],
                r#type: Some("info"),
                action: finding.event.system_call().unwrap_or("namespace-teardown"),
                reason: Some(&finding.summary),
                duration: finding.event.entered().map(|entered| finding.event.left().since(entered)),
                provider: SENSOR,
            },
            Item::Health { health, .. } => Class::of_health(health),
            Item::Aggregate { .. } => Class {
                kind: "event",
                category: API,
                r#type: Some("info"),
                action: "msgget",
                reason: None,
                duration: None,
                provider: KERNEL,
            },
        };
        let (start, end) = match *item {
            Item::Aggregate { aggregate, .. } => span(aggregate, sensor),
            _ => (None, None),
        };
        Self {
            id: Shown(item.id(sensor)),
            sequence,
            kind,
            category,
            r#type: r#type.map(|r#type| [r#type]),
            code: item.name(),
            action,
            outcome: outcome(item),
            reason,
            duration,
            start,
            end,
            severity: Level::of(item).of_hundred(),
            module: "msgget",
            dataset: dataset(item.kind()),
            provider,
        }
    }
}

impl<'a> Class<'a> {
    fn of_health(health: &'a Health) -> Self {
        let (kind, reason) = match &health.news {
            News::Heartbeat { .. } => ("metric", None),
            News::Loss { reason, .. } => ("state", Some(reason.name())),
            News::Degraded { detail, .. } => ("state", Some(&**detail)),
            News::Stop { reason, .. } => ("state", Some(*reason)),
            News::PolicyRefused { detail, .. } => ("state", Some(&**detail)),
            News::Start { .. } | News::ConfigChange { .. } | News::PolicyChange { .. } | News::Recovered { .. } => {
                ("state", None)
            }
        };
        let (category, r#type): (&[_], _) = match health.news {
            News::ConfigChange { .. } | News::PolicyChange { .. } => (&["configuration"], Some("change")),
            _ => (&[], None),
        };
        Self { kind, category, r#type, action: health.news.name(), reason, duration: None, provider: SENSOR }
    }
}

fn of_call(call: &Call) -> Option<u64> {
    call.entered.map(|entered| call.left.since(entered))
}

const fn action(control: &Control) -> &'static str {
    match control.command {
        _ if control.teardown() => "namespace-teardown",
        Command::Remove => "msgctl-rmid",
        Command::Change => "msgctl-set",
    }
}

/// The schema's word for what happened, of those that go with `api`. Which of two it was is not said where that is not
/// known.
fn r#type(outcome: Outcome, result: i64) -> &'static str {
    match outcome {
        Outcome::Created => "creation",
        Outcome::Opened => "access",
        Outcome::Removed => "deletion",
        Outcome::Changed => "change",
        Outcome::Failed(_) | Outcome::Ambiguous | Outcome::Unpaired | Outcome::NotExecuted => {
            if Errno::from_result(result).is_some_and(Errno::denies) { "denied" } else { "info" }
        }
    }
}

/// As the caller saw it; unknown where somebody else than the kernel answered, and did not refuse.
fn outcome(item: &Item<'_>) -> Option<&'static str> {
    let result = match item {
        Item::Call { call, .. } => call.result,
        Item::Control { control, .. } => control.result,
        Item::Use { used, .. } => used.result(),
        Item::Finding { finding, .. } => finding.event.result(),
        Item::Health { .. } | Item::Aggregate { .. } => return None,
    };
    Some(match item.outcome() {
        _ if Errno::from_result(result).is_some() => "failure",
        Some(Outcome::NotExecuted) => "unknown",
        _ => "success",
    })
}

fn span(aggregate: &Aggregate, sensor: &Sensor) -> (Option<Shown<Rfc3339>>, Option<Shown<Rfc3339>>) {
    let moment = |moment| Shown(Rfc3339(sensor.clock.wall(moment)));
    let attributed = aggregate.attributed.as_ref();
    (attributed.map(|attributed| moment(attributed.first)), attributed.map(|attributed| moment(attributed.last)))
}

//! The attributes of a Detection Finding that no other class has: a verdict goes in, they come out.

use serde::Serialize;
use uuid::Uuid;

use super::{
    class::{QUEUE, Resource},
    millis,
};
use crate::{
    detect::Finding,
    encode::{
        Sensor,
        facts::Values,
        show::{Digits, Shown},
    },
    event::CallId,
};

#[derive(Serialize)]
pub(super) struct FindingFields<'a> {
    is_alert: bool,
    action_id: u32,
    action: &'static str,
    disposition_id: u32,
    disposition: &'static str,
    finding_info: Info<'a>,
    evidences: [Evidence<'a>; 1],
    resources: [Affected; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    vulnerabilities: Option<[Vulnerability; 1]>,
}

#[derive(Serialize)]
struct Info<'a> {
    uid: Shown<Uuid>,
    title: &'static str,
    desc: &'a str,
    /// ms since 1970
    created_time: u64,
    analytic: Analytic,
    related_events: Related<'a>,
    related_events_count: usize,
}

#[derive(Serialize)]
struct Analytic {
    uid: &'static str,
    name: &'static str,
    version: &'static str,
    type_id: u32,
    r#type: &'static str,
}

/// The calls it rests on.
struct Related<'a>(&'a [CallId]);

impl Serialize for Related<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|id| RelatedEvent { uid: Shown(*id) }))
    }
}

#[derive(Serialize)]
struct RelatedEvent {
    uid: Shown<CallId>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    name: &'static str,
    data: Values<'a>,
}

#[derive(Serialize)]
struct Affected {
    name: Shown<Resource>,
    r#type: &'static str,
    role_id: u32,
    role: &'static str,
    /// By its inode, as a key means nothing without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Digits<u32>>,
}

#[derive(Serialize)]
struct Vulnerability {
    cwe: Weakness,
}

#[derive(Serialize)]
struct Weakness {
    uid: &'static str,
}

impl<'a> FindingFields<'a> {
    pub(super) fn new(finding: &'a Finding, sensor: &Sensor) -> Self {
        let (rule, event) = (finding.rule, &finding.event);
        Self {
            is_alert: true,
            action_id: 3,
            action: "Observed",
            disposition_id: 15,
            disposition: "Detected",
            finding_info: Info {
                uid: Shown(finding.id()),
                title: rule.name,
                desc: &finding.summary,
                created_time: millis(sensor.clock.wall(event.timestamp())),
                analytic: Analytic { uid: rule.id, name: rule.name, version: rule.version, type_id: 1, r#type: "Rule" },
                related_events: Related(&finding.evidence),
                related_events_count: finding.evidence.len(),
            },
            evidences: [Evidence { name: rule.name, data: Values(finding) }],
            resources: [Affected {
                name: Shown(finding.key().map_or_else(|| Resource::of(event), Resource::Key)),
                r#type: QUEUE,
                role_id: 3,
                role: "Affected",
                namespace: event.caller().ipc_ns.map(Digits),
            }],
            vulnerabilities: rule.cwe.map(|uid| [Vulnerability { cwe: Weakness { uid } }]),
        }
    }
}

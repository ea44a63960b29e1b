//! What a rule found: a verdict goes in, its facts come out; those of the call that completed it stand beside them.

use serde::Serialize;
use uuid::Uuid;

use super::Values;
use crate::{
    detect::{Actor, Certainty, Finding, Party},
    encode::{
        Escaped, Sensor,
        show::{Digits, Shown},
    },
    event::{CallId, before_nul},
};

/// Of a verdict.
#[derive(Serialize)]
pub(super) struct FindingFacts<'a> {
    finding: Values<'a>,
    evidence: Vec<Shown<CallId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwe: Option<[&'static str; 1]>,
    confidence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parties: Vec<PartyFacts<'a>>,
    story: StoryFacts,
}

/// Somebody else in it.
#[derive(Serialize)]
struct PartyFacts<'a> {
    role: &'static str,
    call: Shown<CallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ns: Option<Digits<u64>>,
    end_ns: Digits<u64>,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_start_ns: Option<Digits<u64>>,
    name: Escaped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    cgroup_id: Digits<u64>,
}

impl<'a> PartyFacts<'a> {
    fn new(party: &'a Party, sensor: &Sensor) -> Self {
        let wall = |moment| Digits(sensor.clock.wall(moment));
        let Actor { pid, started, uid, euid, comm, path, cgroup_id, .. } = &*party.actor;
        Self {
            role: party.role,
            call: Shown(party.call),
            start_ns: party.entered.map(wall),
            end_ns: wall(party.left),
            pid: *pid,
            process_start_ns: started.map(wall),
            name: Escaped(before_nul(comm)),
            executable: path.as_deref().map(Escaped),
            user_id: *uid,
            effective_user_id: *euid,
            cgroup_id: Digits(*cgroup_id),
        }
    }
}
/// How often it has happened.
#[derive(Serialize)]
struct StoryFacts {
    id: Shown<Uuid>,
    count: u64,
    since_ns: Digits<u64>,
}

impl<'a> FindingFacts<'a> {
    pub(super) fn new(finding: &'a Finding, sensor: &Sensor) -> Self {
        Self {
            finding: Values(finding),
            evidence: finding.evidence.iter().copied().map(Shown).collect(),
            cwe: finding.rule.cwe.map(|cwe| [cwe]),
            confidence: finding.confidence.name(),
            certainty: finding.certainty.map(Certainty::name),
            parties: finding.parties.iter().map(|party| PartyFacts::new(party, sensor)).collect(),
            story: StoryFacts {
                id: Shown(finding.story.id),
                count: finding.story.count,
                since_ns: Digits(sensor.clock.wall(finding.story.since)),
            },
        }
    }
}

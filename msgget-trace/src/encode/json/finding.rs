//! The line of a finding: a verdict goes in, one object comes out, shaped as Tracee's findings are: an event of its own in the context
//! of the call that completed it.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    arguments,
    common::Common,
    control, event, schema,
    tracee::{Argument, ArgumentValue, DetectedFrom, Metadata, Tracee, What},
    used, what,
};
use crate::{
    detect::{ATTACK_VERSION, Actor, Certainty, Finding, Party, Value},
    encode::{Escaped, Sensor, show::Shown},
    enrich::Who,
    event::{CallId, Event, before_nul},
    policy::Matched,
};

impl Sensor {
    pub(super) fn finding(
        &self,
        finding: &Finding,
        who: &Who<'_>,
        policies: Matched<'_>,
        common: Common<'_>,
        out: &mut Vec<u8>,
    ) {
        let caller = finding.event.caller();
        let (from, call_args) = match &finding.event {
            Event::Call(call) => (what(call), Vec::from(arguments(call))),
            Event::Control(control) => (control::what(control), Vec::from(control::arguments(control))),
            Event::Use(used) => (used::what(used), used::arguments(used)),
        };
        let mut args: Vec<_> = finding.values.iter().map(|(name, value)| argument(name, value)).collect();
        args.push(Argument {
            name: "detectedFrom",
            r#type: "unknown",
            value: ArgumentValue::DetectedFrom(DetectedFrom {
                id: from.id,
                name: from.name,
                args: &call_args,
                return_value: from.result,
            }),
        });
        let own = What { id: finding.rule.event_id, name: finding.rule.name, result: 0, ..from };
        event(
            caller,
            Tracee::new(caller, who, &self.clock, own)
                .with_args(&args)
                .with_policies(policies)
                .with_metadata(Metadata::new(finding)),
            common,
            FindingFacts::new(finding, self),
            out,
        );
    }
}

fn argument(name: &'static str, value: &Value) -> Argument<'static> {
    let (r#type, value) = match *value {
        Value::Int32(number) => ("int32", ArgumentValue::Int32(number)),
        Value::Uint64(number) => ("uint64", ArgumentValue::Uint64(number)),
        Value::Call(id) => ("string", ArgumentValue::Call(Shown(id))),
        Value::Word(word) => ("string", ArgumentValue::Word(word)),
    };
    Argument { name, r#type, value }
}

/// Ours, on the line of a finding.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FindingFacts<'a> {
    /// Ids of the calls it rests on, oldest first.
    evidence: Vec<Shown<CallId>>,
    /// Its kind in the words of CWE.
    #[schemars(regex(pattern = r"^CWE-[0-9]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    cwe: Option<&'static str>,
    /// The technique of MITRE ATT&CK that this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    attack: Option<Attack>,
    /// How sure it is that the pattern means what the rule says.
    #[schemars(schema_with = "schema::confidence")]
    confidence: &'static str,
    /// Of a race that was observed: whether the other was in the window.
    #[schemars(schema_with = "schema::certainty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    /// What happened, in a sentence.
    summary: &'a str,
    /// The others in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parties: Vec<PartyFacts<'a>>,
    /// Id of the finding that the same program's story began with.
    #[schemars(regex(pattern = "^[0-9a-f-]{36}$"))]
    story: Shown<Uuid>,
    /// How often it has happened in this story.
    count: u64,
    /// When the story began, ns since 1970.
    first_timestamp: u64,
}

/// A technique of MITRE ATT&CK.
#[derive(JsonSchema, Serialize)]
struct Attack {
    technique: &'static str,
    name: &'static str,
    version: &'static str,
}

/// Somebody else in a finding.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Party")]
struct PartyFacts<'a> {
    /// What he was in it.
    role: &'static str,
    /// Id of his call.
    id: Shown<CallId>,
    /// When it was entered; absent where that was not seen. ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    /// When it returned, ns since 1970.
    exit_timestamp: u64,
    host_process_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    process_name: Escaped<'a>,
    /// The end of its path, 256 bytes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Escaped<'a>>,
    cgroup_id: u64,
}

impl<'a> FindingFacts<'a> {
    fn new(finding: &'a Finding, sensor: &Sensor) -> Self {
        let Finding { rule, confidence, certainty, parties, evidence, summary, story, .. } = finding;
        Self {
            evidence: evidence.iter().copied().map(Shown).collect(),
            cwe: rule.cwe,
            attack: rule.attack.map(|(technique, name)| Attack { technique, name, version: ATTACK_VERSION }),
            confidence: confidence.name(),
            certainty: certainty.map(Certainty::name),
            summary,
            parties: parties.iter().map(|party| PartyFacts::new(party, sensor)).collect(),
            story: Shown(story.id),
            count: story.count,
            first_timestamp: sensor.clock.wall(story.since),
        }
    }
}

impl<'a> PartyFacts<'a> {
    fn new(party: &'a Party, sensor: &Sensor) -> Self {
        let wall = |moment| sensor.clock.wall(moment);
        let Actor { pid, started, uid, euid, comm, path, cgroup_id, .. } = &*party.actor;
        Self {
            role: party.role,
            id: Shown(party.call),
            timestamp: party.entered.map(wall),
            exit_timestamp: wall(party.left),
            host_process_id: *pid,
            process_start_time: started.map(wall),
            user_id: *uid,
            effective_user_id: *euid,
            process_name: Escaped(before_nul(comm)),
            executable: path.as_deref().map(Escaped),
            cgroup_id: *cgroup_id,
        }
    }
}

//! The `json` format: calls and findings go in, one object a line comes out.
//!
//! First the fields of Tracee's released event, then our own, never inside them. A field this kernel cannot fill is left
//! out, never guessed.

mod tracee;

use std::{borrow::Cow, fmt::Display};

use serde::{Serialize, Serializer};
use tracee::{Argument, ArgumentValue, DetectedFrom, Metadata, Tracee};

use crate::{
    detect::{Finding, Tags, Value},
    enrich::{Clock, Host},
    event::{Call, CallId, Errno, MsgFlags, Outcome},
};

/// Version of the fields below: the minor grows with every addition, the major with every other change.
const SCHEMA_VERSION: &str = "1.0";

/// Tracee's id of the event `msgget`, which is the number of the system call.
const MSGGET: u32 = if cfg!(target_arch = "aarch64") { 186 } else { 68 };

/// What lines say besides the call: about this machine and its clock.
#[derive(Debug)]
pub struct Json {
    /// This machine.
    pub host: Host,
    /// Its clocks.
    pub clock: Clock,
}

impl Json {
    /// Appends the line of `call`, the output's `sequence`th, to `out`.
    pub fn call(&self, call: &Call, tags: Tags, sequence: u64, out: &mut Vec<u8>) {
        let args = arguments(call);
        self.line(
            Tracee::new(call, &self.clock, MSGGET, "msgget", call.result).with_args(&args),
            self.common(call, &Shown(call.id), tags, sequence),
            CallFacts {
                outcome: call.outcome.name(),
                outcome_source: call.outcome.source(),
                errno: match call.outcome {
                    Outcome::Failed(errno) => Some(Shown(errno)),
                    _ => None,
                },
                key_hex: Shown(format_args!("{:#010x}", call.key)),
                flags: call.flags,
                mode: Shown(format_args!("{:04o}", call.flags.mode())),
                exit_timestamp: self.clock.wall(call.left),
                duration_ns: call.entered.map(|entered| call.left.since(entered)),
                abi: std::env::consts::ARCH,
                hook: "tracepoint",
            },
            out,
        );
    }

    /// Appends the line of `finding` to `out`. Its context is the call that completed it, as in Tracee's findings.
    pub fn finding(&self, finding: &Finding, tags: Tags, sequence: u64, out: &mut Vec<u8>) {
        let call = &finding.call;
        let call_args = arguments(call);
        let mut args: Vec<_> = finding
            .values
            .iter()
            .map(|(name, value)| argument(name, value))
            .collect();
        args.push(Argument {
            name: "detectedFrom",
            r#type: "unknown",
            value: ArgumentValue::DetectedFrom(DetectedFrom {
                id: MSGGET,
                name: "msgget",
                args: &call_args,
                return_value: call.result,
            }),
        });
        self.line(
            Tracee::new(call, &self.clock, finding.rule.event_id, finding.rule.name, 0)
                .with_args(&args)
                .with_metadata(Metadata::new(finding)),
            self.common(call, &Shown(finding.id()), tags, sequence),
            FindingFacts {
                evidence: finding.evidence.iter().copied().map(Shown).collect(),
                cwe: finding.rule.cwe,
            },
            out,
        );
    }

    fn common<'a, I>(&'a self, call: &Call, id: &'a I, tags: Tags, sequence: u64) -> Common<'a, I> {
        Common {
            schema_version: SCHEMA_VERSION,
            id,
            sequence,
            tags,
            effective_user_id: call.euid,
            group_id: call.gid,
            effective_group_id: call.egid,
            ipc_namespace: call.ipc_ns,
            process_start_time: call.process_started.map(|start| self.clock.wall(start)),
            parent_start_time: call.parent_started.map(|start| self.clock.wall(start)),
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
        }
    }

    fn line<I: Serialize, F: Serialize>(&self, tracee: Tracee<'_>, common: Common<'_, I>, facts: F, out: &mut Vec<u8>) {
        let start = out.len();
        match serde_json::to_writer(&mut *out, &Line { tracee, common, facts }) {
            Ok(()) => out.push(b'\n'),
            // Memory does not refuse to be written and every type here has a JSON form; still, no half line may stand.
            Err(error) => {
                out.truncate(start);
                log::error!("a line could not be encoded, which is a defect: {error}");
            }
        }
    }
}

/// The two arguments of msgget(2), as Tracee names and types them.
fn arguments(call: &Call) -> [Argument<'static>; 2] {
    [
        Argument {
            name: "key",
            r#type: "int32",
            value: ArgumentValue::Int32(call.key),
        },
        Argument {
            name: "msgflg",
            r#type: "int32",
            value: ArgumentValue::Int32(call.flags.0),
        },
    ]
}

fn argument(name: &'static str, value: &Value) -> Argument<'static> {
    let (r#type, value) = match *value {
        Value::Int32(number) => ("int32", ArgumentValue::Int32(number)),
        Value::Uint64(number) => ("uint64", ArgumentValue::Uint64(number)),
        Value::Call(id) => ("string", ArgumentValue::Call(Shown(id))),
    };
    Argument { name, r#type, value }
}

#[derive(Serialize)]
struct Line<'a, I, F> {
    #[serde(flatten)]
    tracee: Tracee<'a>,
    #[serde(flatten)]
    common: Common<'a, I>,
    #[serde(flatten)]
    facts: F,
}

/// Ours, on every line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Common<'a, I> {
    schema_version: &'static str,
    id: &'a I,
    sequence: u64,
    tags: Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_group_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_namespace: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
}

/// Ours, on the line of a call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallFacts<K, M> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Shown<Errno>>,
    key_hex: K,
    flags: MsgFlags,
    mode: M,
    exit_timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    abi: &'static str,
    hook: &'static str,
}

/// Ours, on the line of a finding.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingFacts {
    evidence: Vec<Shown<CallId>>,
    cwe: &'static str,
}

/// A value whose JSON form is the string it is shown as.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list of words.
impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// A list of names, and last the bits that have none, in hexadecimal. The mode is a field of its own.
impl Serialize for MsgFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unknown = (self.unknown() != 0).then(|| format!("{:#x}", self.unknown()));
        serializer.collect_seq(self.names().map(Cow::Borrowed).chain(unknown.map(Cow::Owned)))
    }
}

#[cfg(test)]
mod tests;

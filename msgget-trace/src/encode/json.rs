//! The `json` format: calls and findings go in, one object a line comes out.
//!
//! First the fields of Tracee's released event, then our own, never inside them. A field this kernel cannot fill is left
//! out, never guessed.

mod program;
mod tracee;

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use program::Program;
use serde::{Serialize, Serializer};
use tracee::{Argument, ArgumentValue, DetectedFrom, Metadata, Tracee};

use crate::{
    detect::{Finding, Tags, Value},
    encode::Escaped,
    enrich::{Clock, Host, Who},
    event::{Call, CallId, Errno, MsgFlags, Outcome, Queue, Rung, Source, Start},
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
    /// The hooks in use.
    pub rung: Rung,
}

impl Json {
    /// Appends the line of `call`, the output's `sequence`th, to `out`.
    pub fn call(&self, call: &Call, who: &Who<'_>, tags: Tags, sequence: u64, out: &mut Vec<u8>) {
        let args = arguments(call);
        self.line(
            call,
            Tracee::new(call, who, &self.clock, MSGGET, "msgget", call.result).with_args(&args),
            self.common(call, who, &Shown(call.id), tags, sequence),
            CallFacts {
                outcome: call.outcome.name(),
                outcome_source: call.source.map(Source::name),
                errno: match call.outcome {
                    Outcome::Failed(errno) => Some(Shown(errno)),
                    _ => None,
                },
                key_hex: Shown(format_args!("{:#010x}", call.key)),
                flags: call.flags,
                mode: Shown(Octal(call.flags.mode())),
                exit_timestamp: self.clock.wall(call.left),
                duration_ns: call.entered.map(|entered| call.left.since(entered)),
                linearised_timestamp: call.linearised.map(|moment| self.clock.wall(moment)),
                queue: call.queue.map(QueueFacts::new),
                abi: call.door.abi.name(),
                entry: call.door.entry.name(),
                syscall_number: call.door.number,
                ipc_call: call.door.ipc_call,
                hook: self.rung.name(),
            },
            out,
        );
    }

    /// Appends the line of `finding` to `out`. Its context is the call that completed it, as in Tracee's findings.
    pub fn finding(&self, finding: &Finding, who: &Who<'_>, tags: Tags, sequence: u64, out: &mut Vec<u8>) {
        let call = &finding.call;
        let call_args = arguments(call);
        let mut args: Vec<_> = finding.values.iter().map(|(name, value)| argument(name, value)).collect();
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
            call,
            Tracee::new(call, who, &self.clock, finding.rule.event_id, finding.rule.name, 0)
                .with_args(&args)
                .with_metadata(Metadata::new(finding)),
            self.common(call, who, &Shown(finding.id()), tags, sequence),
            FindingFacts { evidence: finding.evidence.iter().copied().map(Shown).collect(), cwe: finding.rule.cwe },
            out,
        );
    }

    /// Appends the record of `start` to `out`: what sees the calls from here on, and what it cannot see.
    pub fn start(&self, start: &Start, sequence: u64, out: &mut Vec<u8>) {
        let passed = start.passed.iter().map(|passed| PassedOver { hook: passed.rung.name(), reason: &passed.reason });
        let record = StartRecord {
            timestamp: self.clock.wall(start.at),
            event_name: "start",
            schema_version: SCHEMA_VERSION,
            id: Shown(format_args!("{}-0", start.run)),
            sequence,
            version: env!("CARGO_PKG_VERSION"),
            hook: self.rung.name(),
            coverage_gap: self.rung.gap(),
            int80_proved: start.int80_proved,
            passed_over: passed.collect(),
            absent: &start.absent,
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
        };
        append(&record, out);
    }

    fn common<'a, I>(&'a self, call: &Call, who: &'a Who<'_>, id: &'a I, tags: Tags, sequence: u64) -> Common<'a, I> {
        Common {
            schema_version: SCHEMA_VERSION,
            id,
            sequence,
            tags,
            user_name: who.user.map(Escaped),
            effective_user_id: call.euid,
            effective_user_name: who.effective_user.map(Escaped),
            group_id: call.gid,
            group_name: who.group.map(Escaped),
            effective_group_id: call.egid,
            effective_group_name: who.effective_group.map(Escaped),
            saved_user_id: call.suid,
            filesystem_user_id: call.fsuid,
            login_user_id: call.login_uid,
            session_id: call.session,
            capabilities: call.capabilities.map(|bits| Shown(Hex(bits))),
            seccomp_mode: call.seccomp,
            traced: call.traced,
            user_namespace: call.user_ns,
            ipc_namespace: call.ipc_ns,
            cgroup_path: who.place.cgroup.as_ref().ok().map(|path| Escaped(&path.bytes)),
            cgroup_path_cut: who.place.cgroup.as_ref().is_ok_and(|path| !path.whole),
            cgroup_path_absent: who.place.cgroup.as_ref().err().map(|absent| absent.name()),
            container_runtime: who.place.container.as_ref().map(|container| container.runtime.name()),
            outermost_container_id: who
                .place
                .container
                .as_ref()
                .and_then(|container| container.outermost_id.as_deref()),
            process_start_time: call.process_started.map(|start| self.clock.wall(start)),
            parent_start_time: call.parent_started.map(|start| self.clock.wall(start)),
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
        }
    }

    fn line<I: Serialize, F: Serialize>(
        &self,
        call: &Call,
        tracee: Tracee<'_>,
        common: Common<'_, I>,
        facts: F,
        out: &mut Vec<u8>,
    ) {
        append(&Line { tracee, common, program: Program::new(call), facts }, out);
    }
}

/// Appends `line` to `out`, as a line.
fn append(line: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    match serde_json::to_writer(&mut *out, line) {
        Ok(()) => out.push(b'\n'),
        // Memory does not refuse to be written and every type here has a JSON form; still, no half line may stand.
        Err(error) => {
            out.truncate(start);
            log::error!("a line could not be encoded, which is a defect: {error}");
        }
    }
}

/// The two arguments of msgget(2), as Tracee names and types them.
fn arguments(call: &Call) -> [Argument<'static>; 2] {
    [
        Argument { name: "key", r#type: "int32", value: ArgumentValue::Int32(call.key) },
        Argument { name: "msgflg", r#type: "int32", value: ArgumentValue::Int32(call.flags.0) },
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

/// The record that begins a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartRecord<'a, I> {
    timestamp: u64,
    event_name: &'static str,
    schema_version: &'static str,
    id: I,
    sequence: u64,
    version: &'static str,
    hook: &'static str,
    coverage_gap: &'static str,
    int80_proved: bool,
    passed_over: Vec<PassedOver<'a>>,
    absent: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
}

#[derive(Serialize)]
struct PassedOver<'a> {
    hook: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Line<'a, I, F> {
    #[serde(flatten)]
    tracee: Tracee<'a>,
    #[serde(flatten)]
    common: Common<'a, I>,
    #[serde(flatten)]
    program: Program<'a>,
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
    user_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_user_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_group_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_group_name: Option<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_user_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Shown<Hex>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp_mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_namespace: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_namespace: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_path: Option<Escaped<'a>>,
    /// Only the outer part of a path that is too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cgroup_path_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup_path_absent: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_runtime: Option<&'static str>,
    /// Of containers in a container, the one that whoever is inside cannot have made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    outermost_container_id: Option<&'a str>,
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
struct CallFacts<K> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Shown<Errno>>,
    key_hex: K,
    flags: MsgFlags,
    mode: Shown<Octal>,
    exit_timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linearised_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueFacts>,
    abi: &'static str,
    entry: &'static str,
    syscall_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_call: Option<u32>,
    hook: &'static str,
}

/// Whose the queue is that a call created or opened.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueFacts {
    owner_user_id: u32,
    owner_group_id: u32,
    creator_user_id: u32,
    creator_group_id: u32,
    mode: Shown<Octal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ns: Option<u64>,
}

impl QueueFacts {
    fn new(queue: Queue) -> Self {
        let Queue { uid, gid, cuid, cgid, mode, age } = queue;
        Self {
            owner_user_id: uid,
            owner_group_id: gid,
            creator_user_id: cuid,
            creator_group_id: cgid,
            mode: Shown(Octal(mode)),
            age_ns: age,
        }
    }
}

/// A set of bits.
struct Hex(u64);

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Permission bits, as chmod(1) takes them.
struct Octal(u16);

impl Display for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
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

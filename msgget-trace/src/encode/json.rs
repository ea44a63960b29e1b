//! The `json` format: calls, controls, uses and findings go in, one object a line comes out.
//!
//! First the fields of Tracee's released event, then our own, never inside them. A field this kernel cannot fill is left
//! out, never guessed.

mod aggregate;
mod common;
mod control;
mod envelope;
mod finding;
mod health;
mod program;
mod schema;
mod tracee;
mod used;

use common::Common;
use program::Program;
pub use schema::schema;
use schemars::JsonSchema;
use serde::Serialize;
use tracee::{Argument, ArgumentValue, Tracee, What};

use crate::{
    encode::{
        Item, Sensor,
        show::{Hex, Key, Octal, Shown},
        write::{append, append_object},
    },
    enrich::Who,
    event::{Abi, Call, Caller, Errno, MsgFlags, Outcome, Queue, Source},
    policy::Matched,
};

/// Version of the fields below: the minor grows with every addition, the major with every other change.
pub(crate) const SCHEMA_VERSION: &str = "1.1";

/// Tracee's id of the event `msgget`, which is the number of the system call.
const MSGGET: u32 = if cfg!(target_arch = "aarch64") { 186 } else { 68 };

/// Appends the line of `item`, the output's `sequence`th, to `out`.
pub(super) fn line(item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
    let (id, at) = (Shown(item.id(sensor)), item.at());
    match *item {
        Item::Call { call, who, tags, policies } => {
            sensor.call(call, who, policies, sensor.common(&call.caller, who, id, at, tags, sequence), out);
        }
        Item::Control { control, who, tags, policies } => {
            sensor.control(control, who, policies, sensor.common(&control.caller, who, id, at, tags, sequence), out);
        }
        Item::Use { used, who, tags, policies } => {
            sensor.used(used, who, policies, sensor.common(&used.caller, who, id, at, tags, sequence), out);
        }
        Item::Finding { finding, who, tags, policies } => {
            sensor.finding(
                finding,
                who,
                policies,
                sensor.common(finding.event.caller(), who, id, at, tags, sequence),
                out,
            );
        }
        Item::Health { health, .. } => append(&sensor.envelope(item, sequence, sensor.news(health)), out),
        Item::Aggregate { aggregate, place, user, .. } => {
            append(&sensor.envelope(item, sequence, sensor.counts(aggregate, place, user)), out);
        }
    }
}

impl Sensor {
    fn call(&self, call: &Call, who: &Who<'_>, policies: Matched<'_>, common: Common<'_>, out: &mut Vec<u8>) {
        let args = arguments(call);
        event(
            &call.caller,
            Tracee::new(&call.caller, who, &self.clock, what(call)).with_args(&args).with_policies(policies),
            common,
            CallFacts {
                outcome: call.outcome.name(),
                outcome_source: call.source.map(Source::name),
                errno: match call.outcome {
                    Outcome::Failed(errno) => Some(Shown(errno)),
                    _ => None,
                },
                key_hex: Shown(Key(call.key)),
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
}

/// The event that `call` is.
fn what(call: &Call) -> What {
    What {
        id: MSGGET,
        name: "msgget",
        syscall: "msgget",
        at: call.timestamp(),
        result: call.result,
        compat: call.door.abi == Abi::I386,
    }
}

/// Appends the line of what `caller` did.
fn event(caller: &Caller, tracee: Tracee<'_>, common: Common<'_>, facts: impl Serialize, out: &mut Vec<u8>) {
    let event = Event { tracee, common, program: Program::new(caller), facts };
    append_object(out, |line| {
        line.fields(&event.tracee)?;
        line.fields(&event.common)?;
        line.fields(&event.program)?;
        line.fields(&event.facts)
    });
}

/// The two arguments of msgget(2), as Tracee names and types them.
fn arguments(call: &Call) -> [Argument<'static>; 2] {
    [
        Argument { name: "key", r#type: "int32", value: ArgumentValue::Int32(call.key) },
        Argument { name: "msgflg", r#type: "int32", value: ArgumentValue::Int32(call.flags.0) },
    ]
}

/// The parts of a line; its schema has their fields in one object, and so has the line.
#[derive(JsonSchema)]
struct Event<'a, F> {
    #[serde(flatten)]
    tracee: Tracee<'a>,
    #[serde(flatten)]
    common: Common<'a>,
    #[serde(flatten)]
    program: Program<'a>,
    #[serde(flatten)]
    facts: F,
}

/// Ours, on the line of a call.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallFacts {
    /// What the kernel did.
    #[schemars(schema_with = "schema::call_outcome")]
    outcome: &'static str,
    /// How that is known.
    #[schemars(schema_with = "schema::outcome_source")]
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    /// Name of the errno, or its number; of what failed.
    #[schemars(regex(pattern = r"^(E[A-Z0-9]+|[0-9]+)$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Shown<Errno>>,
    /// The key.
    #[schemars(regex(pattern = r"^0x[0-9a-f]{8}$"))]
    key_hex: Shown<Key>,
    /// Flags by name, and last the bits that have none, in hexadecimal.
    flags: MsgFlags,
    /// Permission bits that a new queue would get.
    #[schemars(regex(pattern = r"^[0-7]{4}$"))]
    mode: Shown<Octal>,
    /// When it returned, ns since 1970.
    exit_timestamp: u64,
    /// How long it took; absent where its entry was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    /// When the queue was made or found, under the namespace's lock; ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    linearised_timestamp: Option<u64>,
    /// Whose the queue is.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueFacts>,
    /// Calling convention.
    #[schemars(schema_with = "schema::abi")]
    abi: &'static str,
    /// By which instruction it came in.
    #[schemars(schema_with = "schema::entry")]
    entry: &'static str,
    /// Number of the system call in that convention.
    syscall_number: u32,
    /// First argument of the multiplexer ipc(2), where it came by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_call: Option<u32>,
    /// The hooks in use.
    #[schemars(schema_with = "schema::hook")]
    hook: &'static str,
}

/// Whose the queue is that a call created or opened.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Queue")]
struct QueueFacts {
    owner_user_id: u32,
    owner_group_id: u32,
    creator_user_id: u32,
    creator_group_id: u32,
    #[schemars(regex(pattern = r"^[0-7]{4}$"))]
    mode: Shown<Octal>,
    /// For how long after the call this held for certain, or was looked up; absent where the kernel stated it.
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

#[cfg(test)]
mod tests;

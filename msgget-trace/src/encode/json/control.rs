//! The line of what became of a queue: a control goes in, one object comes out, shaped as Tracee's event `msgctl`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    QueueFacts,
    common::Common,
    event, schema,
    tracee::{Argument, ArgumentValue, Tracee, What},
};
use crate::{
    encode::{
        Sensor,
        show::{Key, Shown},
    },
    enrich::Who,
    event::{Abi, Control, Errno, Source},
    policy::Matched,
};

/// Tracee's id of the event `msgctl`, which is the number of the system call.
const MSGCTL: u32 = if cfg!(target_arch = "aarch64") { 187 } else { 71 };

impl Sensor {
    pub(super) fn control(
        &self,
        control: &Control,
        who: &Who<'_>,
        policies: Matched<'_>,
        common: Common<'_>,
        out: &mut Vec<u8>,
    ) {
        let args = arguments(control);
        let door = control.door;
        event(
            &control.caller,
            Tracee::new(&control.caller, who, &self.clock, what(control)).with_args(&args).with_policies(policies),
            common,
            ControlFacts {
                outcome: control.outcome.name(),
                outcome_source: control.source.map(Source::name),
                errno: control.errno().map(Shown),
                cmd_name: control.command.name(),
                namespace_teardown: control.teardown(),
                key_hex: control.key.map(|key| Shown(Key(key))),
                exit_timestamp: self.clock.wall(control.left),
                duration_ns: control.entered.map(|entered| control.left.since(entered)),
                linearised_timestamp: control.linearised.map(|moment| self.clock.wall(moment)),
                queue: control.queue.map(QueueFacts::new),
                abi: door.map(|door| door.abi.name()),
                entry: door.map(|door| door.entry.name()),
                syscall_number: door.map(|door| door.number),
                ipc_call: door.and_then(|door| door.ipc_call),
                hook: self.rung.name(),
            },
            out,
        );
    }
}

/// The event that `control` is.
pub(super) fn what(control: &Control) -> What {
    What {
        id: MSGCTL,
        name: "msgctl",
        // Nobody called it for a queue that ended with its namespace.
        syscall: if control.teardown() { "" } else { "msgctl" },
        at: control.timestamp(),
        result: control.result,
        compat: control.door.is_some_and(|door| door.abi == Abi::I386),
    }
}

/// Those arguments of msgctl(2) that are numbers, as Tracee names and types them.
pub(super) fn arguments(control: &Control) -> [Argument<'static>; 2] {
    [
        Argument { name: "msqid", r#type: "int32", value: ArgumentValue::Int32(control.msqid) },
        Argument { name: "cmd", r#type: "int32", value: ArgumentValue::Int32(control.cmd) },
    ]
}

/// Ours, on the line of what became of a queue.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ControlFacts {
    /// What the kernel did.
    #[schemars(schema_with = "schema::control_outcome")]
    outcome: &'static str,
    /// How that is known.
    #[schemars(schema_with = "schema::outcome_source")]
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    /// Name of the errno, or its number; of what failed.
    #[schemars(regex(pattern = r"^(E[A-Z0-9]+|[0-9]+)$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Shown<Errno>>,
    /// What was asked for.
    #[schemars(schema_with = "schema::command")]
    cmd_name: &'static str,
    /// Whether it ended with its IPC namespace, and nobody called. True, or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    namespace_teardown: bool,
    /// Key of the queue that was removed.
    #[schemars(regex(pattern = r"^0x[0-9a-f]{8}$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<Shown<Key>>,
    /// When it returned, ns since 1970.
    exit_timestamp: u64,
    /// How long it took; absent where its entry was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    /// When the queue was removed, under the namespace's lock; ns since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    linearised_timestamp: Option<u64>,
    /// The queue as it was when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueFacts>,
    /// Calling convention.
    #[schemars(schema_with = "schema::abi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    abi: Option<&'static str>,
    /// By which instruction it came in.
    #[schemars(schema_with = "schema::entry")]
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'static str>,
    /// Number of the system call in that convention.
    #[serde(skip_serializing_if = "Option::is_none")]
    syscall_number: Option<u32>,
    /// First argument of the multiplexer ipc(2), where it came by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_call: Option<u32>,
    /// The hooks in use.
    #[schemars(schema_with = "schema::hook")]
    hook: &'static str,
}

//! The line of what became of a queue: a control goes in, one object comes out, shaped as Tracee's event `msgctl`.

use serde::Serialize;

use super::{
    QueueFacts,
    common::Common,
    event,
    tracee::{Argument, ArgumentValue, Tracee, What},
};
use crate::{
    encode::{
        Sensor,
        show::{Key, Shown},
    },
    enrich::Who,
    event::{Abi, Control, Errno, Source},
};

/// Tracee's id of the event `msgctl`, which is the number of the system call.
const MSGCTL: u32 = if cfg!(target_arch = "aarch64") { 187 } else { 71 };

impl Sensor {
    pub(super) fn control(&self, control: &Control, who: &Who<'_>, common: Common<'_>, out: &mut Vec<u8>) {
        let args = [
            Argument { name: "msqid", r#type: "int32", value: ArgumentValue::Int32(control.msqid) },
            Argument { name: "cmd", r#type: "int32", value: ArgumentValue::Int32(control.cmd) },
        ];
        let door = control.door;
        let what = What {
            id: MSGCTL,
            name: "msgctl",
            // Nobody called it for a queue that ended with its namespace.
            syscall: if control.teardown() { "" } else { "msgctl" },
            at: control.timestamp(),
            result: control.result,
            compat: door.is_some_and(|door| door.abi == Abi::I386),
        };
        event(
            &control.caller,
            Tracee::new(&control.caller, who, &self.clock, what).with_args(&args),
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

/// Ours, on the line of what became of a queue.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ControlFacts {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Shown<Errno>>,
    cmd_name: &'static str,
    /// True, or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    namespace_teardown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<Shown<Key>>,
    exit_timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linearised_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abi: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    syscall_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_call: Option<u32>,
    hook: &'static str,
}

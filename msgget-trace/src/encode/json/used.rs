//! The line of a use of a queue that was not there: a use goes in, one object comes out, shaped as Tracee's events `msgsnd` and
//! `msgrcv`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    common::Common,
    event, schema,
    tracee::{Argument, ArgumentValue, Tracee, What},
};
use crate::{
    encode::{Sensor, show::Shown},
    enrich::Who,
    event::{Abi, Errno, Operation, Source, Use},
    policy::Matched,
};

/// Tracee's ids of the events `msgsnd` and `msgrcv`, which are the numbers of the system calls.
const MSGSND: u32 = if cfg!(target_arch = "aarch64") { 189 } else { 69 };
const MSGRCV: u32 = if cfg!(target_arch = "aarch64") { 188 } else { 70 };

impl Sensor {
    pub(super) fn used(&self, used: &Use, who: &Who<'_>, policies: Matched<'_>, common: Common<'_>, out: &mut Vec<u8>) {
        let args = arguments(used);
        let door = used.door;
        event(
            &used.caller,
            Tracee::new(&used.caller, who, &self.clock, what(used)).with_args(&args).with_policies(policies),
            common,
            UseFacts {
                outcome: used.outcome().name(),
                outcome_source: used.source.map(Source::name),
                errno: Shown(used.errno),
                exit_timestamp: self.clock.wall(used.left),
                abi: door.abi.name(),
                entry: door.entry.name(),
                syscall_number: door.number,
                ipc_call: door.ipc_call,
                hook: self.rung.name(),
            },
            out,
        );
    }
}

/// The event that `used` is.
pub(super) fn what(used: &Use) -> What {
    let name = used.operation.name();
    What {
        id: match used.operation {
            Operation::Send => MSGSND,
            Operation::Receive => MSGRCV,
        },
        name,
        syscall: name,
        at: used.left,
        result: used.result(),
        compat: used.door.abi == Abi::I386,
    }
}

/// Those arguments of msgsnd(2) or msgrcv(2) that are numbers, in the order of the call. Tracee's has msgp, too: where in its
/// memory the caller keeps the message.
pub(super) fn arguments(used: &Use) -> Vec<Argument<'static>> {
    let mut args = Vec::with_capacity(4);
    args.push(Argument { name: "msqid", r#type: "int32", value: ArgumentValue::Int32(used.msqid) });
    args.push(Argument { name: "msgsz", r#type: "uint64", value: ArgumentValue::Uint64(used.msgsz) });
    if let Some(msgtyp) = used.msgtyp {
        args.push(Argument { name: "msgtyp", r#type: "int64", value: ArgumentValue::Int64(msgtyp) });
    }
    args.push(Argument { name: "msgflg", r#type: "int32", value: ArgumentValue::Int32(used.msgflg) });
    args
}

/// Ours, on the line of a use of a queue that was not there.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UseFacts {
    /// It failed: nothing else is told of.
    #[schemars(schema_with = "schema::use_outcome")]
    outcome: &'static str,
    /// How that is known; absent where a seccomp filter or a tracer may have answered in the kernel's place.
    #[schemars(schema_with = "schema::outcome_source")]
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    /// EIDRM: the queue was removed during the call. EINVAL: it had been before, or the id never was one, or the message is too
    /// long or of a wrong type.
    #[schemars(regex(pattern = r"^(EIDRM|EINVAL)$"))]
    errno: Shown<Errno>,
    /// When it returned, ns since 1970.
    exit_timestamp: u64,
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

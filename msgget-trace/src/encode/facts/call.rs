//! What was asked and what came of it: a call or a control goes in, its facts come out.

use std::fmt::{self, Display, Write as _};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    detect::{Finding, Value},
    encode::{
        Sensor,
        show::{Digits, Key, Octal, Shown},
        write::{Object, Written},
    },
    event::{BootTime, Call, Control, Door, Queue, Source},
};

/// Adds those of a `msgget`.
pub(super) fn of_call(call: &Call, sensor: &Sensor, to: &mut Object<'_>) -> Written {
    to.member("key", &call.key)?;
    to.member("key_hex", &Shown(Key(call.key)))?;
    to.member("msgflg", &call.flags.0)?;
    to.member("flags", &call.flags)?;
    to.member("mode", &Shown(Octal(call.flags.mode())))?;
    to.fields(&Ending {
        return_value: call.result,
        outcome: call.outcome.name(),
        outcome_source: call.source.map(Source::name),
        duration_ns: call.entered.map(|entered| call.left.since(entered)),
        linearised_ns: wall(call.linearised, sensor),
        queue: call.queue.map(QueueFacts::new),
        door: Some(DoorFacts::new(call.door)),
    })
}

/// Adds those of a `msgctl`.
pub(super) fn of_control(control: &Control, sensor: &Sensor, to: &mut Object<'_>) -> Written {
    to.member("queue_id", &control.msqid)?;
    to.member("command", control.command.name())?;
    // The command as the caller wrote it.
    to.member("cmd", &control.cmd)?;
    // True, or absent.
    to.known("namespace_teardown", control.teardown().then_some(true))?;
    to.known("key", control.key)?;
    to.known("key_hex", control.key.map(|key| Shown(Key(key))))?;
    to.fields(&Ending {
        return_value: control.result,
        outcome: control.outcome.name(),
        outcome_source: control.source.map(Source::name),
        duration_ns: control.entered.map(|entered| control.left.since(entered)),
        linearised_ns: wall(control.linearised, sensor),
        queue: control.queue.map(QueueFacts::new),
        door: control.door.map(DoorFacts::new),
    })
}

/// How a call of either kind came in and ended.
#[derive(Serialize)]
struct Ending {
    return_value: i64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linearised_ns: Option<Digits<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<DoorFacts>,
}

#[derive(Serialize)]
struct QueueFacts {
    owner_user_id: u32,
    owner_group_id: u32,
    creator_user_id: u32,
    creator_group_id: u32,
    mode: Shown<Octal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ns: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct DoorFacts {
    abi: &'static str,
    entry: &'static str,
    syscall_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_call: Option<u32>,
}

fn wall(moment: Option<BootTime>, sensor: &Sensor) -> Option<Digits<u64>> {
    moment.map(|moment| Digits(sensor.clock.wall(moment)))
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

impl DoorFacts {
    pub(super) fn new(door: Door) -> Self {
        let Door { abi, entry, number, ipc_call } = door;
        Self { abi: abi.name(), entry: entry.name(), syscall_number: number, ipc_call }
    }
}

/// What a rule found: an object of its values.
#[derive(Clone, Copy)]
pub(in crate::encode) struct Values<'a>(pub(in crate::encode) &'a Finding);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.values.len()))?;
        for (name, value) in &self.0.values {
            map.serialize_key(&Shown(Snake(name)))?;
            match value {
                Value::Int32(number) => map.serialize_value(number)?,
                Value::Uint64(number) => map.serialize_value(number)?,
                Value::Call(id) => map.serialize_value(&Shown(id))?,
                Value::Word(word) => map.serialize_value(word)?,
            }
        }
        map.end()
    }
}

/// A name in camelCase, shown in snake_case.
struct Snake(&'static str);

impl Display for Snake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| {
            if letter.is_ascii_uppercase() {
                f.write_char('_')?;
            }
            f.write_char(letter.to_ascii_lowercase())
        })
    }
}

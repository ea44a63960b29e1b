//! The types of the `json` format go in, the JSON Schema (draft 2020-12) of its lines comes out.
//!
//! Lines may have more than it says, for fields are added within a major version; so nothing forbids what is not named.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::SchemaSettings,
    json_schema,
    transform::{RecursiveTransform, Transform as _},
};
use serde_json::{Value, json};

use super::{
    CallFacts, Event, SCHEMA_VERSION, aggregate, control::ControlFacts, envelope::Envelope, finding::FindingFacts,
    health, used::UseFacts,
};
use crate::{
    detect::{Certainty, Confidence, Tag, Tags},
    encode::{
        Escaped,
        show::{Arguments, ByOutcome, Numbers, Shown},
    },
    event::{Abi, Aggregate, Command, Entry, Errno, LossReason, MsgFlags, Operation, Outcome, Payer, Rung, Source},
    policy::Matched,
};

/// The JSON Schema of every line of the `json` format: one of the kinds in its `$defs`.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let generator = &mut generator;
    let kinds = [
        kind::<Event<'_, CallFacts>>("call", "A msgget(2).", named("msgget"), generator),
        kind::<Event<'_, ControlFacts>>(
            "control",
            "A msgctl(2) that removed or changed a queue or tried to, or the end of a queue with its namespace.",
            named("msgctl"),
            generator,
        ),
        kind::<Event<'_, UseFacts>>(
            "use",
            "A msgsnd(2) or msgrcv(2) that failed as on a queue that is not there (any more); with --stale-ids.",
            named_one_of([Operation::Send, Operation::Receive].map(Operation::name)),
            generator,
        ),
        kind::<Event<'_, FindingFacts<'_>>>(
            "finding",
            "A rule's verdict, in the context of the call that completed it.",
            |schema| require(schema, "metadata"),
            generator,
        ),
        kind::<Envelope<'_, health::Facts<'_>>>("health", "News of the sensor itself.", |_| {}, generator),
        kind::<Envelope<'_, aggregate::Facts<'_>>>(
            "aggregate",
            "Calls past a budget, which were counted instead of told one by one.",
            of_somebody(aggregate::Caller::json_schema(generator)),
            generator,
        ),
    ];
    let references: Vec<_> = kinds.iter().map(|(name, _)| json!({ "$ref": format!("#/$defs/{name}") })).collect();
    let mut definitions = generator.take_definitions(true);
    definitions.extend(kinds.into_iter().map(|(name, schema)| (name.to_owned(), schema.to_value())));
    let mut schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("msgget-trace json {SCHEMA_VERSION}"),
        "description": "A line of the json format: first the fields of Tracee's event, then msgget-trace's own.",
        "oneOf": references,
        "$defs": definitions,
    });
    RecursiveTransform(absent_rather_than_null).transform(&mut schema);
    schema.to_value()
}

/// The lines of `T`, with what `refine` adds to its type.
fn kind<T: JsonSchema>(
    name: &'static str,
    description: &str,
    mut refine: impl FnMut(&mut Schema),
    generator: &mut SchemaGenerator,
) -> (&'static str, Schema) {
    let mut schema = T::json_schema(generator);
    schema.insert("description".to_owned(), description.into());
    // What `refine` requires is no less a value then.
    absent_rather_than_null(&mut schema);
    refine(&mut schema);
    (name, schema)
}

/// Lines of this event only.
pub(super) fn named(name: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        let properties = schema.ensure_object().entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.insert("eventName".to_owned(), json!({ "const": name }));
        }
    }
}

/// Lines of these events only.
fn named_one_of(names: [&'static str; 2]) -> impl FnMut(&mut Schema) {
    move |schema| {
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("eventName".to_owned(), json!({ "enum": names }));
        }
    }
}

fn require(schema: &mut Schema, name: &str) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push(name.into());
    }
}

/// What `caller` requires, unless it is not known who that is.
fn of_somebody(caller: Schema) -> impl FnMut(&mut Schema) {
    let required = caller.get("required").cloned().unwrap_or_else(|| json!([]));
    move |schema| {
        schema.insert("if".to_owned(), json!({ "properties": { "attributedTo": { "const": Aggregate::NOBODY } } }));
        schema.insert("else".to_owned(), json!({ "required": required }));
    }
}

/// What may be left out is left out where there is nothing to say, and never null, which is what an `Option` would be.
fn absent_rather_than_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let needed = |name: &str| required.as_array().is_some_and(|required| required.iter().any(|other| other == name));
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (_, property) in properties.iter_mut().filter(|(name, _)| !needed(name)) {
        let Some(property) = property.as_object_mut() else { continue };
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|name| name != "null");
        }
        // What stands alone needs no list.
        if let Some(Value::Array(types)) = property.get("type")
            && let [only] = &types[..]
        {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
        if let Some(Value::Array(mut choices)) = property.remove("anyOf") {
            choices.retain(|choice| *choice != json!({ "type": "null" }));
            match &mut choices[..] {
                [Value::Object(only)] => property.append(only),
                _ => drop(property.insert("anyOf".to_owned(), choices.into())),
            }
        }
    }
}

fn one_of(words: impl IntoIterator<Item = &'static str>) -> Schema {
    json_schema!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

/// A failure's word is the same for every errno.
const FAILED: Outcome = Outcome::Failed(Errno::ENOENT);

fn call_outcomes() -> Vec<&'static str> {
    use Outcome::{Ambiguous, Created, NotExecuted, Opened, Unpaired};
    [Created, Opened, FAILED, Ambiguous, Unpaired, NotExecuted].map(Outcome::name).to_vec()
}

pub(super) fn call_outcome(_: &mut SchemaGenerator) -> Schema {
    one_of(call_outcomes())
}

pub(super) fn control_outcome(_: &mut SchemaGenerator) -> Schema {
    use Outcome::{Changed, NotExecuted, Removed, Unpaired};
    one_of([Removed, Changed, FAILED, Unpaired, NotExecuted].map(Outcome::name))
}

pub(super) fn use_outcome(_: &mut SchemaGenerator) -> Schema {
    one_of([FAILED.name()])
}

pub(super) fn outcome_source(_: &mut SchemaGenerator) -> Schema {
    one_of([Source::Kernel, Source::Flags, Source::Counters, Source::IpcStat].map(Source::name))
}

pub(super) fn hook(_: &mut SchemaGenerator) -> Schema {
    one_of(Rung::ALL.map(Rung::name))
}

pub(super) fn confidence(_: &mut SchemaGenerator) -> Schema {
    one_of([Confidence::Low, Confidence::Medium, Confidence::High].map(Confidence::name))
}

pub(super) fn certainty(_: &mut SchemaGenerator) -> Schema {
    one_of([Certainty::Possible, Certainty::Definite].map(Certainty::name))
}

pub(super) fn abi(_: &mut SchemaGenerator) -> Schema {
    one_of([Abi::X86_64, Abi::I386, Abi::X32].map(Abi::name))
}

pub(super) fn entry(_: &mut SchemaGenerator) -> Schema {
    one_of([Entry::Syscall, Entry::Int80From64, Entry::From32].map(Entry::name))
}

pub(super) fn command(_: &mut SchemaGenerator) -> Schema {
    one_of([Command::Remove, Command::Change].map(Command::name))
}

pub(super) fn loss_reason(_: &mut SchemaGenerator) -> Schema {
    use LossReason::{AbiChanged, RecursionMisses, Refused, Rejected, RingFull, SpoolDamaged, SpoolExpired, SpoolFull};
    one_of(
        [RingFull, RecursionMisses, Rejected, AbiChanged, SpoolFull, SpoolExpired, SpoolDamaged, Refused]
            .map(LossReason::name),
    )
}

pub(super) fn payer(_: &mut SchemaGenerator) -> Schema {
    one_of([Payer::Process { pid: 0, started: None }.name(), Payer::Owner.name(), Aggregate::NOBODY])
}

/// Of this major version, and any minor.
pub(super) fn version(_: &mut SchemaGenerator) -> Schema {
    let (major, _) = SCHEMA_VERSION.split_once('.').unwrap_or((SCHEMA_VERSION, ""));
    json_schema!({ "type": "string", "pattern": format!(r"^{major}\.[0-9]+$") })
}

/// Says that the schema of a type stands where the type is used, and how it looks.
macro_rules! inline {
    ($($type:ty, $name:literal: $schema:tt)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

inline! {
    Tags, "Tags": { "type": "array", "items": one_of(Tag::ALL.map(Tag::name)), "uniqueItems": true }
    Matched<'_>, "MatchedPolicies": { "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true }
    MsgFlags, "Flags": { "type": "array", "items": { "type": "string", "pattern": "^(IPC_[A-Z]+|0x[0-9a-f]+)$" } }
    Numbers<'_>, "Numbers": { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } }
    ByOutcome, "Counts": {
        "type": "object",
        "propertyNames": { "enum": call_outcomes() },
        "additionalProperties": { "type": "integer", "minimum": 1 }
    }
}

impl<T> JsonSchema for Shown<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Shown".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl JsonSchema for Escaped<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": r"Bytes that somebody else chose: `\xNN` is one that is not UTF-8, `\\` a backslash.",
            "pattern": r"^([^\\]|\\\\|\\x[0-9a-f]{2})*$",
        })
    }
}

impl JsonSchema for Arguments<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CommandLine".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <[Escaped<'_>]>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests;

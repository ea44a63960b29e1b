//! A line goes in, what in it breaks the schema comes out. Written from the schema's list of fields, not from our types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What the schema says of a field.
struct Field {
    kind: &'static str,
    list: bool,
    allowed: Vec<&'static str>,
}

/// The fields that our lines may have, and the event types that each category may.
pub(super) struct Schema {
    fields: BTreeMap<&'static str, Field>,
    types: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// Every value that is no object, by its path.
pub(super) fn leaves(line: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(prefix: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
        match value.as_object() {
            Some(object) => object.iter().for_each(|(name, value)| walk(&format!("{prefix}.{name}"), value, found)),
            None => found.push((prefix[1..].to_owned(), value)),
        }
    }
    let mut found = Vec::new();
    walk("", line, &mut found);
    found
}

impl Schema {
    pub(super) fn new() -> Self {
        let (mut fields, mut types) = (BTreeMap::new(), BTreeMap::new());
        let text = include_str!("../../../../tests/standards/ecs-9.4.0.fields");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["type-of", category, of] => drop(types.insert(category, of.split(',').collect())),
                [name, kind, list, ref allowed @ ..] => {
                    let allowed = allowed.iter().flat_map(|allowed| allowed.split(',')).collect();
                    fields.insert(name, Field { kind, list: list == "list", allowed });
                }
                _ => panic!("{line}"),
            }
        }
        Self { fields, types }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.fields.keys().copied().collect()
    }

    pub(super) fn violations(&self, line: &Value) -> Vec<String> {
        let mut found = Vec::new();
        for (path, value) in leaves(line) {
            if let Some(ours) = path.strip_prefix("msgget.") {
                if ours.contains(|letter: char| letter.is_uppercase() || letter == '-') {
                    found.push(format!("{path}: not in snake_case"));
                }
                if value.is_null() {
                    found.push(format!("{path}: null"));
                }
                continue;
            }
            let Some(field) = self.fields.get(&*path) else {
                found.push(format!("{path}: not in the schema"));
                continue;
            };
            if field.list != value.is_array() {
                found.push(format!("{path}: {} is expected", if field.list { "a list" } else { "one value" }));
                continue;
            }
            for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                let fits = match field.kind {
                    "long" => value.as_i64().is_some(),
                    "date" => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
                    _ => value.is_string(),
                };
                if !fits {
                    found.push(format!("{path}: {value} is no {}", field.kind));
                } else if !field.allowed.is_empty()
                    && !value.as_str().is_some_and(|value| field.allowed.contains(&value))
                {
                    found.push(format!("{path}: {value} is not allowed"));
                }
            }
        }
        let words = |field: &str| {
            let list = line.pointer(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
        };
        let expected: BTreeSet<_> = words("/event/category")
            .iter()
            .filter_map(|category| self.types.get(category))
            .flatten()
            .copied()
            .collect();
        let strange = words("/event/type").into_iter().filter(|word| !expected.contains(word));
        found.extend(strange.map(|word| format!("event.type: {word:?} does not go with the category")));
        found
    }
}

//! The texts of filters and scopes go in; conditions that an event fulfils or not come out, or where and what is wrong.
//!
//! Filters on different fields must all hold. Of those on one field, one with `=` suffices; where none with `=` holds, all
//! others must, and there must be some. That is how Tracee's text filters work, and ours all do.

use super::{
    Subject,
    field::{Fact, Field, Kind, Where},
    problem::Log,
    value::{Op, Value},
    yaml::Text,
};

/// Most values of one filter.
const VALUES: usize = 1024;

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters(Vec<Group>);

/// All that is said of one field, or of some bits of it.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// What is asked about.
    pub(super) field: Field,
    /// Only these bits of it.
    pub(super) mask: Option<i128>,
    /// One of these suffices.
    pub(super) any: Vec<Value>,
    /// All of these must hold, otherwise.
    pub(super) all: Vec<(Op, Value)>,
}

impl Group {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let mut fact = self.field.fact(subject);
        if let (Some(mask), Fact::Number(number)) = (self.mask, &mut fact) {
            *number &= mask;
        }
        self.holds_of(&fact)
    }

    /// Whether it holds where `fact` is all that the field is, or that its mask leaves of it.
    pub(super) fn holds_of(&self, fact: &Fact<'_>) -> bool {
        self.any.iter().any(|value| value.holds(fact, Op::Is))
            || !self.all.is_empty() && self.all.iter().all(|(op, value)| value.holds(fact, *op))
    }

    /// Every value that is named.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.any.iter().chain(self.all.iter().map(|(_, value)| value))
    }
}

impl Filters {
    /// Each field's.
    pub(super) fn groups(&self) -> &[Group] {
        &self.0
    }

    /// Whether all hold of `subject`.
    pub(super) fn hold(&self, subject: &Subject<'_>) -> bool {
        self.0.iter().all(|group| group.holds(subject))
    }

    /// Adds what `text` says of events of the rule, or to the scope.
    pub(super) fn add(&mut self, text: &Text, place: Where<'_>, log: &mut Log<'_>) {
        if let Err((byte, what)) = self.parse(&text.text, place) {
            log.error(text.at_byte(byte), what);
        }
    }

    /// As [`Self::add`]; an error comes with the byte it is at.
    fn parse(&mut self, text: &str, place: Where<'_>) -> Result<(), (usize, String)> {
        let Some(end) = text.find(['=', '!', '<', '>', '&']) else { return self.word(text.trim(), place) };
        let name = text[..end].trim();
        if name.is_empty() {
            return Err((0, "a name is missing before the operator".to_owned()));
        }
        let (field, kind) = Field::named(name, place).map_err(|what| (0, what))?;
        if let Some(rest) = text[end..].strip_prefix('&') {
            return self.masked(text, rest, &field, kind);
        }
        let (op, values) = operator(text, end)?;
        if op.orders() && !kind.ordered() {
            return Err((end, format!("`{name}` has no order: it is compared by = and != only")));
        }
        if matches!(field, Field::HostPid | Field::ContainerId) && ["new", "started"].contains(&values.trim()) {
            let what =
                format!("`{name}={}` is not known to msgget-trace, to which old and new are the same", values.trim());
            return Err((end, what));
        }
        let values = read(text, values, &field, kind)?;
        self.push(field, None, op, values);
        Ok(())
    }

    /// What stands without an operator.
    fn word(&mut self, word: &str, place: Where<'_>) -> Result<(), (usize, String)> {
        let contained = match (word, place) {
            ("container", _) => 1,
            ("not-container", Where::Scope) | ("host", Where::Rule(_)) => 0,
            ("", _) => return Err((0, "this is empty; say what is wanted, as uid=0, or leave it out".to_owned())),
            _ => {
                // A name that nobody has is the more likely mistake.
                Field::named(word, place).map_err(|what| (0, what))?;
                let what = format!("an operator and a value are missing after `{word}`, as {word}=VALUE");
                return Err((word.len(), what));
            }
        };
        let any = vec![Value::Number(contained)];
        self.0.push(Group { field: Field::Contained, mask: None, any, all: Vec::new() });
        Ok(())
    }

    /// `FIELD&MASK`, which asks for any of these bits, or `FIELD&MASK=VALUE`.
    fn masked(&mut self, text: &str, rest: &str, field: &Field, kind: Kind) -> Result<(), (usize, String)> {
        let begin = text.len() - rest.len();
        if !kind.has_bits() {
            return Err((begin - 1, "bits can only be asked of numbers such as data.msgflg and data.key".to_owned()));
        }
        let end = rest.find(['=', '!', '<', '>', '&']).map_or(text.len(), |end| begin + end);
        let masks = read(text, &text[begin..end], field, kind)?;
        let [Value::Number(mask)] = masks[..] else {
            return Err((begin, "a mask is one number, or names joined by |".to_owned()));
        };
        if end == text.len() {
            self.push(field.clone(), Some(mask), Op::IsNot, vec![Value::Number(0)]);
            return Ok(());
        }
        let (op, values) = operator(text, end)?;
        let values = read(text, values, field, kind)?;
        if let Some(Value::Number(odd)) =
            values.iter().find(|value| matches!(value, Value::Number(n) if n & !mask != 0))
        {
            return Err((end, format!("{odd:#o} has bits that are not in the mask {mask:#o}: this would never be so")));
        }
        self.push(field.clone(), Some(mask), op, values);
        Ok(())
    }

    fn push(&mut self, field: Field, mask: Option<i128>, op: Op, values: Vec<Value>) {
        let known = self.0.iter().position(|group| group.field == field && group.mask == mask);
        let at = known.unwrap_or_else(|| {
            self.0.push(Group { field, mask, any: Vec::new(), all: Vec::new() });
            self.0.len() - 1
        });
        if let Some(group) = self.0.get_mut(at) {
            match op {
                Op::Is => group.any.extend(values),
                _ => group.all.extend(values.into_iter().map(|value| (op, value))),
            }
        }
    }
}

/// The operator at byte `at` of `text`, and what follows it.
fn operator(text: &str, at: usize) -> Result<(Op, &str), (usize, String)> {
    let rest = &text[at..];
    let found = Op::SIGNS.iter().find_map(|(sign, op)| rest.strip_prefix(sign).map(|values| (*op, values)));
    match found {
        Some((op, values)) if !values.starts_with(['=', '!', '<', '>']) => Ok((op, values)),
        _ => Err((at, "this is no operator; there are =, !=, <, <=, > and >=".to_owned())),
    }
}

/// The values in `values`, a part of `text`, separated by commas.
fn read(text: &str, values: &str, field: &Field, kind: Kind) -> Result<Vec<Value>, (usize, String)> {
    let offset = values.as_ptr() as usize - text.as_ptr() as usize;
    let mut found = Vec::new();
    let mut at = offset;
    for value in values.split(',') {
        let blanks = value.len() - value.trim_start().len();
        let parsed = Value::parse(value.trim(), field, kind).map_err(|what| (at + blanks, what))?;
        found.push(match parsed {
            // The first digits of an id are enough, as for Tracee's scope and everywhere else where such ids are typed.
            Value::Text(pattern) if *field == Field::ContainerId => Value::Text(pattern.or_longer()),
            other => other,
        });
        if found.len() > VALUES {
            return Err((at, format!("more than {VALUES} values; spread them over several filters")));
        }
        at += value.len() + 1;
    }
    Ok(found)
}

impl Kind {
    const fn ordered(self) -> bool {
        !matches!(self, Self::Text | Self::Path | Self::Word)
    }

    const fn has_bits(self) -> bool {
        matches!(self, Self::Key | Self::Flags | Self::Number(..) | Self::Result)
    }
}

//! The texts of numbers and patterns go in, values come out, or what is wrong with them; and what they are compared by.

use super::{
    field::{Fact, Field, Kind},
    problem::quoted,
};
use crate::event::{Command, Errno, MsgFlags};

/// How a fact is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Is,
    IsNot,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Op {
    /// Longest first.
    pub(super) const SIGNS: [(&str, Self); 6] = [
        ("!=", Self::IsNot),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("=", Self::Is),
        ("<", Self::Less),
        (">", Self::More),
    ];

    /// True if it asks for an order.
    pub(super) const fn orders(self) -> bool {
        !matches!(self, Self::Is | Self::IsNot)
    }
}

/// What facts are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(i128),
    /// Bytes, or what they begin with, end with or have in them.
    Text(Pattern),
}

/// Bytes, with `*` for anything at one end or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    bytes: Vec<u8>,
    /// Anything may stand before.
    before: bool,
    /// Anything may stand behind.
    behind: bool,
}

impl Pattern {
    fn matches(&self, text: &[u8]) -> bool {
        let Self { bytes, before, behind } = self;
        match (before, behind) {
            (false, false) => text == bytes,
            (false, true) => text.starts_with(bytes),
            (true, false) => text.ends_with(bytes),
            (true, true) => text.windows(bytes.len()).any(|window| window == bytes),
        }
    }

    /// The bytes, if nothing else will do.
    pub(super) fn exact(&self) -> Option<&[u8]> {
        (!self.before && !self.behind).then_some(&self.bytes)
    }

    /// The same, and all that goes on after it.
    pub(super) fn or_longer(self) -> Self {
        Self { behind: true, ..self }
    }
}

impl Value {
    /// Whether `fact` stands in the relation `op` to it.
    pub(super) fn holds(&self, fact: &Fact<'_>, op: Op) -> bool {
        match (self, fact) {
            (Self::Number(value), Fact::Number(number)) => match op {
                Op::Is => number == value,
                Op::IsNot => number != value,
                Op::Less => number < value,
                Op::AtMost => number <= value,
                Op::More => number > value,
                Op::AtLeast => number >= value,
            },
            (Self::Text(pattern), Fact::Text(text)) => pattern.matches(text) == (op == Op::Is),
            // Another thing than is asked for.
            (_, Fact::Number(_) | Fact::Text(_)) => op == Op::IsNot,
            (_, Fact::Absent) => false,
        }
    }

    /// Reads a value of `field`.
    pub(super) fn parse(text: &str, field: &Field, kind: Kind) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a value is missing here".to_owned());
        }
        match kind {
            Kind::Number(least, most) => {
                let value = number(text)?;
                if (least..=most).contains(&value) {
                    return Ok(Self::Number(value));
                }
                Err(format!("{} is not from {least} to {most}", quoted(text)))
            }
            Kind::Key => bits(text, |_| None).map(Self::Number),
            Kind::Flags => bits(text, flag).map(Self::Number),
            Kind::Command => {
                bits(text, |name| [Command::Remove, Command::Change].into_iter().position(|c| c.name() == name))
                    .map(Self::Number)
            }
            Kind::Result => result(text).map(Self::Number),
            Kind::Text => pattern(text).map(Self::Text),
            Kind::Path => path(text).map(Self::Text),
            Kind::Word => {
                let words = field.words();
                if words.contains(&text) {
                    let exact = Pattern { bytes: text.into(), before: false, behind: false };
                    return Ok(Self::Text(exact));
                }
                let some = words.iter().take(8).copied().collect::<Vec<_>>().join(", ");
                let more = if words.len() > 8 { ", ..." } else { "" };
                Err(format!("{} is none of {some}{more}", quoted(text)))
            }
            Kind::Any => {
                Ok(number(text).map_or_else(|_| pattern(text).map(Self::Text), |number| Ok(Self::Number(number)))?)
            }
        }
    }
}

/// A decimal number, or one in hexadecimal (0x) or octal digits (0o).
fn number(text: &str) -> Result<i128, String> {
    let (digits, sign) = match text.strip_prefix('-') {
        Some(digits) => (digits, -1),
        None => (text, 1),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'0'..=b'9', ..] => {
            let digits = digits.trim_start_matches('0');
            return Err(format!("{} is ambiguous: write 0o{digits} for octal or {digits} for decimal", quoted(text)));
        }
        _ => (digits, 10),
    };
    // No sign once more, which the library would take.
    let plain = digits.starts_with(|digit: char| digit.is_ascii_hexdigit());
    let value = i128::from_str_radix(digits, radix).ok().filter(|_| plain);
    let value = value.ok_or_else(|| format!("{} is no number, as 42, 0x2a or 0o52", quoted(text)))?;
    Ok(sign * value)
}

/// 32 bits: numbers, and what `name` knows, joined by `|`.
fn bits(text: &str, name: impl Fn(&str) -> Option<usize>) -> Result<i128, String> {
    let mut all = 0_i128;
    for part in text.split('|').map(str::trim) {
        let value = match name(part) {
            Some(value) => value as i128,
            None => number(part)?,
        };
        if !(i32::MIN.into()..=u32::MAX.into()).contains(&value) {
            return Err(format!("{} does not fit into 32 bits", quoted(part)));
        }
        // Without a sign it is the same bits: 0xffffffff is -1.
        all |= i128::from(value as u32 as i32);
    }
    Ok(all)
}

fn flag(name: &str) -> Option<usize> {
    MsgFlags::named(name).and_then(|bits| usize::try_from(bits).ok())
}

/// What a call returns: a number, or a negative errno by its name.
fn result(text: &str) -> Result<i128, String> {
    if let Some(errno) = Errno::named(text.strip_prefix('-').unwrap_or(text)) {
        return Ok(-i128::from(errno.0));
    }
    if text.trim_start_matches('-').starts_with('E') {
        return Err(format!("{} is the name of no errno", quoted(text)));
    }
    let value = number(text)?;
    if (i64::MIN.into()..=i64::MAX.into()).contains(&value) {
        return Ok(value);
    }
    Err(format!("{} is no number of 64 bits", quoted(text)))
}

/// Text as lines show it: `\xNN` is a byte, `\\` a backslash; `*` at an end is anything.
fn pattern(text: &str) -> Result<Pattern, String> {
    let (behind, rest) = text.strip_suffix('*').map_or((false, text), |rest| (true, rest));
    let (before, rest) = rest.strip_prefix('*').map_or((false, rest), |rest| (true, rest));
    if rest.is_empty() {
        return Err(format!("{} is true of everything; leave the filter out", quoted(text)));
    }
    if rest.contains('*') {
        return Err(format!("{}: a `*` can only stand first or last", quoted(text)));
    }
    let mut bytes = Vec::with_capacity(rest.len());
    let mut rest = rest.as_bytes();
    loop {
        match rest {
            [] => return Ok(Pattern { bytes, before, behind }),
            [b'\\', b'\\', more @ ..] => {
                bytes.push(b'\\');
                rest = more;
            }
            [b'\\', more @ ..] => {
                let byte =
                    more.strip_prefix(b"x").and_then(|more| more.split_at_checked(2)).and_then(|(digits, more)| {
                        let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
                        Some((u8::from_str_radix(digits, 16).ok()?, more))
                    });
                let Some((byte, more)) = byte else {
                    return Err(format!(
                        r"{}: a backslash is written \\, and a byte \xNN, as in the lines",
                        quoted(text)
                    ));
                };
                bytes.push(byte);
                rest = more;
            }
            [byte, more @ ..] => {
                bytes.push(*byte);
                rest = more;
            }
        }
    }
}

fn path(text: &str) -> Result<Pattern, String> {
    if let Some((namespace, path)) = text.split_once(':').filter(|(namespace, _)| !namespace.contains('/')) {
        return Err(if namespace == "host" {
            format!("{}: which mount namespace is the host's is not known here; write {path}", quoted(text))
        } else {
            format!("{}: write {path}, and the namespace as mntns={namespace}", quoted(text))
        });
    }
    if !text.starts_with(['/', '*']) {
        return Err(format!("{} is no absolute path", quoted(text)));
    }
    pattern(text)
}

//! Bytes that somebody else chose go in, text comes out from which they can be had back.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};
use unicode_width::UnicodeWidthChar as _;

/// Shows bytes as text: UTF-8 as it is, any other byte as `\xNN`, and a backslash doubled so that the two cannot be
/// confused. Quotes and control characters are left to the format around it.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl<'a> Escaped<'a> {
    /// The bytes themselves, where they are what they are shown as: nearly always.
    fn plain(self) -> Option<&'a str> {
        str::from_utf8(self.0).ok().filter(|text| !text.as_bytes().contains(&b'\\'))
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.plain() {
            return f.write_str(text);
        }
        for chunk in self.0.utf8_chunks() {
            for (nth, part) in chunk.valid().split('\\').enumerate() {
                if nth > 0 {
                    f.write_str("\\\\")?;
                }
                f.write_str(part)?;
            }
            bytes(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

impl Serialize for Escaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.plain() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

/// As [`Escaped`], for text that a terminal is to show and not to obey: the bytes of characters that it does not show as
/// themselves are `\xNN`, too. These are control characters and those without a width, which is what reorders text
/// (bidirectional overrides and isolates), joins it, or hides in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visible<'a>(pub(super) &'a [u8]);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '\\' => f.write_str("\\\\")?,
                    char if hidden(char) => bytes(char.encode_utf8(&mut [0; 4]).as_bytes(), f)?,
                    char => f.write_char(char)?,
                }
            }
            bytes(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

/// Whether a terminal does anything but show `char`. The soft hyphen, the line and the paragraph separator count as wide
/// in Unicode's tables, yet terminals hide them or break the line.
fn hidden(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{2028}' | '\u{2029}') || char.width().is_none_or(|width| width == 0)
}

/// Bytes that are not shown as text.
fn bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// The bytes that [`Escaped`] or [`Visible`] showed as `text`; `None` where neither can have.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = if let Some(after) = after.strip_prefix('\\') {
            bytes.push(b'\\');
            after
        } else {
            let (digits, after) = after.strip_prefix('x')?.split_at_checked(2)?;
            let plain = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
            after
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_what_is_text_as_text() {
        assert_eq!(Escaped("käse".as_bytes()).to_string(), "käse");
        assert_eq!(Escaped(b"a\xff\\x").to_string(), "a\\xff\\\\x");
    }

    #[test]
    fn shows_nothing_that_a_terminal_obeys() {
        let evil = "a\x1b[2J\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\u{301}\u{ad}\u{2028}ü漢\r\n";
        let shown = Visible(evil.as_bytes()).to_string();
        assert_eq!(
            shown,
            r"a\x1b[2J\x7f\xc2\x9b31m\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf\xcc\x81\xc2\xad\xe2\x80\xa8ü漢\x0d\x0a"
        );
        assert_eq!(unescape(&shown).unwrap(), evil.as_bytes());
    }

    #[test]
    fn what_nobody_showed_is_not_read() {
        for text in ["\\", "\\x", "\\x0", "\\xFF", "\\x+1", "\\n", "\\xé0", "a\\\\\\"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn loses_no_byte(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&Visible(&bytes).to_string()).unwrap(), &bytes[..]);
            prop_assert_eq!(unescape(&Escaped(&bytes).to_string()).unwrap(), &bytes[..]);
            let json = serde_json::to_string(&Escaped(&bytes)).unwrap();
            let text: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(unescape(&text).unwrap(), bytes);
        }

        #[test]
        fn shows_only_what_can_be_seen(text: String) {
            let shown = Visible(text.as_bytes()).to_string();
            prop_assert!(!shown.chars().any(hidden), "{shown:?}");
            prop_assert_eq!(unescape(&shown).unwrap(), text.as_bytes());
        }
    }
}

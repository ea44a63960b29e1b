//! Bytes that somebody else chose go in, text comes out from which they can be had back.

use std::fmt;

use serde::{Serialize, Serializer};

/// Shows bytes as text: UTF-8 as it is, any other byte as `\xNN`, and a backslash doubled so that the two cannot be
/// confused. Quotes and control characters are left to the format around it.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for (nth, part) in chunk.valid().split('\\').enumerate() {
                if nth > 0 {
                    f.write_str("\\\\")?;
                }
                f.write_str(part)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Escaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) if !text.contains('\\') => serializer.serialize_str(text),
            _ => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\\') {
            bytes.extend_from_slice(before.as_bytes());
            rest = match after.strip_prefix('\\') {
                Some(after) => {
                    bytes.push(b'\\');
                    after
                }
                None => {
                    bytes.push(u8::from_str_radix(&after[1..3], 16).unwrap());
                    &after[3..]
                }
            };
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    #[test]
    fn shows_what_is_text_as_text() {
        assert_eq!(Escaped("käse".as_bytes()).to_string(), "käse");
        assert_eq!(Escaped(b"a\xff\\x").to_string(), "a\\xff\\\\x");
    }

    proptest! {
        #[test]
        fn loses_no_byte(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&Escaped(&bytes).to_string()), &bytes[..]);
            let json = serde_json::to_string(&Escaped(&bytes)).unwrap();
            let text: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(unescape(&text), bytes);
        }
    }
}

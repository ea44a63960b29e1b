//! Process names made to break a log: every line stays one line of JSON, and every byte of the name can be had back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use common::{
    observe,
    sys::{msgget, set_name},
};

const NAMES: usize = 1_000;

/// What was meant badly by somebody who knows logs.
const CHOSEN: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"\\\"",
    b"\\\\",
    b"\n",
    b"\r\n{\"a\":1}",
    b"\"},{\"x\":\"",
    b"\\xff",
    b"\\x41\xff",
    b"\\u0000",
    b"\x1b[2J\x1b[31m",
    b"\x1b]0;owned\x07",
    b"\x7f\x08\x08",
    b"\xc2\x9b31m",
    b"\xff\xfe",
    b"\xc3",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x80\xae\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    "ééééééé\u{e9}".as_bytes().split_at(15).0,
    b"",
    b"\t \\\\n\xc0\xaf",
];

const MEANINGFUL: &[u8] = b"\\\"x\n\x1b\xc3\xa9u0{}\xff'%\r";

/// The chosen names, every single byte, and noise; never with a NUL, which ends a name.
fn names() -> Vec<Vec<u8>> {
    let single = (1..=255).map(|byte| vec![byte]);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let noise = std::iter::repeat_with(|| {
        let mut name = Vec::new();
        while name.len() < 15 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Half of the noise is made of what has a meaning somewhere.
            let byte = (random >> 32) as u8;
            let byte = if random & 1 == 0 { byte } else { MEANINGFUL[usize::from(byte) % MEANINGFUL.len()] };
            name.extend((byte != 0).then_some(byte));
        }
        name
    });
    CHOSEN.iter().map(|name| name.to_vec()).chain(single).chain(noise).take(NAMES).collect()
}

/// The bytes of a name as they were: `\xNN` is a byte, `\\` a backslash, all else stands for itself.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        rest = if let Some(rest) = escaped.strip_prefix('\\') {
            bytes.push(b'\\');
            rest
        } else {
            let hex = escaped.strip_prefix('x').unwrap_or_else(|| panic!("an unknown escape in {text:?}"));
            bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            &hex[2..]
        };
    }
    bytes.extend(rest.as_bytes());
    bytes
}

#[test]
fn a_thousand_hostile_names() {
    live!(60);
    let names = names();
    assert_eq!(names.len(), NAMES);
    let pairs = observe(|| {
        let call = |(name, key): (&Vec<u8>, i32)| {
            set_name(name);
            msgget(key, 0)
        };
        names.iter().zip(1..).map(call).collect()
    });
    assert_eq!(pairs.len(), NAMES);
    for ((_, line), name) in pairs.iter().zip(&names) {
        let shown = line.text("processName");
        assert_eq!(&bytes_of(shown), name, "{shown:?}");
        if let Ok(text) = std::str::from_utf8(name) {
            assert_eq!(shown, text.replace('\\', "\\\\"), "valid text stays as it is");
        }
    }
}

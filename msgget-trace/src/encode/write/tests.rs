//! The serialiser of lines beside serde_json, on whatever serde may ask of it.

use std::fmt::{self, Display};

use proptest::{collection::vec, prelude::*};
use serde::{Serializer, ser::Error as _};
use serde_json::{Map, Value};

use super::*;

/// The line of `value`, if it has one, without its end.
fn written(value: &impl Serialize) -> Option<String> {
    let mut out = b"before\n".to_vec();
    append(value, &mut out);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("before\n").unwrap();
    (!line.is_empty()).then(|| line.strip_suffix('\n').unwrap().to_owned())
}

#[track_caller]
fn agrees_on(value: &impl Serialize) {
    assert_eq!(written(value), Some(serde_json::to_string(value).unwrap()));
}

/// What derived code asks of a serialiser.
#[derive(Serialize)]
struct Shapes<'a> {
    numbers: (i8, i16, i32, i64, u8, u16, u32, u64),
    fractions: (f32, f64, f64),
    char: char,
    absent: [Option<bool>; 2],
    unit: Unit,
    pair: Pair<'a>,
    variants: [Variant; 2],
    empty: (Vec<u8>, Map<String, Value>),
    #[serde(flatten)]
    flat: Flat,
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Pair<'a>(bool, &'a str);

#[derive(Serialize)]
enum Variant {
    Bare,
    Wrapped(u8),
}

#[derive(Serialize)]
struct Flat {
    #[serde(rename = "a\u{e9}")]
    one: u8,
    two: Option<u8>,
}

#[test]
fn agrees_with_serde_json_on_every_shape() {
    agrees_on(&Shapes {
        numbers: (i8::MIN, i16::MIN, i32::MIN, i64::MIN, u8::MAX, u16::MAX, u32::MAX, u64::MAX),
        fractions: (0.5, -1e300, f64::NAN),
        char: '"',
        absent: [None, Some(true)],
        unit: Unit,
        pair: Pair(false, "\0"),
        variants: [Variant::Bare, Variant::Wrapped(1)],
        empty: (Vec::new(), Map::new()),
        flat: Flat { one: 1, two: None },
    });
}

#[test]
fn an_object_has_the_members_it_is_given() {
    let object = |members: &dyn Fn(&mut Object<'_>) -> Written| {
        let mut out = Vec::new();
        append_object(&mut out, members);
        String::from_utf8(out).unwrap()
    };
    let line = object(&|line| {
        line.fields(&Flat { one: 1, two: None })?;
        line.member("three", "\"")?;
        line.known("none", None::<u8>)?;
        line.object("four", |_| Ok(()))?;
        line.object("five", |five| five.fields(&Flat { one: 2, two: Some(3) }))?;
        line.known("six", Some([6]))
    });
    let expected =
        "{\"a\u{e9}\":1,\"two\":null,\"three\":\"\\\"\",\"four\":{},\"five\":{\"a\u{e9}\":2,\"two\":3},\"six\":[6]}\n";
    assert_eq!(line, expected);
    assert_eq!(object(&|_| Ok(())), "{}\n");
    assert_eq!(object(&|line| line.object("half", |_| Err(Error::custom("refused")))), "");
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// As what is shown, in pieces.
struct Pieces<'a>(&'a [String]);

impl Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(piece))
    }
}

impl Serialize for Pieces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[test]
fn every_byte_is_plain_or_not_wherever_it_stands() {
    for (byte, len) in (0..=0x7f_u8).flat_map(|byte| (1..20).map(move |len| (byte, len))) {
        for at in 0..len {
            let mut text = vec![b'a'; len];
            text[at] = byte;
            agrees_on(&str::from_utf8(&text).unwrap());
        }
    }
}

#[test]
fn what_cannot_be_written_leaves_no_half_line() {
    #[derive(Serialize)]
    enum Variant {
        Two(u8, u8),
        Named { one: u8 },
    }
    struct Refuses;
    impl Display for Refuses {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
    assert_eq!(written(&("half", Refuses)), None);
    assert_eq!(written(&("half", Variant::Two(1, 2))), None);
    assert_eq!(written(&("half", Variant::Named { one: 1 })), None);
    assert_eq!(written(&std::collections::BTreeMap::from([(1, 2)])), None);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            vec((text(), inner), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Mostly what needs no escaping, as lines are.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z{}\\[\\]: ]{0,40}", any::<String>()]
}

proptest! {
    #[test]
    fn agrees_with_serde_json(value in values(), bytes: Vec<u8>, pieces in vec(text(), 0..4)) {
        agrees_on(&value);
        agrees_on(&Bytes(&bytes));
        agrees_on(&Pieces(&pieces));
    }
}

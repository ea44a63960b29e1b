//! Values go in by way of serde, a line of JSON comes out: byte for byte the one that serde_json writes.
//!
//! Of serde_json's time on our lines the most goes into the search for what has to be escaped, which hardly ever stands there
//! and which it looks for byte by byte. Here eight bytes are looked at at once, and the names of fields, which are words of
//! this program, are not looked at at all. Whatever is rare is left to serde_json.

use std::fmt::{self, Display};

use serde::{
    Serialize, Serializer,
    ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct},
};
use serde_json::Error;

/// Appends `line` to `out`, as a line of JSON.
pub(super) fn append(line: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    match line.serialize(Writer(out)) {
        Ok(()) => out.push(b'\n'),
        // Every type here has a form in JSON; still, no half line may stand.
        Err(error) => {
            out.truncate(start);
            log::error!("a line could not be encoded, which is a defect: {error}");
        }
    }
}

/// Where a value is written. It needs no memory of its own: the first member of an object or a list is the one behind an
/// opening bracket, with which no value ends.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    /// The same place, for a part of the value.
    const fn part(&mut self) -> Writer<'_> {
        Writer(self.0)
    }

    /// Begins the next member of an object or a list.
    #[inline(always)]
    fn next(&mut self) {
        if !matches!(self.0.last(), Some(b'{' | b'[')) {
            self.0.push(b',');
        }
    }

    /// Writes what is plain.
    #[inline(always)]
    fn string(&mut self, text: &str) {
        self.0.reserve(text.len() + 3);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    #[cold]
    fn rare(self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        serde_json::to_writer(self.0, value)
    }
}

/// For values that are shown.
impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Whether `text` stands in a string of JSON as it is: RFC 8259, section 7.
#[inline]
fn plain(text: &[u8]) -> bool {
    let special = |bytes: &[u8; 8]| special(u64::from_ne_bytes(*bytes));
    let found = match text.last_chunk() {
        // The last eight overlap with those before.
        Some(last) => text.as_chunks().0.iter().fold(special(last), |found, bytes| found | special(bytes)),
        None => self::special(text.iter().fold(all(b' '), |word, byte| word << 8 | u64::from(*byte))),
    };
    found == 0
}

/// The highest bits of bytes in `word` that have to be escaped, if there are any; then perhaps others, too.
const fn special(word: u64) -> u64 {
    // What is less is seen by the bit that the subtraction borrows, what is equal differs in nothing.
    let control = word.wrapping_sub(all(b' '));
    let quote = (word ^ all(b'"')).wrapping_sub(all(1));
    let backslash = (word ^ all(b'\\')).wrapping_sub(all(1));
    (control | quote | backslash) & !word & all(0x80)
}

/// The same byte in every place of a word.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Methods that write a number.
macro_rules! numbers {
    ($($method:ident: $number:ty)*) => {$(
        #[inline]
        fn $method(self, number: $number) -> Result<(), Error> {
            self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            Ok(())
        }
    )*};
}

impl Serializer for Writer<'_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Error>;

    numbers! {
        serialize_i8: i8
        serialize_i16: i16
        serialize_i32: i32
        serialize_i64: i64
        serialize_u8: u8
        serialize_u16: u16
        serialize_u32: u32
        serialize_u64: u64
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        self.rare(&number)
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        self.rare(&number)
    }

    fn serialize_char(self, char: char) -> Result<(), Error> {
        self.rare(&char)
    }

    #[inline]
    fn serialize_str(mut self, text: &str) -> Result<(), Error> {
        if !plain(text.as_bytes()) {
            return self.rare(text);
        }
        self.string(text);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(mut self, value: &T) -> Result<(), Error> {
        let start = self.0.len();
        self.0.push(b'"');
        fmt::write(&mut self, format_args!("{value}")).map_err(Error::custom)?;
        if !self.0.get(start + 1..).is_some_and(plain) {
            self.0.truncate(start);
            return serde_json::Serializer::new(self.0).collect_str(value);
        }
        self.0.push(b'"');
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        self.collect_seq(bytes)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.collect_map([(variant, value)])
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Error> {
        self.0.push(b'[');
        Ok(self)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(unwritten(name))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        self.0.push(b'{');
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self, Error> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(unwritten(name))
    }
}

/// No line has a variant with several values that names itself.
fn unwritten(name: &str) -> Error {
    Error::custom(format_args!("{name} has a variant of several values: make it untagged"))
}

impl SerializeSeq for Writer<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.next();
        value.serialize(self.part())
    }

    fn end(self) -> Result<(), Error> {
        self.0.push(b']');
        Ok(())
    }
}

impl SerializeTuple for Writer<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleStruct for Writer<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeSeq::end(self)
    }
}

impl SerializeMap for Writer<'_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let start = self.0.len();
        key.serialize(self.part())?;
        if self.0.get(start) == Some(&b'"') { Ok(()) } else { Err(Error::custom("a key is no text: let it be shown")) }
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.0.push(b':');
        value.serialize(self.part())
    }

    #[inline(always)]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), Error> {
        self.serialize_key(key)?;
        self.serialize_value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.0.push(b'}');
        Ok(())
    }
}

impl SerializeStruct for Writer<'_> {
    type Ok = ();
    type Error = Error;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.next();
        self.string(name);
        self.0.push(b':');
        value.serialize(self.part())
    }

    fn end(self) -> Result<(), Error> {
        SerializeMap::end(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
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

    struct Bytes<'a>(&'a [u8]);

    impl Serialize for Bytes<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    /// As [`super::super::show::Shown`], in pieces.
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
}

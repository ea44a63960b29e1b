//! Values go in by way of serde, JSON comes out: byte for byte that which serde_json writes.
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

/// Where a value is written. The first member of an object or a list is known by the opening bracket before it, with which no
/// value ends.
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// Of an object only the members.
    pub(super) bare: bool,
}

impl Writer<'_> {
    /// The same place, for a part of the value.
    pub(super) const fn part(&mut self) -> Writer<'_> {
        Writer { out: self.out, bare: false }
    }

    /// Begins the next member of an object or a list.
    #[inline(always)]
    fn next(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    /// Writes what is plain.
    #[inline(always)]
    fn string(&mut self, text: &str) {
        self.out.reserve(text.len() + 3);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    /// Begins the member `name`, a word of this program.
    #[inline(always)]
    pub(super) fn name(&mut self, name: &'static str) {
        self.next();
        self.string(name);
        self.out.push(b':');
    }

    #[cold]
    fn rare(self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        serde_json::to_writer(self.out, value)
    }
}

/// For values that are shown.
impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.extend_from_slice(text.as_bytes());
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
            self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
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
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
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
        let start = self.out.len();
        self.out.push(b'"');
        fmt::write(&mut self, format_args!("{value}")).map_err(Error::custom)?;
        if !self.out.get(start + 1..).is_some_and(plain) {
            self.out.truncate(start);
            return serde_json::Serializer::new(self.out).collect_str(value);
        }
        self.out.push(b'"');
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
        self.out.extend_from_slice(b"null");
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
        self.out.push(b'[');
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
        if !self.bare {
            self.out.push(b'{');
        }
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
        self.out.push(b']');
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
        let start = self.out.len();
        key.serialize(self.part())?;
        if self.out.get(start) == Some(&b'"') {
            Ok(())
        } else {
            Err(Error::custom("a key is no text: let it be shown"))
        }
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
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
        if !self.bare {
            self.out.push(b'}');
        }
        Ok(())
    }
}

impl SerializeStruct for Writer<'_> {
    type Ok = ();
    type Error = Error;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.name(name);
        value.serialize(self.part())
    }

    fn end(self) -> Result<(), Error> {
        SerializeMap::end(self)
    }
}

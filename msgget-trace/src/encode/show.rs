//! Values go in, the forms that they have in every format come out: how a number, a moment, a list of flags looks is said
//! here, once.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use jiff::{Timestamp, tz::Offset};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::Escaped;
use crate::{
    detect::Tags,
    event::{Counts, Device, Image, MsgFlags},
    policy::Matched,
};

/// A value whose form is the string it is shown as.
#[derive(Clone, Copy)]
pub(super) struct Shown<T>(pub(super) T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A number whose form is the string of its decimal digits.
#[derive(Clone, Copy)]
pub(super) struct Digits<T>(pub(super) T);

impl<T: itoa::Integer + Copy> Serialize for Digits<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(itoa::Buffer::new().format(self.0))
    }
}

/// A set of bits.
pub(super) struct Hex(pub(super) u64);

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Permission bits, as chmod(1) takes them.
pub(super) struct Octal(pub(super) u16);

impl Display for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"000000";
        digits::<8>(&mut text, self.0.into());
        let [_, _, short @ ..] = &text;
        ascii(if self.0 > 0o7777 { &text } else { short }, f)
    }
}

/// A key, as ipcs(1) shows it.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) i32);

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"0x00000000";
        let [_, _, places @ ..] = &mut text;
        digits::<16>(places, self.0.cast_unsigned().into());
        ascii(&text, f)
    }
}

/// A moment, in ns since 1970: RFC 3339, section 5.6, in UTC and with nine digits of the second, so that equal lengths make
/// the order of the text that of time.
#[derive(Clone, Copy)]
pub(super) struct Rfc3339(pub(super) u64);

impl Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        // The year 2554 is the last one in 64 bits of ns; a timestamp goes up to 9999.
        let moment = Timestamp::new((self.0 / SECOND).cast_signed(), (self.0 % SECOND) as i32);
        let moment = Offset::UTC.to_datetime(moment.unwrap_or(Timestamp::MAX));
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        for (places, number) in [
            (0..4, moment.year().into()),
            (5..7, moment.month().into()),
            (8..10, moment.day().into()),
            (11..13, moment.hour().into()),
            (14..16, moment.minute().into()),
            (17..19, moment.second().into()),
            (20..29, moment.subsec_nanosecond()),
        ] {
            // None is negative: the moment is not before 1970.
            digits::<10>(&mut text[places], i32::unsigned_abs(number).into());
        }
        ascii(&text, f)
    }
}

/// Puts the last digits of `number` to the base `BASE`, which is at most 16, into `places`, as many as these are.
fn digits<const BASE: u64>(places: &mut [u8], number: u64) {
    places.iter_mut().rev().fold(number, |rest, place| {
        *place = b"0123456789abcdef"[(rest % BASE % 16) as usize];
        rest / BASE
    });
}

/// Shows `text`, which is ASCII, in one piece.
fn ascii(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(str::from_utf8(text).map_err(|_| fmt::Error)?)
}

/// A list of the arguments of a command line.
pub(super) struct Arguments<'a>(&'a Image);

impl<'a> Arguments<'a> {
    /// `None` where they are not known, or there are none.
    pub(super) fn of(image: &'a Image) -> Option<Self> {
        image.arguments().is_some().then_some(Self(image))
    }
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.arguments().into_iter().flatten().map(Escaped))
    }
}

/// In one string, blanks between them; where one of them ends only the list tells.
impl Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, argument) in self.0.arguments().into_iter().flatten().enumerate() {
            if nth > 0 {
                f.write_str(" ")?;
            }
            Escaped(argument).fmt(f)?;
        }
        Ok(())
    }
}

/// An object of numbers.
pub(super) struct Numbers<'a>(pub(super) &'a [(&'static str, u64)]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, number) in self.0 {
            map.serialize_entry(name, number)?;
        }
        map.end()
    }
}

/// An object of the outcomes there were.
pub(super) struct ByOutcome(pub(super) Counts);

impl Serialize for ByOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (outcome, count) in self.0.by_outcome() {
            map.serialize_entry(outcome, &count)?;
        }
        map.end()
    }
}

impl Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A list of words.
impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// A list of names.
impl Serialize for Matched<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// A list of names, and last the bits that have none, in hexadecimal. The mode is a field of its own.
impl Serialize for MsgFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unknown = (self.unknown() != 0).then(|| format!("{:#x}", self.unknown()));
        serializer.collect_seq(self.names().map(Cow::Borrowed).chain(unknown.map(Cow::Owned)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_in_utc_with_every_nanosecond() {
        // By date(1): date -u -d @1785589110 and @951782400.
        assert_eq!(Rfc3339(1_785_589_110_000_000_700).to_string(), "2026-08-01T12:58:30.000000700Z");
        assert_eq!(Rfc3339(951_782_400_000_000_000).to_string(), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(Rfc3339(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Rfc3339(u64::MAX).to_string(), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn numbers_have_the_digits_that_format_gives_them() {
        for key in [0, 1, 42, -1, i32::MIN, i32::MAX, -559_038_737] {
            assert_eq!(Key(key).to_string(), format!("{key:#010x}"));
        }
        for mode in [0, 0o7, 0o600, 0o1666, 0o7777, 0o10_000, u16::MAX] {
            assert_eq!(Octal(mode).to_string().trim_start_matches('0'), format!("{mode:o}").trim_start_matches('0'));
            assert!(Octal(mode).to_string().len() >= 4);
        }
        assert_eq!(
            serde_json::to_string(&(Digits(0_u16), Digits(u64::MAX))).unwrap(),
            r#"["0","18446744073709551615"]"#
        );
    }

    proptest! {
        #[test]
        fn moments_sort_as_their_text_does(one: u64, other: u64) {
            prop_assert_eq!(one.cmp(&other), Rfc3339(one).to_string().cmp(&Rfc3339(other).to_string()));
            prop_assert_eq!(Rfc3339(one).to_string().parse::<Timestamp>().unwrap().as_nanosecond(), i128::from(one));
        }
    }
}

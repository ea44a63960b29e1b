//! Fields: what a field of a line says goes in, the value that is shown so comes out.

use std::str::FromStr;

use msgget_trace_ebpf::{COMM_LEN, NODENAME_LEN};
use uuid::Uuid;

use super::error::{Unreadable, shown};
use crate::{
    encode::escape,
    event::{BootTime, CallId, Device},
};

/// What has to be there.
pub(super) fn need<T>(field: &'static str, value: Option<T>) -> Result<T, Unreadable> {
    value.ok_or(Unreadable::Missing(field))
}

/// What may be there, as `read` understands it.
pub(super) fn perhaps<T, R>(
    field: &'static str,
    value: Option<T>,
    read: impl FnOnce(&'static str, T) -> Result<R, Unreadable>,
) -> Result<Option<R>, Unreadable> {
    value.map(|value| read(field, value)).transpose()
}

/// That `field` says `value` and should say what is `wanted`.
pub(super) fn wrong(field: &'static str, value: &str, wanted: &'static str) -> Unreadable {
    Unreadable::Field { field, value: shown(value), wanted }
}

/// Bytes that somebody else chose.
pub(super) fn bytes(field: &'static str, text: String) -> Result<Vec<u8>, Unreadable> {
    if !text.contains('\\') {
        return Ok(text.into_bytes());
    }
    escape::unescape(&text).ok_or_else(|| wrong(field, &text, "text with every backslash doubled or in \\xNN"))
}

/// A command name.
pub(super) fn comm(field: &'static str, text: String) -> Result<[u8; COMM_LEN], Unreadable> {
    // The kernel ends it by a NUL.
    padded(field, text, COMM_LEN - 1)
}

/// A node name, as far as lines show it.
pub(super) fn nodename(field: &'static str, text: String) -> Result<[u8; NODENAME_LEN], Unreadable> {
    padded(field, text, NODENAME_LEN - 1)
}

fn padded<const N: usize>(field: &'static str, text: String, most: usize) -> Result<[u8; N], Unreadable> {
    let bytes = bytes(field, text)?;
    let mut all = [0; N];
    match all.get_mut(..bytes.len()).filter(|_| bytes.len() <= most) {
        Some(start) => start.copy_from_slice(&bytes),
        None => return Err(wrong(field, &String::from_utf8_lossy(&bytes), "at most 15 bytes")),
    }
    Ok(all)
}

/// One of `words`.
pub(super) fn word<T: Copy>(
    field: &'static str,
    text: &str,
    words: &[T],
    name: impl Fn(T) -> &'static str,
    wanted: &'static str,
) -> Result<T, Unreadable> {
    words.iter().copied().find(|word| name(*word) == text).ok_or_else(|| wrong(field, text, wanted))
}

/// A set of bits: `0x8000`.
pub(super) fn hex(field: &'static str, text: String) -> Result<u64, Unreadable> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| wrong(field, &text, "a number of at most 64 bits in hexadecimal, with 0x"))
}

/// A key: `0x0000002a`.
pub(super) fn key(field: &'static str, text: String) -> Result<i32, Unreadable> {
    let number = hex(field, text)?;
    let key = u32::try_from(number).map(u32::cast_signed);
    key.map_err(|_| wrong(field, &format!("{number:#x}"), "a number of 32 bits"))
}

/// Permission bits: `0600`.
pub(super) fn octal(field: &'static str, text: &str) -> Result<u16, Unreadable> {
    let plain = !text.starts_with('+');
    let mode = u16::from_str_radix(text, 8).ok().filter(|_| plain);
    mode.ok_or_else(|| wrong(field, text, "permission bits in octal"))
}

/// A device: `254:1`.
pub(super) fn device(field: &'static str, text: String) -> Result<Device, Unreadable> {
    let read = |text: &str| {
        let (major, minor) = text.split_once(':')?;
        Some(Device { major: number(major)?, minor: number(minor)? })
    };
    read(&text).ok_or_else(|| wrong(field, &text, "the numbers of a device, MAJOR:MINOR"))
}

/// The identity of a call: `3add0c85-89b6-4d0b-9935-3e6f21aeaaa3-11496`.
pub(super) fn call_id(field: &'static str, text: &str) -> Result<CallId, Unreadable> {
    let read = |text: &str| {
        let (ring, position) = text.rsplit_once('-')?;
        Some(CallId { ring: Uuid::try_parse(ring).ok()?, position: number(position)? })
    };
    read(text).ok_or_else(|| wrong(field, text, "the id of a ring and a place in it, UUID-NUMBER"))
}

fn number<T: FromStr>(digits: &str) -> Option<T> {
    digits.parse().ok().filter(|_| !digits.starts_with('+'))
}

/// Moments of a line, which it tells by the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Wall clock minus boot clock, ns.
    pub(super) offset: i64,
}

impl Clock {
    /// As both clocks showed the moment of the line itself.
    pub(super) fn new(wall: u64, boot: u64) -> Result<Self, Unreadable> {
        let offset = i64::try_from(i128::from(wall) - i128::from(boot));
        let offset = offset.map_err(|_| wrong("bootTimestamp", &boot.to_string(), "within 292 years of `timestamp`"));
        Ok(Self { offset: offset? })
    }

    /// The moment `wall` on the boot clock.
    pub(super) fn boot(self, field: &'static str, wall: u64) -> Result<BootTime, Unreadable> {
        let boot = wall.checked_add_signed(self.offset.wrapping_neg()).map(BootTime);
        boot.ok_or_else(|| wrong(field, &wall.to_string(), "no earlier than the machine's boot"))
    }
}

//! A line and what is known of it go in, a message of RFC 5424 comes out. Pure.
//!
//! There is no STRUCTURED-DATA: its names would need an enterprise number of our own (RFC 5424 7.2.2). And there is no BOM before
//! the line: receivers hand it on to what reads the JSON, which fails on it; without it the line is MSG-ANY (6.4).

use std::{io::Write as _, str::FromStr};

use jiff::Timestamp;
use thiserror::Error;

/// In ns.
const SECOND: u64 = 1_000_000_000;
/// APP-NAME.
const APP_NAME: &str = "msgget-trace";
/// Longest HOSTNAME and MSGID, bytes (RFC 5424 6).
const HOSTNAME: usize = 255;
const MSGID: usize = 32;

/// Their keywords (syslog.conf(5)) by number; 12 to 15 have none that is common.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// What part of a system a message is from (RFC 5424 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// Where distributions keep what is not for everybody.
    pub const AUTHPRIV: Self = Self(10);
    /// The first of those that are free for local use.
    pub const LOCAL0: Self = Self(16);
}

/// There is no such facility.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{:?} is no syslog facility: use one of {}", .0, FACILITIES.join(", "))]
pub struct UnknownFacility(String);

impl FromStr for Facility {
    type Err = UnknownFacility;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        (0..)
            .zip(FACILITIES)
            .find(|(_, known)| *known == name)
            .map_or_else(|| Err(UnknownFacility(name.to_owned())), |(number, _)| Ok(Self(number)))
    }
}

/// How urgent a message is (RFC 5424 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    /// The system is unusable.
    Emergency = 0,
    /// Somebody must act at once.
    Alert = 1,
    /// Critical conditions.
    Critical = 2,
    /// Errors.
    Error = 3,
    /// Warnings.
    Warning = 4,
    /// Normal, but significant.
    Notice = 5,
    /// Informational.
    Informational = 6,
    /// For whoever looks for a fault.
    Debug = 7,
}

/// Appends the header of a message, up to and with the space before MSG. `timestamp` is in ns since 1970 and cut to the
/// microseconds that the RFC allows; in `hostname` and `msgid` what is not printable ASCII becomes `_`, and what is too
/// long for the RFC is cut off.
pub fn header(
    out: &mut Vec<u8>,
    facility: Facility,
    severity: Severity,
    timestamp: u64,
    hostname: &[u8],
    procid: u32,
    msgid: &[u8],
) {
    put(out, format_args!("<{}>1 ", facility.0 * 8 + severity as u8));
    // The year 2554 is the last one in 64 bits of ns.
    let moment = Timestamp::new((timestamp / SECOND).cast_signed(), (timestamp % SECOND) as i32);
    put(out, format_args!("{:.6} ", moment.unwrap_or(Timestamp::MAX)));
    name::<HOSTNAME>(out, hostname);
    put(out, format_args!(" {APP_NAME} {procid} "));
    name::<MSGID>(out, msgid);
    out.extend_from_slice(b" - ");
}

/// Appends `line`, without the newline at its end, as MSG.
///
/// The encoders let no control character out. Should one get here all the same, it becomes `\u00NN`, as it would in JSON: NUL and
/// LF end a message in receivers that do not count octets (RFC 6587 3.4.2), and receivers change the others as they like (RFC
/// 5424 6.4). That is U+0000 to U+001F and U+007F; bytes from 0x80 on are text and pass.
pub fn text(out: &mut Vec<u8>, line: &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    for part in line.chunk_by(|before, after| before.is_ascii_control() == after.is_ascii_control()) {
        if part.first().is_some_and(u8::is_ascii_control) {
            for byte in part {
                put(out, format_args!("\\u{byte:04x}"));
            }
        } else {
            out.extend_from_slice(part);
        }
    }
}

/// At most `MOST` characters of PRINTUSASCII, or the NILVALUE.
fn name<const MOST: usize>(out: &mut Vec<u8>, name: &[u8]) {
    if name.is_empty() {
        out.push(b'-');
    }
    out.extend(name.iter().take(MOST).map(|byte| if byte.is_ascii_graphic() { *byte } else { b'_' }));
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    drop(out.write_fmt(text));
}

#[cfg(test)]
mod tests;

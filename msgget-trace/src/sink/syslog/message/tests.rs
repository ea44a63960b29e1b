//! Messages, read back by a parser that is not ours.

use proptest::prelude::*;
use syslog_rfc5424::{
    message::{ProcId, SyslogMessage},
    parse_message,
};

use super::*;

fn message(hostname: &[u8], msgid: &[u8], line: &[u8]) -> String {
    let mut out = Vec::new();
    header(&mut out, Facility::LOCAL0, Severity::Notice, 1_795_310_723_793_016_621, hostname, 1956, msgid);
    text(&mut out, line);
    String::from_utf8(out).unwrap()
}

#[test]
fn it_looks_as_the_rfc_has_it() {
    assert_eq!(
        message(b"vm", b"msgget", b"{\"a\":1}\n"),
        "<133>1 2026-11-22T01:25:23.793016Z vm msgget-trace 1956 msgget - {\"a\":1}"
    );
}

#[test]
fn names_are_printable_ascii_and_not_too_long() {
    let fields = |hostname: &[u8], msgid: &[u8]| {
        let text = message(hostname, msgid, b"x");
        let fields: Vec<String> = text.split(' ').map(str::to_owned).collect();
        assert_eq!(fields.len(), 8, "{text}");
        (fields[2].clone(), fields[5].clone())
    };
    assert_eq!(fields(b"", b""), ("-".into(), "-".into()));
    assert_eq!(fields(b"a b\n\0\x7f", "é".as_bytes()), ("a_b___".into(), "__".into()));
    assert_eq!(fields(&[b'h'; 300], &[b'm'; 33]), ("h".repeat(255), "m".repeat(32)));
}

#[test]
fn control_characters_do_not_get_out() {
    let all: Vec<u8> = (0..=255).collect();
    let mut out = Vec::new();
    text(&mut out, &all);
    assert!(out.iter().all(|byte| !byte.is_ascii_control()));
    assert!(out.starts_with(b"\\u0000\\u0001") && out.ends_with(&[254, 255]));
    // The newline that ends a line is none of it; another one is.
    out.clear();
    text(&mut out, b"a\0b\nc\n");
    assert_eq!(out, b"a\\u0000b\\u000ac");
}

#[test]
fn times_at_the_edges() {
    let time = |timestamp| {
        let mut out = Vec::new();
        header(&mut out, Facility::LOCAL0, Severity::Notice, timestamp, b"", 1, b"");
        String::from_utf8(out).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
    assert_eq!(time(999), "1970-01-01T00:00:00.000000Z");
    assert_eq!(time(1_709_251_199_999_999_999), "2024-02-29T23:59:59.999999Z");
    assert_eq!(time(u64::MAX), "2554-07-21T23:34:33.709551Z");
}

#[test]
fn facilities_have_names() {
    assert_eq!("authpriv".parse(), Ok(Facility::AUTHPRIV));
    assert_eq!("local0".parse(), Ok(Facility::LOCAL0));
    assert_eq!("local7".parse(), Ok(Facility(23)));
    let message = "Local0".parse::<Facility>().unwrap_err().to_string();
    assert!(message.starts_with("\"Local0\" is no syslog facility") && message.contains("local7"), "{message}");
}

const SEVERITIES: [Severity; 8] = [
    Severity::Emergency,
    Severity::Alert,
    Severity::Critical,
    Severity::Error,
    Severity::Warning,
    Severity::Notice,
    Severity::Informational,
    Severity::Debug,
];

proptest! {
    #[test]
    fn whatever_goes_in_can_be_read_back(
        hostname: Vec<u8>, msgid: Vec<u8>, line: String, timestamp: u64, procid: u32, severity in 0..8_usize, facility in 0..24_u8,
    ) {
        let mut out = Vec::new();
        header(&mut out, Facility(facility), SEVERITIES[severity], timestamp, &hostname, procid, &msgid);
        text(&mut out, line.as_bytes());
        let message = String::from_utf8(out).unwrap();
        let read: SyslogMessage = parse_message(&message).unwrap();
        prop_assert_eq!(read.facility as u8, facility);
        prop_assert_eq!(read.severity as usize, severity);
        prop_assert_eq!(read.timestamp, Some(i64::try_from(timestamp / 1_000_000_000).unwrap()));
        prop_assert_eq!(read.timestamp_nanos.map(u64::from), Some(timestamp % 1_000_000_000 / 1_000 * 1_000));
        prop_assert_eq!(read.appname.as_deref(), Some("msgget-trace"));
        prop_assert_eq!(read.procid, Some(ProcId::PID(i32::try_from(procid).unwrap_or(0))).filter(|_| i32::try_from(procid).is_ok())
            .or(Some(ProcId::Name(procid.to_string()))));
        prop_assert_eq!(read.hostname.is_none(), hostname.is_empty() || hostname == b"-");
        prop_assert_eq!(read.msgid.is_none(), msgid.is_empty() || msgid == b"-");
        prop_assert_eq!(read.sd.len(), 0);
        // Only the newline at its end, and control characters, are not as they were.
        let line = line.strip_suffix('\n').unwrap_or(&line);
        if line.chars().all(|letter| !letter.is_ascii_control()) {
            prop_assert_eq!(read.msg, line);
        } else {
            prop_assert!(read.msg.chars().all(|letter| !letter.is_ascii_control()));
        }
    }
}

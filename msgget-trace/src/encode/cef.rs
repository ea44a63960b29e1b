//! The `cef` format: a finding goes in, a line of ArcSight's Common Event Format comes out.
//!
//! Syntax, keys and their meaning: "Implementing ArcSight Common Event Format (CEF)", version 25, where keys that the format
//! does not know are called custom and begin with vendor and product. Only findings have lines: the format has room for
//! little of a call, and names for nothing of the sensor's own.
//!
//! | what | where |
//! |---|---|
//! | entry and return of the completing call | `rt` and `start`, `end` (ms) |
//! | what the kernel did with it | `act`; `outcome` (success, failure), `reason` (errno) |
//! | real and effective user | `suid`, `suser`; `duid`, `duser` |
//! | the process | `spid`, `sproc`, `filePath`, `fileId` (inode), `cs6` (command line) |
//! | the names it has for itself | `shost` (node name), `cs4` (container) |
//! | the rule | signature id, name, severity, `cat` (CWE), `msg` |
//! | what was found | `cs1` (key), `cn1` (queue), `cn2`, `cn3`, `cs5` (calls it rests on) |
//!
//! Text is escaped as everywhere ([`Escaped`]) and then as the format demands.

use std::{
    fmt::{self, Display, Write as _},
    io::Write as _,
};

use super::{Escaped, Item, Sensor, show::Key};
use crate::{
    detect::{Finding, Severity, Value},
    enrich::Who,
    event::{Image, before_nul},
};

/// Nanoseconds in the unit of the format's times.
const MILLISECOND: u64 = 1_000_000;

/// Appends the line of `item`, the output's `sequence`th, to `out`, if it is a finding.
pub(super) fn line(item: &Item<'_>, sensor: &Sensor, sequence: u64, out: &mut Vec<u8>) {
    let Item::Finding { finding, who, .. } = *item else { return };
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "CEF:0|msgget-trace project|msgget-trace|{}|{}|{}|{}|externalId={}",
        Header(env!("CARGO_PKG_VERSION")),
        Header(finding.rule.id),
        Header(item.name()),
        level(finding.severity),
        Quoted(item.id(sensor)),
    );
    let mut extension = Extension(out);
    extension.set("msggetTraceSequence", Some(sequence));
    extension.finding(finding, who, sensor);
    // Last, for it does not end in a blank: some readers take blanks off the end of a line.
    extension.set("msg", Some(&finding.summary));
    out.push(b'\n');
}

/// Severities are 0 to 10: up to 3 is low, from 4 medium, from 7 high, from 9 very high.
const fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

/// The second half of a line, keys and values, behind its first pair.
struct Extension<'a>(&'a mut Vec<u8>);

impl Extension<'_> {
    fn finding(&mut self, finding: &Finding, who: &Who<'_>, sensor: &Sensor) {
        let (event, caller) = (&finding.event, finding.event.caller());
        let ms = |moment| sensor.clock.wall(moment) / MILLISECOND;
        self.set("rt", Some(ms(event.timestamp())));
        self.set("start", event.entered().map(ms));
        self.set("end", Some(ms(event.left())));
        self.set("deviceExternalId", sensor.host.id.as_deref());
        self.set("act", Some(event.outcome().name()));
        self.set("outcome", Some(if event.errno().is_some() { "failure" } else { "success" }));
        self.set("reason", event.errno());
        self.set("cat", finding.rule.cwe);

        self.set("shost", caller.nodename.as_ref().and_then(|name| text(before_nul(name))));
        self.set("suid", caller.uid);
        self.set("suser", who.user.and_then(text));
        self.set("duid", caller.euid);
        self.set("duser", who.effective_user.and_then(text));
        let image = caller.image.as_deref();
        self.set("spid", Some(caller.host.pid));
        self.set("sproc", text(before_nul(&caller.comm)));
        self.set("filePath", image.and_then(|image| text(image.path.as_deref()?)));
        self.set("fileId", image.and_then(|image| image.inode));

        let call = event.call();
        self.labelled("cs1", "key", call.map(|call| call.key).or(finding.key()).map(Key));
        self.labelled("cs2", "flags", call.map(|call| call.flags));
        self.labelled("cs3", "ipcNamespace", caller.ipc_ns);
        self.labelled("cs4", "containerId", who.place.container.as_ref().map(|container| &container.id));
        self.labelled("cs5", "evidence", Some(Spaced(|| finding.evidence.iter())));
        self.labelled("cs6", "commandLine", image.and_then(command_line));
        self.labelled("cn1", "queue", event.queue());
        let numbers = finding.values.iter().filter_map(|(name, value)| match value {
            Value::Uint64(number) => Some((*name, *number)),
            // The key has a place of its own, and so have the evidence and the queue.
            Value::Int32(_) | Value::Call(_) | Value::Word(_) => None,
        });
        for (key, (name, number)) in ["cn2", "cn3"].into_iter().zip(numbers) {
            // The format's integers are signed.
            self.labelled(key, name, i64::try_from(number).ok());
        }
    }

    /// Adds `key`, if it has a value.
    fn set(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            let _ = write!(self.0, " {key}={}", Quoted(value));
        }
    }

    /// Adds one of the keys whose meaning stands beside them.
    fn labelled(&mut self, key: &str, label: &str, value: Option<impl Display>) {
        if value.is_some() {
            self.set(key, value);
            self.set(&format!("{key}Label"), Some(label));
        }
    }
}

/// Bytes as text, if there are any: a key without a value says nothing.
fn text(bytes: &[u8]) -> Option<Escaped<'_>> {
    (!bytes.is_empty()).then_some(Escaped(bytes))
}

/// The arguments; where one ends, only the other formats tell.
fn command_line(image: &Image) -> Option<impl Display> {
    image.arguments().map(|_| Spaced(|| image.arguments().into_iter().flatten().map(Escaped)))
}

/// What the function gives, with blanks between.
struct Spaced<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Display>> Display for Spaced<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, item) in (self.0)().enumerate() {
            if nth > 0 {
                f.write_char(' ')?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

/// A value of the header: the bar ends it, and it cannot hold a line break.
struct Header<T>(T);

impl<T: Display> Display for Header<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Through { f, escape: header }, "{}", self.0)
    }
}

fn header(char: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match char {
        '\\' | '|' => write!(f, "\\{char}"),
        char if char.is_control() => f.write_char(' '),
        char => f.write_char(char),
    }
}

/// A value of the extension: an equals sign would make a key of the word before it.
struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Through { f, escape: quoted }, "{}", self.0)
    }
}

fn quoted(char: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match char {
        '\\' | '=' => write!(f, "\\{char}"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        // The format has no words for them, and syslog on the way none that are agreed: they become what `Escaped` makes of
        // bytes that are not text.
        char if char.is_control() => {
            char.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(f, "\\\\x{byte:02x}"))
        }
        char => f.write_char(char),
    }
}

/// Passes text on through a rule of escaping.
struct Through<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    escape: fn(char, &mut fmt::Formatter<'_>) -> fmt::Result,
}

impl fmt::Write for Through<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| (self.escape)(char, self.f))
    }
}

#[cfg(test)]
mod tests;

//! Health records, which say how the sensor itself is: what happened to it goes in, one object a line comes out, in the
//! same sequence as the calls.

use serde::Serialize;

use super::{Json, SCHEMA_VERSION, Shown, append};
use crate::event::Start;

impl Json {
    /// Appends the record of `start` to `out`: what sees the calls from here on, and what it cannot see.
    pub fn start(&self, start: &Start, sequence: u64, out: &mut Vec<u8>) {
        let passed = start.passed.iter().map(|passed| PassedOver { hook: passed.rung.name(), reason: &passed.reason });
        let record = StartRecord {
            timestamp: self.clock.wall(start.at),
            event_name: "start",
            schema_version: SCHEMA_VERSION,
            id: Shown(format_args!("{}-0", start.run)),
            sequence,
            version: env!("CARGO_PKG_VERSION"),
            hook: self.rung.name(),
            coverage_gap: self.rung.gap(),
            int80_proved: start.int80_proved,
            passed_over: passed.collect(),
            absent: &start.absent,
            host_id: self.host.id.as_deref(),
            boot_id: self.host.boot_id.as_deref(),
        };
        append(&record, out);
    }
}

/// The record that begins a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartRecord<'a, I> {
    timestamp: u64,
    event_name: &'static str,
    schema_version: &'static str,
    id: I,
    sequence: u64,
    version: &'static str,
    hook: &'static str,
    coverage_gap: &'static str,
    int80_proved: bool,
    passed_over: Vec<PassedOver<'a>>,
    absent: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
}

#[derive(Serialize)]
struct PassedOver<'a> {
    hook: &'static str,
    reason: &'a str,
}

//! The engine on calls made here: what it finds, what it does not, and what it says.

mod patterns;
mod queues;
mod races;
mod state;
mod stories;

use msgget_trace_ebpf::Call as Record;

use super::*;
use crate::event::sample::{SECOND, call_of, control_of, record, use_of, use_record};

const CREAT: i32 = 0o1600;
const EXCL: i32 = 0o3600;

/// One who asks: process, user, and the program it runs.
#[derive(Clone, Copy, Debug)]
struct Caller {
    pid: u32,
    uid: u32,
    program: u8,
}

const ALICE: Caller = Caller { pid: 100, uid: 1000, program: b'a' };
const BOB: Caller = Caller { pid: 200, uid: 1001, program: b'b' };
const ROOT: Caller = Caller { pid: 300, uid: 0, program: b'r' };

impl Caller {
    /// With no more rights than it was started with.
    fn record(self) -> Record {
        let Self { pid, uid, program } = self;
        let mut comm = *b"?program\0\0\0\0\0\0\0\0";
        comm[0] = program;
        let ids = Record { uid, euid: uid, suid: uid, fsuid: uid, gid: uid, egid: uid, ..record() };
        Record { pid, tid: pid, comm, capabilities: 0, ..ids }
    }

    /// Its call that begins `at` and ends 700 ns later.
    fn gets(self, at: u64, key: i32, msgflg: i32, ret: i64) -> Event {
        event(at, Record { key, msgflg, ret, ..self.record() })
    }

    fn removes(self, at: u64, queue: i32) -> Event {
        control(at, Record { header: Record::CONTROL, key: queue, msgflg: 0, ret: 0, number: 71, ..self.record() })
    }

    /// Fails with `errno` to receive from `queue`.
    fn misses(self, at: u64, queue: i32, errno: Errno) -> Event {
        let record = use_record(70, -i64::from(errno.0));
        let Record { header, before, pairing, enter_ns, number, .. } = record;
        let record =
            Record { header, before, pairing, number, key: queue, msgflg: 0, ret: record.ret, ..self.record() };
        use_of(at * 8, &Record { enter_ns, ..later(at, record) }).into()
    }

    fn changes(self, at: u64, queue: i32) -> Event {
        control(at, Record { header: Record::CONTROL, key: queue, msgflg: 1, ret: 0, number: 71, ..self.record() })
    }
}

/// At the moment `at`, which is also the place of its record.
fn event(at: u64, record: Record) -> Event {
    call_of(at * 8, &later(at, record)).into()
}

fn control(at: u64, record: Record) -> Event {
    control_of(at * 8, &later(at, record)).into()
}

fn later(at: u64, record: Record) -> Record {
    Record { enter_ns: record.enter_ns + at, exit_ns: record.exit_ns + at, ..record }
}

/// What the kernel would have stated: that an existing queue was handed out, whose creator is `cuid`.
fn opened(event: Event, cuid: u32, mode: u16) -> Event {
    let Event::Call(mut call) = event else { panic!() };
    call.outcome = Outcome::Opened;
    call.queue = Some(crate::event::Queue { uid: cuid, gid: cuid, cuid, cgid: cuid, mode, age: None });
    call.into()
}

fn created(event: Event) -> Event {
    let Event::Call(mut call) = event else { panic!() };
    call.outcome = Outcome::Created;
    call.into()
}

fn all(events: &[Event]) -> Vec<Finding> {
    let mut engine = Engine::new();
    events.iter().flat_map(|event| engine.observe(event).findings).collect()
}

/// Findings as (rule, severity).
fn found(events: &[Event]) -> Vec<(&'static str, Severity)> {
    all(events).iter().map(|finding| (finding.rule.name, finding.severity)).collect()
}

/// The only finding of `rule`.
fn only(rule: &str, events: &[Event]) -> Finding {
    let mut findings = all(events);
    findings.retain(|finding| finding.rule.name == rule);
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    finding.clone()
}

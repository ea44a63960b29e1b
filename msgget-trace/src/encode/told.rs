//! For tests of formats: one item of every kind and shape comes out, as a sensor on a known host tells it.

use std::{fs, sync::Arc};

use msgget_trace_ebpf::{Call as Record, EVICTED, FACT_REMOVED, FACT_TORN_DOWN, NOT_EXECUTED, Owner};
use uuid::Uuid;

use super::Item;
use super::sample::{check_then_create, raced};
pub(super) use super::sample::{sensor, uses, who};
use crate::{
    detect::{Engine, Finding},
    event::{
        Aggregate, Attributed, BootTime, Call, Control, Counts, Health, Image, LossReason, News, Outcome, OutputState,
        Passed, Payer, Queue, Rung, Source,
        sample::{self, call, call_of, control_of, control_record, record},
    },
    policy::Matched,
};

/// The finding that the creation completes, which a process makes 10 us after it found key 42 free.
pub(super) fn finding() -> Finding {
    check_then_create().findings.remove(0)
}

/// A call of a program that is known.
pub(super) fn named(image: Image) -> Call {
    let mut call = call_of(4800, &record());
    call.caller.image = Some(Arc::new(image));
    call
}

/// Every call, with a name.
pub(super) fn calls() -> Vec<(&'static str, Call)> {
    let mut opened = call(4360, 0, 42, 0, 5);
    (opened.outcome, opened.source) = (Outcome::Opened, Some(Source::Flags));
    opened.queue = Some(Queue { uid: 1000, gid: 1001, cuid: 0, cgid: 0, mode: 0o640, age: Some(52_000) });
    vec![
        ("failed", call_of(4096, &record())),
        ("created", call(4272, 0, 0, 0o600, 32_769)),
        ("opened", opened),
        ("ambiguous", call(4448, 0, -559_038_737, 0o1666, 0)),
        ("not_executed", call_of(4624, &Record { pairing: NOT_EXECUTED, enter_ns: 0, ret: 68, ..record() })),
        ("unpaired", call_of(4712, &Record { pairing: EVICTED, enter_ns: 0, msgflg: -1, ..record() })),
        ("named", named(sample::image())),
    ]
}

/// Every control, with a name.
pub(super) fn controls() -> Vec<(&'static str, Control)> {
    let raw = Record { pairing: EVICTED, enter_ns: 0, fact_ns: record().exit_ns, ..control_record(0, 0) };
    let owner = Owner { uid: 1000, gid: 1001, cuid: 1000, cgid: 1001 };
    let raw = Record { fact: FACT_REMOVED, owner, queue_mode: 0o640, queue_key: 42, ..raw };
    vec![
        ("changed", control_of(4976, &control_record(1, 0))),
        (
            "removal_refused_before",
            control_of(4976, &Record { pairing: NOT_EXECUTED, enter_ns: 0, ..control_record(0, -1) }),
        ),
        ("not_removed", control_of(4976, &control_record(0, -1))),
        ("removed", control_of(4976, &raw)),
        ("torn_down", control_of(4976, &Record { fact: FACT_TORN_DOWN, number: 0, ..raw })),
    ]
}

/// One output that works, and one that does not.
fn outputs() -> Vec<OutputState> {
    let well = OutputState {
        name: "standard output".to_owned(),
        format: "json".into(),
        told: 9,
        delivered: 9,
        ..OutputState::default()
    };
    let trouble = Some("refused\x1b[2J".to_owned());
    vec![
        well,
        OutputState {
            name: "tls://siem:6514".to_owned(),
            format: "ecs".into(),
            told: 9,
            waiting: 9,
            trouble,
            ..OutputState::default()
        },
    ]
}

/// All news there can be, with hostile words where words come from outside.
pub(super) fn news() -> Vec<Health> {
    let passed = vec![Passed { rung: Rung::Fexit, reason: "the preemption model is unknown: \x1b[2J".to_owned() }];
    let balance = vec![("seen", 7), ("submitted", 7), ("lost", 0)];
    let start = News::Start {
        passed,
        int80_proved: true,
        absent: vec!["task_struct.sessionid"],
        config: Uuid::from_u128(2),
        policy: Some(Uuid::from_u128(5)),
        pinned: true,
        inherited: Some(BootTime(3)),
    };
    let loss = News::Loss { reason: LossReason::RingFull, count: 12, cpu: Some(3), output: None, since: BootTime(4) };
    let degraded = News::Degraded { reason: "canary_lost", detail: "a canary\ndid not come back".to_owned() };
    let news = [
        start,
        News::ConfigChange { from: Uuid::from_u128(3), to: Uuid::from_u128(2) },
        News::Heartbeat { balance: balance.clone(), outputs: outputs() },
        loss,
        degraded,
        News::Recovered { reason: "canary_lost" },
        News::Stop { reason: "signal", balance, outputs: outputs() },
        News::PolicyChange { from: Uuid::from_u128(4), to: Uuid::from_u128(5) },
        News::PolicyRefused {
            kept: Uuid::from_u128(5),
            problems: 2,
            detail: "p.yaml:1:1: this kind is not known\n".to_owned(),
        },
    ];
    news.into_iter().map(|news| Health { at: BootTime(5_000_000_000), news }).collect()
}

/// An aggregate of each sort, with a name.
pub(super) fn aggregates() -> Vec<(&'static str, Aggregate)> {
    let process = Attributed {
        payer: Payer::Process { pid: 41_237, started: Some(BootTime(80)) },
        first: BootTime(5_000),
        last: BootTime(6_000),
        sample_keys: vec![42, -559_038_737],
        comm: *b"ipcworker\0\0\0\0\0\0\0",
        euid: Some(0),
        cgroup_id: 9540,
        ipc_ns: Some(4_026_533_172),
    };
    let owner = Attributed { payer: Payer::Owner, ..process.clone() };
    let of = |attributed| Aggregate { at: BootTime(7_000), counts: Counts([0, 2, 30, 0, 0, 1, 0, 0]), attributed };
    vec![("process", of(Some(process))), ("owner", of(Some(owner))), ("nobody", of(None))]
}

/// Shows `tell` every item there is, with a name.
pub(crate) fn everything(mut tell: impl FnMut(&str, &Item<'_>)) {
    let who = &who();
    for (name, call) in &calls() {
        tell(name, &Item::Call { call, who, tags: Engine::tags(&call.clone().into()), policies: Matched::NONE });
    }
    for (name, control) in &controls() {
        tell(
            name,
            &Item::Control { control, who, tags: Engine::tags(&control.clone().into()), policies: Matched::NONE },
        );
    }
    for (name, used) in &uses() {
        tell(name, &Item::Use { used, who, tags: Engine::tags(&used.clone().into()), policies: Matched::NONE });
    }
    for finding in &[finding(), raced()] {
        tell(
            finding.rule.name,
            &Item::Finding { finding, who, tags: Engine::tags(&finding.event), policies: Matched::NONE },
        );
    }
    for (nth, health) in (1..).zip(&news()) {
        tell(health.news.name(), &Item::Health { health, nth });
    }
    for (name, aggregate) in &aggregates() {
        let known = aggregate.attributed.is_some();
        let (place, user) = (Some(&who.place.cgroup).filter(|_| known), known.then_some(&b"root"[..]));
        tell(name, &Item::Aggregate { aggregate, place, user, nth: 3 });
    }
}

/// Compares with a file of tests/golden; `UPDATE_GOLDEN=1 cargo test` writes them anew, for the diff to be read.
pub(super) fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap_or_default(), "{path}");
}

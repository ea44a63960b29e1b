//! For tests: nothing goes in; a sensor, somebody behind a call, and an item of every kind come out.

use std::{fs, sync::Arc};

use msgget_trace_ebpf::{
    ABI_I386, Call as Record, ENTRY_32, EVICTED, FACT_REMOVED, FACT_TORN_DOWN, NOT_EXECUTED, Owner,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{Escaped, Format, Item, Sensor};
use crate::{
    detect::{Engine, Finding, Tags, Verdict},
    enrich::{Clock, Host, Place, Who, cgroup::CgroupPath, container::Container},
    event::{
        Aggregate, Attributed, BootTime, Call, Control, Counts, Health, Image, LossReason, News, OutputState, Passed,
        Payer, Queue, Rung, Use,
        sample::{self, call, call_of, control_of, control_record, record, use_of, use_record},
    },
    policy::Matched,
};

/// What documented lines are numbered with.
pub(crate) const SEQUENCE: u64 = 7;

/// Clocks that differ by a known distance, on a known host.
pub(crate) fn sensor() -> Sensor {
    let host = Host {
        id: Some("0123456789abcdef0123456789abcdef".into()),
        boot_id: Some("01234567-89ab-cdef-0123-456789abcdef".into()),
        name: Some("db01".into()),
        kernel: Some("6.1.0-28-amd64".into()),
    };
    Sensor { run: Uuid::from_u128(1), host, clock: Clock::fixed(1_785_589_000_000_000_000), rung: Rung::TpBtf }
}

/// In a container of a pod, as a user with a name.
pub(crate) fn who() -> Who<'static> {
    let path = b"/kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope";
    who_in(path)
}

/// The same in the cgroup `path`.
pub(crate) fn who_in(path: &[u8]) -> Who<'static> {
    let container = Container::from_path(path).map(Arc::new);
    let place = Place { cgroup: Ok(CgroupPath { bytes: path[..].into(), whole: true }), container };
    Who { place, user: Some(b"alice"), effective_user: Some(b"root"), group: None, effective_group: None }
}

/// A call whose program, and its parent's, are known.
pub(crate) fn named() -> Call {
    let mut named = call_of(4800, &record());
    named.caller.image = Some(Arc::new(sample::image()));
    let shell = Image { path: Some(b"/bin/\"sh\"\xff\n".to_vec()), ..sample::image() };
    named.caller.parent_image = Some(Arc::new(shell));
    named
}

/// A check, and the creation that rests on it.
pub(crate) fn check_then_create() -> Verdict {
    let mut engine = Engine::new();
    engine.observe(&call(4096, 0, 42, 0, -2).into());
    engine.observe(&call(4272, 10_000, 42, 0o1600, 0).into())
}

/// The finding that the creation completes, which a process makes 10 us after it found key 42 free.
pub(crate) fn finding() -> Finding {
    check_then_create().findings.remove(0)
}

/// The race that another user's process wins in between.
pub(crate) fn raced() -> Finding {
    let mut engine = Engine::new();
    engine.observe(&call(4096, 0, 42, 0, -2).into());
    let rival =
        Record { pid: 666, uid: 1001, euid: 1001, suid: 1001, comm: *b"sq\xffat\0\0\0\0\0\0\0\0\0\0\0", ..record() };
    let (enter_ns, exit_ns) = (rival.enter_ns + 5_000, rival.exit_ns + 5_000);
    let rival = Record { enter_ns, exit_ns, msgflg: 0o3600, ret: 7, ..rival };
    engine.observe(&call_of(4184, &rival).into());
    let findings = engine.observe(&call(4272, 10_000, 42, 0o3600, -17).into()).findings;
    findings.into_iter().find(|finding| finding.certainty.is_some()).unwrap()
}

/// Every outcome of a call, with a name of its own.
pub(crate) fn calls() -> Vec<(&'static str, Call)> {
    let mut opened = call_of(4272, &Record { ret: 5, sessionid: 4, ..record() });
    opened.queue = Some(Queue { uid: 1000, gid: 1001, cuid: 0, cgid: 0, mode: 0o640, age: Some(52_000) });
    let answered = |ret| call_of(4624, &Record { pairing: NOT_EXECUTED, enter_ns: 0, ret, ..record() });
    vec![
        ("failed", call_of(4096, &record())),
        ("denied", call(4096, 0, 42, 0, -13)),
        ("created", call(4272, 0, 0, 0o600, 32_769)),
        ("opened", opened),
        ("ambiguous", call(4448, 0, -559_038_737, 0o1666, 0)),
        ("unpaired", call_of(4624, &Record { pairing: EVICTED, enter_ns: 0, msgflg: -1, ret: 5, ..record() })),
        ("not_executed", answered(68)),
        ("refused", answered(-1)),
        ("named", named()),
    ]
}

/// Every outcome of a control, with a name of its own.
pub(crate) fn controls() -> Vec<(&'static str, Control)> {
    let unseen = Record { pairing: EVICTED, enter_ns: 0, ..control_record(0, 0) };
    let owner = Owner { uid: 1000, gid: 1001, cuid: 1000, cgid: 1001 };
    let fact_ns = record().exit_ns;
    let removed = Record { fact: FACT_REMOVED, fact_ns, owner, queue_mode: 0o640, queue_key: 42, ..unseen };
    let records = [
        ("changed", control_record(1, 0)),
        ("not_removed", control_record(0, -1)),
        ("control_unpaired", unseen),
        ("control_not_executed", Record { pairing: NOT_EXECUTED, ..unseen }),
        ("removed", removed),
        ("torn_down", Record { fact: FACT_TORN_DOWN, number: 0, ..removed }),
    ];
    records.into_iter().map(|(name, record)| (name, control_of(4976, &record))).collect()
}

/// A receiver whose queue was removed under it, and a sender whose queue had been, by the multiplexer, with a seccomp filter.
pub(crate) fn uses() -> Vec<(&'static str, Use)> {
    let door = Record { abi: ABI_I386, entry: ENTRY_32, number: 117, ipc_call: 11, seccomp: 2, ..use_record(69, -22) };
    vec![("not_received", use_of(5152, &use_record(70, -43))), ("not_sent", use_of(5328, &door))]
}

/// Counted calls of a process, of an owner, of one of whom little is known, and of nobody, with names of their own.
pub(crate) fn aggregates() -> Vec<(&'static str, Aggregate)> {
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
    let nameless = Attributed { euid: None, ipc_ns: None, ..owner.clone() };
    let counts = Counts([0, 2, 30, 0, 0, 1, 0, 0]);
    let whose = [
        ("aggregate_process", Some(process)),
        ("aggregate_owner", Some(owner)),
        ("aggregate_nameless", Some(nameless)),
        ("aggregate_nobody", None),
    ];
    whose.into_iter().map(|(name, attributed)| (name, Aggregate { at: BootTime(7_000), counts, attributed })).collect()
}

/// One output that works, and one that does not.
fn outputs() -> Vec<OutputState> {
    let well = OutputState {
        name: "standard output".into(),
        format: "json".into(),
        told: 9,
        delivered: 9,
        ..OutputState::default()
    };
    let ill = OutputState {
        name: "tls://siem:6514".into(),
        format: "ecs".into(),
        told: 9,
        inherited: 3,
        delivered: 5,
        waiting: 3,
        dropped: 1,
        expired: 1,
        damaged: 1,
        refused: 1,
        trouble: Some("refused\x1b[2J".into()),
    };
    vec![well, ill]
}

/// All that can happen to a sensor, with a name of its own; and hostile words where words come from outside.
pub(crate) fn news() -> Vec<(&'static str, Health)> {
    let balance = || vec![("seen", 12), ("submitted", 11), ("lost", 1)];
    let passed = vec![Passed { rung: Rung::Fexit, reason: "the preemption model is \"full\"\x1b[2J".into() }];
    let loss = |reason, count| News::Loss { reason, count, cpu: None, output: None, since: BootTime(2) };
    let siem = Some("tls://siem:6514".into());
    let news = [
        News::Start {
            passed,
            int80_proved: true,
            absent: vec!["task_struct.sessionid"],
            config: Uuid::from_u128(9),
            policy: Some(Uuid::from_u128(5)),
            pinned: true,
            inherited: Some(BootTime(1)),
        },
        News::Heartbeat { balance: balance(), outputs: outputs() },
        News::ConfigChange { from: Uuid::from_u128(8), to: Uuid::from_u128(9) },
        News::Loss { reason: LossReason::RingFull, count: 3, cpu: Some(1), output: None, since: BootTime(2) },
        loss(LossReason::Rejected, 1),
        News::Loss { reason: LossReason::SpoolFull, count: 2, cpu: None, output: siem, since: BootTime(2) },
        News::Degraded { reason: "canary_lost", detail: "a canary\ndid not come back".into() },
        News::Recovered { reason: "canary_lost" },
        News::Stop { reason: "SIGTERM", balance: balance(), outputs: outputs() },
        News::PolicyChange { from: Uuid::from_u128(4), to: Uuid::from_u128(5) },
        News::PolicyRefused {
            kept: Uuid::from_u128(5),
            problems: 2,
            detail: "p.yaml:1:1: this kind is not known\n".to_owned(),
        },
    ];
    let name = |news: &News| match news {
        News::Loss { reason, .. } => reason.name(),
        news => news.name(),
    };
    news.into_iter().map(|news| (name(&news), Health { at: BootTime(9_000), news })).collect()
}

/// Strings that somebody else chose, in every place where one may stand.
#[derive(Debug)]
pub(crate) struct Hostile {
    pub(crate) comm: [u8; 15],
    pub(crate) path: Vec<u8>,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) cgroup: Vec<u8>,
    pub(crate) user: Vec<u8>,
}

impl Hostile {
    /// Any of them; names hold no NUL, and so they are chosen with a bias to what other formats take for a mark.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let byte = || prop_oneof![1u8..=255, prop::sample::select(&b"\"\\\n\r\x1b{}[],:'/=\xff"[..])];
        let bytes = move |len| prop::collection::vec(byte(), 1..len);
        // What an LXC container may be called is what it is told as.
        let cgroup = prop_oneof![
            bytes(80),
            "[-a-zA-Z0-9_.:\\\\@]{1,64}".prop_map(|name| ["/lxc.payload.", &*name].concat().into())
        ];
        (prop::array::uniform15(byte()), bytes(80), prop::collection::vec(bytes(20), 1..5), cgroup, bytes(20))
            .prop_map(|(comm, path, arguments, cgroup, user)| Self { comm, path, arguments, cgroup, user })
    }

    /// A call that all of them are about.
    pub(crate) fn call(&self) -> Call {
        let mut raw = Record { ..record() };
        raw.comm[..15].copy_from_slice(&self.comm);
        let mut call = call_of(0, &raw);
        let memory = self.arguments.iter().flat_map(|argument| [argument, &b"\0"[..]].concat()).collect();
        let image = Image { path: Some(self.path.clone()), arguments: Some(memory), ..sample::image() };
        call.caller.image = Some(Arc::new(image));
        call
    }

    /// Who made it.
    pub(crate) fn who(&self) -> Who<'_> {
        Who { user: Some(&self.user), ..who_in(&self.cgroup) }
    }
}

/// As it stands in a line.
pub(crate) fn shown(bytes: &[u8]) -> String {
    Escaped(bytes).to_string()
}

/// Tells an item of every kind and of every outcome, each with a name of its own.
pub(crate) fn each(mut tell: impl FnMut(&str, &Item<'_>, &Sensor)) {
    let sensor = sensor();
    // What only its hooks see.
    let fexit = Sensor { rung: Rung::Fexit, ..self::sensor() };
    let who = &Who { group: Some(b"staff"), effective_group: Some(b"wheel"), ..who() };
    let calls = calls();
    for (name, call) in &calls {
        let tags = Engine::tags(&call.clone().into());
        tell(name, &Item::Call { call, who, tags, policies: Matched::NONE }, &sensor);
    }
    let names = ["ipc-watch".into(), "not-this".into(), "all".into()];
    let (call, policies) = (&calls[0].1, Matched::new(&names, 0b101));
    tell("wanted", &Item::Call { call, who, tags: Tags::default(), policies }, &sensor);
    for (name, control) in &controls() {
        let tags = Engine::tags(&control.clone().into());
        let sensor = if control.queue.is_some() { &fexit } else { &sensor };
        tell(name, &Item::Control { control, who, tags, policies: Matched::NONE }, sensor);
    }
    for (name, used) in &uses() {
        let tags = Engine::tags(&used.clone().into());
        tell(name, &Item::Use { used, who, tags, policies: Matched::NONE }, &sensor);
    }
    let (verdict, raced) = (check_then_create(), raced());
    for (finding, tags) in [(&verdict.findings[0], verdict.tags), (&raced, Engine::tags(&raced.event))] {
        tell(finding.rule.name, &Item::Finding { finding, who, tags, policies: Matched::NONE }, &sensor);
    }
    for (nth, (name, health)) in (0..).zip(&news()) {
        tell(name, &Item::Health { health, nth }, &sensor);
    }
    let nameless = Sensor { host: Host::default(), ..self::sensor() };
    let health = &Health { at: BootTime(9_000), news: News::Heartbeat { balance: Vec::new(), outputs: Vec::new() } };
    tell("nameless_host", &Item::Health { health, nth: 0 }, &nameless);
    for (name, aggregate) in &aggregates() {
        let whose = aggregate.attributed.as_ref();
        let (place, user) =
            (whose.map(|_| &who.place.cgroup), whose.and_then(|whose| whose.euid).map(|_| &b"root"[..]));
        tell(name, &Item::Aggregate { aggregate, place, user, nth: 3 }, &sensor);
    }
}

/// The line of `item`, one and whole.
pub(crate) fn line(format: Format, item: &Item<'_>, sensor: &Sensor, sequence: u64) -> String {
    let mut out = Vec::new();
    format.line(item, sensor, sequence, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.find('\n'), Some(text.len() - 1), "{text}");
    text
}

/// Compares with a documented line; `UPDATE_GOLDEN=1 cargo test` writes them anew, for the diff to be read.
pub(crate) fn golden(file: &str, text: &str) {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap_or_default(), "{path}");
}

/// Compares the lines of every item with those documented of a `format` that is one JSON object a line.
pub(crate) fn golden_lines(format: Format) {
    each(|name, item, sensor| golden(&format!("{}/{name}.json", format.name()), &line(format, item, sensor, SEQUENCE)));
}

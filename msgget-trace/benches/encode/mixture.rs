//! What there is to tell: nothing goes in, a hundred items come out, mixed as those of a busy host are.

use std::{error::Error, sync::Arc};

use msgget_trace::{
    detect::{Engine, Finding, Tags},
    encode::{Item, Sensor},
    enrich::{Clock, Host, Place, Who, cgroup::CgroupPath, container::Container},
    event::{
        Aggregate, Attributed, BootTime, Call, Control, Counts, Device, Event, Health, Image, ImageId, News,
        OutputState, Payer, Rung, decode::Decoded,
    },
    policy::Matched,
};
use msgget_trace_ebpf::Call as Record;
use uuid::Uuid;

use crate::record::{ATTACHED, SECOND, decoder, record};

/// How many of a hundred items are calls, and of how many of these the program is known: of nearly all.
const CALLS: u64 = 90;
const WITH_IMAGE: u64 = 80;
const CONTROLS: u64 = 4;
const FINDINGS: usize = 2;
const AGGREGATES: usize = 2;
const NEWS: usize = 2;

/// The items' parts, which the items borrow.
pub(crate) struct Mixture {
    pub(crate) sensor: Sensor,
    /// A user of the host, and one in a pod.
    makers: [Who<'static>; 2],
    calls: Vec<(Call, Tags)>,
    controls: Vec<(Control, Tags)>,
    finding: Finding,
    aggregate: Aggregate,
    news: Health,
}

impl Mixture {
    /// # Errors
    /// A record that decode refuses, or a rule that does not find what it is there for: the records below are wrong.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let decoder = decoder()?;
        let mut engine = Engine::new();
        let (mut calls, mut controls, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for nth in 0..CALLS + CONTROLS {
            let bytes = if nth < CALLS { call(nth) } else { control(nth) };
            let Decoded::Event(mut event) = decoder.decode(nth * 360, bytes.as_bytes())? else {
                return Err("a call was decoded as an image".into());
            };
            if !(WITH_IMAGE..CALLS).contains(&nth) {
                event.caller_mut().image =
                    Some(Arc::new(image(&[b"/usr/lib/postgresql/15/bin/postgres", b"-D", b"/srv/db"])));
                event.caller_mut().parent_image = Some(Arc::new(image(&[b"/usr/lib/systemd/systemd", b"--user"])));
            }
            let verdict = engine.observe(&event);
            findings.extend(verdict.findings);
            match event {
                Event::Call(call) => calls.push((call, verdict.tags)),
                Event::Control(control) => controls.push((control, verdict.tags)),
                Event::Use(_) => return Err("a call was decoded as a use".into()),
            }
        }
        let finding = findings
            .into_iter()
            .find(|finding| finding.rule.name == "check_then_create")
            .ok_or("no rule found anything in the calls")?;
        Ok(Self { sensor: sensor(), makers: makers(), calls, controls, finding, aggregate: aggregate(), news: news() })
    }

    /// The items, in the order of their kinds.
    pub(crate) fn items(&self) -> Vec<Item<'_>> {
        let [user, pod] = &self.makers;
        let who = |nth: usize| if nth.is_multiple_of(2) { user } else { pod };
        let calls = self.calls.iter().enumerate();
        let controls = self.controls.iter().enumerate();
        let place = Some(&user.place.cgroup);
        let finding =
            Item::Finding { finding: &self.finding, who: user, tags: Tags::default(), policies: Matched::NONE };
        let aggregate = Item::Aggregate { aggregate: &self.aggregate, place, user: user.user, nth: 2 };
        calls
            .map(|(nth, (call, tags))| Item::Call { call, who: who(nth), tags: *tags, policies: Matched::NONE })
            .chain(controls.map(|(nth, (control, tags))| Item::Control {
                control,
                who: who(nth),
                tags: *tags,
                policies: Matched::NONE,
            }))
            .chain([finding; FINDINGS])
            .chain([aggregate; AGGREGATES])
            .chain([Item::Health { health: &self.news, nth: 3 }; NEWS])
            .collect()
    }
}

/// A process looks for a queue and makes it; others open it, or are refused.
fn call(nth: u64) -> Record {
    let (key, msgflg, ret) = match nth % 4 {
        0 => (0x4d53_4751, 0, -2),
        1 => (0x4d53_4751, 0o1600, 32_769),
        2 => (0x4d53_4751, 0, 32_769),
        _ => (0, 0o3600, 98_306),
    };
    Record { key, msgflg, ret, ..record(nth * 1_234_567) }
}

/// A queue is removed.
fn control(nth: u64) -> Record {
    Record { header: Record::CONTROL, key: 32_769, msgflg: 0, ret: 0, number: 71, ..record(nth * 1_234_567) }
}

fn image(arguments: &[&[u8]]) -> Image {
    Image {
        id: ImageId { pid: 41_237, started: BootTime(80_123_456_789), exec_id: 3 },
        path: arguments.first().map(|path| path.to_vec()),
        path_cut: false,
        inode: Some(247_618),
        device: Some(Device { major: 254, minor: 1 }),
        arguments: Some(arguments.iter().flat_map(|argument| [*argument, &b"\0"[..]].concat()).collect()),
        arguments_cut: false,
    }
}

fn sensor() -> Sensor {
    let host = Host {
        id: Some("0123456789abcdef0123456789abcdef".into()),
        boot_id: Some("01234567-89ab-cdef-0123-456789abcdef".into()),
        name: Some("db01".into()),
        kernel: Some("6.1.0-28-amd64".into()),
    };
    Sensor { run: Uuid::from_u128(0x01a2_00db << 96), host, clock: Clock::new(), rung: Rung::TpBtf }
}

fn makers() -> [Who<'static>; 2] {
    let in_cgroup = |path: &[u8]| Who {
        place: Place {
            cgroup: Ok(CgroupPath { bytes: path.into(), whole: true }),
            container: Container::from_path(path).map(Arc::new),
        },
        user: Some(b"alice"),
        effective_user: Some(b"alice"),
        group: Some(b"alice"),
        effective_group: Some(b"alice"),
    };
    let id = "0123456789abcdef".repeat(4);
    let pod =
        format!("/kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-{id}.scope");
    [in_cgroup(b"/user.slice/user-1000.slice/session-3.scope"), in_cgroup(pod.as_bytes())]
}

fn aggregate() -> Aggregate {
    let attributed = Attributed {
        payer: Payer::Process { pid: 41_237, started: Some(BootTime(80_123_456_789)) },
        first: BootTime(ATTACHED + 11 * SECOND),
        last: BootTime(ATTACHED + 12 * SECOND),
        sample_keys: vec![7, 42],
        comm: *b"postgres\0\0\0\0\0\0\0\0",
        euid: Some(1000),
        cgroup_id: 9540,
        ipc_ns: Some(4_026_532_177),
    };
    let counts = Counts([0, 2, 1_377_530, 0, 0, 0, 0, 0]);
    Aggregate { at: BootTime(ATTACHED + 12 * SECOND), counts, attributed: Some(attributed) }
}

fn news() -> Health {
    let output = OutputState {
        name: "tls://siem:6514".into(),
        format: "ecs".into(),
        told: 900,
        delivered: 890,
        waiting: 10,
        ..OutputState::default()
    };
    let balance = vec![("seen", 12_345), ("submitted", 12_340), ("aggregated", 5), ("lost", 0)];
    Health { at: BootTime(ATTACHED + 60 * SECOND), news: News::Heartbeat { balance, outputs: vec![output] } }
}

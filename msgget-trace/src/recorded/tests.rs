//! Whatever can be told comes back equal; what is wrong with a line is said.

mod errors;
mod strategy;

use std::fs;

use proptest::prelude::*;
use strategy::{Moments, aggregates, calls, clocks, controls, uses};

use super::*;
use crate::{
    detect::{Engine, Tags},
    encode::{
        Format, Item, Sensor,
        sample::{self, Hostile},
    },
    enrich::{Clock, Host},
    event::{Call, Caller, Control, Image, News, Use, before_nul, sample::call_of, sample::record},
    policy::Matched,
};

/// `item` as a line.
fn told(item: &Item<'_>, sensor: &Sensor) -> String {
    sample::line(Format::Json, item, sensor, 7)
}

/// The sensor that a line names, but for what only its start record says.
fn sensor_of(origin: &Origin, run: Uuid) -> Sensor {
    let Origin { host_id, boot_id, rung, offset, moved } = origin.clone();
    let host = Host { id: host_id, boot_id, ..Host::default() };
    Sensor { run, host, clock: Clock::recorded(offset, moved), rung }
}

/// What a line says when it is read back and told again; nothing where it is not kept.
fn again(line: &str, tags: Tags) -> Option<String> {
    let Line { sequence, recorded } = parse(line.as_bytes()).unwrap();
    assert_eq!(sequence, 7);
    match &recorded {
        Recorded::Event { event, names, origin } => {
            let (who, sensor) = (&names.who(), &sensor_of(origin, Uuid::nil()));
            Some(told(&Item::of(event, who, tags, Matched::NONE), sensor))
        }
        Recorded::Aggregate { aggregate, place, user, run, nth, origin } => {
            let (place, user, nth) = (place.as_ref(), user.as_deref(), *nth);
            Some(told(&Item::Aggregate { aggregate, place, user, nth }, &sensor_of(origin, *run)))
        }
        Recorded::Loss(_) | Recorded::Start { .. } | Recorded::News { .. } | Recorded::Finding => None,
    }
}

#[test]
fn what_can_be_told_can_be_told_again() {
    let mut kept = 0;
    sample::each(|name, item, sensor| {
        if name == "wanted" {
            // Whose wish it was is not read.
            return;
        }
        let line = told(item, sensor);
        let again = again(&line, item.tags().unwrap_or_default());
        assert_eq!(
            again.is_some(),
            matches!(item.id(sensor), crate::encode::Id::Call(_)) || name.starts_with("aggregate")
        );
        if let Some(again) = again {
            assert_eq!(again, line, "{name}");
            kept += 1;
        }
    });
    assert_eq!(kept, 9 + 6 + 2 + 4);
}

#[test]
fn the_documented_lines_are_read() {
    let mut kinds = [0; 4];
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/json")).unwrap() {
        let path = entry.unwrap().path();
        let line = parse(&fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        kinds[match line.recorded {
            Recorded::Event { .. } => 0,
            Recorded::Aggregate { .. } => 1,
            Recorded::Finding => 2,
            Recorded::Loss(_) | Recorded::Start { .. } | Recorded::News { .. } => 3,
        }] += 1;
    }
    assert_eq!(kinds, [10 + 6 + 2, 4, 2, 12]);
}

#[test]
fn of_news_comes_back_what_detection_asks_about() {
    sample::each(|name, item, sensor| {
        let Item::Health { health, .. } = item else { return };
        let recorded = parse(told(item, sensor).as_bytes()).unwrap().recorded;
        match (&health.news, recorded) {
            (News::Loss { .. }, Recorded::Loss(loss)) => assert_eq!(loss, **health),
            (News::Start { .. }, Recorded::Start { at, run, machine, kernel, origin }) => {
                assert_eq!(run, sensor.run);
                assert_eq!((at, machine, kernel), (health.at, sensor.host.name.clone(), sensor.host.kernel.clone()));
                assert_eq!(origin.boot_id, sensor.host.boot_id);
            }
            (_, Recorded::News { at }) => assert_eq!(at, health.at),
            (_, other) => panic!("{name}: {other:?}"),
        }
    });
}

#[test]
fn a_finding_is_made_anew_and_not_read() {
    let verdict = sample::check_then_create();
    let item = Item::Finding {
        finding: &verdict.findings[0],
        who: &sample::who(),
        tags: verdict.tags,
        policies: Matched::NONE,
    };
    let recorded = parse(told(&item, &sample::sensor()).as_bytes()).unwrap().recorded;
    assert!(matches!(recorded, Recorded::Finding), "{recorded:?}");
}

/// What of `caller` a line keeps: see the head of the module.
fn kept(caller: &Caller) -> Caller {
    fn to_nul<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut all = [0; N];
        let name = before_nul(bytes);
        all[..name.len()].copy_from_slice(name);
        all
    }
    let image = |image: &Image| {
        let arguments = image.arguments().map(|all| all.flat_map(|one| [one, b"\0"].concat()).collect());
        let path = image.path.clone().filter(|path| !path.is_empty());
        let known = path.is_some() || image.inode.is_some() || image.device.is_some() || arguments.is_some();
        let image = Image { path, arguments, ..image.clone() };
        (known || image.path_cut || image.arguments_cut).then(|| Arc::new(image))
    };
    let parent = |image: &Image| {
        let Image { id, path, inode, .. } = image.clone();
        let image = Image { id, path, inode, path_cut: false, device: None, arguments: None, arguments_cut: false };
        (image.path.is_some() || inode.is_some()).then(|| Arc::new(image))
    };
    Caller {
        image: caller.image.as_deref().and_then(image),
        parent_image: caller.parent_image.as_deref().and_then(parent),
        comm: to_nul(&caller.comm),
        nodename: caller.nodename.map(|name| to_nul(&name[..15])),
        ..caller.clone()
    }
}

fn event(line: &str) -> Event {
    match parse(line.as_bytes()).map(|line| line.recorded) {
        Ok(Recorded::Event { event, .. }) => event,
        other => panic!("{other:?}: {line}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_call_comes_back(call in calls(), hostile in Hostile::any(), clock in clocks()) {
        let sensor = Sensor { clock, ..sample::sensor() };
        let tags = Engine::tags(&call.clone().into());
        let line = told(&Item::Call { call: &call, who: &hostile.who(), tags, policies: Matched::NONE }, &sensor);
        let wanted = Call { caller: kept(&call.caller), positions: None, rivals: None, witness: false, ..call };
        prop_assert_eq!(event(&line), Event::Call(wanted));
        prop_assert_eq!(again(&line, tags), Some(line));
    }

    #[test]
    fn any_control_comes_back(control in controls(), hostile in Hostile::any(), clock in clocks()) {
        let sensor = Sensor { clock, ..sample::sensor() };
        let tags = Engine::tags(&control.clone().into());
        let line = told(&Item::Control { control: &control, who: &hostile.who(), tags, policies: Matched::NONE }, &sensor);
        let wanted = Control { caller: kept(&control.caller), ..control };
        prop_assert_eq!(event(&line), Event::Control(wanted));
        prop_assert_eq!(again(&line, tags), Some(line));
    }

    #[test]
    fn any_use_comes_back(used in uses(), hostile in Hostile::any(), clock in clocks()) {
        let sensor = Sensor { clock, ..sample::sensor() };
        let tags = Engine::tags(&used.clone().into());
        let line = told(&Item::Use { used: &used, who: &hostile.who(), tags, policies: Matched::NONE }, &sensor);
        let wanted = Use { caller: kept(&used.caller), ..used };
        prop_assert_eq!(event(&line), Event::Use(wanted));
        prop_assert_eq!(again(&line, tags), Some(line));
    }

    #[test]
    fn any_aggregate_comes_back(aggregate in aggregates(), hostile in Hostile::any(), clock in clocks(), nth: u64) {
        let sensor = Sensor { clock, ..sample::sensor() };
        let known = aggregate.attributed.is_some();
        let place = Some(&hostile.who().place.cgroup).filter(|_| known).cloned();
        let user = known.then_some(&*hostile.user);
        let line = told(&Item::Aggregate { aggregate: &aggregate, place: place.as_ref(), user, nth }, &sensor);
        match parse(line.as_bytes()).unwrap().recorded {
            Recorded::Aggregate { aggregate: back, .. } => prop_assert_eq!(back, aggregate),
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(again(&line, Tags::default()), Some(line));
    }

    /// Names and whole records as those of the other tests of encode.
    #[test]
    fn any_name_comes_back(hostile in Hostile::any(), comm: [u8; 15], nodename: [u8; 16], ret in -4095..i64::from(i32::MAX)) {
        let mut raw = msgget_trace_ebpf::Call { ret, nodename, ..record() };
        raw.comm[..15].copy_from_slice(&comm);
        for call in [hostile.call(), call_of(8, &raw)] {
            let line = told(&Item::Call { call: &call, who: &hostile.who(), tags: Tags::default(), policies: Matched::NONE }, &sample::sensor());
            let wanted = Call { caller: kept(&call.caller), positions: None, ..call };
            prop_assert_eq!(event(&line), Event::Call(wanted));
            prop_assert_eq!(again(&line, Tags::default()), Some(line));
        }
    }

    #[test]
    fn a_loss_comes_back(clock in clocks(), (at, since) in Moments::two(), count: u64, cpu: Option<u32>, output: Option<String>) {
        let reason = crate::event::LossReason::RingFull;
        let health = Health { at, news: News::Loss { reason, count, cpu, output, since } };
        let line = told(&Item::Health { health: &health, nth: 0 }, &Sensor { clock, ..sample::sensor() });
        match parse(line.as_bytes()).unwrap().recorded {
            Recorded::Loss(back) => prop_assert_eq!(back, health),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

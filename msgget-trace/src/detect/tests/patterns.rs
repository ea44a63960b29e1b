//! Patterns of one process, and what others have to do with its queues; for each rule calls that match and calls that do not.

use msgget_trace_ebpf::{ENTRY_INT80_64, EVICTED, NOT_EXECUTED};

use super::*;
use crate::event::sample::call;

fn tags(event: Event) -> Vec<&'static str> {
    Engine::new().observe(&event).tags.names().collect()
}

#[test]
fn calls_are_tagged_by_what_they_are_prone_to() {
    assert_eq!(tags(ALICE.gets(0, 0, 0o600, 0)), ["U", "IPC_PRIVATE"]);
    assert_eq!(tags(ALICE.gets(0, 42, CREAT, 0)), ["U", "TOCTOU"]);
    assert_eq!(tags(ALICE.gets(0, 42, EXCL, 0)), ["U"]);
    assert_eq!(tags(ALICE.gets(0, 42, 0, 0)), ["U"]);
    assert_eq!(tags(ALICE.gets(0, 42, 0o3666, 0)), ["U", "WEAK_MODE"]);
}

#[test]
fn private_keys_and_those_that_were_not_meant() {
    assert_eq!(found(&[ALICE.gets(0, 0, 0o600, 3)]), [("private_key", Severity::Info)]);
    assert_eq!(found(&[ALICE.gets(0, 0, 0, 3)]), [("accidental_private_key", Severity::Medium)]);
    assert_eq!(found(&[ALICE.gets(0, 0, 0, -28)]), [("exhaustion", Severity::High)]);
}

#[test]
fn creation_without_exclusive() {
    let created = created(ALICE.gets(0, 42, CREAT, 0));
    assert_eq!(found(&[created]), [("create_without_exclusive", Severity::Low)]);
    let own = opened(ALICE.gets(0, 42, CREAT, 0), ALICE.uid, 0o600);
    assert_eq!(found(&[own]), [("create_without_exclusive", Severity::Info)]);
    assert_eq!(found(&[ALICE.gets(0, 42, EXCL, 0)]), []);
    assert_eq!(found(&[ALICE.gets(0, 42, CREAT, -2)]), []);
    assert_eq!(found(&[ALICE.gets(0, 42, 0o600, 0)]), []);
}

#[test]
fn a_check_then_a_creation_states_window_and_evidence() {
    let events = [ALICE.gets(0, 42, 0, -2), created(ALICE.gets(10_000, 42, CREAT, 5))];
    let finding = only("check_then_create", &events);
    let ids = [events[0].id(), events[1].id()];
    assert_eq!(finding.evidence, ids);
    assert_eq!(
        finding.values,
        [
            ("key", Value::Int32(42)),
            ("windowNs", Value::Uint64(10_000 - 700)),
            ("windowMaxNs", Value::Uint64(10_000)),
            ("checkId", Value::Call(ids[0])),
            ("createId", Value::Call(ids[1])),
        ]
    );
    assert_eq!(found(&events), [("check_then_create", Severity::Medium)]);
    assert!(finding.summary.contains("9300 ns later"), "{}", finding.summary);
}

#[test]
fn exclusive_creation_is_the_lesser_evil_unless_it_lost() {
    let severity =
        |ret| only("check_then_create", &[ALICE.gets(0, 42, 0, -2), ALICE.gets(1000, 42, EXCL, ret)]).severity;
    assert_eq!(severity(5), Severity::Low);
    assert_eq!(severity(-17), Severity::Medium);
}

#[test]
fn who_is_refused_after_a_check_was_overtaken() {
    let refused = only("check_then_create", &[ALICE.gets(0, 42, 0, -2), ALICE.gets(1000, 42, CREAT, -13)]);
    assert!(refused.summary.ends_with("in between, and the call was refused"), "{}", refused.summary);
}

/// Any user can make namespaces and throw them away, thousands in a tenth of a second.
#[test]
fn namespaces_thrown_away_have_nothing_forgotten() {
    let elsewhere = |nth: u32| event(500, Record { ipc_ns: 1000 + nth, key: 1, ret: -2, ..BOB.record() });
    let mut events = vec![ALICE.gets(0, 42, 0, -2)];
    events.extend((0..10_000).map(elsewhere));
    events.push(created(ALICE.gets(1000, 42, CREAT, 5)));
    assert!(found(&events).contains(&("check_then_create", Severity::Medium)));
}

#[test]
fn no_check_no_finding() {
    let check = || ALICE.gets(0, 42, 0, -2);
    let create = |at, key| created(ALICE.gets(at, key, CREAT, 5));
    let other = Caller { pid: 101, ..ALICE };
    // Opened, not missing; opened after it was missing; another key; too long ago; another process.
    for events in [
        vec![ALICE.gets(0, 42, 0, 5), create(1000, 42)],
        vec![check(), ALICE.gets(800, 42, 0, 5), create(2000, 42)],
        vec![check(), create(1000, 43)],
        vec![check(), create(61 * SECOND, 42)],
        vec![check(), created(other.gets(1000, 42, CREAT, 5))],
    ] {
        assert_eq!(found(&events), [("create_without_exclusive", Severity::Low)], "{events:?}");
    }
}

#[test]
fn a_thread_is_its_process_and_a_namespace_is_another() {
    let create = Record { key: 42, msgflg: CREAT, ret: 5, ..ALICE.record() };
    let with = |record| found(&[ALICE.gets(0, 42, 0, -2), created(event(9_999, record))])[0].0;
    assert_eq!(with(Record { tid: 5, ns_tid: 5, ..create }), "check_then_create");
    assert_eq!(with(Record { process_start_ns: 5, ..create }), "create_without_exclusive");
    assert_eq!(with(Record { ipc_ns: 5, ..create }), "create_without_exclusive");
}

#[test]
fn what_was_not_executed_is_no_evidence_and_an_evicted_enter_is() {
    let check = |pairing| {
        let record = Record { pairing, enter_ns: 0, key: 42, msgflg: 0, ret: -2, ..ALICE.record() };
        Event::from(call_of(0, &record))
    };
    let create = || created(ALICE.gets(10_000, 42, CREAT, 5));
    assert_eq!(found(&[check(NOT_EXECUTED), create()]), [("create_without_exclusive", Severity::Low)]);
    assert_eq!(found(&[check(EVICTED), create()]), [("check_then_create", Severity::Medium)]);
    // Without its own enter a creation has no shortest window, but a longest.
    let record = Record { pairing: EVICTED, key: 42, msgflg: CREAT, ret: 5, ..ALICE.record() };
    let unpaired = Record { enter_ns: 0, exit_ns: record.exit_ns + 500, ..record };
    let finding = only("check_then_create", &[ALICE.gets(0, 42, 0, -2), call_of(8, &unpaired).into()]);
    let names: Vec<_> = finding.values.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["key", "windowMaxNs", "checkId", "createId"]);
}

#[test]
fn falling_back_depends_on_whose_queue_it_is() {
    let with = |cuid| {
        let open = opened(ALICE.gets(1000, 42, 0o600, 5), cuid, 0o600);
        found(&[ALICE.gets(0, 42, EXCL, -17), open])
    };
    assert_eq!(with(ALICE.uid), [("exclusive_then_fallback", Severity::Info)]);
    assert_eq!(with(0), [("exclusive_then_fallback", Severity::Info)]);
    assert_eq!(with(BOB.uid), [("exclusive_then_fallback", Severity::High)]);
    assert_eq!(found(&[ALICE.gets(0, 42, EXCL, -17)]), []);
}

#[test]
fn recreation_needs_a_removal_by_the_same_process() {
    let made = || ALICE.gets(0, 42, EXCL, 5);
    let again = |flags| created(ALICE.gets(2000, 42, flags, 6));
    assert_eq!(found(&[made(), ALICE.removes(1000, 5), again(CREAT)]), [("destroy_and_recreate", Severity::Medium)]);
    assert_eq!(found(&[made(), ALICE.removes(1000, 5), again(EXCL)]), [("destroy_and_recreate", Severity::Low)]);
    let other = Caller { pid: 101, ..ALICE };
    assert_eq!(found(&[made(), other.removes(1000, 5), again(EXCL)]), []);
    assert_eq!(found(&[made(), ALICE.removes(1000, 7), again(EXCL)]), []);
}

#[test]
fn a_squatted_key_names_its_creator() {
    let squat = || BOB.gets(0, 42, EXCL, 5);
    let events = [squat(), opened(ALICE.gets(1000, 42, CREAT, 5), BOB.uid, 0o666)];
    let finding = only("squatted_key", &events);
    assert_eq!(
        (finding.severity, finding.parties[0].role, finding.parties[0].actor.pid),
        (Severity::Medium, "creator", 200)
    );
    assert_eq!(finding.evidence, [events[0].id(), events[1].id()]);
    // Root is worth more, and so is a key that was the caller's before.
    let root = [squat(), opened(ROOT.gets(1000, 42, CREAT, 5), BOB.uid, 0o600)];
    assert_eq!(only("squatted_key", &root).severity, Severity::High);
    let regained = [ALICE.gets(0, 42, EXCL, 4), ALICE.removes(1000, 4), BOB.gets(2000, 42, EXCL, 5)];
    let regained = [&regained[..], &[Caller { pid: 101, ..ALICE }.gets(3000, 42, EXCL, -17)]].concat();
    assert_eq!(only("squatted_key", &regained).severity, Severity::High);
    // Refused is as telling as opened, and root's queue may be trusted.
    assert_eq!(only("squatted_key", &[squat(), ALICE.gets(1000, 42, CREAT, -13)]).severity, Severity::Medium);
    let trusted = [ROOT.gets(0, 42, EXCL, 5), opened(ALICE.gets(1000, 42, CREAT, 5), 0, 0o600)];
    assert!(all(&trusted).iter().all(|finding| finding.rule.name != "squatted_key"));
    // Who does not ask to create does not believe the key to be his own.
    assert_eq!(found(&[squat(), opened(ALICE.gets(1000, 42, 0o600, 5), BOB.uid, 0o600)]), []);
}

#[test]
fn two_programs_on_one_key_collide_and_two_of_one_do_not() {
    let events = |second: Record| {
        let second = Record { key: 0x0500_02e1, msgflg: EXCL, ret: -17, ..second };
        [ALICE.gets(0, 0x0500_02e1, EXCL, 5), event(1000, second)]
    };
    let other = Caller { pid: 400, program: b'z', ..ALICE };
    let elsewhere = Record { cgroup_id: 77, ..other.record() };
    let finding = only("key_collision", &events(elsewhere));
    let parts =
        [("ftokProject", Value::Uint64(5)), ("ftokDevice", Value::Uint64(0)), ("ftokInode", Value::Uint64(0x2e1))];
    assert_eq!(finding.values[1..], parts);
    assert_eq!(found(&events(other.record())), []);
    assert_eq!(found(&events(Record { cgroup_id: 77, ..Caller { pid: 400, ..ALICE }.record() })), []);
}

#[test]
fn a_weak_mode_is_high_only_when_a_second_user_comes() {
    assert_eq!(found(&[ALICE.gets(0, 42, 0o3666, 5)]), [("weak_mode", Severity::Medium)]);
    assert_eq!(found(&[ALICE.gets(0, 42, 0o3620, 5)]), [("weak_mode", Severity::Low)]);
    assert_eq!(found(&[ALICE.gets(0, 42, 0o3640, 5)]), []);
    let weak = found(&[ALICE.gets(0, 0, 0o666, 5)]);
    assert_eq!(weak, [("private_key", Severity::Info), ("weak_mode", Severity::Low)]);
    let open =
        |caller: Caller| found(&[ALICE.gets(0, 42, 0o3666, 5), opened(caller.gets(1000, 42, 0o600, 5), 1000, 0o666)]);
    assert_eq!(open(BOB)[1..], [("weak_mode", Severity::High)]);
    assert_eq!(open(Caller { pid: 101, ..ALICE }).len(), 1);
    assert_eq!(open(ROOT).len(), 1);
}

#[test]
fn a_scan_is_many_keys_and_not_many_calls() {
    let miss = |nth: u64, key: i32| ALICE.gets(nth * 1000, key, 0, -2);
    let scan: Vec<_> = (0..64).map(|nth| miss(nth, 1000 + nth as i32)).collect();
    assert_eq!(found(&scan[..63]), []);
    let finding = only("key_scan", &scan);
    assert_eq!((finding.severity, finding.confidence), (Severity::High, Confidence::High));
    assert_eq!(found(&(0..1000).map(|nth| miss(nth, 7)).collect::<Vec<_>>()), []);
    // To open one queue between them hides nothing.
    let own = (0..64).flat_map(|nth| [miss(nth, 1000 + nth as i32), ALICE.gets(nth * 1000 + 800, 7, 0o600, 3)]);
    assert_eq!(found(&own.collect::<Vec<_>>()), [("key_scan", Severity::High)]);
    // Nor do a few; more than one for every nine keys without one are somebody's who works with queues.
    let own = |queues: i32| {
        let own = (0..queues).map(|key| ALICE.gets(key.unsigned_abs().into(), 1 + key, 0o600, 3));
        own.chain((0..99).map(|nth| miss(100 + nth, 1000 + nth as i32))).collect::<Vec<_>>()
    };
    assert_eq!(found(&own(7)).first(), Some(&("key_scan", Severity::High)));
    assert_eq!(found(&own(14)), []);
    // Half of them are there; or they are too far apart.
    let half: Vec<_> =
        (0..200).map(|nth| ALICE.gets(nth * 1000, nth as i32 + 1, 0, if nth % 2 == 0 { -2 } else { 9 })).collect();
    assert_eq!(found(&half), []);
    let slow: Vec<_> = (0..64).map(|nth| miss(nth * 200_000, 1 + nth as i32)).collect();
    assert_eq!(found(&slow), []);
    let denied: Vec<_> = (0..8).map(|nth| ALICE.gets(nth * 1000, 1 + nth as i32, 0o600, -13)).collect();
    assert_eq!(found(&denied), [("key_scan", Severity::High)]);
}

#[test]
fn a_spray_keeps_what_it_makes() {
    let private = |nth: u64| ALICE.gets(nth * 2000, 0, 0o600, nth as i64);
    let spray: Vec<_> = (0..2048).map(private).collect();
    let told: Vec<_> = all(&spray).into_iter().filter(|finding| finding.rule.name == "queue_spray").collect();
    let severities: Vec<_> = told.iter().map(|finding| (finding.severity, finding.story.count)).collect();
    // stress-ng --msg makes 1024 before it removes them: that is not critical yet.
    let counted = [1, 10, 100, 1000].map(|count| (Severity::Medium, count));
    assert_eq!(severities, [&counted[..], &[(Severity::Critical, 1793)]].concat());
    assert!(all(&spray[..255]).iter().all(|finding| finding.rule.name != "queue_spray"));
    let pairs: Vec<_> =
        (0..1000).flat_map(|nth| [private(nth), ALICE.removes(nth * 2000 + 1000, nth as i32)]).collect();
    assert!(all(&pairs).iter().all(|finding| finding.rule.name != "queue_spray"));
    // In a user namespace of its own there is no doubt left.
    let own =
        |nth: u64| event(nth * 2000, Record { key: 0, msgflg: 0o600, ret: nth as i64, user_ns: 5, ..ALICE.record() });
    let finding = only("queue_spray", &(0..256).map(own).collect::<Vec<_>>());
    assert_eq!((finding.severity, finding.confidence), (Severity::Critical, Confidence::High));
}

#[test]
fn a_shared_namespace_has_users_of_other_containers() {
    let contained =
        Record { pid_ns: 5, cgroup_id: 77, key: 42, msgflg: 0o600, ret: 5, ..Caller { pid: 400, ..ALICE }.record() };
    let with = |record: Record| found(&[ALICE.gets(0, 42, EXCL, 5), opened(event(1000, record), 1000, 0o600)]);
    assert_eq!(with(contained), [("shared_namespace", Severity::Medium)]);
    assert_eq!(with(Record { pid_ns: ALICE.record().pid_ns, ..contained }), []);
    assert_eq!(with(Record { cgroup_id: ALICE.record().cgroup_id, ..contained }), []);
}

#[test]
fn more_rights_make_it_worse() {
    let record = Record { key: 42, msgflg: CREAT, ret: 5, ..ALICE.record() };
    let with = |record| only("create_without_exclusive", &[created(event(0, record))]);
    assert_eq!(with(record).severity, Severity::Low);
    let finding = with(Record { euid: 0, suid: 0, ..record });
    assert_eq!(finding.severity, Severity::Medium);
    assert!(finding.values.contains(&("privilege", Value::Word("set-user-ID"))), "{finding:?}");
    let capable = with(Record { capabilities: 1 << 15, ..record });
    assert!(capable.values.contains(&("privilege", Value::Word("CAP_IPC_OWNER"))), "{capable:?}");
    // It counts for nothing outside one's own user namespace, and root that lowers itself is not raised.
    assert_eq!(with(Record { capabilities: u64::MAX, user_ns: 5, ..record }).severity, Severity::Low);
    assert_eq!(with(Record { uid: 0, euid: 1005, suid: 0, ..record }).severity, Severity::Low);
    // Root needs no capability, and a rule that says nothing of it is not raised.
    let root = Record { key: 42, msgflg: CREAT, ret: 5, capabilities: u64::MAX, ..ROOT.record() };
    assert_eq!(with(root).severity, Severity::Low);
}

#[test]
fn a_handle_without_rights() {
    let with = |caller: Caller, flags, mode| found(&[opened(caller.gets(0, 42, flags, 5), BOB.uid, mode)]);
    assert_eq!(with(ALICE, 0, 0o600), [("handle_without_rights", Severity::Info)]);
    assert_eq!(with(ALICE, 0o400, 0o600), []);
    assert_eq!(with(ALICE, 0, 0o604)[0].0, "weak_mode");
    assert_eq!(with(BOB, 0, 0o600), []);
    assert_eq!(with(ROOT, 0, 0o600), []);
    let capable = |record| {
        let all = Record { key: 42, ret: 5, capabilities: u64::MAX, ..record };
        found(&[opened(event(0, all), BOB.uid, 0o600)]).len()
    };
    assert_eq!(capable(ALICE.record()), 0);
    // Capabilities of a user namespace of its own say nothing in the initial IPC namespace, and all in its own.
    let initial_ipc_ns = 0xefff_ffff;
    assert_eq!(capable(Record { user_ns: 5, ipc_ns: initial_ipc_ns, ..ALICE.record() }), 1);
    assert_eq!(capable(Record { user_ns: 5, ..ALICE.record() }), 0);
}

#[test]
fn a_handle_to_a_queue_that_was_seen_to_be_made() {
    // Whose the queue is nobody could be asked, but its creation is remembered.
    let with = |caller: Caller, mode: i32| {
        let Event::Call(mut call) = caller.gets(1000, 42, 0, 5) else { panic!() };
        call.outcome = Outcome::Opened;
        found(&[BOB.gets(0, 42, EXCL & !0o777 | mode, 5), call.into()])
    };
    let finding = ("handle_without_rights", Severity::Info);
    assert!(with(ALICE, 0o600).contains(&finding));
    for (caller, mode) in [(ALICE, 0o604), (BOB, 0o600), (ROOT, 0o600), (Caller { pid: 201, ..BOB }, 0o600)] {
        assert!(!with(caller, mode).contains(&finding), "{caller:?} {mode:o}");
    }
}

#[test]
fn an_entry_that_hides() {
    let hidden = Record { entry: ENTRY_INT80_64, key: 42, msgflg: EXCL, ret: 5, ..ALICE.record() };
    assert_eq!(found(&[event(0, hidden)]), [("compat_evasion", Severity::High)]);
    assert_eq!(tags(event(0, hidden)), ["U", "EVASION"]);
}

#[test]
fn whoever_uses_a_removed_queue_is_told_by_whom() {
    let events = |user: Caller, errno| {
        let removed = [ALICE.gets(0, 42, EXCL, 5), opened(BOB.gets(1000, 42, 0o600, 5), 1000, 0o640)];
        [&removed[..], &[ALICE.removes(2000, 5), user.misses(3000, 5, errno)]].concat()
    };
    let finding = only("stale_id_used", &events(BOB, Errno::EIDRM));
    let remover = &finding.parties[0];
    assert_eq!(
        (remover.role, remover.actor.pid, remover.actor.uid, remover.actor.euid),
        ("remover", 100, Some(1000), Some(1000))
    );
    assert_eq!((finding.severity, finding.parties.len()), (Severity::Medium, 1));
    assert_eq!(finding.values, [("key", Value::Int32(42)), ("queue", Value::Int32(5))]);
    assert_eq!(finding.evidence, [remover.call, finding.event.id()]);
    assert_eq!(finding.summary, "could not receive from queue 5 as uid 1001, which pid 100 (uid 1000) had removed");
    // Whoever had nothing to do with it so far has the id from somebody.
    assert_eq!(only("stale_id_used", &events(ROOT, Errno::EINVAL)).severity, Severity::Medium);
    let own = only("stale_id_used", &events(ALICE, Errno::EINVAL));
    assert_eq!(own.severity, Severity::Info);
    assert_eq!(own.summary, "could not receive from queue 5 as uid 1000, which it had removed itself");
}

#[test]
fn every_rule_has_a_number_and_a_name_of_its_own() {
    for (nth, rule) in RULES.iter().enumerate() {
        let number = nth as u32 + 1;
        assert_eq!((rule.event_id, rule.id), (6800 + number, &*format!("MSGGET-{number}")));
        assert!(RULES[..nth].iter().all(|other| other.name != rule.name), "{}", rule.name);
        for text in [rule.description, rule.logic, rule.blind_spots, rule.false_positives, rule.response] {
            assert!(text.len() > 20 && !text.contains("  "), "{}: {text:?}", rule.name);
        }
    }
}

#[test]
fn ids_rest_on_the_evidence_alone() {
    let one = call(100, 0, 42, 0, -2);
    let ids = |first: Option<Event>, at| {
        let events: Vec<_> =
            first.into_iter().chain([one.clone().into(), call(at, 10_000, 42, CREAT, 5).into()]).collect();
        only("check_then_create", &events).id()
    };
    assert_eq!(ids(None, 200), ids(Some(call(50, 0, 7, 0, 3).into()), 200));
    assert_ne!(ids(None, 200), ids(None, 300));
}

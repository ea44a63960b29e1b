//! What the kernel program is asked, against the policies themselves: it holds back no call that they want, and where they ask for
//! nothing else, every other.

use msgget_trace_ebpf::{
    SCOPE_COMM, SCOPE_EUID, SCOPE_FIELDS, SCOPE_GID, SCOPE_IPC_NS, SCOPE_MNT_NS, SCOPE_PID, SCOPE_PID_NS, SCOPE_UID,
    ScopeKey,
};
use proptest::prelude::*;

use super::*;
use crate::event::Caller;

/// The policies that may want calls of `caller`, as `policies_in_scope` (msgget-trace-ebpf/src/wanted.rs) finds them.
fn in_scope(sieve: &Sieve, caller: &Caller, who: &Who<'_>) -> u64 {
    let number = |value: Option<u32>| value.map(|value| [u64::from(value), 0]);
    let half = |nth: usize| u64::from_ne_bytes(caller.comm[nth * 8..][..8].try_into().unwrap());
    let facts = [
        (SCOPE_UID, number(caller.uid)),
        (SCOPE_EUID, number(caller.euid)),
        (SCOPE_GID, number(caller.gid)),
        (SCOPE_PID, number(Some(caller.host.pid))),
        (SCOPE_MNT_NS, number(caller.mnt_ns)),
        (SCOPE_PID_NS, number(caller.pid_ns)),
        (SCOPE_IPC_NS, number(caller.ipc_ns)),
        (SCOPE_COMM, Some(ScopeKey::comm([half(0), half(1)]))),
    ];
    assert_eq!(facts.len(), SCOPE_FIELDS);
    let content = facts.into_iter().filter(|(field, _)| sieve.scopes.asked & (1 << field) != 0).map(|(field, fact)| {
        fact.map_or(u64::MAX, |value| {
            sieve.listed.get(&(field, value)).copied().unwrap_or(sieve.scopes.otherwise[field as usize])
        })
    });
    content.fold(sieve.scopes.policies, |left, content| left & content) & sieve.of_place(&who.place).unwrap_or(u64::MAX)
}

/// Scopes that can be asked in the kernel.
const LISTABLE: [&str; 22] = [
    "uid=0",
    "uid=0,1000",
    "uid!=0",
    "uid!=0,1000",
    "euid=7",
    "euid!=7",
    "gid=0",
    "pid=1",
    "pid!=1,2",
    "mntns=1",
    "mntns!=1",
    "pidns=2",
    "ipcns=3,5",
    "ipcns!=3",
    "comm=ipcworker",
    "comm!=ipcworker,od\\\\d",
    "comm=longer_than_any_comm",
    "comm!=longer_than_any_comm",
    "container",
    "not-container",
    "container=0123",
    "container!=c0ffee",
];

/// Scopes of which something must be left to the policy.
const OTHERS: [&str; 6] = ["pid>=2", "uid<1000", "comm=ipc*", "comm!=*d", "executable=/usr/bin/perl", "uts=web-*"];

/// Rules that do not depend on others, and rules that do or want no calls.
const PLAIN: [&str; 2] = ["{event: msgget}", "{event: ipc_msgq}"];
const RULES: [&str; 5] = [
    "{event: msgctl}",
    "{event: openat}",
    "{event: check_then_create}",
    "{event: msgget, when: '\"U\" in tags'}",
    "{event: msgget, filters: [retval<0]}",
];

/// Policies with some of `scopes` each, and with one of `rules`.
fn policies(scopes: Vec<&'static str>, rules: Vec<&'static str>) -> impl Strategy<Value = Vec<String>> {
    let scope = prop::sample::subsequence(scopes, 0..4).prop_map(|scopes| match scopes[..] {
        [] => "[global]".to_owned(),
        _ => format!("[{}]", scopes.iter().map(|scope| format!("'{scope}'")).collect::<Vec<_>>().join(", ")),
    });
    let policy = (scope, prop::sample::select(rules)).prop_map(|(scope, rule)| policy(&scope, &format!("[{rule}]")));
    prop::collection::vec(policy, 1..6)
}

fn read(texts: &[String]) -> Policies {
    let named = |(nth, text): (usize, &String)| source(text.replace("name: p", &format!("name: p{nth}")));
    Policies::parse(&texts.iter().enumerate().map(named).collect::<Vec<_>>()).unwrap()
}

prop_compose! {
    /// A call by one of many, with what is known of him.
    fn calls()(
        created in any::<bool>(),
        [uid, euid, gid] in prop::array::uniform3(prop::sample::select(vec![None, Some(0), Some(7), Some(1000)])),
        pid in 1..4_u32,
        [mnt_ns, pid_ns, ipc_ns] in prop::array::uniform3(prop::option::of(1..6_u32)),
        comm in prop::sample::select(vec![*b"ipcworker\0\0\0\0\0\0\0", *b"ipcworker\0junk\0\0", *b"od\\d\0\0\0\0\0\0\0\0\0\0\0\0", *b"longer_than_any\0"]),
        path in prop::sample::select(vec![
            &b"/system.slice/cron.service"[..],
            b"/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope",
            b"/",
        ]),
    ) -> (Call, Who<'static>) {
        let mut call = if created { super::created() } else { refused() };
        let caller = &mut call.caller;
        (caller.uid, caller.euid, caller.gid, caller.host.pid, caller.comm) = (uid, euid, gid, pid, comm);
        (caller.mnt_ns, caller.pid_ns, caller.ipc_ns) = (mnt_ns, pid_ns, ipc_ns);
        (call, who_in(path))
    }
}

fn wanted(policies: &Policies, call: &Call, who: &Who<'_>) -> bool {
    let event = Event::from(call.clone());
    policies.judge(&Subject { what: What::Event(&event), who, tags: Engine::tags(&event) }).wanted
}

proptest! {
    #[test]
    fn nothing_wanted_is_held_back(
        texts in policies([&LISTABLE[..], &OTHERS].concat(), [&PLAIN[..], &RULES].concat()),
        (call, who) in calls(),
    ) {
        let policies = read(&texts);
        let sieve = policies.sieve().unwrap();
        prop_assert!(in_scope(&sieve, &call.caller, &who) != 0 || !wanted(&policies, &call, &who));
    }

    #[test]
    fn what_only_scopes_decide_is_held_back(
        texts in policies(LISTABLE.to_vec(), PLAIN.to_vec()),
        (mut call, who) in calls(),
    ) {
        // Of what is not known nothing is held back, and of the root not what containers decide.
        let caller = &mut call.caller;
        for number in [&mut caller.uid, &mut caller.euid, &mut caller.gid, &mut caller.mnt_ns, &mut caller.pid_ns, &mut caller.ipc_ns] {
            number.get_or_insert(9);
        }
        prop_assume!(who.place.cgroup.as_ref().is_ok_and(|path| &*path.bytes != b"/"));
        let policies = read(&texts);
        let sieve = policies.sieve().unwrap();
        prop_assert_eq!(in_scope(&sieve, &call.caller, &who) != 0, wanted(&policies, &call, &who));
    }
}

#[test]
fn without_policies_nothing_is_asked() {
    assert!(Policies::default().sieve().is_none());
    // Exceptions alone want everything, too.
    let exceptions = "apiVersion: msgget-trace/v1\nkind: Exceptions\nspec:\n  exceptions: [{name: a, reason: b, filters: [uid=0]}]\n";
    assert!(parse(exceptions).sieve().is_none());
}

#[test]
fn policies_that_depend_on_others_ask_only_for_the_namespace() {
    let kinds = |rule: &str| {
        let sieve = parse(policy("[uid=0, ipcns=3, container]", &format!("[{rule}]"))).sieve().unwrap();
        (sieve.scopes.asked, sieve.of_place(&who_in(b"/system.slice/cron.service").place))
    };
    assert_eq!(kinds("{event: msgget}"), (1 << SCOPE_UID | 1 << SCOPE_IPC_NS, Some(!1)));
    for rule in ["{event: check_then_create}", "{event: msgget, when: '\"U\" in tags'}", "{event: '*'}"] {
        assert_eq!(kinds(rule), (1 << SCOPE_IPC_NS, None), "{rule}");
    }
}

#[test]
fn what_is_not_certain_of_a_container_is_not_learned() {
    let sieve = parse(policy("[container]", "[{event: msgget}]")).sieve().unwrap();
    let mut who = who_in(b"/system.slice/cron.service");
    assert_eq!(sieve.of_place(&who.place), Some(!1));
    if let Ok(path) = &mut who.place.cgroup {
        path.whole = false;
    }
    assert_eq!(sieve.of_place(&who.place), None, "its container may stand in the part that is missing");
    assert_eq!(sieve.of_place(&who_in(b"/").place), None);
}

#[test]
fn more_values_than_fit_are_left_to_the_policies() {
    let list = |from: u32, to: u32| (from..to).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let uids = |from, to| format!("\"uid={}\"", list(from, to));
    let scope = [uids(0, 1000), uids(1000, 2000), uids(2000, 3000), uids(3000, 4000)].join(", ");
    let asked = |more: &str| parse(policy(&format!("[{scope}, {more}]"), "[{event: msgget}]")).sieve().unwrap();
    let fitting = asked("pid=1");
    assert_eq!((fitting.scopes.asked, fitting.listed.len()), (1 << SCOPE_UID | 1 << SCOPE_PID, 4001));
    let sieve = asked(&format!("\"pid={}\"", list(0, 100)));
    assert_eq!((sieve.scopes.asked, sieve.listed.len()), (1 << SCOPE_UID, 4000));
}

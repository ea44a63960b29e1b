//! Policies of every shape against events that fulfil them and others that do not.

mod documents;
mod errors;
mod mutation;
mod operators;
mod scopes;

use std::sync::Arc;

use super::*;
use crate::{
    detect::{Engine, Tags},
    encode::sample::{who, who_in},
    enrich::Who,
    event::{
        Call, Event, Image, Outcome,
        sample::{self, call, control_of, control_record},
    },
};

/// A creation by `ipcworker`, uid 1000 as root, in a container: `IPC_CREAT|0600` by key 42, which gave queue 5.
pub(super) fn created() -> Call {
    let mut call = call(4096, 0, 42, 0o1600, 5);
    call.outcome = Outcome::Created;
    call.caller.image = Some(Arc::new(Image { path: Some(b"/usr/bin/perl".to_vec()), ..sample::image() }));
    call
}

/// A refusal of `od\d`, uid 0, outside of containers: `IPC_CREAT|IPC_EXCL|0666` by key 0xdeadbeef, which was EEXIST.
pub(super) fn refused() -> Call {
    let mut call = call(4352, 0, -559_038_737, 0o3666, -17);
    call.caller.image = Some(Arc::new(Image { path: Some(b"/opt/x\xff".to_vec()), ..sample::image() }));
    let caller = &mut call.caller;
    (caller.uid, caller.euid, caller.gid, caller.egid) = (Some(0), Some(7), Some(0), Some(0));
    (caller.host.pid, caller.host.tid, caller.host.ppid) = (1, 1, 0);
    (caller.mnt_ns, caller.pid_ns, caller.ipc_ns, caller.user_ns) = (Some(1), Some(2), Some(3), Some(4));
    (caller.login_uid, caller.cgroup_id, caller.cpu) = (None, 1, 0);
    caller.namespaced = None;
    caller.comm = *b"od\\d\0\0\0\0\0\0\0\0\0\0\0\0";
    caller.nodename = None;
    call
}

/// What the one who made `call` is known by: in a container if it is [`created`].
pub(super) fn made_by(call: &Call) -> Who<'static> {
    if call.caller.host.pid == 1 { who_in(b"/system.slice/cron.service") } else { who() }
}

/// A policy with this scope and these rules, in YAML's flow style.
pub(super) fn policy(scope: &str, rules: &str) -> String {
    format!(
        "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  scope: {scope}\n  rules: {rules}\n"
    )
}

pub(super) fn source(text: impl AsRef<[u8]>) -> Source {
    Source { name: "f".into(), bytes: text.as_ref().into() }
}

pub(super) fn parse(text: impl AsRef<[u8]>) -> Policies {
    Policies::parse(&[source(text)]).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Whether `policies` want a call.
pub(super) fn wants(policies: &Policies, call: &Call) -> bool {
    let who = made_by(call);
    let event = Event::from(call.clone());
    let tags = Engine::tags(&event);
    policies.judge(&Subject { what: What::Event(&event), who: &who, tags }).wanted
}

/// What becomes of a finding that the creation by key 42 completed.
fn finding(policies: &Policies) -> Judgement {
    let mut engine = Engine::new();
    engine.observe(&call(0, 0, 42, 0, -2).into());
    let verdict = engine.observe(&Call { id: call(4352, 0, 42, 0, 0).id, ..created() }.into());
    let finding = verdict.findings.iter().find(|finding| finding.rule.name == "check_then_create").unwrap();
    policies.judge(&Subject { what: What::Finding(finding), who: &who(), tags: verdict.tags })
}

/// What becomes of a call.
fn judge(policies: &Policies, call: &Call) -> Judgement {
    let event = Event::from(call.clone());
    policies.judge(&Subject { what: What::Event(&event), who: &made_by(call), tags: Tags::default() })
}

#[test]
fn without_a_policy_all_is_wanted() {
    let none = Policies::default();
    assert!(wants(&none, &created()));
    assert_eq!(finding(&none), Judgement { wanted: true, matched: 0, suppressed_by: None });
}

#[test]
fn an_event_is_wanted_if_any_policy_wants_it_and_each_is_named() {
    let named = |name: &str, text: String| source(text.replace("name: p", &format!("name: {name}")));
    let sources = [
        named("keys", policy("[global]", "[{event: msgget, filters: [data.key=42]}]")),
        named("root", policy("[uid=0]", "[{event: msgget}]")),
        named("all", policy("[global]", "[{event: ipc_msgq}]")),
        named("other", policy("[global]", "[{event: openat}, {event: check_then_create}]")),
    ];
    let policies = Policies::parse(&sources).unwrap();
    assert_eq!(judge(&policies, &created()), Judgement { wanted: true, matched: 0b0101, suppressed_by: None });
    assert_eq!(judge(&policies, &refused()), Judgement { wanted: true, matched: 0b0110, suppressed_by: None });
    assert_eq!(finding(&policies), Judgement { wanted: true, matched: 0b1000, suppressed_by: None });
    assert_eq!(policies.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["keys", "root", "all", "other"]);
    // What nobody wants is not told.
    let policies = Policies::parse(&sources[..1]).unwrap();
    assert!(!wants(&policies, &refused()) && !finding(&policies).wanted);
    let control = Event::from(control_of(0, &control_record(0, 0)));
    let subject = Subject { what: What::Event(&control), who: &who(), tags: Tags::default() };
    assert!(!policies.judge(&subject).wanted);
    assert!(Policies::parse(&sources[2..3]).unwrap().judge(&subject).wanted);
}

#[test]
fn what_is_excluded_is_not_wanted_whatever_the_rules_say() {
    let policies = parse(policy("[global]", "[{event: '*'}, {event: '-msgget'}]"));
    assert!(!wants(&policies, &created()) && finding(&policies).wanted);
}

#[test]
fn sixty_four_policies_and_no_more() {
    let some = |count: usize| -> Vec<Source> {
        let text = policy("[global]", "[{event: msgget}]");
        (0..count).map(|nth| source(text.replace("name: p", &format!("name: p{nth}")))).collect()
    };
    let policies = Policies::parse(&some(64)).unwrap();
    let judged = judge(&policies, &created());
    assert_eq!(judged.matched, u64::MAX);
    let problems = Policies::parse(&some(65)).unwrap_err();
    assert!(problems[0].what.contains("more than 64 policies"), "{problems:?}");
}

fn excepting(exception: &str) -> Policies {
    parse(format!(
        "apiVersion: msgget-trace/v1\nkind: Exceptions\nspec:\n  exceptions:\n    - {{name: e, reason: r, {exception}}}"
    ))
}

#[test]
fn exceptions_keep_findings_back_and_no_calls() {
    for about in [
        "finding: check_then_create",
        "filters: [key=42]",
        "filters: [executable=/usr/bin/*, uid=1000, containerId=0123]",
        "finding: signatures, when: 'key == 42 && rule == \"check_then_create\"'",
        "filters: ['data.windowNs>=0']",
        "filters: ['data.checkId=*-0']",
    ] {
        let policies = excepting(about);
        assert_eq!(finding(&policies), Judgement { wanted: false, matched: 0, suppressed_by: Some(0) }, "{about}");
        assert!(wants(&policies, &created()), "{about}");
        assert_eq!((policies.exceptions()[0].name.as_str(), policies.exceptions()[0].reason.as_str()), ("e", "r"));
    }
    for about in [
        "filters: [key=43]",
        "filters: [key=42, uid=0]",
        "filters: [data.windowNs<0]",
        "filters: ['data.nothing!=0']",
        "when: severity > 4",
        "finding: 'check_*,-check_then_create'",
    ] {
        assert!(finding(&excepting(about)).wanted, "{about}");
    }
}

#[test]
fn what_no_policy_wants_is_not_counted_as_suppressed() {
    let exceptions =
        "apiVersion: msgget-trace/v1\nkind: Exceptions\nspec:\n  exceptions:\n    - {name: e, reason: r, when: 'true'}";
    let both = [source(policy("[uid=0]", "[{event: '*'}]")), source(exceptions)];
    assert_eq!(finding(&Policies::parse(&both).unwrap()), Judgement { wanted: false, matched: 0, suppressed_by: None });
    let both = [source(exceptions), source(policy("[uid=1000]", "[{event: '*'}]"))];
    assert_eq!(
        finding(&Policies::parse(&both).unwrap()),
        Judgement { wanted: false, matched: 1, suppressed_by: Some(0) }
    );
}

#[test]
fn the_digest_is_that_of_the_text() {
    let digest = |text: &str| parse(policy("[global]", text)).digest().unwrap();
    let one = digest("[{event: msgget}]");
    assert_eq!(one, digest("[{event: msgget}]"));
    assert_ne!(one, digest("[{event: msgctl}]"));
}

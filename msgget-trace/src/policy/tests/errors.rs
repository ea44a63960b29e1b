//! Everything that can be wrong, with the place that is told and a word of what.

use super::*;

fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
    match Policies::parse(&[source(text)]) {
        Ok(policies) => panic!("accepted: {policies:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Asserts that the only problem of a rule's filter is at this character of it.
#[track_caller]
fn wrong(event: &str, filter: &str, character: usize, word: &str) {
    let head = format!("[{{event: {event}, filters: [\"");
    let text = policy("[global]", &format!("{head}{filter}\"]}}]"));
    let found = problems(&text);
    // Where something is escaped, the place is that of the whole.
    let character = if filter.contains('\\') { 0 } else { character + 1 };
    let place = format!("f:6:{}: ", "  rules: ".len() + head.len() + character);
    let [problem] = &found[..] else { panic!("{filter}: {found:#?}") };
    assert!(problem.starts_with(&place) && problem.contains(word), "{filter}: {place}: {problem}");
}

#[test]
fn of_filters() {
    for (filter, character, word) in [
        ("", 0, "empty"),
        ("data.key", 8, "an operator and a value are missing"),
        ("data.key=", 9, "a value is missing"),
        ("data.key=1,", 11, "a value is missing"),
        ("data.key=a", 9, "no number"),
        ("data.key=1,0x", 11, "no number"),
        ("data.key=--1", 9, "no number"),
        ("data.key=+1", 9, "no number"),
        ("data.key=0600", 9, "ambiguous"),
        ("data.key=4294967296", 9, "32 bits"),
        ("data.key=1=2", 9, "no number"),
        ("data.key==1", 8, "no operator"),
        ("data.key=!1", 8, "no operator"),
        ("data.key<<1", 8, "no operator"),
        ("data.key!1", 8, "no operator"),
        ("=1", 0, "a name is missing"),
        ("data.=1", 0, "name of an argument"),
        ("data.msqid=1", 0, "msgget has no `data.msqid`"),
        ("data.returnvalue=1", 0, "has no"),
        ("ret=1", 0, "there is no field `ret`"),
        ("data.msgflg=IPC_CREATE", 12, "no number"),
        ("data.msgflg&=1", 12, "a value is missing"),
        ("data.msgflg&1,2", 12, "a mask is one number"),
        ("data.msgflg&2=3", 13, "not in the mask"),
        ("comm&1", 4, "bits can only be asked of numbers"),
        ("comm<a", 4, "has no order"),
        ("comm=*", 5, "true of everything"),
        ("comm=**", 5, "true of everything"),
        ("comm=a*b", 5, "first or last"),
        ("comm=a\\\\x", 5, "a backslash is written"),
        ("uid=-1", 4, "is not from 0 to 4294967295"),
        ("uid=4294967296", 4, "is not from 0 to 4294967295"),
        ("uid=0,a", 6, "no number"),
        ("retval=ENOTHING", 7, "the name of no errno"),
        ("retval=99999999999999999999", 7, "64 bits"),
        ("retval=999999999999999999999999999999999999999999", 7, "no number"),
        ("outcome=made", 8, "is none of created"),
        ("errno=ENOTHING", 6, "is none of"),
        ("executable=perl", 11, "no absolute path"),
        ("executable=host:/bin/ls", 11, "write /bin/ls"),
        ("executable=4026532447:/bin/ls", 11, "mntns=4026532447"),
        ("timestamp>1", 0, "times are not filtered by"),
        ("containerName=x", 0, "names of containers are not known"),
        ("containerImage=x", 0, "images of containers are not known"),
        ("container=started", 9, "is not known"),
        ("podName=x", 0, "only podUid"),
        ("not-container", 0, "there is no field"),
    ] {
        wrong("msgget", filter, character, word);
    }
    wrong("msgctl", "data.key=1", 0, "msgctl has no `data.key`; it has data.msqid and data.cmd");
    wrong("msgctl", "data.buf=1", 0, "is not read");
    wrong("ipc_msgq", "data.mode=1", 0, "msgctl and msgget and msgrcv and msgsnd has no");
}

#[test]
fn of_scopes() {
    for (scope, word) in [
        ("[]", "`scope` cannot be empty"),
        ("", "`scope` cannot be empty"),
        ("global", "`scope` is a list, and not a text"),
        ("[global, uid=0]", "`global` stands alone"),
        ("[uid]", "an operator and a value are missing"),
        ("[UID=0]", "there is no scope `UID`"),
        ("[retval=0]", "there is no scope `retval`"),
        ("[follow]", "msgget-trace exec"),
        ("[tree=1]", "msgget-trace exec"),
        ("[container=new]", "is not known to msgget-trace"),
        ("[pid=new]", "is not known to msgget-trace"),
        ("[host]", "there is no scope `host`"),
        ("[[uid=0]]", "`scope` is a text, and not a list"),
    ] {
        let found = problems(policy(scope, "[{event: msgget}]"));
        assert!(found.len() == 1 && found[0].starts_with("f:5:") && found[0].contains(word), "{scope}: {found:#?}");
    }
}

#[test]
fn of_conditions() {
    for (when, column, word) in [
        ("", 0, "no CEL expression"),
        ("key ==", 6, "no CEL expression"),
        ("key == 1 )", 9, "no CEL expression"),
        ("kye == 1", 0, "there is no variable"),
        ("key == 1 && nobody", 12, "there is no variable"),
        ("key", 0, "this is an int; a condition is a bool"),
        ("key == comm", 4, "is not offered for an int and a string"),
        ("key == 1u", 7, "leave out the `u`"),
        ("key == 1.5", 7, "can be compared with"),
        ("key + 1 == 2", 4, "is not offered"),
        ("comm.matches(\\\"a\\\")", 12, "there is no method"),
        ("comm.startsWith(key)", 15, "asks a string for a string"),
        ("comm.size == 1", 4, "nothing has fields"),
        ("tags.exists(t, t == \\\"U\\\")", 11, "are not offered"),
        ("flags[0] == \\\"U\\\"", 5, "is not offered"),
        ("key in [1, \\\"a\\\"]", 11, "cannot stand in one list"),
        ("{1: 2}[1] == 2", 0, "maps and messages are not offered"),
        ("math.pow(key, 2) == 4", 8, "there is no math.pow"),
        ("math.bitAnd(key) == 4", 11, "takes 2 ints"),
        ("type(key) == int", 4, "is not offered for an int"),
        ("key && true", 4, "is not offered for an int and a bool"),
    ] {
        let head = "[{event: msgget, when: \"";
        let found = problems(policy("[global]", &format!("{head}{when}\"}}]")));
        // Where something is escaped, the place is that of the whole.
        let column = if when.contains('\\') { head.len() - 1 } else { head.len() + column };
        let place = format!("f:6:{}: ", "  rules: ".len() + column + 1);
        assert!(
            found.len() == 1 && found[0].starts_with(&place) && found[0].contains(word),
            "{when}: {place} {found:#?}"
        );
    }
    for (part, word) in [
        ("(", "nested too deep"),
        ("[", "nested too deep"),
        ("{", "nested too deep"),
        ("key(", "nested too deep"),
        ("!", "no CEL expression"),
        ("-", "no CEL expression"),
        ("key.", "no CEL expression"),
        ("key&&", "no CEL expression"),
        ("key<", "no CEL expression"),
        ("key?", "no CEL expression"),
        ("\"", "no CEL expression"),
    ] {
        let rule = format!("[{{event: msgget, when: '{}'}}]", part.repeat(2000 / part.len()));
        let found = problems(policy("[global]", &rule));
        assert!(found.len() == 1 && found[0].contains(word), "{part}: {found:?}");
    }
    let long = format!("[{{event: msgget, when: '{} true'}}]", "true &&".repeat(400));
    assert!(problems(policy("[global]", &long))[0].contains("more than 2048 bytes"));
    let deep = format!("[{{event: msgget, when: '{}true{}'}}]", "(".repeat(500), ")".repeat(500));
    assert!(problems(policy("[global]", &deep))[0].contains("no CEL expression"));
}

#[test]
fn of_documents() {
    let right = policy("[global]", "[{event: msgget}]");
    for (from, to, place, word) in [
        ("v1beta1", "v2", "f:1:13", "not supported; write tracee.aquasec.com/v1beta1"),
        ("kind: Policy", "kind: Pod", "f:2:7", "this kind is not known"),
        ("kind: Policy\n", "", "f:1:1", "`kind` is missing"),
        ("kind:", "Kind:", "f:1:1", "`kind` is missing"),
        ("name: p", "name: P_1", "f:3:18", "is no name"),
        ("name: p", "name: -a", "f:3:18", "is no name"),
        ("name: p", "title: p", "f:3:12", "metadata has no key \"title\""),
        ("name: p", "name: p, name: q", "f:3:21", "`name` stands here twice"),
        ("metadata:", "metadat:", "f:3:1", "a policy has no key \"metadat\""),
        ("  scope:", "  scopes:", "f:5:3", "spec has no key \"scopes\""),
        ("event: msgget", "event: msggot", "f:6:19", "no event is called so"),
        ("event: msgget", "event: ''", "f:6:19", "an event has no name"),
        ("event: msgget", "event: [msgget]", "f:6:19", "`event` is a text, and not a list"),
        ("event: msgget", "events: msgget", "f:6:12", "a rule has no key \"events\""),
        ("event: msgget", "event: msgget, filter: [uid=0]", "f:6:27", "a rule has no key \"filter\""),
        ("event: msgget", "event: msgget, filters: uid=0", "f:6:36", "`filters` is a list"),
        ("event: msgget", "event: msgget, actions: [mail]", "f:6:37", "this action is not known"),
        ("event: msgget", "event: msgget, actions: mail", "f:6:36", "actions are a list"),
        ("event: msgget", "event: -msgget, filters: [uid=0]", "f:6:37", "has no filters"),
        ("[{event: msgget}]", "[]", "f:6:10", "`rules` cannot be empty"),
        ("[{event: msgget}]", "[msgget]", "f:6:11", "a rule is a map"),
        ("\n  rules: [{event: msgget}]", "", "f:5:3", "`rules` is missing"),
        ("[global]", "[global", "f:", "this is no YAML"),
        ("[global]", "*nobody", "f:5:10", "this is no YAML"),
    ] {
        let text = right.replacen(from, to, 1);
        assert_ne!(text, right, "{from}");
        let found = problems(&text);
        assert!(
            found.iter().any(|problem| problem.starts_with(place) && problem.contains(word)),
            "{from} -> {to}: {place}: {found:#?}"
        );
    }
    assert!(problems("")[0].contains("there is nothing in this file"));
    assert!(problems("- a")[0].starts_with("f:1:1: a policy is a map"));
    assert!(problems(right.clone() + "---\n" + &right)[0].contains("another policy is called"));
    assert!(problems(b"a: \xff".as_slice())[0].starts_with("f:1:4: this byte is not UTF-8"));
    assert!(problems("[".repeat(100))[0].contains("nested more than"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    assert!(problems(bomb)[0].contains("more than 50000 nodes"));
}

#[test]
fn of_exceptions() {
    let text = |exception: &str| {
        format!("apiVersion: msgget-trace/v1\nkind: Exceptions\nspec:\n  exceptions:\n    - {{{exception}}}")
    };
    for (exception, word) in [
        ("name: e, finding: check_then_create", "`reason` is missing"),
        ("name: e, finding: check_then_create, reason: ''", "`reason` has from 1 to 1024 bytes"),
        ("reason: r, finding: check_then_create", "`name` is missing"),
        ("name: e, reason: r", "would keep back every finding"),
        ("name: e, reason: r, filters: []", "would keep back every finding"),
        ("name: e, reason: r, filters: ", "would keep back every finding"),
        ("name: e, reason: r, finding: msgget", "is no finding; there are"),
        ("name: e, reason: r, finding: none", "no event is called so"),
        ("name: e, reason: r, filters: [kye=1]", "there is no field `kye`"),
        ("name: e, reason: r, when: 'true', key: 1", "an exception has no key \"key\""),
        ("name: e, reason: r, when: kye", "there is no variable"),
    ] {
        let found = problems(text(exception));
        assert!(found.len() == 1 && found[0].starts_with("f:5:") && found[0].contains(word), "{exception}: {found:#?}");
    }
    assert!(
        problems(text("name: e, reason: r, when: 'true'").replace("/v1", "/v2"))[0].contains("write msgget-trace/v1")
    );
}

#[test]
fn all_at_once_in_their_order() {
    let one = policy("[UID=0, uid=a]", "[{event: msggot}, {event: msgget, filters: [kye=1, key=]}]");
    let sources = [Source { name: "a".into(), ..source(one) }, Source { name: "b".into(), ..source("kind: x") }];
    let found: Vec<_> = Policies::parse(&sources).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found[..5].iter().all(|problem| problem.starts_with("a:")) && found[5].starts_with("b:1:7:"), "{found:#?}");
    // Even of garbage no more than can be read.
    let rules = vec!["{event: zzz}"; 5000].join(", ");
    let found = problems(policy("[global]", &format!("[{rules}]")));
    assert_eq!(found.len(), 100, "{}", found[0]);
}

#[test]
fn what_tracee_has_and_nobody_sees_here_is_a_warning() {
    let policies = parse(policy("[global]", "[{event: openat, filters: [data.pathname=/x]}, {event: msgget}]"));
    let warnings: Vec<_> = policies.warnings().iter().map(ToString::to_string).collect();
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("f:6:19: ") && warnings[0].contains("openat"),
        "{warnings:?}"
    );
    let policies = parse(policy("[global]", "[{event: openat}]"));
    assert!(policies.warnings()[1].what.contains("selects nothing"), "{:?}", policies.warnings());
    assert!(!wants(&policies, &created()), "a policy that wants nothing is not none");
}

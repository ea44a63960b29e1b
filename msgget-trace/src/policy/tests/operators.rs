//! Every documented operator, with an event of which it holds and one of which it does not.

use super::*;

/// What holds of the creation and not of the refusal.
const OF_THE_CREATION: [&str; 61] = [
    "data.key=42",
    "args.key=42",
    "key=42",
    "data.key = 42",
    "data.key=0x2a",
    "data.key=0X2A",
    "data.key=0o52",
    "data.key=1,42",
    "data.key=1, 42",
    "data.key!=-559038737",
    "data.key!=0xdeadbeef",
    "data.key!=7,0xdeadbeef",
    "data.key>41",
    "data.key>=42",
    "data.msgflg=896",
    "data.msgflg=IPC_CREAT|0o600",
    "data.msgflg!=0o3666",
    "data.msgflg&IPC_EXCL=0",
    "data.msgflg&0o777=0o600",
    "data.msgflg&0o777<0o666",
    "data.msgflg&0o777<=0o600",
    "data.msgflg&0o66=0",
    "retval=5",
    "retval=4,5",
    "retval!=-17",
    "retval!=EEXIST",
    "retval>4",
    "retval>=0",
    "returnValue=5",
    "data.returnValue=5",
    "outcome=created",
    "outcome=created,opened",
    "outcome!=failed",
    "errno!=EEXIST",
    "uid=1000",
    "userId=1000",
    "uid!=0",
    "uid>0",
    "uid>=1000",
    "euid=0",
    "gid=1001",
    "egid=1002",
    "loginuid=1000",
    "pid=17",
    "ppid=1",
    "hostPid=41237",
    "hostTid>1",
    "hostPpid!=0",
    "mntns=4026533170",
    "pidns=4026533171",
    "ipcns!=3",
    "cgroupId=9540",
    "processorId=3",
    "comm=ipcworker",
    "comm=ipc*",
    "comm=*worker",
    "comm=*cwork*",
    "comm!=od*",
    "executable=/usr/bin/*",
    "containerId=0123456789ab",
    "container",
];

/// What holds of the refusal and not of the creation.
const OF_THE_REFUSAL: [&str; 33] = [
    "data.key=0xdeadbeef",
    "data.key<0",
    "data.key<=-559038737",
    "data.key!=42",
    "data.key&0x80000000",
    "data.msgflg&IPC_EXCL",
    "data.msgflg&IPC_EXCL!=0",
    "data.msgflg&IPC_CREAT|IPC_EXCL=IPC_CREAT|IPC_EXCL",
    "data.msgflg & 0o7002 != 0o1000",
    "data.msgflg&0o777>0o600",
    "data.msgflg&0o777>=0o666",
    "data.msgflg&0o66",
    "retval<0",
    "retval<=-1",
    "retval=-17",
    "retval=EEXIST",
    "retval=-EEXIST",
    "retval=-2,-17",
    "retval=ENOENT,EEXIST",
    "retval!=5",
    "errno=EEXIST",
    "outcome=failed",
    "uid<1000",
    "uid<=999",
    "uid=0",
    r"comm=od\\d",
    r"executable=/opt/x\xff",
    r"executable=*\xff",
    "comm!=ipcworker,perl",
    "comm!=*work*",
    "containerId!=0123456789ab",
    "podUid!=01234567*",
    "host",
];

fn rule(filters: &[&str]) -> Policies {
    let filters: Vec<_> = filters.iter().map(|filter| format!("'{filter}'")).collect();
    parse(policy("[global]", &format!("[{{event: msgget, filters: [{}]}}]", filters.join(", "))))
}

#[test]
fn each_holds_of_one_and_not_of_the_other() {
    for filter in OF_THE_CREATION {
        let policies = rule(&[filter]);
        assert_eq!((wants(&policies, &created()), wants(&policies, &refused())), (true, false), "{filter}");
    }
    for filter in OF_THE_REFUSAL {
        let policies = rule(&[filter]);
        assert_eq!((wants(&policies, &created()), wants(&policies, &refused())), (false, true), "{filter}");
    }
}

#[test]
fn filters_of_one_field_and_of_several() {
    for (filters, created_is, refused_is) in [
        (&["data.key=42", "data.key=0xdeadbeef"][..], true, true),
        (&["data.key=42", "retval=-17"], false, false),
        (&["data.key=42", "retval=5"], true, false),
        // One with `=` suffices; else all others must hold.
        (&["retval=5", "retval<-16"], true, true),
        (&["retval=5", "retval!=5"], true, true),
        (&["retval=7", "retval>0", "retval<5"], false, false),
        (&["retval>0", "retval<6"], true, false),
        (&["uid!=0", "uid!=1000"], false, false),
        // Bits of a field are a field of their own.
        (&["data.msgflg&IPC_CREAT", "data.msgflg&IPC_EXCL=0"], true, false),
    ] {
        let policies = rule(filters);
        assert_eq!(
            (wants(&policies, &created()), wants(&policies, &refused())),
            (created_is, refused_is),
            "{filters:?}"
        );
    }
}

#[test]
fn of_what_is_not_known_nothing_holds() {
    let mut call = refused();
    (call.caller.uid, call.caller.image) = (None, None);
    for filter in ["uid=0", "uid!=0", "uid>=0", "pid=1", "pid!=1", "executable=/*", "executable!=/x", "loginuid!=0"] {
        assert!(!wants(&rule(&[filter]), &call), "{filter}");
    }
}

#[test]
fn scopes_are_of_tracees_words() {
    for (scope, created_is, refused_is) in [
        ("[global]", true, true),
        ("[uid=1000]", true, false),
        ("['uid>=0']", true, true),
        ("['uid!=1000']", false, true),
        ("[uid = 0]", false, true),
        ("[pid=41237]", true, false),
        ("['pid<2']", false, true),
        ("[comm=ipcworker, uid=1000]", true, false),
        ("[comm=ipcworker, uid=0]", false, false),
        ("['comm=ls,ipcworker']", true, false),
        ("['comm!=ls']", true, true),
        ("[mntns=1, pidns=2]", false, true),
        ("['mntns!=1']", true, false),
        ("[uts=billing-*]", true, false),
        ("[container]", true, false),
        ("[not-container]", false, true),
        ("[container=0123456789ab]", true, false),
        ("[executable=/usr/bin/perl]", true, false),
        ("[exec=/usr/bin/perl]", true, false),
        ("[bin=/usr/bin/perl]", true, false),
        ("[binary=/usr/bin/perl]", true, false),
    ] {
        let policies = parse(policy(scope, "[{event: msgget}]"));
        assert_eq!((wants(&policies, &created()), wants(&policies, &refused())), (created_is, refused_is), "{scope}");
    }
}

#[test]
fn conditions() {
    let of = |when: &str| {
        let policies = parse(policy("[global]", &format!("[{{event: msgget, when: '{when}'}}]")));
        (wants(&policies, &created()), wants(&policies, &refused()))
    };
    for when in [
        "key == 42",
        "key == 0x2a",
        "key != -559038737",
        "key > 0 && key >= 42",
        "key in [1, 42]",
        r#"event == "msgget" && outcome == "created""#,
        r#"errno == """#,
        r#""IPC_CREAT" in flags && !("IPC_EXCL" in flags)"#,
        "math.bitAnd(msgflg, 0x1ff) == 0x180",
        "uid == 1000 && euid == 0 && gid == 1001 && egid == 1002",
        "pid == 41237 && ppid == 40980",
        "mntns == 4026533170 && pidns == 4026533171 && ipcns == 4026533172",
        r#"comm.startsWith("ipc") && comm.endsWith("worker") && comm.contains("cw")"#,
        r#"executable == "/usr/bin/perl""#,
        r#"container != """#,
        "size(container) == 64",
        r#""TOCTOU" in tags"#,
        r#"(uid == 0 ? key : -key) == -42"#,
        "retval >= 0 || false",
        r#"outcome in ["created", "opened"]"#,
    ] {
        assert_eq!(of(when), (true, false), "{when}");
    }
    for when in [
        "key < 0 && key <= -1",
        "retval == -17",
        r#"errno == "EEXIST""#,
        r#"container == """#,
        r#"executable.contains("/opt/x")"#,
        "!(uid == 1000)",
        "uid != 1000",
        r#"!("TOCTOU" in tags)"#,
    ] {
        assert_eq!(of(when), (false, true), "{when}");
    }
    assert_eq!(of(r#"rule == """#), (true, true));
    assert_eq!(of("key in []"), (false, false));
    assert_eq!(of("severity < 5"), (false, false), "a call has none");
}

#[test]
fn a_condition_on_what_is_not_known_decides_nothing() {
    let mut call = refused();
    call.caller.uid = None;
    for (when, holds) in [
        ("uid == 0", false),
        ("uid != 0", false),
        ("!(uid == 0)", false),
        ("uid == 0 || key < 0", true),
        ("key < 0 || uid == 0", true),
        ("uid == 0 || key > 0", false),
        ("!(uid == 0 && key > 0)", true),
        ("!(key > 0 && uid == 0)", true),
    ] {
        let policies = parse(policy("[global]", &format!("[{{event: msgget, when: '{when}'}}]")));
        assert_eq!(wants(&policies, &call), holds, "{when}");
    }
}

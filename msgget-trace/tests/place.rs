//! Where a call was made and by whom: a cgroup made here goes in, named as container runtimes name theirs; the line names
//! cgroup, container and users, also of a process that is gone by then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{
    cgroup::{Cgroup, cgroup2},
    run,
    sys::{self, become_user, msgget},
};

#[test]
fn a_container_is_named_even_when_its_process_is_gone() {
    live!(60);
    let Some(mount) = cgroup2() else { skip!("no cgroup2 is mounted") };
    let id = format!("{:064x}", 0x00c0_ffee_u64 << 20 | u64::from(std::process::id()));
    let name = format!("docker-{id}.scope");
    let cgroup = Cgroup::make(mount.join(&name));

    let daemon = run(&[]);
    let child = sys::private_ipc(|| {
        let child = sys::fork(|| {
            cgroup.enter();
            vec![msgget(21, 0)]
        });
        let pid = child.pid;
        assert_eq!(child.calls().len(), 1);
        pid
    });
    let lines = daemon.stop().balanced();
    let line = lines.iter().find(|line| line.by_thread(child)).expect("its line");
    assert_eq!((line.text("containerId"), line.text("containerRuntime")), (&*id, "docker"));
    assert_eq!(line["container"]["id"], id);
    assert_eq!(line.text("cgroupPath"), format!("/{name}"));
}

/// In a container, nothing but programs that are gone as soon as they have called.
#[cfg(target_arch = "x86_64")]
#[test]
fn of_two_hundred_short_programs_every_one_is_named_whole() {
    live!(60);
    const KEY: i32 = 0x7177;
    let Some(mount) = cgroup2() else { skip!("no cgroup2 is mounted") };
    let id = format!("{:064x}", 0x00c0_fefe_u64 << 20 | u64::from(std::process::id()));
    let name = format!("docker-{id}.scope");
    let cgroup = Cgroup::make(mount.join(&name));
    let tiny = common::tiny::Tiny::new(KEY, 0);

    let daemon = run(&[]);
    let script = "echo 0 >\"$1/cgroup.procs\" || exit; i=0; while [ $i -lt 200 ]; do \"$0\" $i; i=$((i + 1)); done";
    let path = tiny.path.to_str().unwrap();
    let (namespace, shell) = sys::private_ipc(|| {
        let mut shell = common::shell(script, &[path, cgroup.0.to_str().unwrap()]).spawn().unwrap();
        assert!(shell.wait().unwrap().success());
        (sys::namespace("ipc"), shell.id())
    });
    let lines = daemon.stop().balanced();
    let ours = |line: &&common::Line| {
        line.is_call()
            && line["ipcNamespace"] == namespace
            && *line.arg("key") == KEY
            && line["parentProcessId"] == shell
    };
    let lines: Vec<_> = lines.iter().filter(ours).collect();
    assert_eq!(lines.len(), 200);
    for (line, nth) in lines.iter().zip(0..) {
        let place = ["containerId", "containerRuntime", "cgroupPath"].map(|key| line.text(key));
        assert_eq!(place, [&*id, "docker", &*format!("/{name}")], "program {nth}");
        // Kernel memory may not be read there: tests/images.rs.
        if !sys::confidential() {
            assert_eq!(line["executable"]["path"], path, "program {nth}");
            assert_eq!(line["commandLine"], serde_json::json!([path, format!("{nth}")]), "program {nth}");
            assert!(!line.has("commandLineCut"), "program {nth}");
        }
    }
}

#[test]
fn users_have_names() {
    live!(60);
    let daemon = run(&[]);
    // daemon(1) is on every Debian, though not in every guest; 4294 is nobody.
    let calls = sys::private_ipc(|| {
        sys::fork(|| {
            become_user([1, 4294], [0, 1]);
            vec![msgget(22, 0)]
        })
        .calls()
    });
    let lines = daemon.stop().balanced();
    let line = lines.iter().find(|line| line.by_thread(calls[0].tid)).expect("its line");
    let named = |key| line[key].as_str().map(str::to_owned);
    assert_eq!((named("userName"), named("effectiveUserName")), (name_in("/etc/passwd", 1), None));
    assert_eq!((named("groupName"), named("effectiveGroupName")), (name_in("/etc/group", 0), name_in("/etc/group", 1)));
}

/// The name of an id in passwd(5) or group(5), both of which have it in the third field.
fn name_in(file: &str, id: u32) -> Option<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let entries = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.filter(|entry| entry.get(2) == Some(&&*id.to_string())).map(|entry| entry[0].to_owned()).next()
}

#[test]
fn an_opened_queue_has_an_owner_on_every_rung() {
    live!(60);
    let daemon = run(&[]);
    // The namespace lives until the line has come.
    let (tid, id) = sys::private_ipc(|| {
        let owner = sys::fork(|| {
            become_user([4001, 4002], [4003, 4004]);
            vec![msgget(23, libc::IPC_CREAT | libc::IPC_EXCL | 0o640)]
        });
        let id = owner.calls()[0].result;
        sys::msgget_only(23, 0);
        let tid = sys::thread_id();
        daemon.stdout.find(|line| line.contains(&format!("\"threadId\":{tid},")));
        (tid, id)
    });
    let lines = daemon.stop().balanced();
    let line = lines.iter().find(|line| line.by_thread(tid)).expect("its line");
    assert_eq!((line.text("outcome"), line.int("returnValue")), ("opened", id.into()));
    let queue = &line["queue"];
    let ids =
        ["ownerUserId", "ownerGroupId", "creatorUserId", "creatorGroupId"].map(|key| queue[key].as_i64().unwrap());
    assert_eq!((ids, queue["mode"].as_str()), ([4002, 4004, 4002, 4004], Some("0640")), "{queue}");
    assert_eq!(queue.get("ageNs").is_none(), line["hook"] == "fexit", "{queue}");
}

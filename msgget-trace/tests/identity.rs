//! Who called: every identity field of a line against what /proc and the caller itself say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{
    Did, Line, observe, run,
    sys::{self, become_user, clock, msgget, namespace},
};

const TICK: i64 = 10_000_000; // USER_HZ is 100 on every Linux

/// Murmur3, 32 bits, written down a second time so that the two check each other.
fn murmur3(data: &[u8]) -> u32 {
    let mut h = 0x1827_3645_u32;
    assert_eq!(data.len() % 4, 0, "no tail needed here");
    for word in data.as_chunks::<4>().0 {
        let k = u32::from_le_bytes(*word).wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        h = (h ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    h ^= u32::try_from(data.len()).unwrap();
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Tracee's entity id of a task.
fn entity(pid: i64, start: i64) -> i64 {
    let mut data = u32::try_from(pid).unwrap().to_be_bytes().to_vec();
    data.extend((start - start % 100_000_000).to_be_bytes());
    murmur3(&data).into()
}

#[test]
fn murmur3_is_the_published_one() {
    assert_eq!(murmur3(b""), 0xac1e_97d9);
    assert_eq!(murmur3(&[0; 12]), 0xf6c5_6b4a);
}

/// Start time of a task since boot in ticks: field 22 of its stat file, counted from behind the name.
fn started(stat: &str) -> i64 {
    let stat = fs::read_to_string(stat).unwrap();
    stat[stat.rfind(')').unwrap() + 2..].split(' ').nth(19).unwrap().parse().unwrap()
}

/// Panics unless a start time is in the tick that /proc states. Whoever interrupts this between the clocks makes the
/// distance between them less sure by as much, not wrong.
fn starts_in_tick(line: &Line, key: &str, tick: i64) {
    let before = clock(libc::CLOCK_BOOTTIME);
    let wall = clock(libc::CLOCK_REALTIME);
    let unsure = clock(libc::CLOCK_BOOTTIME) - before;
    let since_boot = line.int(key) - (wall - before);
    assert!(
        (tick * TICK - TICK - unsure..=tick * TICK + TICK).contains(&since_boot),
        "{key}: {since_boot} ns, {tick} ticks"
    );
}

/// Inode number of this process's directory in the cgroup v2 tree, if there is one.
fn cgroup() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(fs::metadata(format!("{mount}{path}")).ok()?.ino())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap().trim_end().to_owned()
}

#[test]
fn a_thread_that_changed_its_user() {
    live!(60);
    let mut wanted = Vec::new();
    let mut ticks = [0; 2];
    let pairs = observe(|| {
        sys::set_name("ö a \"quoted\"".as_bytes());
        wanted = ["mnt", "pid", "ipc"].map(namespace).to_vec();
        wanted.push(sys::stay_on_processor() as u64);
        ticks = ["/proc/thread-self/stat", "/proc/self/stat"].map(started);
        become_user([1000, 1001], [2000, 2001]);
        vec![msgget(42, 0)]
    });
    let [(did, line)] = pairs.as_slice() else { panic!("not one call: {pairs:?}") };
    assert_ne!(did.pid, did.tid, "not the first thread of its process");

    let found =
        ["mountNamespace", "pidNamespace", "ipcNamespace", "processorId"].map(|key| line[key].as_u64().unwrap());
    assert_eq!(found, wanted.as_slice());
    assert_eq!([line.int("processId"), line.int("threadId")], [did.pid, did.tid].map(i64::from));
    assert_eq!(line["parentProcessId"], did.parent);
    assert_eq!([line.int("userId"), line.int("effectiveUserId")], [1000, 1001]);
    assert_eq!([line.int("groupId"), line.int("effectiveGroupId")], [2000, 2001]);
    assert_eq!(line["processName"], "ö a \"quoted\"");
    if let Some(cgroup) = cgroup() {
        assert_eq!(line["cgroupId"], cgroup);
    }
    assert_eq!(line.text("hostName"), read("/proc/sys/kernel/hostname").chars().take(15).collect::<String>());
    assert_eq!(line["bootId"], read("/proc/sys/kernel/random/boot_id"));
    assert!(!line.text("hostId").is_empty());
    let executable = fs::read_link("/proc/self/exe").unwrap();
    let path = line["executable"]["path"].as_str().unwrap();
    assert!(path.is_empty() || path == executable.to_str().unwrap(), "{path}");

    starts_in_tick(line, "threadStartTime", ticks[0]);
    starts_in_tick(line, "processStartTime", ticks[1]);
    if sys::in_host_pid_namespace() {
        let host = ["hostProcessId", "hostThreadId", "hostParentProcessId"].map(|key| line.int(key));
        assert_eq!(host, [did.pid, did.tid, did.parent].map(i64::from));
        starts_in_tick(line, "parentStartTime", started(&format!("/proc/{}/stat", did.parent)));
    }
    entities_agree(line);
}

/// Panics unless the entity ids follow from the host ids and start times of the line itself.
fn entities_agree(line: &Line) {
    for (key, pid, start) in [
        ("threadEntityId", "hostThreadId", "threadStartTime"),
        ("processEntityId", "hostProcessId", "processStartTime"),
        ("parentEntityId", "hostParentProcessId", "parentStartTime"),
    ] {
        assert_eq!(line.int(key), entity(line.int(pid), line.int(start)), "{key}");
    }
}

#[test]
fn all_calls_of_a_process_agree_on_it() {
    live!(60);
    let daemon = run(&[]);
    let calls = sys::private_ipc(|| {
        let here = vec![msgget(1, 0)];
        [here, sys::private_ipc(|| vec![msgget(2, 0)])].concat()
    });
    let pairs = common::line::pair(&calls, &daemon.stop().balanced());
    let [(_, first), (_, second)] = pairs.as_slice() else { panic!("not two calls: {pairs:?}") };
    for key in [
        "processEntityId",
        "processStartTime",
        "parentEntityId",
        "parentStartTime",
        "hostId",
        "bootId",
        "mountNamespace",
    ] {
        assert_eq!(first[key], second[key], "{key}");
    }
    for key in ["id", "threadEntityId", "threadStartTime", "ipcNamespace"] {
        assert_ne!(first[key], second[key], "{key}");
    }
}

#[test]
fn first_process_of_a_pid_namespace() {
    live!(60, alone);
    if !sys::in_host_pid_namespace() {
        skip!("host process ids cannot be known inside a pid namespace");
    }
    let daemon = run(&[]);
    let (child, calls, inode) = sys::in_new(libc::CLONE_NEWIPC | libc::CLONE_NEWPID, || {
        let child = sys::fork(|| vec![msgget(7, 0)]);
        (child.pid, child.calls(), namespace("pid_for_children"))
    });
    let [Did { pid: 1, tid: 1, parent: 0, .. }] = calls.as_slice() else { panic!("not the first process: {calls:?}") };
    let report = daemon.stop();
    if sys::confidential() {
        // Nobody may look into the namespace: its ids are left out, and the host's are not put in their place.
        let host = format!("\"hostProcessId\":{child},");
        let line = report.stdout.iter().find(|line| line.contains(&host)).expect("its line");
        for key in ["processId", "threadId", "parentProcessId", "pidNamespace"] {
            assert!(!line.contains(&format!("\"{key}\":")), "{key}: {line}");
        }
        return;
    }
    let lines = report.balanced();
    let line = lines.iter().find(|line| line["hostProcessId"] == child).expect("its line");
    assert_eq!(line["pidNamespace"], inode);
    assert_eq!(["processId", "threadId", "parentProcessId"].map(|key| line.int(key)), [1, 1, 0]);
    assert_eq!(line["hostThreadId"], child);
    assert_eq!(line["hostParentProcessId"], std::process::id());
    entities_agree(line);
}

#[test]
fn a_user_namespace_does_not_disguise() {
    live!(60);
    let daemon = run(&[]);
    let calls = sys::private_ipc(|| {
        sys::fork(|| {
            become_user([1000, 1001], [2000, 2001]);
            if sys::enter_new(libc::CLONE_NEWUSER | libc::CLONE_NEWIPC).is_err() {
                return Vec::new();
            }
            vec![msgget(3, 0)]
        })
        .calls()
    });
    let pairs = common::line::pair(&calls, &daemon.stop().balanced());
    let [(_, line)] = pairs.as_slice() else { skip!("no user namespaces for users") };
    let ids = ["userId", "effectiveUserId", "groupId", "effectiveGroupId"].map(|key| line.int(key));
    assert_eq!(ids, [1000, 1001, 2000, 2001], "the host's ids");
}

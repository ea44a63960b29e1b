//! Scopes on the real kernel: calls that no policy's scope takes in stay there and are counted; all others come, and so does
//! what decides about them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{collections::HashMap, fs, os::unix::process::CommandExt as _, path::Path, thread, time::Duration};

use common::{
    Did, Line, Program, Report,
    bpffs::{Bpffs, kill},
    cgroup::{Cgroup, cgroup2},
    msgget_trace,
    sys::{self, become_user, msgget, namespace},
};
use libc::IPC_CREAT;
use tempfile::TempDir;

/// Calls of one caller: more than others make meanwhile.
const CALLS: i32 = 200;

/// A file with a policy that has this scope, or several with `; ` between them, and wants this event.
fn policy(scope: &str, event: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    write(&path, scope, event);
    let path = path.display().to_string();
    (dir, path)
}

fn write(path: &Path, scope: &str, event: &str) {
    let scope: Vec<_> = scope.split("; ").map(|one| format!("'{one}'")).collect();
    let scope = scope.join(", ");
    let text = format!(
        "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata: {{name: scoped}}\nspec:\n  scope: [{scope}]\n  rules:\n    \
         - {event}\n"
    );
    fs::write(path, text).unwrap();
}

const MSGGET: &str = "{event: msgget}";

/// What a daemon with this policy leaves after `calls`.
fn observe(scope: &str, event: &str, calls: impl FnOnce() -> Vec<Did>) -> (Report, Vec<Line>, Vec<Did>) {
    let (_dir, path) = policy(scope, event);
    let daemon = Program::start(&mut msgget_trace(["run", "--policy", &path])).ready();
    let did = calls();
    let report = daemon.stop();
    let lines = report.balanced();
    (report, lines, did)
}

/// The lines of calls that `did` are.
fn told(lines: &[Line], did: &[Did]) -> usize {
    lines.iter().filter(|line| line.is_call() && did.iter().any(|did| line.by_thread(did.tid))).count()
}

/// The calls that came as far as the daemon, and that it did not want. It is not asked for removals, and another test's namespace
/// may be torn down meanwhile, with its queues.
fn calls_judged_unwanted(balance: &HashMap<&str, u64>) -> u64 {
    balance["unwanted"].saturating_sub(balance["controls_submitted"])
}

/// Calls that find nothing, by a child that has made itself what `become_it` does.
fn look(become_it: impl FnOnce()) -> Vec<Did> {
    let child = sys::fork(|| {
        become_it();
        (0..CALLS).map(|nth| msgget(0x6000 + nth, 0)).collect()
    });
    child.calls()
}

#[test]
fn what_is_in_no_scope_stays_in_the_kernel_and_is_counted() {
    live!(120);
    sys::private_ipc(|| {
        let ids = [namespace("mnt"), namespace("pid"), namespace("ipc")];
        let [mnt, pid, ipc] = ids;
        let mut scopes = vec![
            ("uid=4711".to_owned(), "uid=0".to_owned()),
            ("euid!=4711".to_owned(), "euid!=4712".to_owned()),
            ("gid=4713,4".to_owned(), "gid!=4713".to_owned()),
            ("comm=in_scope".to_owned(), "comm!=in_scope,other".to_owned()),
            (format!("mntns={mnt}"), format!("mntns!={mnt}")),
            (format!("ipcns={ipc},1"), format!("ipcns!={ipc}")),
        ];
        // Without ids in pid namespaces nobody knows in which one this is.
        if !sys::confidential() {
            scopes.push((format!("pidns={pid}"), format!("pidns!={pid}")));
        }
        let (within, without): (Vec<_>, Vec<_>) = scopes.into_iter().unzip();
        let caller = || {
            sys::set_name(b"in_scope");
            become_user([4711, 4712], [4713, 4713]);
        };
        // One policy that asks for all of it, so that each counts.
        let (report, lines, did) = observe(&within.join("; "), MSGGET, || look(caller));
        assert_eq!(told(&lines, &did), did.len(), "{:?}", report.balance());
        // Policies that ask for one each, so that each counts.
        let policies: Vec<_> = without.iter().map(|scope| policy(scope, MSGGET)).collect();
        let dir = tempfile::tempdir().unwrap();
        for (nth, (_, path)) in policies.iter().enumerate() {
            let text = fs::read_to_string(path).unwrap().replace("scoped", &format!("scoped-{nth}"));
            fs::write(dir.path().join(format!("{nth}.yaml")), text).unwrap();
        }
        let daemon = Program::start(&mut msgget_trace(["run", "--policy", dir.path().to_str().unwrap()])).ready();
        let did = look(caller);
        let report = daemon.stop();
        let balance = report.balance();
        assert_eq!(told(&report.balanced(), &did), 0);
        // Had one of them let these pass, the daemon would have judged them.
        assert!(
            balance["out_of_scope"] >= CALLS as u64 && calls_judged_unwanted(&balance) < CALLS as u64,
            "{balance:?}"
        );
    });
}

#[test]
fn a_process_is_a_scope() {
    live!(60);
    if !sys::in_host_pid_namespace() {
        skip!("the ids of processes here are not those of the host");
    }
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    // It is there before the daemon, so that its id can be named.
    let child = sys::fork(|| {
        while !go.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        vec![msgget(0x6000, 0)]
    });
    let (report, lines, did) = observe(&format!("pid={}", child.pid), MSGGET, || {
        fs::write(&go, "").unwrap();
        let others = sys::private_ipc(|| look(|| ()));
        child.calls().into_iter().chain(others).collect()
    });
    assert_eq!(told(&lines, &did[..1]), 1);
    assert_eq!(told(&lines, &did), 1);
    assert!(report.balance()["out_of_scope"] >= CALLS as u64);
}

#[test]
fn of_a_container_the_kernel_learns_from_its_first_call() {
    live!(60);
    let Some(mount) = cgroup2() else { skip!("no cgroup2 is mounted") };
    let id = format!("{:064x}", 0x5c09_u64 << 32 | u64::from(std::process::id()));
    let cgroup = Cgroup::make(mount.join(format!("docker-{id}.scope")));
    // In the root of all it could be another hierarchy's container.
    let other = Cgroup::make(mount.join(format!("scopes-{}", std::process::id())));
    for (scope, inside) in [("container", true), ("not-container", false), (&*format!("container={}", &id[..50]), true)]
    {
        let (_dir, path) = policy(scope, MSGGET);
        let daemon = Program::start(&mut msgget_trace(["run", "--policy", &path])).ready();
        let (contained, free) = sys::private_ipc(|| {
            let both = || (look(|| cgroup.enter()), look(|| other.enter()));
            both();
            // By when it has read those.
            thread::sleep(Duration::from_millis(500));
            both()
        });
        let report = daemon.stop();
        let lines = report.balanced();
        let (wanted, unwanted) = if inside { (contained, free) } else { (free, contained) };
        assert_eq!((told(&lines, &wanted), told(&lines, &unwanted)), (CALLS as usize, 0), "{scope}");
        let balance = report.balance();
        assert!(balance["out_of_scope"] >= CALLS as u64, "{scope}: {balance:?}");
    }
}

#[test]
fn who_created_is_told_whoever_else_was_in_scope() {
    live!(60);
    let (report, lines, did) = observe("comm=in_scope", MSGGET, || {
        sys::private_ipc(|| {
            let creator = sys::fork(|| (0..CALLS).map(|key| msgget(0x6000 + key, IPC_CREAT | 0o600)).collect());
            let created = creator.calls();
            let opener = sys::fork(|| {
                sys::set_name(b"in_scope");
                (0..CALLS).map(|key| msgget(0x6000 + key, IPC_CREAT | 0o600)).collect()
            });
            created.into_iter().chain(opener.calls()).collect()
        })
    });
    let (creator, opener) = did.split_at(CALLS as usize);
    assert_eq!((told(&lines, creator), told(&lines, opener)), (0, CALLS as usize));
    let outcomes = lines.iter().filter(|line| line.is_call() && line.by_thread(opener[0].tid));
    assert!(outcomes.map(|line| line.text("outcome")).all(|outcome| outcome == "opened"));
    let balance = report.balance();
    let calls = CALLS as u64;
    // Where the hooks do not say who created, they are witnesses.
    assert!(
        balance["witnesses"] + balance["out_of_scope"] >= calls && calls_judged_unwanted(&balance) < calls,
        "{balance:?}"
    );
}

#[test]
fn a_finding_has_its_rival_whatever_the_scope() {
    live!(60);
    let (report, lines, did) = observe("uid=0", "{event: check_then_create_raced}", || {
        sys::private_ipc(|| {
            let mut did = vec![msgget(0x6001, 0)];
            did.extend(
                sys::fork(|| {
                    become_user([4711, 4711], [4711, 4711]);
                    vec![msgget(0x6001, IPC_CREAT | 0o666)]
                })
                .calls(),
            );
            did.push(msgget(0x6001, IPC_CREAT | 0o600));
            did
        })
    });
    let raced = |line: &&Line| line.finds("check_then_create_raced") && line.by_thread(did[0].tid);
    assert_eq!(lines.iter().filter(raced).count(), 1, "{lines:#?}");
    assert_eq!(report.balance()["out_of_scope"], 0);
}

#[test]
fn other_policies_have_other_scopes_from_then_on() {
    live!(60);
    let (_dir, path) = policy("comm=nobody", MSGGET);
    let daemon = Program::start(&mut msgget_trace(["run", "--policy", &path])).ready();
    let mut changes: Vec<String> = Vec::new();
    let mut change = |scope: &str| {
        write(Path::new(&path), scope, MSGGET);
        daemon.signal(libc::SIGHUP);
        let new =
            |line: &str| line.contains("\"eventName\":\"policy_change\"") && !changes.iter().any(|known| known == line);
        let line = daemon.stdout.find(new);
        changes.push(line);
    };
    let did = sys::private_ipc(|| {
        let calls = || look(|| sys::set_name(b"somebody"));
        let mut did = vec![calls()];
        for (scope, within) in [("comm=somebody", true), ("comm=nobody", false), ("global", true)] {
            change(scope);
            did.push(calls());
            if within {
                // What has not been read when the next ones come is judged by those.
                let last = format!("\"value\":{}}}", 0x6000 + CALLS - 1);
                let tid = format!(":{},", did.last().unwrap()[0].tid);
                daemon.stdout.find(|line| line.contains(&last) && line.contains(&tid));
            }
        }
        did
    });
    let report = daemon.stop();
    let lines = report.balanced();
    let told: Vec<_> = did.iter().map(|did| told(&lines, did)).collect();
    assert_eq!(told, [0, CALLS as usize, 0, CALLS as usize]);
    assert!(report.balance()["out_of_scope"] >= 2 * CALLS as u64, "{:?}", report.balance());
}

#[test]
fn the_next_daemon_has_its_own_scopes() {
    live!(60);
    let bpffs = Bpffs::mount();
    let start = |path: &str| Program::start(&mut bpffs.daemon(&["--policy", path])).ready();
    let (_one, narrow) = policy("comm=nobody", MSGGET);
    let (_other, wide) = policy("comm=somebody", MSGGET);
    let calls = || look(|| sys::set_name(b"somebody"));
    sys::private_ipc(|| {
        let first = start(&narrow);
        kill(&first);
        // While nobody runs, the last one's policies are in force.
        let between = calls();
        let second = start(&wide);
        let after = calls();
        let report = second.stop();
        let lines = report.balanced();
        assert_eq!((told(&lines, &between), told(&lines, &after)), (0, CALLS as usize));
        assert!(report.balance()["out_of_scope"] >= CALLS as u64, "{:?}", report.balance());
    });
    // Without policies all is told again, by programs of its own.
    let third = start(&wide);
    kill(&third);
    let fourth = Program::start(&mut bpffs.daemon(&[])).ready();
    let did = sys::private_ipc(|| look(|| ()));
    let report = fourth.stop();
    assert_eq!(told(&report.balanced(), &did), CALLS as usize);
}

#[test]
fn exec_has_scopes_too() {
    live!(60);
    let told = |scope: &str| {
        let (_dir, path) = policy(scope, MSGGET);
        let mut exec = msgget_trace(["exec", "--policy", &path, "--", "ipcmk", "-Q"]);
        // SAFETY: one async-signal-safe call between fork and exec.
        let report = common::finish(unsafe { exec.pre_exec(|| sys::enter_new(libc::CLONE_NEWIPC)) });
        report.balanced().iter().filter(|line| line.is_call()).count()
    };
    assert_eq!((told("comm=ipcmk"), told("uid=4711")), (1, 0));
}

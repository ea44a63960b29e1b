//! Who called, where the caller has changed who it is: setuid programs, setpriv(1), fsuid, unshare(1). What the line says goes
//! against what the kernel says elsewhere: /proc, IPC_STAT, and the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![cfg(target_arch = "x86_64")]

mod common;

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    process::Command,
};

use common::{Line, observe, run, sys, tiny::Tiny};
use libc::{IPC_CREAT, IPC_EXCL};

const USERS: [&str; 4] = ["userId", "effectiveUserId", "savedUserId", "filesystemUserId"];
const GROUPS: [&str; 2] = ["groupId", "effectiveGroupId"];

/// Runs a command to its good end, and returns its process id.
fn ran(command: &mut Command) -> u32 {
    let mut child = command.spawn().unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
    child.id()
}

/// The only line of a process.
fn line_of(lines: &[Line], pid: u32) -> &Line {
    let found: Vec<_> = lines.iter().filter(|line| line.is_call() && line.by_process(pid)).collect();
    let [line] = found[..] else { panic!("not one call of {pid}: {found:?}") };
    line
}

#[test]
fn a_setuid_program() {
    live!(60);
    let tiny = Tiny::new(0x5e7, IPC_CREAT | IPC_EXCL | 0o600);
    if tiny.cannot_be_setuid() {
        skip!("no program can gain anything by its set-user-ID bit here");
    }
    chown(&tiny.path, Some(0), Some(2002)).unwrap();
    fs::set_permissions(&tiny.path, Permissions::from_mode(0o6755)).unwrap();
    let daemon = run(&[]);
    let (pid, id, truth) = sys::private_ipc(|| {
        let pid = ran(Command::new(&tiny.path).uid(1000).gid(1001));
        let id = sys::msgget_only(0x5e7, 0);
        (pid, id, sys::queue(id).msg_perm)
    });
    assert_eq!([truth.uid, truth.cuid, truth.gid, truth.cgid], [0, 0, 2002, 2002], "it did gain root");
    let lines = daemon.stop().balanced();
    let line = line_of(&lines, pid);
    assert_eq!(USERS.map(|key| line.int(key)), [1000, 0, 0, 0]);
    assert_eq!(GROUPS.map(|key| line.int(key)), [1001, 2002]);
    assert_eq!((line.text("outcome"), line.int("returnValue")), ("created", id.into()));
    let queue = ["ownerUserId", "creatorUserId", "ownerGroupId", "creatorGroupId"];
    assert_eq!(queue.map(|key| line["queue"][key].as_u64().unwrap()), [0, 0, 2002, 2002], "the effective ids");
}

#[test]
fn what_setpriv_makes_of_root() {
    live!(60);
    let tiny = Tiny::new(0x5e8, 0);
    // execve(2): the saved id becomes the effective one.
    let ways = [
        (&["--reuid", "1000"][..], [1000, 1000, 1000, 1000]),
        (&["--ruid", "1000"], [1000, 0, 0, 0]),
        (&["--euid", "1000"], [0, 1000, 1000, 1000]),
        (&["--ruid", "1000", "--euid", "1001"], [1000, 1001, 1001, 1001]),
    ];
    let daemon = run(&[]);
    let pids = sys::private_ipc(|| ways.map(|(way, _)| ran(Command::new("setpriv").args(way).arg(&tiny.path))));
    let lines = daemon.stop().balanced();
    for ((way, wanted), pid) in ways.into_iter().zip(pids) {
        assert_eq!(USERS.map(|key| line_of(&lines, pid).int(key)), wanted, "{way:?}");
    }
}

/// The words behind a name in the status file of this thread, proc_pid_status(5).
fn status(name: &str) -> Vec<String> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_ascii_whitespace().map(str::to_owned).collect()
}

#[test]
fn eight_different_ids_of_one_thread() {
    live!(60);
    let mut truth = Vec::new();
    let mut owner = [0; 2];
    let pairs = observe(|| {
        // Else root's capabilities would go with root, and with them the right to choose a fsuid.
        const NO_SETUID_FIXUP: i32 = 1 << 2;
        // SAFETY: system calls with integers, which change only this thread.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP), 0);
            assert_eq!(libc::syscall(libc::SYS_setresgid, 2001, 2002, 2003), 0);
            assert_eq!(libc::syscall(libc::SYS_setfsgid, 2004), 2002);
            assert_eq!(libc::syscall(libc::SYS_setresuid, 1001, 1002, 1003), 0);
            assert_eq!(libc::syscall(libc::SYS_setfsuid, 1004), 1002);
        }
        truth = ["Uid", "Gid", "CapEff", "Seccomp"].map(status).to_vec();
        let did = sys::msgget(0x5e9, IPC_CREAT | IPC_EXCL | 0o600);
        let queue = sys::queue(did.result).msg_perm;
        owner = [queue.uid, queue.gid];
        vec![did]
    });
    let [(_, line)] = pairs.as_slice() else { panic!("not one call: {pairs:?}") };
    assert_eq!(truth[0], ["1001", "1002", "1003", "1004"], "setfsuid(2) was obeyed");
    assert_eq!(USERS.map(|key| line.int(key).to_string()), truth[0].as_slice());
    assert_eq!(GROUPS.map(|key| line.int(key).to_string()), truth[1][..2]);
    let capabilities = u64::from_str_radix(&truth[2][0], 16).unwrap();
    assert_ne!(capabilities, 0);
    assert_eq!(line["capabilities"], format!("{capabilities:#x}"));
    assert_eq!(line.int("seccompMode").to_string(), truth[3][0]);
    assert_eq!(owner, [1002, 2002], "the kernel asks for the effective ids and no others");
    assert_eq!([&line["queue"]["ownerUserId"], &line["queue"]["ownerGroupId"]], [1002, 2002]);
}

const KINDS: [(&str, &str); 4] =
    [("mnt", "mountNamespace"), ("pid", "pidNamespace"), ("ipc", "ipcNamespace"), ("user", "userNamespace")];

/// Prints the namespaces it is in, its process id in /proc (the host's, as /proc is) and its own, and calls.
const TELL: &str = r#"for (qw(mnt pid ipc user)) { readlink("/proc/self/ns/$_") =~ /(\d+)/ and print "$1 " }
    print readlink("/proc/self"), " $$"; msgget($ARGV[0], 0)"#;

/// Runs it under unshare(1) with these options: what it printed.
fn tell(options: &[&str], key: i32) -> Vec<u64> {
    let output = Command::new("unshare").args(options).args(["perl", "-e", TELL, &key.to_string()]).output().unwrap();
    assert!(output.status.success(), "{options:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().split(' ').map(|word| word.parse().unwrap()).collect()
}

#[test]
fn programs_in_namespaces_of_their_own() {
    live!(60);
    // Which of KINDS are new.
    let mut ways = vec![
        (&["--ipc"][..], [false, false, true, false]),
        (&["--mount"], [true, false, false, false]),
        (&["--user"], [false, false, false, true]),
        (&["--user", "--map-root-user", "--ipc", "--mount"], [true, false, true, true]),
    ];
    // There nobody may look into a pid namespace: tests/identity.rs.
    if !sys::confidential() {
        ways.push((&["--pid", "--fork"], [false, true, false, false]));
        ways.push((&["--pid", "--fork", "--user", "--ipc", "--mount"], [true; 4]));
    }
    let daemon = run(&[]);
    let (ours, told) = sys::private_ipc(|| {
        let ours = KINDS.map(|(kind, _)| sys::namespace(kind));
        (ours, ways.iter().zip(0x5ea_0000..).map(|((options, _), key)| tell(options, key)).collect::<Vec<_>>())
    });
    let lines = daemon.stop().balanced();
    for (((options, new), told), key) in ways.iter().zip(&told).zip(0x5ea_0000..) {
        let [.., host, own] = told[..] else { panic!("{options:?}: {told:?}") };
        let is_it = |line: &&Line| line.is_call() && line["ipcNamespace"] == told[2] && *line.arg("key") == key;
        let found: Vec<_> = lines.iter().filter(is_it).collect();
        let [line] = found[..] else { panic!("not one call under {options:?}: {found:?}") };
        for (((_, key), told), (ours, new)) in KINDS.iter().zip(told).zip(ours.iter().zip(new)) {
            assert_eq!(line[key].as_u64(), Some(*told), "{key} under {options:?}");
            assert_eq!(told != ours, *new, "{key} under {options:?}");
        }
        assert_eq!([line.int("processId"), line.int("threadId")], [own.cast_signed(); 2], "{options:?}");
        assert_eq!(own == 1, new[1], "the first process of its namespace: {options:?}");
        assert_eq!(line.int("parentProcessId") == 0, new[1], "{options:?}");
        if sys::in_host_pid_namespace() {
            assert_eq!([line.int("hostProcessId"), line.int("hostThreadId")], [host.cast_signed(); 2], "{options:?}");
        }
    }
}

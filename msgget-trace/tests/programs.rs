//! Real programs, watched by strace and by us in the same run: both must tell the same calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use common::{finish, msgget_trace};

const CREAT: i64 = 0o1000;
const EXCL: i64 = 0o2000;

/// Key, flags, and what came back: an id, or the name of an errno.
type Call = (i64, i64, Result<i64, String>);

/// Calls by thread, each thread's in its order.
type Calls = BTreeMap<i64, Vec<Call>>;

/// A number as `strace -X raw` writes it: hexadecimal, octal, or several of them joined by `|`.
fn raw_number(text: &str) -> i64 {
    let part = |part: &str| match part.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
        None => u32::from_str_radix(part, 8).unwrap(),
    };
    text.split('|').map(part).fold(0, |all, part| all | part).cast_signed().into()
}

/// Reads what `strace -f -X raw -e trace=msgget` wrote.
fn strace_calls(text: &str) -> Calls {
    let mut begun: BTreeMap<i64, String> = BTreeMap::new();
    let mut calls = Calls::new();
    for line in text.lines() {
        let (tid, what) = line.split_once(' ').unwrap();
        let (tid, what) = (tid.parse().unwrap(), what.trim_start());
        let whole = if let Some((start, _)) = what.split_once(" <unfinished ...>") {
            begun.insert(tid, start.to_owned());
            continue;
        } else if let Some((_, end)) = what.split_once("<... msgget resumed>") {
            begun.remove(&tid).expect("its beginning") + end
        } else {
            what.to_owned()
        };
        let Some(rest) = whole.strip_prefix("msgget(") else {
            continue;
        };
        let (arguments, result) = rest.split_once(')').unwrap();
        let (key, flags) = arguments.split_once(", ").unwrap();
        let result = result.trim_start().strip_prefix("= ").unwrap();
        let result = match result.strip_prefix("-1 ") {
            Some(error) => Err(error.split(' ').next().unwrap().to_owned()),
            None => Ok(result.parse().unwrap()),
        };
        calls.entry(tid).or_default().push((raw_number(key), raw_number(flags), result));
    }
    assert!(begun.is_empty(), "calls without an end: {begun:?}");
    calls
}

/// Whether a program runs and ends well.
fn works(command: &[&str]) -> bool {
    let run = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// Runs a command under strace under `exec`, asserts that both saw the same, and returns all calls in the order we printed.
fn agreed(command: &[&str]) -> Vec<Call> {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("strace");
    let mut exec = msgget_trace(["exec", "--", "unshare", "--ipc", "strace", "-f", "-qq", "-X", "raw"]);
    exec.args(["-e", "trace=msgget", "-e", "signal=none", "-o"]).arg(&log).args(command).current_dir(dir.path());
    let report = finish(&mut exec);
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);

    let mut ours = Calls::new();
    let mut all = Vec::new();
    for line in report.lines().into_iter().filter(common::Line::is_call) {
        let (key, flags, result) = line.result();
        let result = if result < 0 { Err(line.text("errno").to_owned()) } else { Ok(result) };
        let tid = line.int("threadId");
        assert!(line.by_thread(tid.try_into().unwrap()), "of our pid namespace");
        ours.entry(tid).or_default().push((key, flags, result.clone()));
        all.push((key, flags, result));
    }
    assert_eq!(ours, strace_calls(&fs::read_to_string(log).unwrap()));
    all
}

/// The flags of calls, in order.
fn flags(calls: &[Call]) -> Vec<i64> {
    calls.iter().map(|call| call.1).collect()
}

macro_rules! needs {
    ($program:expr, $($argument:expr),*) => {
        if !works(&[$program, $($argument),*]) {
            skip!("{} does not work here", [$program, $($argument),*].join(" "));
        }
    };
}

#[test]
fn ipcmk() {
    live!(120);
    needs!("strace", "--version");
    needs!("ipcmk", "--version");
    assert_eq!(flags(&agreed(&["ipcmk", "-Q"])), [CREAT | 0o644]);
    assert_eq!(flags(&agreed(&["ipcmk", "-Q", "-p", "0600"])), [CREAT | 0o600]);
}

#[test]
fn perl() {
    live!(120);
    needs!("strace", "--version");
    needs!("perl", "-MIPC::Msg", "-e", "1");
    let script = "use IPC::SysV qw(IPC_PRIVATE IPC_CREAT ftok);
        my $private = IPC::Msg->new(IPC_PRIVATE, 0600) or die;
        my $key = ftok('/') or die;
        IPC::Msg->new($key, IPC_CREAT | 0600) or die;
        my $queue = IPC::Msg->new($key, 0) or die;
        $_->remove for $private, $queue;
        !IPC::Msg->new($key, 0) or die;
        fork // die;
        IPC::Msg->new(-1, 0666);
        wait";
    let calls = agreed(&["perl", "-MIPC::Msg", "-e", script]);
    assert_eq!(flags(&calls), [0o600, CREAT | 0o600, 0, 0, 0o666, 0o666]);
    assert_eq!(calls[0].0, 0);
    assert_eq!(calls[3], (calls[1].0, 0, Err("ENOENT".into())));
    assert_eq!(calls[4..], [(-1, 0o666, Err("ENOENT".into())), (-1, 0o666, Err("ENOENT".into()))]);
}

#[test]
fn fakeroot() {
    live!(120);
    needs!("strace", "--version");
    needs!("fakeroot-sysv", "true");
    let calls = agreed(&["fakeroot-sysv", "sh", "-c", "touch x; chown 0:0 x; stat x"]);
    let mut expected = vec![CREAT | EXCL | 0o600; 2];
    expected.extend([CREAT | 0o600; 6]); // two each by the shell, chown and stat; touch needs no lie
    assert_eq!(flags(&calls), expected);
    let keys: Vec<_> = calls.iter().map(|call| call.0).collect();
    assert_eq!(keys, keys[..2].repeat(4));
}

#[test]
fn php() {
    live!(120);
    needs!("strace", "--version");
    needs!("php", "-r", "exit(function_exists('msg_get_queue') ? 0 : 1);");
    let script = "msg_queue_exists(77) && exit(1); $q = msg_get_queue(77); msg_get_queue(77); msg_remove_queue($q);";
    let calls = agreed(&["php", "-r", script]);
    assert_eq!(flags(&calls), [0, 0, CREAT | EXCL | 0o666, 0]);
    let results: Vec<_> = calls.iter().map(|call| call.2.is_ok()).collect();
    assert_eq!(results, [false, false, true, true]);
}

#[test]
fn python() {
    live!(120);
    needs!("strace", "--version");
    let python = std::env::var("MSGGET_TRACE_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".into());
    needs!(&python, "-c", "import sysv_ipc");
    let script = "import sysv_ipc as s
s.MessageQueue(None, s.IPC_CREX)
s.MessageQueue(0x7001, s.IPC_CREAT)
s.MessageQueue(0x7001)
for flags in (0, s.IPC_CREX):
    try: s.MessageQueue(0x7002 - (flags != 0), flags)
    except (s.ExistentialError, s.Error): pass
    else: raise SystemExit(1)";
    let calls = agreed(&[&python, "-c", script]);
    assert_eq!(flags(&calls), [CREAT | EXCL | 0o600, CREAT | 0o600, 0o600, 0o600, CREAT | EXCL | 0o600]);
    let errors: Vec<_> = calls.into_iter().filter_map(|call| call.2.err()).collect();
    assert_eq!(errors, ["ENOENT", "EEXIST"]);
}

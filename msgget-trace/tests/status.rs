//! `status`: what a running daemon says of itself is true at any moment, and whoever asks in vain is told why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{Program, Report, binary, finish, live::End, msgget_trace, sys};
use serde_json::Value;
use tempfile::TempDir;

/// A folder that anybody may look into, and a path for a socket in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = dir.path().join("socket");
    (dir, socket)
}

/// `run` that can be asked at `socket`.
fn daemon(socket: &Path, options: &[&str]) -> Program {
    let socket = ["run", "--status-socket", socket.to_str().unwrap()];
    Program::start(&mut msgget_trace(socket.iter().chain(options))).ready()
}

/// `status` with these options.
fn status(socket: &Path, options: &[&str]) -> Report {
    finish(Command::new(binary()).args(["status", "--socket"]).arg(socket).args(options))
}

/// The object that `status --json` prints.
fn ask(socket: &Path) -> Value {
    let report = status(socket, &["--json"]);
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert_eq!((report.stdout.len(), report.stderr.len()), (1, 0), "{:#?}", report.stderr);
    serde_json::from_str(&report.stdout[0]).unwrap()
}

fn balance(status: &Value) -> HashMap<String, u64> {
    serde_json::from_value(status["balance"].clone()).unwrap()
}

/// Asserts what can be said of a balance while calls are on their way.
fn bounded(balance: &HashMap<String, u64>) {
    let sum = |names: &[&str]| names.iter().map(|name| balance.get(*name).copied().unwrap_or_default()).sum::<u64>();
    assert!(sum(&["seen"]) >= sum(&["submitted", "aggregated", "lost"]), "{balance:?}");
    assert!(sum(&["controls_seen"]) >= sum(&["controls_submitted", "controls_lost"]), "{balance:?}");
    assert!(sum(&["submitted", "controls_submitted", "contexts_submitted"]) >= sum(&["read"]), "{balance:?}");
    let became = ["delivered", "controls", "canaries", "early", "witnesses", "contexts", "rejected", "unwanted"];
    assert!(sum(&["read"]) >= sum(&became), "{balance:?}");
}

/// The balance without a process to ask for it: so fast that some answers meet a program in its midst.
fn read(socket: &Path) -> HashMap<String, u64> {
    let mut answer = String::new();
    UnixStream::connect(socket).unwrap().read_to_string(&mut answer).unwrap();
    balance(&serde_json::from_str(&answer).unwrap())
}

#[test]
fn amid_a_flood_every_answer_is_one_of_bounds() {
    const ANSWERS: usize = 1_000;
    const MOVING: [&str; 6] = ["seen", "controls_seen", "lost", "read", "delivered", "controls"];
    live!(120, floods);
    let (dir, socket) = place();
    let lines = dir.path().join("lines");
    // Small enough that some are lost.
    let daemon = daemon(&socket, &["--no-budget", "--ring-size", "65536", "--output", lines.to_str().unwrap()]);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                sys::private_ipc(|| {
                    while !ended.load(Ordering::Relaxed) {
                        (0..100).for_each(|_| _ = sys::msgget_only(7, 0));
                        let id = sys::msgget_only(8, 0o1600);
                        sys::try_remove_queue(id);
                    }
                });
            });
        }
        let _end = End(&ended);
        let first = read(&socket);
        let mut last = first.clone();
        // And until every counter has moved.
        for nth in 1.. {
            if nth > ANSWERS && MOVING.iter().all(|name| last[*name] > first[*name]) {
                break;
            }
            let next = read(&socket);
            bounded(&next);
            for name in MOVING {
                assert!(next[name] >= last[name], "{name} went back: {last:?} {next:?}");
            }
            last = next;
        }
    });
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert!(!report.stderr.iter().any(|line| line.contains("defect")), "{:#?}", report.stderr);
}

#[test]
fn the_numbers_are_those_of_the_moment() {
    const CALLS: u64 = 100;
    live!(60);
    let (_dir, socket) = place();
    let daemon = daemon(&socket, &[]);
    // More often than the daemon looks by itself.
    for _ in 0..5 {
        let before = balance(&ask(&socket))["seen"];
        sys::private_ipc(|| (0..CALLS).for_each(|_| _ = sys::msgget_only(7, 0)));
        let after = balance(&ask(&socket))["seen"];
        assert!(after >= before + CALLS, "{before} and {after}");
    }
    daemon.stop().balanced();
}

#[test]
fn it_says_who_and_how_the_daemon_is() {
    live!(60);
    let (_dir, socket) = place();
    let before = sys::clock(libc::CLOCK_REALTIME);
    let daemon = daemon(&socket, &[]);
    let after = sys::clock(libc::CLOCK_REALTIME);
    let file = fs::symlink_metadata(&socket).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!((file.mode() & 0o7777, file.uid()), (0o600, 0));

    let answer = ask(&socket);
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer["processId"], daemon.pid());
    assert_eq!(answer["degraded"], false);
    let [output] = answer["outputs"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((&output["name"], &output["format"]), (&"standard output".into(), &"json".into()));
    assert_eq!(
        output["told"].as_u64(),
        Some(output["delivered"].as_u64().unwrap() + output["waiting"].as_u64().unwrap())
    );
    let since = answer["since"].as_i64().unwrap();
    assert!((before..=after).contains(&since), "{before} {since} {after}");

    let report = status(&socket, &[]);
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let text = report.stdout.join("\n");
    let shown = |name: &str| {
        let line = report.stdout.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        line.trim_start().to_owned()
    };
    assert_eq!(shown("version "), answer["version"].as_str().unwrap());
    assert_eq!(shown("run "), answer["runId"].as_str().unwrap());
    assert_eq!(shown("process "), daemon.pid().to_string());
    assert_eq!(shown("hook "), answer["hook"].as_str().unwrap());
    assert_eq!(shown("coverage gap "), answer["coverageGap"].as_str().unwrap());
    assert_eq!(shown("degraded "), "no");
    assert!(shown("output ").starts_with("standard output (json): "), "{text}");
    for name in balance(&answer).keys() {
        let shown = shown(&format!("{name} "));
        let (number, word) = shown.split_once("  ").unwrap();
        assert!(number.parse::<u64>().is_ok() && word.contains(' '), "{text}");
    }

    let report = daemon.stop();
    report.balanced();
    let start = report.start();
    assert_eq!((&answer["hook"], &answer["coverageGap"]), (&start["hook"], &start["coverageGap"]));
    assert!(start["id"].as_str().unwrap().starts_with(answer["runId"].as_str().unwrap()), "{start}");
    let names: Vec<_> = balance(&answer).into_keys().collect();
    assert_eq!(names.len(), report.balance().len());
    assert!(names.iter().all(|name| report.balance().contains_key(name.as_str())), "{names:?}");
    assert!(!socket.exists(), "it stays behind");
}

#[test]
fn it_says_which_output_does_not_work_and_why() {
    live!(60);
    let (dir, socket) = place();
    let [lines, spool] = ["lines", "spool"].map(|name| dir.path().join(name));
    // Nobody listens at the first port.
    let daemon = daemon(
        &socket,
        &["-o", lines.to_str().unwrap(), "-o", "tcp://127.0.0.1:1", "--spool", spool.to_str().unwrap()],
    );
    let deadline = Instant::now() + common::patience();
    let outputs = loop {
        let answer = ask(&socket);
        let [well, ill] = answer["outputs"].as_array().unwrap().as_slice() else { panic!("{answer}") };
        if ill.get("trouble").is_some() {
            break [well.clone(), ill.clone()];
        }
        assert!(Instant::now() < deadline, "{answer}");
        thread::sleep(Duration::from_millis(10));
    };
    let [well, ill] = outputs;
    assert_eq!(well["name"], lines.to_str().unwrap());
    assert!(well.get("trouble").is_none(), "{well}");
    assert_eq!((&ill["name"], &ill["delivered"]), (&"tcp://127.0.0.1:1".into(), &0.into()));
    assert!(ill["trouble"].as_str().unwrap().contains("refused") && ill["waiting"].as_u64() > Some(0), "{ill}");
    let text = status(&socket, &[]).stdout.join("\n");
    let shown = text.lines().find(|line| line.contains("tcp://127.0.0.1:1")).unwrap();
    assert!(shown.contains(" waiting; it does not work: "), "{shown}");
    drop(daemon);
}

#[test]
fn it_answers_while_the_output_takes_nothing() {
    live!(60);
    let (_dir, socket) = place();
    let arguments = ["run", "--status-socket", socket.to_str().unwrap()];
    let (daemon, mut unread) = Program::start_unread(&mut msgget_trace(arguments));
    let daemon = daemon.ready();
    // More than any pipe holds.
    sys::private_ipc(|| (1..=2_000).for_each(|key| _ = sys::msgget_only(key, 0)));
    let answer = ask(&socket);
    assert!(answer["outputs"][0]["waiting"].as_u64().is_some_and(|waiting| waiting > 0), "{answer}");
    let first = balance(&answer);
    bounded(&first);
    assert!(first["seen"] >= 2_000 && first["delivered"] < 2_000, "{first:?}");
    sys::private_ipc(|| (1..=10).for_each(|key| _ = sys::msgget_only(key, 0)));
    let second = balance(&ask(&socket));
    bounded(&second);
    assert!(second["seen"] >= first["seen"] + 10, "{first:?} {second:?}");
    // To be asked has disturbed nothing.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        unread.read_to_string(&mut text).unwrap();
        text
    });
    let report = daemon.stop();
    let lines = reader.join().unwrap();
    let calls = common::lines_of(&lines).iter().filter(|line| line.is_call()).count();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert_eq!((report.balance()["delivered"], report.balance()["lost"]), (calls as u64, 0), "{:#?}", report.stderr);
}

#[test]
fn who_asks_and_does_not_read_holds_nobody() {
    live!(60);
    let (_dir, socket) = place();
    let daemon = daemon(&socket, &[]);
    let idle: Vec<_> = (0..100).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let before = balance(&ask(&socket))["seen"];
    sys::private_ipc(|| sys::msgget_only(7, 0));
    assert!(balance(&ask(&socket))["seen"] > before);
    drop(idle);
    daemon.stop().balanced();
}

#[test]
fn a_socket_that_nobody_answers_is_replaced_and_nothing_else_is() {
    live!(60);
    let (_dir, socket) = place();
    drop(UnixListener::bind(&socket).unwrap());
    status(&socket, &[]).refused(1, &[socket.to_str().unwrap(), "no daemon listens", "msgget-trace run"]);
    let replaced = daemon(&socket, &[]);
    assert_eq!(ask(&socket)["processId"], replaced.pid());
    replaced.stop().balanced();

    fs::write(&socket, "precious").unwrap();
    let beside = daemon(&socket, &[]);
    let report = beside.stop();
    report.balanced();
    let warnings: Vec<_> = report.stderr.iter().filter(|line| line.contains("warn")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("no socket"), "{:#?}", report.stderr);
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
}

#[test]
fn another_daemon_keeps_its_socket() {
    live!(60);
    let (_dir, socket) = place();
    let first = daemon(&socket, &[]);
    let second = daemon(&socket, &[]);
    assert_eq!(ask(&socket)["processId"], first.pid());
    let report = second.stop();
    report.balanced();
    let warnings: Vec<_> = report.stderr.iter().filter(|line| line.contains("warn")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("another daemon"), "{:#?}", report.stderr);
    assert_eq!(ask(&socket)["processId"], first.pid());
    let report = first.stop();
    report.balanced();
    assert_eq!(report.stderr.len(), 2, "{:#?}", report.stderr);
    assert!(!socket.exists());
}

#[test]
fn a_socket_that_was_put_in_its_place_is_left_alone() {
    live!(60);
    let (_dir, socket) = place();
    let daemon = daemon(&socket, &[]);
    fs::remove_file(&socket).unwrap();
    let _other = UnixListener::bind(&socket).unwrap();
    daemon.stop().balanced();
    assert!(socket.exists());
}

#[test]
fn without_a_socket_nobody_is_asked() {
    live!(60);
    let (dir, socket) = place();
    let mut command = msgget_trace(["run", "--status-socket", "none"]);
    let daemon = Program::start(command.current_dir(dir.path())).ready();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "`none` is no file");
    let path = socket.to_str().unwrap();
    status(&socket, &[]).refused(1, &[path, "no daemon listens", "msgget-trace run", "--socket"]);
    daemon.stop().balanced();
    // `exec` has none.
    let exec = finish(&mut msgget_trace(["exec", "--status-socket", path, "--", "true"]));
    assert_eq!(exec.status.code(), Some(2), "{:#?}", exec.stderr);
}

/// `msgget-trace` for a user without any right, of whom nothing is asked but `status`.
fn as_nobody(dir: &Path, socket: &Path) -> Report {
    // The build may stand where only its owner may look.
    let copy = dir.join("msgget-trace");
    fs::copy(binary(), &copy).unwrap();
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--clear-groups", "--"]).arg(copy).args(["status", "--socket"]).arg(socket);
    finish(&mut nobody)
}

#[test]
fn others_may_not_ask() {
    live!(60);
    let (dir, socket) = place();
    let daemon = daemon(&socket, &[]);
    let path = socket.to_str().unwrap();
    as_nobody(dir.path(), &socket).refused(1, &[path, "root", "permission denied"]);
    // Nor if somebody opens the way.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    as_nobody(dir.path(), &socket).refused(1, &[path, "no status of a msgget-trace"]);
    assert_eq!(ask(&socket)["processId"], daemon.pid());
    daemon.stop().balanced();
}

/// Answers every connection to a new socket by `answer`, as the user with this id, while `asked` asks.
fn impostor<T>(socket: &Path, uid: u32, answer: impl Fn(UnixStream) + Send, asked: impl FnOnce() -> T) -> T {
    let listener = thread::scope(|scope| {
        let listen = || {
            sys::become_user([uid, uid], [uid, uid]);
            UnixListener::bind(socket).unwrap()
        };
        scope.spawn(listen).join().unwrap()
    });
    thread::scope(|scope| {
        scope.spawn(move || answer(listener.accept().unwrap().0));
        asked()
    })
}

#[test]
fn what_is_no_answer_is_not_shown() {
    live!(120);
    let (_dir, socket) = place();
    let path = socket.to_str().unwrap();
    let missing = br#"{"version":"0.1.0","balance":{}}"#.to_vec();
    let endless = b"[".repeat(1 << 20);
    for garbage in
        [Vec::new(), b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), b"\x1b[2J\xff\n".to_vec(), missing, endless]
    {
        let report = impostor(
            &socket,
            0,
            |mut stream| _ = stream.write_all(&garbage), // who was told too much leaves
            || status(&socket, &[]),
        );
        report.refused(1, &[path, "no status of a msgget-trace", "--socket"]);
        assert!(!report.stderr[0].contains('\x1b'), "{:?}", report.stderr);
        fs::remove_file(&socket).unwrap();
    }
    let silent = |mut stream: UnixStream| _ = stream.read(&mut [0]);
    impostor(&socket, 0, silent, || status(&socket, &[])).refused(1, &[path, "has not answered within"]);
}

#[test]
fn a_stranger_is_not_believed() {
    live!(60);
    let (dir, socket) = place();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let forged = |mut stream: UnixStream| _ = stream.write_all(b"{}");
    let report = impostor(&socket, 65534, forged, || status(&socket, &[]));
    report.refused(1, &[socket.to_str().unwrap(), "neither root nor you", "65534"]);
}

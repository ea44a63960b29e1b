//! `exec`: one command and all its descendants, and nobody else; its status, its output, and its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio};

use common::{
    Line, Program, Report, finish, msgget_trace, run, shell,
    sys::{self, msgget},
};

/// `msgget-trace exec -- sh -c script` in an IPC namespace of its own.
fn exec(script: &str) -> std::process::Command {
    msgget_trace(["exec", "--", "unshare", "--ipc", "sh", "-c", script])
}

fn status(command: &[&str]) -> Report {
    finish(&mut msgget_trace(["exec", "--"].iter().chain(command)))
}

/// Key and result of every call line.
fn calls(lines: &[Line]) -> Vec<i64> {
    lines.iter().filter(|line| line.is_call()).map(|line| line.result().0).collect()
}

/// Its lines; checks that they are numbered without a gap.
fn lines(report: &Report) -> Vec<Line> {
    report.numbered()
}

#[test]
fn the_status_is_the_commands() {
    live!(120);
    for (script, expected) in
        [("true", 0), ("exit 42", 42), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("exit 255", 255)]
    {
        let report = status(&["sh", "-c", script]);
        assert_eq!(report.status.code(), Some(expected), "{script}: {:#?}", report.stderr);
    }
}

#[test]
fn commands_that_cannot_run() {
    live!(60);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let path = file.path().to_str().unwrap();
    for (command, code) in [(path, 126), ("/", 126), ("/nonexistent/command", 127), ("no-such-command-anywhere", 127)] {
        let report = status(&[command]);
        assert_eq!(report.status.code(), Some(code), "{command}: {:#?}", report.stderr);
        assert!(report.stderr.iter().any(|message| message.contains(command)), "{command}: {:#?}", report.stderr);
        assert_eq!(report.stdout, [""; 0]);
    }
}

#[test]
fn its_own_failures_are_125() {
    live!(60);
    let marker = tempfile::tempdir().unwrap();
    let marker = marker.path().join("ran");
    let mut command = msgget_trace(["exec", "--output", "/nonexistent/lines", "--", "touch"]);
    let report = finish(command.arg(&marker));
    assert_eq!(report.status.code(), Some(125), "{:#?}", report.stderr);
    assert!(!marker.exists(), "the command ran untraced");
}

#[test]
fn standard_output_is_only_json() {
    live!(60);
    let report = finish(&mut exec("echo noise; perl -e 'msgget(11, 0); print qq(more\\n)'; echo {}"));
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    assert_eq!(calls(&lines(&report)), [11]);
    for noise in ["noise", "more", "{}"] {
        assert!(report.stderr.iter().any(|line| line == noise), "{noise}: {:#?}", report.stderr);
    }
}

#[test]
fn with_output_the_command_keeps_its_own() {
    live!(60);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = msgget_trace(["exec", "--output", file.path().to_str().unwrap(), "--"]);
    let report = finish(command.args(["unshare", "--ipc", "perl", "-e", "msgget(12, 0); print qq(result\\n)"]));
    assert_eq!(report.stdout, ["result"]);
    let text = fs::read_to_string(file.path()).unwrap();
    assert_eq!(calls(&common::lines_of(&text)), [12]);
}

#[test]
fn standard_input_and_directory_are_the_callers() {
    live!(60);
    let dir = tempfile::tempdir().unwrap();
    let mut command = msgget_trace(["exec", "--", "sh", "-c", "read word && echo \"$word $PWD\""]);
    let mut program = Program::start(command.current_dir(&dir).stdin(Stdio::piped()));
    program.stdin().unwrap().write_all(b"hello\n").unwrap();
    let expected = format!("hello {}", dir.path().display());
    let report = program.wait();
    assert!(report.stderr.contains(&expected), "{:#?}", report.stderr);
}

#[test]
fn all_descendants_and_nobody_else() {
    live!(60);
    let script = "echo waiting >&2; read go
        perl -e 'msgget(21, 0)'; (perl -e 'msgget(22, 0)'); perl -e 'fork // die; msgget(23, 0); wait' & wait
        exec perl -e 'msgget(24, 0)'";
    let mut program = Program::start(exec(script).stdin(Stdio::piped()));
    program.stderr.find(|line| line == "waiting");
    let stranger = sys::private_ipc(|| msgget(66, 0));
    program.stdin().unwrap().write_all(b"go\n").unwrap();
    let report = program.wait();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let lines = lines(&report);
    assert!(!lines.iter().any(|line| line.by_thread(stranger.tid)));
    assert_eq!(calls(&lines), [21, 22, 23, 23, 24]);
}

#[test]
fn a_daemonised_grandchild_stays_in() {
    live!(60);
    // The command ends at once; its grandchild waits until command and child are gone, and goes on calling.
    let daemonise = "use POSIX; my $command = $$;
        if (my $child = fork) { waitpid $child, 0; exit 7 }
        setsid; exit if fork;
        close $_ for *STDIN, *STDOUT, *STDERR;
        select undef, undef, undef, 0.01 while kill 0, $command;
        for (1 .. 50) { msgget(31, 0); select undef, undef, undef, 0.01 }
        msgget(32, 0)";
    let report = finish(&mut msgget_trace(["exec", "--", "unshare", "--ipc", "perl", "-e", daemonise]));
    assert_eq!(report.status.code(), Some(7), "{:#?}", report.stderr);
    let mut expected = vec![31; 50];
    expected.push(32);
    assert_eq!(calls(&lines(&report)), expected);
}

#[test]
fn it_runs_beside_a_daemon_and_another() {
    live!(60);
    let daemon = run(&[]);
    let report = finish(msgget_trace(["exec", "--", "unshare", "--ipc"]).args(["perl", "-e", "msgget(41, 0)"]));
    let seen = daemon.stop().balanced();
    let [ours] = lines(&report).try_into().expect("one call");
    let theirs: Vec<_> = seen.iter().filter(|line| line["hostThreadId"] == ours["hostThreadId"]).collect();
    assert_eq!(theirs.len(), 1, "the daemon sees it too, once");
    assert_eq!(theirs[0].result(), ours.result());
    assert_ne!(theirs[0]["id"], ours["id"], "a ring of its own");
    assert_eq!(theirs[0]["processEntityId"], ours["processEntityId"]);
}

#[test]
fn nested_each_sees_its_own() {
    live!(60);
    let file = tempfile::NamedTempFile::new().unwrap();
    let inner = format!(
        "perl -e 'msgget(51, 0)'; '{}' exec --output '{}' -- perl -e 'msgget(52, 0)'",
        common::binary(),
        file.path().display()
    );
    let outer = lines(&finish(&mut exec(&inner)));
    let inner = common::lines_of(&fs::read_to_string(file.path()).unwrap());
    assert_eq!(calls(&inner), [52]);
    let outer = calls(&outer);
    assert!(outer.contains(&51) && outer.contains(&52), "{outer:?} (and the canary of the inner one)");
}

#[test]
fn killed_it_leaves_nothing() {
    live!(60);
    let mut program = Program::start(exec("echo $$ >&2; read end").stdin(Stdio::piped()));
    let stdin = program.stdin();
    let command = program.stderr.find(|line| line.parse::<i32>().is_ok());
    let programs = common::loaded_programs(program.pid());
    assert!(programs.len() >= 2, "{programs:?}");
    program.signal(libc::SIGKILL);
    assert!(sys::await_exit(program.pid(), common::patience()));
    common::await_unloaded(&programs);
    drop(stdin); // the command reads its end, if it still lives
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&program.wait().status), Some(libc::SIGKILL), "{command}");
}

#[test]
fn interrupted_it_ends() {
    live!(60);
    // As Ctrl-C at a terminal does: the whole group gets the signal.
    let script = "trap 'exit 9' INT; perl -e 'msgget(61, 0)'; echo waiting >&2; while :; do sleep 0.05; done";
    let mut group = exec(script);
    let program = Program::start(std::os::unix::process::CommandExt::process_group(&mut group, 0));
    program.stderr.find(|line| line == "waiting");
    sys::kill(-program.pid(), libc::SIGINT);
    let report = program.wait();
    assert_eq!(calls(&lines(&report)), [61]);
    assert_eq!(report.status.code(), Some(9), "{:#?}", report.stderr);
}

#[test]
fn a_shell_script_sees_no_difference() {
    live!(60);
    let script = "\"$0\" exec --output /dev/null -- sh -c 'echo a; echo b >&2; exit 3' | sed s/a/c/";
    let report = finish(&mut shell(script, &[common::binary()]));
    assert_eq!((report.status.code(), report.stdout.as_slice()), (Some(0), ["c".to_owned()].as_slice()));
    assert!(report.stderr.iter().any(|line| line == "b"), "{:#?}", report.stderr);
}

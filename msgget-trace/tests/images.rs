//! Which program called: the executable, its command line and its parent's, of processes that are gone before anybody could
//! look them up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use common::{Line, finish, msgget_trace, run, sys};
use serde_json::json;

/// What perl does: `msgget(key, 0)`, by number.
fn call(key: i32) -> String {
    format!("syscall(68, {key}, 0)")
}

/// What [`perl`] looks for.
const NEEDS: &str = "needs perl";

/// perl as the kernel names it, if there is one.
fn perl() -> Option<PathBuf> {
    ["/usr/bin/perl", "/bin/perl"].iter().find_map(|path| fs::canonicalize(path).ok())
}

/// The call lines of the process `pid`, an immediate child.
fn lines_of(lines: &[Line], pid: u32) -> Vec<&Line> {
    lines.iter().filter(|line| line.is_call() && line.by_process(pid)).collect()
}

fn path(line: &Line) -> &str {
    line["executable"]["path"].as_str().unwrap()
}

/// Runs it, and returns its process id when it has ended well.
fn ran(command: &mut Command) -> u32 {
    let mut child = command.spawn().unwrap();
    assert!(child.wait().unwrap().success());
    child.id()
}

/// A copy of `program` in `folder` whose name is no text.
fn copy(program: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join(OsStr::from_bytes(b"pe\"rl\xff"));
    fs::copy(program, &copy).unwrap();
    copy
}

/// As [`copy`] is shown.
fn shown(folder: &Path) -> String {
    format!("{}/pe\"rl\\xff", folder.to_str().unwrap())
}

#[test]
fn a_program_that_exits_at_once_is_named() {
    live!(60);
    let Some(perl) = perl() else { skip!("{NEEDS}") };
    let folder = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(folder.path()).unwrap();
    let copy = copy(&perl, &real);
    let daemon = run(&[]);
    let odd = OsString::from(OsStr::from_bytes(b"line\nfeed \xfe\\ \xc3\xb6"));
    let pid = ran(Command::new(&copy).args(["-e", &call(42)]).arg("").arg(&odd));
    let file = fs::metadata(&copy).unwrap();
    fs::remove_file(&copy).unwrap();
    let lines = daemon.stop().balanced();
    let [line] = lines_of(&lines, pid)[..] else { panic!("not one call: {lines:?}") };
    if sys::confidential() {
        // Kernel memory may not be read there: nothing is said, and nothing made up.
        assert_eq!(path(line), "");
        assert!(!line.has("commandLine") && !line.has("executableInode") && !line.has("parentExecutable"));
        return;
    }
    assert_eq!(path(line), shown(&real));
    assert_eq!(line["commandLine"], json!([shown(&real), "-e", call(42), "", "line\nfeed \\xfe\\\\ ö"]));
    assert!(!line.has("commandLineCut") && !line.has("executablePathCut"));
    assert_eq!(line["executableInode"], file.ino());
    let device = format!("{}:{}", libc::major(file.dev()), libc::minor(file.dev()));
    assert_eq!(line["executableDevice"], device.as_str());
    let own = fs::read_link("/proc/self/exe").unwrap();
    assert_eq!(line["parentExecutable"], own.to_str().unwrap(), "we are its parent");
}

#[test]
fn one_process_several_programs() {
    live!(60);
    let Some(perl) = perl() else { skip!("{NEEDS}") };
    if sys::confidential() {
        return; // see the first test
    }
    let folder = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(folder.path()).unwrap();
    let copy = copy(&perl, &real);
    let daemon = run(&[]);
    let script = format!("{0}; {0}; exec {{$ARGV[0]}} $ARGV[0], '-e', '{1}; {1}'", call(1), call(2));
    let pid = ran(Command::new(&perl).args(["-e", &script]).arg(&copy));
    let lines = daemon.stop().balanced();
    let named: Vec<_> = lines_of(&lines, pid).iter().map(|line| (line.result().0, path(line).to_owned())).collect();
    let (first, second) = (perl.to_str().unwrap().to_owned(), shown(&real));
    assert_eq!(named, [(1, first.clone()), (1, first), (2, second.clone()), (2, second)]);
}

#[test]
fn command_lines_can_be_left_alone() {
    live!(60);
    let Some(perl) = perl() else { skip!("{NEEDS}") };
    if sys::confidential() {
        return; // see the first test
    }
    let daemon = run(&["--no-cmdline"]);
    let pid = ran(Command::new(&perl).args(["-e", &call(3), "secret"]));
    let report = daemon.stop();
    assert!(report.stdout.iter().all(|line| !line.contains("secret") && !line.contains("commandLine")));
    let lines = report.balanced();
    let [line] = lines_of(&lines, pid)[..] else { panic!("not one call: {lines:?}") };
    assert_eq!(path(line), perl.to_str().unwrap());
}

#[test]
fn what_is_too_long_is_cut() {
    live!(60);
    let Some(perl) = perl() else { skip!("{NEEDS}") };
    if sys::confidential() {
        return; // see the first test
    }
    let folder = tempfile::tempdir().unwrap();
    let mut deep = fs::canonicalize(folder.path()).unwrap();
    deep.extend(["d"; 60]);
    fs::create_dir_all(&deep).unwrap();
    let copy = copy(&perl, &deep);
    let daemon = run(&[]);
    let pid = ran(Command::new(&copy).args(["-e", &call(4), &"x".repeat(5000)]));
    let lines = daemon.stop().balanced();
    let [line] = lines_of(&lines, pid)[..] else { panic!("not one call: {lines:?}") };
    assert_eq!([&line["commandLineCut"], &line["executablePathCut"]], [&json!(true); 2]);
    let arguments: Vec<_> = line["commandLine"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(arguments[..3], [shown(&deep), "-e".into(), call(4)]);
    assert!(arguments[3].len() > 500 && arguments[3].bytes().all(|byte| byte == b'x'));
    let path = path(line);
    assert!(!path.starts_with('/') && shown(&deep).ends_with(&format!("/{path}")), "{path}");
}

#[test]
fn secrets_are_redacted_and_bad_patterns_refused() {
    live!(60);
    let Some(perl) = perl() else { skip!("{NEEDS}") };
    if sys::confidential() {
        return; // see the first test
    }
    let daemon = run(&["--redact", "token=(?<secret>[0-9a-f]+)"]);
    let pid = ran(Command::new(&perl).args(["-e", &call(43), "token=c0ffee", "no token"]));
    let lines = daemon.stop().balanced();
    let [line] = lines_of(&lines, pid)[..] else { panic!("not one call: {lines:?}") };
    let arguments: Vec<_> = line["commandLine"].as_array().unwrap().iter().skip(3).collect();
    assert_eq!(arguments, ["token=[redacted]", "no token"]);

    let refused = finish(&mut msgget_trace(["run", "--redact", "(", "--redact", "ok", "--redact", "[z-a]"]));
    assert_eq!(refused.status.code(), Some(2));
    let message = refused.stderr.join("\n");
    assert!(message.contains("pattern 1") && message.contains("pattern 3"), "each with its place: {message}");
}

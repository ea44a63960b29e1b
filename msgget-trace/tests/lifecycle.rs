//! How the daemon ends, and how it refuses to start: the status, and one line that says what is missing, why, and what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use common::{
    Did, Line, Program, Report, amid_calls, binary, finish,
    live::End,
    msgget_trace, run,
    seccomp::filter_msgget,
    sys::{self, msgget},
    unparsed::Counted,
};

/// Stops the daemon by `signal` amid calls that go on until it is gone.
fn stop_amid_calls(signal: i32) {
    let daemon = run(&[]);
    let (report, tid, made) = amid_calls(|| {
        daemon.stdout.find(|_| true);
        daemon.signal(signal);
        daemon.wait()
    });
    let keys: Vec<_> = report
        .balanced()
        .iter()
        .filter(|line| line.is_call() && line.by_thread(tid))
        .map(|line| line.result().0)
        .collect();
    assert!(keys.len() <= made);
    // From the first to the last none is missing; what came after, nobody saw.
    for (at, pair) in keys.windows(2).enumerate() {
        assert_eq!(pair[1], pair[0] % 10 + 1, "after call {at}");
    }
}

#[test]
fn sigint_ends_it_in_balance() {
    live!(60, floods);
    stop_amid_calls(libc::SIGINT);
}

#[test]
fn sigterm_ends_it_in_balance() {
    live!(60, floods);
    stop_amid_calls(libc::SIGTERM);
}

#[test]
fn idle_it_ends_in_balance_and_silence() {
    live!(60);
    let report = run(&[]).stop();
    report.balanced();
    let [ready, balance] = report.stderr.as_slice() else { panic!("more than two messages: {:#?}", report.stderr) };
    assert!(ready.starts_with("msgget-trace: ready") && balance.starts_with("msgget-trace: balance"));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    live!(60, floods);
    let (daemon, stdout) = Program::start_unread(&mut msgget_trace(["run"]));
    let daemon = daemon.ready();
    let ((line, report), ..) = amid_calls(|| {
        let line = BufReader::new(stdout).lines().nth(1).unwrap().unwrap(); // and closes it, as `| head -2`
        (line, daemon.wait())
    });
    let line = Line::parse(&line);
    assert!(line.is_call() || line.is_control());
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    for message in &report.stderr {
        let expected = ["msgget-trace: ready", "msgget-trace: balance"];
        assert!(expected.iter().any(|start| message.starts_with(start)), "not quiet: {message}");
    }
}

#[test]
fn an_endless_flood_into_a_file_can_be_stopped() {
    live!(60, floods);
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("lines");
    let mut command = msgget_trace(["run", "--no-budget", "--output", lines.to_str().unwrap()]);
    let daemon = Program::start(&mut command).ready();
    let ended = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    (0..1000).for_each(|_| _ = sys::msgget_only(7, 0));
                }
            });
        }
        let end = End(&ended);
        // Until it cannot keep up: from then on the ring is never empty.
        thread::sleep(Duration::from_millis(500));
        daemon.signal(libc::SIGINT);
        let stopped = sys::await_exit(daemon.pid(), Duration::from_secs(10));
        drop(end);
        assert!(stopped, "SIGINT was not noticed");
        daemon.wait()
    });
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let lines = BufReader::new(File::open(lines).unwrap()).lines().map(Result::unwrap);
    let mut counted = Counted::default();
    lines.for_each(|line| _ = counted.take(&line));
    report.add_up(counted.calls, counted.controls, counted.findings);
}

#[test]
fn what_finds_no_room_is_counted() {
    live!(60);
    const CALLS: usize = 2_000; // the smallest ring holds some 370
    let daemon = run(&["--ring-size", "65536"]);
    daemon.signal(libc::SIGSTOP);
    let calls = sys::private_ipc(|| (1..).take(CALLS).map(|key| msgget(key, 0)).collect::<Vec<_>>());
    daemon.signal(libc::SIGCONT);
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let lines = report.consistent();
    let lines: Vec<_> =
        lines.iter().filter(|line| line.is_call() && line.by_thread(calls[0].tid)).map(Line::result).collect();
    assert!((1..CALLS).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(lines, calls[..lines.len()].iter().map(Did::result).collect::<Vec<_>>(), "the first are kept");
    assert!(report.balance()["lost"] >= (CALLS - lines.len()) as u64, "{:#?}", report.stderr);
}

#[test]
fn a_reader_that_does_not_read_cannot_hold_it() {
    live!(60);
    let (daemon, unread) = Program::start_unread(&mut msgget_trace(["run"]));
    let daemon = daemon.ready();
    // More than any pipe holds.
    sys::private_ipc(|| (1..=2_000).for_each(|key| _ = sys::msgget_only(key, 0)));
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(8), "{:#?}", report.stderr);
    assert_eq!(report.stderr.iter().filter(|line| line.contains("cannot write")).count(), 1, "{:#?}", report.stderr);
    drop(unread);
}

/// Whoever reads the messages may leave; the lines go on.
#[test]
fn messages_that_nobody_reads_do_no_harm() {
    live!(60);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let lines = tempfile::NamedTempFile::new().unwrap();
    let mut command = msgget_trace(["run", "--output", lines.path().to_str().unwrap()]);
    let mut daemon = command.stderr(writer).spawn().unwrap();
    let pid = i32::try_from(daemon.id()).unwrap();
    let deadline = std::time::Instant::now() + common::patience();
    while fs::read_to_string(lines.path()).unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "it never began: {:?}", daemon.try_wait());
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(300));
    sys::kill(pid, libc::SIGTERM);
    assert!(sys::await_exit(pid, common::patience()), "it did not end");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert!(fs::read_to_string(lines.path()).unwrap().contains("\"eventName\":\"stop\""));
}

/// `run` where the BPF file system is not mounted, as it may or may not mount it; then with these capabilities.
fn without_bpffs(capabilities: &str) -> Report {
    let unmount = "while umount -l /sys/fs/bpf 2>&-; do :; done";
    let limit = format!("exec setpriv --bounding-set={capabilities} -- \"$0\" run --status-socket none --hook tp_btf");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{unmount}; {limit}"), binary()]);
    Program::start(&mut command).ready().stop()
}

#[test]
fn by_default_it_pins_where_everybody_does() {
    live!(60);
    let report = without_bpffs("+all");
    report.balanced();
    assert_eq!(report.start()["pinned"], true, "{:#?}", report.stderr);
    assert!(report.stderr[0].contains("mounted the BPF file system"), "{:#?}", report.stderr);
}

#[test]
fn where_it_cannot_pin_it_says_so_and_goes_on() {
    live!(60);
    let report = without_bpffs("-all,+bpf,+perfmon,+dac_read_search,+sys_resource");
    report.balanced();
    assert_eq!(report.start()["pinned"], false, "{:#?}", report.stderr);
    assert!(report.stderr.iter().any(|line| line.contains("nothing is pinned")), "{:#?}", report.stderr);
}

#[test]
fn usage_errors_are_2() {
    live!(60);
    for arguments in
        [&["run", "--no-such-option"][..], &["run", "--ring-size", "100000"], &["run", "x"], &["walk"], &["exec"]]
    {
        let report = finish(&mut msgget_trace(arguments));
        assert_eq!(report.status.code(), Some(2), "{arguments:?}: {:#?}", report.stderr);
        assert_eq!(report.stdout, [""; 0]);
    }
}

#[test]
fn without_privileges() {
    live!(60);
    // The build may stand where only its owner may look.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("msgget-trace");
    fs::copy(binary(), &copy).unwrap();
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--clear-groups", "--"]).arg(copy).arg("run");
    finish(&mut nobody).refused(3, &["CAP_BPF", "root"]);
}

/// `msgget-trace run` in a mount namespace that `change` has prepared.
fn with_mounts(change: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        &format!("set -e\n{change} \"$0\" run --no-pin --status-socket none \"$@\""),
        binary(),
    ]);
    command
}

#[test]
fn without_btf() {
    live!(60);
    let report = finish(&mut with_mounts("mount -t tmpfs none /sys/kernel/btf; exec"));
    report.refused(5, &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
}

#[test]
fn without_tracefs() {
    live!(60);
    let unmount =
        "for at in /sys/kernel/tracing /sys/kernel/debug/tracing /sys/kernel/debug; do umount -l $at 2>&- || :; done";
    let limit = "exec setpriv --bounding-set=-all,+bpf,+perfmon,+dac_read_search --";
    let mut command = with_mounts(&format!("{unmount}; {limit}"));
    finish(command.args(["--hook", "tracepoint"])).refused(4, &["tracefs", "mount"]);
}

#[test]
fn with_few_capabilities_where_there_is_tracefs() {
    live!(60);
    if sys::confidential() {
        return; // tracefs is empty there, and unmounting it crashes Linux 6.12
    }
    let mount = "mount -t tracefs none /sys/kernel/tracing";
    // Debian's kernels let only CAP_SYS_ADMIN open perf events at their default of 3.
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    let admin = if paranoid.trim().parse::<i32>().unwrap() > 2 { ",+sys_admin" } else { "" };
    let limit = format!("exec setpriv --bounding-set=-all,+bpf,+perfmon,+dac_read_search{admin} --");
    let mut command = with_mounts(&format!("{mount}; {limit}"));
    Program::start(command.args(["--hook", "tracepoint"])).ready().stop().balanced();
}

#[test]
fn on_an_old_kernel() {
    live!(60);
    let mut old = Command::new("setarch");
    old.args([std::env::consts::ARCH, "--uname-2.6", binary(), "run", "--no-pin"]);
    finish(&mut old).refused(6, &["2.6", "5.15"]);
}

#[test]
fn when_the_canary_cannot_fly() {
    live!(60);
    let mut command = msgget_trace(["run"]);
    // SAFETY: installing a filter uses nothing but the stack and system calls.
    unsafe {
        command.pre_exec(|| filter_msgget(libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned(), None, 0).map(drop));
    }
    // Nothing is printed before the hooks are trusted, whoever calls meanwhile.
    finish(&mut command).refused(7, &["canary", "msgget", "seccomp"]);
}

#[test]
fn when_the_output_takes_nothing() {
    live!(60);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let daemon = Program::start_writing(&mut msgget_trace(["run"]), full.into()).ready();
    sys::private_ipc(|| msgget(1, 0));
    let report = daemon.wait();
    assert_eq!(report.status.code(), Some(8), "{:#?}", report.stderr);
    let messages: Vec<_> = report.stderr.iter().filter(|line| line.contains("No space left")).collect();
    assert_eq!(messages.len(), 1, "{:#?}", report.stderr);
}

#[test]
fn past_a_limit_on_file_sizes() {
    live!(60);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let mut command = msgget_trace(["run", "--output", path.to_str().unwrap()]);
    let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
    // SAFETY: `setrlimit` is async-signal-safe, and reads one valid structure.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let daemon = Program::start(&mut command).ready();
    sys::private_ipc(|| (1..=10).for_each(|key| _ = msgget(key, 0)));
    let report = daemon.wait();
    assert_eq!(report.status.code(), Some(8), "{:#?}", report.stderr);
    assert!(report.stderr.iter().any(|line| line.contains("File too large")), "{:#?}", report.stderr);
}

#[test]
fn when_the_output_cannot_be_opened() {
    live!(60);
    for path in ["/nonexistent/lines", "/"] {
        finish(&mut msgget_trace(["run", "--output", path])).refused(8, &[path]);
    }
}

#[test]
fn nothing_stays_loaded() {
    live!(60);
    let daemon = run(&[]);
    let programs = common::loaded_programs(daemon.pid());
    assert!(!programs.is_empty());
    daemon.stop().balanced();
    common::await_unloaded(&programs);
}

#[test]
fn a_pipe_that_nobody_reads_is_refused_and_not_waited_for() {
    live!(60);
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let path = pipe.to_str().unwrap();
    let name = std::ffi::CString::new(path).unwrap();
    // SAFETY: a string that ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    finish(&mut msgget_trace(["run", "--output", path])).refused(8, &[path]);
}

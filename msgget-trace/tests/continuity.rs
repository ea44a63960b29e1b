//! Daemons that come and go over hooks that stay: what is called while there is none is told by the next, once or with
//! equal ids, and who leaves in order leaves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{
    Line, Program, binary, bpf,
    bpffs::{Bpffs, all_told, kill, lines_of, while_calling},
    finish, sys,
};

#[test]
fn killed_ten_times_it_tells_every_call() {
    live!(180);
    let bpffs = Bpffs::mount();
    let files = tempfile::tempdir().unwrap();
    let output = |nth: usize| files.path().join(nth.to_string());
    let start = |nth| Program::start(&mut bpffs.daemon(&["--output", output(nth).to_str().unwrap()])).ready();
    let mut daemon = start(0);
    let ((tid, last), ()) = while_calling(|| {
        // An emulated machine runs it on every rung.
        let none = if common::live::slowness() == 1 { Duration::from_secs(3) } else { Duration::from_millis(500) };
        for nth in 1..=10 {
            thread::sleep(Duration::from_millis(300));
            kill(&daemon);
            thread::sleep(none);
            daemon = start(nth);
        }
        thread::sleep(Duration::from_millis(300));
    });
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let lines: Vec<_> = (0..=10).flat_map(|nth| lines_of(&output(nth))).collect();
    let duplicates = all_told(&lines, tid, last);
    eprintln!("{last} calls, {duplicates} lines told again");
    // Every daemon is told anew who calls, though the kernel side had told the one before.
    let last = lines.iter().rfind(|line| line.is_call() && line.by_thread(tid)).unwrap();
    assert_ne!(last["executable"]["path"] == "", !sys::confidential(), "{last:?}");
    assert_eq!(report.balance()["lost"], 0);
    assert!(bpffs.sets().is_empty(), "left behind: {:?}", bpffs.sets());
}

/// Other options mean other programs: those of the one before are read to their end, and replaced.
#[test]
fn other_options_replace_the_hooks_and_lose_nothing() {
    live!(60);
    let bpffs = Bpffs::mount();
    let files = tempfile::tempdir().unwrap();
    let output = |nth: usize| files.path().join(nth.to_string());
    let start = |nth, option: &[&str]| {
        let file = output(nth);
        Program::start(&mut bpffs.daemon(&[&["--output", file.to_str().unwrap()], option].concat())).ready()
    };
    let mut daemon = start(0, &[]);
    let ((tid, last), ()) = while_calling(|| {
        for (nth, option) in [&["--no-cmdline"][..], &["--ring-size", "1048576"]].into_iter().enumerate() {
            thread::sleep(Duration::from_millis(200));
            kill(&daemon);
            thread::sleep(Duration::from_millis(200));
            daemon = start(nth + 1, option);
        }
        thread::sleep(Duration::from_millis(500));
    });
    let deadline = Instant::now() + common::patience();
    while bpffs.sets().len() > 1 {
        assert!(Instant::now() < deadline, "the hooks of the first two have not gone: {:?}", bpffs.sets());
        thread::sleep(Duration::from_millis(10));
    }
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let lines: Vec<_> = (0..=2).flat_map(|nth| lines_of(&output(nth))).collect();
    all_told(&lines, tid, last);
    assert_eq!(report.balance()["abandoned"], 0);
    let change = fs::read_to_string(output(2)).unwrap().lines().nth(1).unwrap().to_owned();
    assert!(change.contains("\"eventName\":\"config_change\""), "{change}");
    let shown = |line: &Line| line.has("commandLine");
    assert!(lines_of(&output(1)).last().is_some_and(|line| !shown(line)), "the old options are in force");
}

/// Hooks of one kind tell of what was called while there was no daemon, to one that then takes those of another.
#[test]
fn other_hooks_take_over_from_those_that_waited() {
    live!(60);
    let bpffs = Bpffs::mount();
    for [before, after] in [["tracepoint", "tp_btf"], ["tp_btf", "tracepoint"]] {
        if sys::confidential() {
            return; // there are no tracepoints of system calls
        }
        kill(&Program::start(&mut bpffs.daemon(&["--hook", before])).ready());
        let waited = sys::private_ipc(|| sys::msgget(0x77, 0));
        let daemon = Program::start(&mut bpffs.daemon(&["--hook", after])).ready();
        let seen = sys::private_ipc(|| sys::msgget(0x78, 0));
        let report = daemon.stop();
        let lines = report.balanced();
        for (did, hook) in [(waited, before), (seen, after)] {
            let told: Vec<_> = lines.iter().filter(|line| line.is_call() && line.by_thread(did.tid)).collect();
            let [line] = told.as_slice() else { panic!("{hook}: {told:?}") };
            assert_eq!((line.result(), line.text("hook")), (did.result(), hook));
        }
        assert_eq!(report.health("config_change").len(), 1);
        assert!(!bpffs.folder().exists(), "left behind");
    }
}

#[test]
fn one_daemon_at_a_time_has_the_pins_and_others_run_beside_it() {
    live!(60);
    let bpffs = Bpffs::mount();
    let daemon = Program::start(&mut bpffs.daemon(&[])).ready();
    finish(&mut bpffs.daemon(&[])).refused(9, &["another daemon", "--no-pin"]);
    let beside = common::run(&[]);
    let (did, exec) = (sys::private_ipc(|| sys::msgget(7, 0)), ["exec", "--", "true"]);
    assert!(finish(&mut common::msgget_trace(exec)).status.success());
    for report in [beside.stop(), daemon.stop()] {
        let lines = report.balanced();
        assert!(lines.iter().any(|line| line.is_call() && line.by_thread(did.tid) && line.result() == did.result()));
    }
    assert!(!bpffs.folder().exists(), "left behind");
}

#[test]
fn unpin_takes_out_what_a_dead_daemon_left() {
    live!(60);
    let bpffs = Bpffs::mount();
    let daemon = Program::start(&mut bpffs.daemon(&[])).ready();
    let unpin = || finish(Command::new(binary()).arg("unpin").arg("--pin").arg(bpffs.folder()));
    unpin().refused(9, &["another daemon"]);
    let programs = common::loaded_programs(daemon.pid());
    kill(&daemon);
    const CALLS: i32 = 100;
    sys::private_ipc(|| (1..=CALLS).for_each(|key| _ = sys::msgget_only(key, 0)));
    assert!(programs.iter().all(|program| sys::bpf_program_exists(*program)), "they are to outlive the daemon");
    let report = unpin();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let [message] = report.stderr.as_slice() else { panic!("{:#?}", report.stderr) };
    let lost: i32 = message.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(lost >= CALLS, "{message}");
    common::await_unloaded(&programs);
    assert!(!bpffs.folder().exists(), "left behind");
    assert!(unpin().stderr[0].contains("nothing is pinned"));
}

/// A stop that cannot bring its lines out leaves them for the next daemon.
#[test]
fn what_the_output_did_not_take_the_next_one_tells() {
    live!(60);
    let bpffs = Bpffs::mount();
    let (daemon, unread) = Program::start_unread(&mut bpffs.daemon(&[]));
    let daemon = daemon.ready();
    const CALLS: i32 = 2_000; // more than any pipe holds
    let tid = sys::private_ipc(|| {
        (1..=CALLS).for_each(|key| _ = sys::msgget_only(key, 0));
        sys::thread_id()
    });
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(8), "{:#?}", report.stderr);
    let mut text = Vec::new();
    let pipe: std::os::fd::OwnedFd = unread.into();
    std::io::Read::read_to_end(&mut fs::File::from(pipe), &mut text).unwrap();
    let told = String::from_utf8(text).unwrap();
    let mut lines = common::lines_of(told.rsplit_once('\n').unwrap().0);

    let report = Program::start(&mut bpffs.daemon(&[])).ready().stop();
    lines.extend(report.balanced());
    assert!(report.start()["inheritedSince"].is_u64(), "{}", report.start());
    all_told(&lines, tid, CALLS);
    assert!(!bpffs.folder().exists(), "left behind");
}

#[test]
fn what_somebody_takes_away_is_said() {
    live!(60);
    let bpffs = Bpffs::mount();
    let daemon = Program::start(&mut bpffs.daemon(&["--heartbeat", "1"])).ready();
    fs::remove_file(bpffs.sets()[0].join("COUNTERS")).unwrap();
    daemon.stdout.find(|line| line.contains("\"eventName\":\"degraded\""));
    thread::sleep(Duration::from_millis(2500)); // more heartbeats, and not another word
    let report = daemon.stop();
    report.balanced();
    let degraded = report.health("degraded");
    let [record] = degraded.as_slice() else { panic!("{degraded:?}") };
    assert_eq!(record["reason"], "tampered");
    assert!(record["detail"].as_str().unwrap().contains("COUNTERS is gone"), "{record}");
    assert!(!bpffs.folder().exists(), "left behind");
}

#[test]
fn another_reader_of_the_ring_is_noticed() {
    live!(60);
    let bpffs = Bpffs::mount();
    let daemon = Program::start(&mut bpffs.daemon(&["--heartbeat", "1"])).ready();
    // The kernel stops the ring's reader from nothing: the position is a word in a shared page.
    bpf::advance_ring(&bpffs.sets()[0].join("RECORDS"), 1 << 20);
    daemon.stdout.find(|line| line.contains("somebody else reads the ring"));
    daemon.stop();
}

/// `command`, to which a hangup is to mean what `action` says, whatever it means to us.
fn hangup(mut command: Command, action: libc::sighandler_t) -> Command {
    // SAFETY: `signal` is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGHUP, action);
            Ok(())
        });
    }
    command
}

/// A terminal that goes away ends what was started in it, pins and all; unless that was said to go on (nohup(1)).
#[test]
fn a_hangup_is_an_orderly_end() {
    live!(60);
    let bpffs = Bpffs::mount();
    let daemon = Program::start(&mut hangup(bpffs.daemon(&[]), libc::SIG_DFL)).ready();
    daemon.signal(libc::SIGHUP);
    let report = daemon.wait();
    report.balanced();
    assert_eq!(report.stop_record()["reason"], "SIGHUP");
    assert!(!bpffs.folder().exists(), "left behind");

    let daemon = Program::start(&mut hangup(bpffs.daemon(&[]), libc::SIG_IGN)).ready();
    daemon.signal(libc::SIGHUP);
    let did = sys::private_ipc(|| sys::msgget(9, 0));
    let report = daemon.stop();
    assert_eq!(report.stop_record()["reason"], "SIGTERM");
    assert!(report.balanced().iter().any(|line| line.by_thread(did.tid)));
}

/// One that has to bring out first what it inherited, and cannot, can be stopped all the same.
#[test]
fn it_can_be_stopped_before_it_is_ready() {
    live!(60);
    let bpffs = Bpffs::mount();
    kill(&Program::start(&mut bpffs.daemon(&[])).ready());
    const CALLS: i32 = 2_000; // more than any pipe holds
    let tid = sys::private_ipc(|| {
        (1..=CALLS).for_each(|key| _ = sys::msgget_only(key, 0));
        sys::thread_id()
    });
    let (stuck, unread) = Program::start_unread(&mut bpffs.daemon(&[]));
    thread::sleep(Duration::from_secs(1));
    let report = stuck.stop();
    assert_eq!((report.status.code(), report.stderr.len()), (Some(0), 0), "{:#?}", report.stderr);
    let mut text = Vec::new();
    let pipe: std::os::fd::OwnedFd = unread.into();
    std::io::Read::read_to_end(&mut fs::File::from(pipe), &mut text).unwrap();
    let mut lines = common::lines_of(String::from_utf8(text).unwrap().rsplit_once('\n').unwrap().0);
    let report = Program::start(&mut bpffs.daemon(&[])).ready().stop();
    lines.extend(report.balanced());
    all_told(&lines, tid, CALLS);
    assert!(!bpffs.folder().exists(), "left behind");
}

/// Attaches a second set, beside the one that a daemon left: what it would leave that dies while new hooks take over.
fn attach_another_set(bpffs: &Bpffs) {
    let other = bpffs.0.path().join("other");
    let mut second = Command::new(binary());
    second.args(["run", "--status-socket", "none", "--pin"]).arg(&other);
    if let Some(hook) = env::var_os("MSGGET_TRACE_HOOK") {
        second.arg("--hook").arg(hook);
    }
    kill(&Program::start(&mut second).ready());
    let set = fs::read_dir(&other).unwrap().next().unwrap().unwrap();
    fs::rename(set.path(), bpffs.folder().join(set.file_name())).unwrap();
}

#[test]
fn of_two_sets_that_are_attached_each_tells_its_part() {
    live!(60);
    let bpffs = Bpffs::mount();
    let call = |key| sys::private_ipc(|| sys::msgget(key, 0));
    kill(&Program::start(&mut bpffs.daemon(&[])).ready());
    let mut calls = vec![call(1)];
    attach_another_set(&bpffs);
    calls.push(call(2));
    let daemon = Program::start(&mut bpffs.daemon(&["--heartbeat", "1"])).ready();
    calls.push(call(3));
    thread::sleep(Duration::from_millis(2500)); // a canary or two
    let report = daemon.stop();
    let lines = report.balanced();
    for did in calls {
        let told = lines.iter().filter(|line| line.is_call() && line.by_thread(did.tid)).count();
        assert_eq!(told, 1, "{did:?}");
    }
    assert!(report.health("degraded").is_empty(), "{:?}", report.health("degraded"));
    assert!(!bpffs.folder().exists(), "left behind");
}

/// What both saw is told of once, though a daemon that has read the one's account of it dies amid the other's.
#[test]
fn whoever_dies_between_two_sets_doubles_no_call() {
    live!(60);
    let bpffs = Bpffs::mount();
    kill(&Program::start(&mut bpffs.daemon(&[])).ready());
    let ((tid, last), mut lines) = while_calling(|| {
        attach_another_set(&bpffs);
        // Those of the first second are the first set's to tell; then more than a pipe holds: the daemon goes no further than
        // it is read.
        thread::sleep(Duration::from_secs(2));
        let (daemon, unread) = Program::start_unread(&mut bpffs.daemon(&[]));
        let mut unread = BufReader::new(unread);
        let (mut told, mut line, mut rings) = (String::new(), String::new(), HashSet::new());
        while rings.len() < 2 {
            line.clear();
            assert_ne!(unread.read_line(&mut line).unwrap(), 0, "it ended");
            let call = common::lines_of(&line).into_iter().find(Line::is_call);
            rings.extend(call.map(|call| call.text("id")[..36].to_owned()));
            told.push_str(&line);
        }
        kill(&daemon);
        unread.read_to_string(&mut told).unwrap();
        common::lines_of(told.rsplit_once('\n').unwrap().0)
    });
    let report = Program::start(&mut bpffs.daemon(&[])).ready().stop();
    lines.extend(report.balanced());
    all_told(&lines, tid, last);
    assert!(!bpffs.folder().exists(), "left behind");
}

/// Where anybody may make folders, one that is not ours alone is a trap.
#[test]
fn folders_of_others_are_refused() {
    live!(60);
    let bpffs = Bpffs::mount();
    let refused = |words: &[&str]| finish(&mut bpffs.daemon(&[])).refused(9, words);
    fs::create_dir(bpffs.folder()).unwrap();
    fs::set_permissions(bpffs.folder(), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&["not ours alone"]);
    let _ = fs::remove_dir(bpffs.folder());
    let victim = bpffs.0.path().join("victim");
    fs::create_dir_all(victim.join("precious")).unwrap();
    std::os::unix::fs::symlink(&victim, bpffs.folder()).unwrap();
    refused(&["cannot pin"]);
    assert!(victim.join("precious").exists());
}

#[test]
fn pins_of_another_version_are_counted_and_removed() {
    live!(60);
    let bpffs = Bpffs::mount();
    let daemon = Program::start(&mut bpffs.daemon(&[])).ready();
    kill(&daemon);
    const CALLS: u64 = 50;
    sys::private_ipc(|| (1..=CALLS).for_each(|key| _ = sys::msgget_only(key as i32, 0)));
    let set = bpffs.sets().remove(0);
    // The version is the first word.
    bpf::change_element(&set.join("STATE"), |state| state[..4].copy_from_slice(&1_u32.to_ne_bytes()));
    let report = Program::start(&mut bpffs.daemon(&[])).ready().stop();
    report.balanced();
    let abandoned = report.balance()["abandoned"];
    assert!(abandoned >= CALLS, "{:#?}", report.stderr);
    let losses = report.health("loss");
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((&loss["reason"], loss["count"].as_u64()), (&"abi_changed".into(), Some(abandoned)));
    assert!(!bpffs.folder().exists(), "left behind");
}

#[test]
fn a_folder_elsewhere_is_refused() {
    live!(60);
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["run", "--status-socket", "none", "--pin"]).arg(dir.path().join("pins"));
    finish(&mut command).refused(9, &["not on a BPF file system", "--no-pin"]);
    assert_eq!(finish(command.arg("--no-pin")).status.code(), Some(2));
}

//! Outputs whose other end takes nothing, or not everything: they cost the others nothing, and are said.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read as _},
    net::{TcpListener, UdpSocket},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _, net::UnixDatagram, process::CommandExt as _},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    common::{Program, msgget_trace, run, shell},
    live,
    spool::folder,
    told::{Calls, await_until, call, ledger, number, records, text},
};

/// Makes a FIFO.
fn fifo(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `name` ends with a NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0, "{}", io::Error::last_os_error());
}

#[test]
fn outputs_that_take_nothing_delay_no_other() {
    live!(90);
    const CALLS: i32 = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let [lines, socket, unread, unopened, spool] = ["lines", "socket", "unread", "unopened", "spool"]
        .map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let _silent = UnixDatagram::bind(&socket).unwrap();
    [&unread, &unopened].into_iter().for_each(|path| fifo(Path::new(path)));
    let _held = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&unread).unwrap();
    let socket = format!("unix:{socket}");
    let outputs = ["-o", &socket, "-o", &unread, "-o", &unopened, "-o", &lines, "--spool", &spool];
    let daemon = run(&outputs);
    let tid = call(CALLS, 2_000);
    let key = format!("\"value\":{CALLS}}}");
    await_until("the last call", || text(Path::new(&lines)).contains(&key));
    // Who takes nothing is said to be of no use, each by its name.
    await_until("degraded records", || {
        let degraded = records(&text(Path::new(&lines)), "degraded");
        let told = |name: &String| degraded.iter().any(|record| record["detail"].as_str().unwrap().contains(name));
        [&socket, &unread, &unopened].into_iter().all(told)
    });
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let written = text(Path::new(&lines));
    Calls::of(&written, tid).assert_once(CALLS);
    for output in ledger(&written) {
        let name = output["name"].as_str().unwrap();
        let stuck = name != lines;
        assert_eq!((number(&output, "waiting") > 1000, number(&output, "dropped")), (stuck, 0), "{output}");
        let left = report.stderr.iter().any(|line| line.contains(name) && line.contains("have not arrived"));
        assert_eq!(left, stuck, "{name}: {:#?}", report.stderr);
    }
}

/// As a proxy does that has nobody behind it. Its kernel confirms what nobody reads, and a connection that can be opened again and
/// again is none that works.
#[test]
fn who_takes_connections_and_leaves_has_taken_no_line() {
    live!(90);
    const CALLS: i32 = 40;
    let dir = tempfile::tempdir().unwrap();
    let [lines, spool] = ["lines", "spool"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("tcp://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    thread::spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            count.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(300));
            drop(connection);
        }
    });
    let daemon = run(&["-o", &proxy, "-o", &lines, "--spool", &spool]);
    // Longer than an outage lasts until it is said, and slowly, for it is quiet that hides who has left.
    call(CALLS, 5);
    await_until("a degraded record", || {
        let degraded = records(&text(Path::new(&lines)), "degraded");
        degraded.iter().any(|record| record["detail"].as_str().unwrap().contains(&*proxy))
    });
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let outputs = ledger(&text(Path::new(&lines)));
    let output = outputs.iter().find(|output| output["name"].as_str().unwrap().contains(&*proxy)).unwrap();
    assert_eq!(number(output, "delivered"), 0, "{output}");
    assert!(number(output, "waiting") >= CALLS as u64, "{output}");
    // Each is followed by a longer pause.
    assert!(taken.load(Ordering::SeqCst) < 20, "{taken:?}");
}

/// What the second reader finds is all that was told since the first one left.
#[test]
fn a_pipe_waits_for_its_next_reader() {
    live!(60);
    const CALLS: i32 = 500;
    let dir = tempfile::tempdir().unwrap();
    let [lines, pipe, spool] =
        ["lines", "pipe", "spool"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    fifo(Path::new(&pipe));
    let mut first = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    let daemon = run(&["-o", &lines, "-o", &pipe, "--spool", &spool]);
    let mut told = vec![0; 1 << 16];
    await_until("the start record", || first.read(&mut told).is_ok_and(|read| read > 0));
    drop(first);
    let tid = call(CALLS, 1_000);
    let second = Program::start(Command::new("cat").arg(&pipe));
    let key = format!("\"value\":{CALLS}}}");
    second.stdout.find(|line| line.contains(&key));
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);
    let read = second.wait().stdout.join("\n");
    let calls = Calls::of(&read, tid);
    assert_eq!((calls.missing(CALLS), calls.torn), (vec![], vec![]));
    for output in ledger(&text(Path::new(&lines))) {
        assert_eq!(number(&output, "dropped"), 0, "{output}");
    }
}

/// For `pre_exec`: no datagram of more than `most` bytes leaves. The kernel says so of what does not fit into a socket's buffer
/// (unix(7)) or, undivided, into the path (ip(7)); to make it do that, a test would have to change them for the whole host.
fn shorten_datagrams(most: u32) -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const MORE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    // struct seccomp_data: nr at 0, the low half of args[2], the length, at 32.
    let mut program = [
        step(LOAD, 0, 0),
        step(EQUAL, libc::SYS_sendto as u32, 3),
        step(LOAD, 32, 0),
        step(MORE, most, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EMSGSIZE as u32, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog { len: 6, filter: program.as_mut_ptr() };
    // SAFETY: `filter` points to `len` instructions.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter)
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A command line that is long, and made of bytes that take five letters each.
#[test]
fn a_line_too_long_for_its_socket_is_put_aside() {
    live!(60, floods); // so that no burst of others is dropped on its way by UDP
    let dir = tempfile::tempdir().unwrap();
    let [lines, spool] = ["lines", "spool"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = format!("udp://{}", receiver.local_addr().unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut command = msgget_trace(["run", "-o", &lines, "-o", &target, "--spool", &spool]);
    // SAFETY: two system calls.
    unsafe { command.pre_exec(|| shorten_datagrams(4096)) };
    let daemon = Program::start(&mut command).ready();
    let received = thread::spawn(move || {
        let (mut messages, mut message) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let Ok(len) = receiver.recv(&mut message) else { return messages };
            messages.push(String::from_utf8(message[..len].to_vec()).unwrap());
            if messages.last().is_some_and(|message| message.contains("\"eventName\":\"stop\"")) {
                return messages;
            }
        }
    });
    let called = shell("exec perl -e 'msgget(77, 0)' \"$(printf '\\377%.0s' $(seq 1500))\"", &[]).status().unwrap();
    assert!(called.success());
    await_until("a loss record", || !records(&text(Path::new(&lines)), "loss").is_empty());
    let tid = call(10, 1_000);
    let report = daemon.stop();
    assert_eq!(report.status.code(), Some(0), "{:#?}", report.stderr);

    let letters = text(&folder(Path::new(&spool), &target).join("dead-letter.ndjson"));
    let letters: Vec<serde_json::Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for letter in &letters {
        assert!(letter["reason"].as_str().unwrap().contains("more than a datagram can"), "{letter}");
    }
    assert!(
        letters.iter().any(|letter| letter["record"].as_str().unwrap().contains("\"commandLine\":[\"perl\"")),
        "{letters:?}"
    );
    let written = text(Path::new(&lines));
    let refused = |record: &serde_json::Value| record["reason"] == "refused" && record["output"] == *target;
    let losses = records(&written, "loss");
    let counts: u64 = losses.iter().filter(|loss| refused(loss)).map(|loss| number(loss, "count")).sum();
    assert_eq!(counts, letters.len() as u64, "{losses:?}");
    let outputs = ledger(&written);
    let output = outputs.iter().find(|output| output["name"] == *target).unwrap();
    assert_eq!(number(output, "refused"), letters.len() as u64, "{output}");
    let messages: String =
        received.join().unwrap().iter().map(|message| format!("{}\n", message.split_once(" - ").unwrap().1)).collect();
    Calls::of(&messages, tid).assert_once(10);
    Calls::of(&written, tid).assert_once(10);
}

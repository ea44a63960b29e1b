//! The resolver's process: what it takes from the daemon, and that it ends with it.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    thread,
    time::Duration,
};

use msgget_trace::resolver::Resolver;

use crate::{
    alone,
    common::{self, sys},
    side::{exists, open_files, queue, signal, stop, with_client},
    tenant::{Tenant, create, set_uids},
};

/// A uid that may do nothing.
const USER: u32 = 1000;

#[test]
fn it_is_not_forked_beside_other_threads() {
    thread::scope(|scope| {
        scope.spawn(|| assert!(Resolver::fork().is_err()));
    });
}

#[test]
fn it_keeps_nothing_of_the_daemon_but_its_socket() {
    alone!(60);
    let kept = fs::File::open("/proc/version").unwrap();
    with_client(async |client| {
        let tenant = Tenant::new(0, || vec![create(1, 0o600)]);
        assert_eq!(queue(&client, tenant.stat()).await.key, 1);
        drop(kept);
        let files = open_files(client.pid());
        assert_eq!(files[..3], ["/dev/null"; 3], "{files:?}");
        assert!(files[3..5].iter().all(|file| file.starts_with("ipc:[")), "{files:?}");
        assert!(files.len() == 6 && files[5].starts_with("socket:["), "{files:?}");
        let name = fs::read_to_string(format!("/proc/{}/comm", client.pid())).unwrap();
        assert_eq!(name, "msgget-resolver\n");
        // A terminal's Ctrl-C and a service manager's stop reach it, too.
        for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            signal(&client, number);
        }
        assert_eq!(queue(&client, tenant.stat()).await.key, 1);
    });
}

#[test]
fn dropping_ends_even_a_stopped_resolver() {
    alone!(60);
    let unasked = Resolver::fork().unwrap();
    let pid = unasked.pid();
    drop(unasked);
    assert!(!exists(pid), "not even a zombie");
    with_client(async |client| {
        stop(&client);
        let pid = client.pid();
        drop(client);
        assert!(!exists(pid), "not even a zombie");
    });
}

#[test]
fn it_ends_though_the_daemon_may_no_longer_kill_it() {
    alone!(60);
    let resolver = Resolver::fork().unwrap();
    let pid = resolver.pid();
    set_uids(USER, USER);
    drop(resolver);
    assert!(!exists(pid), "not even a zombie");
}

#[test]
fn it_dies_with_the_daemon_even_if_the_socket_stays_open() {
    alone!(60);
    // SAFETY: takes integers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
    let (mut pids, mut report) = io::pipe().unwrap();
    // SAFETY: this is the only thread, and the child does not return.
    let daemon = unsafe { libc::fork() };
    if daemon == 0 {
        let resolver = Resolver::fork().unwrap();
        // SAFETY: this is the only thread, and the child does not return. It holds the daemon's end of the socket.
        let holder = unsafe { libc::fork() };
        if holder != 0 {
            report.write_all(&resolver.pid().to_ne_bytes()).unwrap();
            report.write_all(&holder.to_ne_bytes()).unwrap();
        }
        loop {
            thread::park();
        }
    }
    let mut pid = || {
        let mut bytes = [0; 4];
        pids.read_exact(&mut bytes).unwrap();
        i32::from_ne_bytes(bytes)
    };
    let (resolver, holder) = (pid(), pid());
    let settled = || open_files(resolver.cast_unsigned()).iter().any(|file| file.starts_with("ipc:"));
    while !settled() {
        thread::sleep(Duration::from_millis(1));
    }
    sys::kill(daemon, libc::SIGKILL);
    sys::reap(daemon);
    assert!(sys::await_exit(resolver, common::patience()));
    assert_eq!(sys::reap(resolver).signal(), Some(libc::SIGKILL));
    sys::kill(holder, libc::SIGKILL);
    sys::reap(holder);
}

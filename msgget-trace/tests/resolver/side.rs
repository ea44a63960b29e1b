//! The daemon's side of the resolver, and a look at the resolver from outside.

use std::time::Duration;

use std::{fs, future::Future};

use msgget_trace::resolver::{Client, Queue, Reply, Request, Resolver};

use crate::common::sys;

/// Forks the resolver and runs the daemon's side.
pub(crate) fn with_client<F: Future<Output = ()>>(body: impl FnOnce(Client) -> F) {
    let resolver = Resolver::fork().unwrap();
    on_runtime(async { body(resolver.client().unwrap()).await });
}

/// As [`with_client`], with time for a busy machine.
pub(crate) fn with_client_within<F: Future<Output = ()>>(deadline: Duration, body: impl FnOnce(Client) -> F) {
    let resolver = Resolver::fork().unwrap();
    on_runtime(async { body(resolver.client_within(deadline).unwrap()).await });
}

pub(crate) fn on_runtime(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(body);
}

pub(crate) async fn reply(client: &Client, request: Request) -> Reply {
    client.ask(request).await.unwrap().reply
}

pub(crate) async fn queue(client: &Client, request: Request) -> Queue {
    match reply(client, request).await {
        Reply::Queue(queue) => queue,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn signal(client: &Client, signal: i32) {
    sys::kill(client.pid().cast_signed(), signal);
}

/// Stops it, and waits until it has.
pub(crate) fn stop(client: &Client) {
    signal(client, libc::SIGSTOP);
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    let stopped = unsafe { libc::waitpid(client.pid().cast_signed(), &raw mut status, libc::WUNTRACED | libc::__WALL) };
    assert!(stopped > 0 && libc::WIFSTOPPED(status));
}

pub(crate) fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// The files a process has open.
pub(crate) fn open_files(pid: u32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut links: Vec<_> =
        files.map(|file| fs::read_link(file.unwrap().path()).unwrap().display().to_string()).collect();
    links.sort();
    links
}

pub(crate) fn held_namespaces(pid: u32) -> usize {
    open_files(pid).iter().filter(|link| link.starts_with("ipc:")).count() - 1
}

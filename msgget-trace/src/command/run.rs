//! `run`: settings go in; every call of the host comes out until a signal or a closed pipe ends it.

use std::{path::Path, pin::pin};

use tokio::signal::unix::{SignalKind, signal};

use super::{conclude, ready, runtime};
use crate::{
    config::Config,
    daemon::{Daemon, End},
    failure::Failure,
};

pub(super) fn run(config: &Config, socket: Option<&Path>) -> Result<(), Failure> {
    runtime()?.block_on(async {
        // Before anything is attached: a signal that comes early still leads to an orderly stop.
        let listen = |kind| signal(kind).map_err(Failure::internal("listening for signals"));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        // Whoever says that it is to be ignored (nohup(1)) wants us to outlive the terminal.
        let mut hangup = if ignored(libc::SIGHUP) { None } else { Some(listen(SignalKind::hangup())?) };
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hung_up => "SIGHUP",
            }
        };
        let mut stop = pin!(stop);
        // What was inherited has to get out first, which may take as long as the output likes; pins stay as they are.
        let mut daemon = tokio::select! {
            daemon = Daemon::start(config) => daemon?,
            _ = &mut stop => return Ok(()),
        };
        if let Some(path) = socket {
            daemon.answer_at(path).await;
        }
        ready(&daemon, "every msgget of this host");
        match daemon.trace(&mut stop).await? {
            End::Done(signal) => conclude(daemon, signal).await,
            End::Closed => daemon.leave(),
        }
    })
}

/// Whether `signal` was ignored when we were started.
fn ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: null changes nothing, and `action` is valid for writing.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } == 0;
    // SAFETY: filled in, if the call succeeded.
    known && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

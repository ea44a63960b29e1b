//! `run`: settings go in; every call of the host comes out until a signal or a closed pipe ends it.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::{block_on, conclude, past_limits_writing_fails, ready};
use crate::{
    config::{Config, To, policy},
    daemon::{Daemon, End},
    failure::Failure,
};

pub(super) fn run(config: &Config, socket: Option<&Path>) -> Result<(), Failure> {
    past_limits_writing_fails();
    block_on(async {
        // Before anything is attached: a signal that comes early still leads to an orderly stop.
        let listen = |kind| signal(kind).map_err(Failure::internal("listening for signals"));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        // logrotate(8) asks so for files to be opened anew, and an administrator for policies to be read again. Otherwise the terminal is gone, and whoever says that this is to be
        // ignored (nohup(1)) wants us to outlive it.
        let files = config.outputs.iter().any(|output| matches!(output.to, To::File(_)));
        let heard = files || !config.policy_files.is_empty() || !ignored(libc::SIGHUP);
        let mut hangup = if heard { Some(listen(SignalKind::hangup())?) } else { None };
        let mut asked = async || {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hung_up => HANGUP,
            }
        };
        // What was inherited has to get out first, which may take as long as the output likes; pins stay as they are.
        let mut daemon = tokio::select! {
            daemon = Daemon::start(config) => daemon?,
            _ = asked() => return Ok(()),
        };
        if let Some(path) = socket {
            daemon.answer_at(path).await;
        }
        ready(&daemon, "every msgget of this host");
        loop {
            match daemon.trace(asked()).await? {
                End::Done(HANGUP) if read_again(&mut daemon, config) => {}
                End::Done(signal) => return conclude(daemon, signal).await,
                End::Closed => return daemon.leave().await,
            }
        }
    })
}

/// Reads policies again and opens files anew; false if there are neither.
fn read_again(daemon: &mut Daemon, config: &Config) -> bool {
    let policies = !config.policy_files.is_empty();
    if policies {
        daemon.follow(policy::load(&config.policy_files));
    }
    daemon.reopen() || policies
}

/// The signal that may ask for something else than an end.
const HANGUP: &str = "SIGHUP";

/// Whether `signal` was ignored when we were started.
fn ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: null changes nothing, and `action` is valid for writing.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } == 0;
    // SAFETY: filled in, if the call succeeded.
    known && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

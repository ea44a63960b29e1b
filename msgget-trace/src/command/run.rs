//! `run`: settings go in; every call of the host comes out until a signal or a closed pipe ends it.

use tokio::signal::unix::{SignalKind, signal};

use super::{conclude, runtime};
use crate::{
    config::Config,
    daemon::{Daemon, End},
    failure::Failure,
};

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    runtime()?.block_on(async {
        // Before anything is attached: a signal that comes early still leads to an orderly stop.
        let listen = |kind| signal(kind).map_err(Failure::internal("listening for signals"));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let mut daemon = Daemon::start(config).await?;
        eprintln!(
            "msgget-trace: ready, tracing every 64-bit msgget of this host (hook tracepoint; int 0x80 is not seen)"
        );
        match daemon.trace(stop).await? {
            End::Done(()) => conclude(daemon).await,
            End::Closed => Ok(()),
        }
    })
}

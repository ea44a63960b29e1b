//! `exec`: a command goes in; the calls of it and of all its descendants come out until the last of them is gone.
//!
//! The kernel side follows forks. Orphans of the command become our children, because we are their subreaper, so that
//! having no children left means that nobody is left whose calls could come.

use std::{
    ffi::OsString,
    io,
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{block_on, conclude};
use crate::{
    config::{Config, To},
    daemon::{Daemon, End},
    failure::Failure,
};

/// Runs `command` and returns its exit status: its own, or 128 and the signal that killed it.
pub(super) fn run(config: &Config, command: &[OsString]) -> Result<u8, Failure> {
    block_on(async {
        let listen = |kind| signal(kind).map_err(Failure::internal("listening for signals"));
        let mut signals = Signals {
            child: listen(SignalKind::child())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        };
        // SAFETY: only changes whose children orphans become, PR_SET_CHILD_SUBREAPER(2const).
        if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
            return Err(Failure::Internal { doing: "becoming a subreaper", error: io::Error::last_os_error() });
        }
        let mut daemon = Daemon::start(config).await?;
        let child = spawn(config, command)?;
        let mut family = Family { command: child.id(), status: None };
        let end = daemon.trace(family.gone(&mut signals)).await?;
        match end {
            End::Done(()) => conclude(daemon, "the command has ended").await?,
            // Nobody reads any more; the command is none of the reader's business and goes on.
            End::Closed => {
                drop(daemon);
                family.gone(&mut signals).await;
            }
        }
        // Left behind while it still ran: as if the signal that asked for it had ended it.
        Ok(family.status.map_or(128 + libc::SIGTERM as u8, status))
    })
}

fn spawn(config: &Config, command: &[OsString]) -> Result<Child, Failure> {
    let [program, arguments @ ..] = command else {
        return Err(Failure::Internal { doing: "starting the command", error: io::ErrorKind::InvalidInput.into() });
    };
    let stdout = if config.outputs.iter().any(|output| output.to == To::Stdout) {
        // It is for our lines alone.
        io::stderr().as_fd().try_clone_to_owned().map(Stdio::from)
    } else {
        Ok(Stdio::inherit())
    };
    let stdout = stdout.map_err(Failure::internal("duplicating standard error"))?;
    Command::new(program)
        .args(arguments)
        .stdout(stdout)
        .spawn()
        .map_err(|error| Failure::Command { command: program.display().to_string(), error })
}

fn status(status: ExitStatus) -> u8 {
    // The kernel keeps eight bits of an exit status, and signals end at 64.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or_default();
    code as u8
}

struct Signals {
    child: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// The command and its descendants.
struct Family {
    /// Process id of the command.
    command: u32,
    /// How it ended.
    status: Option<ExitStatus>,
}

impl Family {
    /// Ready when no member is left, or when the user asked twice not to wait for that.
    ///
    /// A terminal sends Ctrl-C to the command, too; SIGTERM comes to us alone and is passed on.
    async fn gone(&mut self, signals: &mut Signals) {
        let mut asked = false;
        while self.reap() {
            let again = asked;
            tokio::select! {
                _ = signals.child.recv() => continue,
                _ = signals.interrupt.recv() => asked = true,
                _ = signals.terminate.recv() => {
                    if !asked {
                        self.terminate();
                    }
                    asked = true;
                }
            }
            if again {
                return;
            }
        }
    }

    /// Takes note of all children that ended. False when none is left.
    fn reap(&mut self) -> bool {
        loop {
            let mut status = 0;
            // SAFETY: `status` is valid for writing.
            match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
                0 => return true,
                -1 => return io::Error::last_os_error().kind() == io::ErrorKind::Interrupted,
                pid => {
                    if pid.cast_unsigned() == self.command {
                        self.status = Some(ExitStatus::from_raw(status));
                    }
                }
            }
        }
    }

    fn terminate(&self) {
        if self.status.is_none() {
            // SAFETY: the command has not been waited for, so its id is still its own.
            unsafe { libc::kill(self.command.cast_signed(), libc::SIGTERM) };
        }
    }
}

//! Everything that can end the program before its time: what happened goes in, one line for the user and an exit status
//! come out.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{canary::CanaryLost, kernel::btf::BtfError, spool::SpoolError, status::StatusError};

/// Why the program ends. The text says what is missing, why it is needed and what to do.
#[derive(Debug, Error)]
pub enum Failure {
    /// A system call of our own failed, or something else nobody foresaw.
    #[error("{doing}: {error}")]
    Internal {
        /// What was being done.
        doing: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// Not enough capabilities.
    #[error(
        "missing {missing}, without which the kernel lets nobody load and attach eBPF programs; run as root, or grant \
         CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH (and CAP_SYS_ADMIN where kernel.perf_event_paranoid is above 2)"
    )]
    Privileges {
        /// Names of the capabilities.
        missing: String,
    },
    /// No tracefs, and none to be had.
    #[error(
        "no tracefs at /sys/kernel/tracing, which holds the ids of the tracepoints to attach to, and mounting one privately \
         failed ({0}); run `mount -t tracefs nodev /sys/kernel/tracing` or grant CAP_SYS_ADMIN"
    )]
    Tracefs(io::Error),
    /// No type information about the running kernel.
    #[error(
        "cannot read {path} ({error}), which says where this kernel keeps its fields; use a kernel built with \
         CONFIG_DEBUG_INFO_BTF=y, as all distributions ship since 2021",
        path = crate::kernel::BTF_PATH
    )]
    NoBtf {
        /// How reading failed.
        error: io::Error,
    },
    /// The type information does not fit.
    #[error("this kernel's type information ({path}) is not usable: {0}; please report the kernel version", path = crate::kernel::BTF_PATH)]
    Btf(#[from] BtfError),
    /// The kernel keeps something elsewhere that we cannot do without.
    #[error(
        "{member} is {found} in this kernel, but the programs cannot do without it; please report the kernel version"
    )]
    Layout {
        /// Structure and member.
        member: String,
        /// What is there.
        found: String,
    },
    /// Before Linux 5.15.
    #[error("Linux {0} is too old: the programs use helpers that came with 5.15; use a newer kernel")]
    Kernel(String),
    /// The kernel refused the programs.
    #[error("the kernel refused {doing}: {error}; `--kernel-log debug` and dmesg may say more")]
    Refused {
        /// Loading or attaching what.
        doing: String,
        /// Its words, or the verifier's.
        error: String,
    },
    /// We would be blind.
    #[error(transparent)]
    Canary(#[from] CanaryLost),
    /// A folder for pins that cannot be used.
    #[error(
        "cannot pin programs in {path}: {error}; say --pin with a folder on a BPF file system (mount -t bpf bpf DIR), or \
         --no-pin to run without"
    )]
    Pins {
        /// The folder.
        path: PathBuf,
        /// How it failed.
        error: io::Error,
    },
    /// Only one daemon at a time has the pins.
    #[error(
        "another daemon has the pins in {path}; stop it, or say --no-pin to run beside it (then calls are lost while there \
         is no daemon)"
    )]
    Pinned {
        /// The folder.
        path: PathBuf,
    },
    /// Nobody takes the lines.
    #[error("cannot write to {output}: {error}; nothing that was not written has been released from the ring")]
    Output {
        /// Where the lines were to go.
        output: String,
        /// How it failed.
        error: io::Error,
    },
    /// No place for what has not arrived.
    #[error("{0} (--spool names the folder of all spools)")]
    Spool(#[from] SpoolError),
    /// What was asked for cannot be printed.
    #[error("cannot write to standard output: {0}")]
    Print(io::Error),
    /// `status`: no answer.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// `replay`: no recording.
    #[error(
        "cannot read {input}: {error}; replay reads a file that `--output FILE` of run or exec wrote, or `-`, standard input"
    )]
    Input {
        /// What was to be read.
        input: String,
        /// How it failed.
        error: io::Error,
    },
    /// `replay`: an empty recording.
    #[error("{input} has no lines, so nothing was looked for; was it written by `--output` of run or exec?")]
    NoLines {
        /// What was read.
        input: String,
    },
    /// `replay`: a recording that is not all ours.
    #[error(
        "{bad} of the {lines} lines of {input} could not be read; all others were replayed, but what rests on these was not \
         found"
    )]
    BadLines {
        /// What was read.
        input: String,
        /// How many could not be.
        bad: u64,
        /// Of how many.
        lines: u64,
    },
    /// `replay`: nobody takes the lines.
    #[error("cannot write to {output}: {error}; replay again when it can be written to")]
    Replayed {
        /// Where the lines were to go.
        output: String,
        /// How it failed.
        error: io::Error,
    },
    /// `replay`: somebody did not take all lines in time.
    #[error(
        "to {output} {waiting} lines have not got yet, which are in its spool and go with the next replay or run that has this \
         output and --spool, and {gone} will not ({trouble})"
    )]
    NotArrived {
        /// Where the lines were to go.
        output: String,
        /// How many may still arrive.
        waiting: u64,
        /// How many will not.
        gone: u64,
        /// What is wrong there.
        trouble: String,
    },
    /// `exec`: no such command.
    #[error("cannot run {command}: {error}")]
    Command {
        /// Its name.
        command: String,
        /// How starting it failed.
        error: io::Error,
    },
}

impl Failure {
    /// The exit status of `run`; the README's table lists them.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Internal { .. } | Self::Command { .. } | Self::Status(_) => 1,
            // 2 is also clap's: a command line that cannot be understood.
            Self::Input { .. } | Self::NoLines { .. } | Self::BadLines { .. } => 2,
            Self::Privileges { .. } => 3,
            Self::Tracefs(_) => 4,
            Self::NoBtf { .. } | Self::Btf(_) | Self::Layout { .. } => 5,
            Self::Kernel(_) | Self::Refused { .. } => 6,
            Self::Canary(_) => 7,
            Self::Output { .. } | Self::Spool(_) | Self::Print(_) | Self::Replayed { .. } | Self::NotArrived { .. } => {
                8
            }
            Self::Pins { .. } | Self::Pinned { .. } => 9,
        }
    }

    /// The exit status of `exec`, whose other statuses are the command's: as env(1) and timeout(1).
    #[must_use]
    pub fn exec_status(&self) -> u8 {
        match self {
            Self::Command { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            Self::Command { .. } => 126,
            _ => 125,
        }
    }

    /// True if a lower rung may do without what is missing.
    #[must_use]
    pub const fn of_the_rung(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Canary(_) | Self::Tracefs(_) | Self::Layout { .. })
    }

    /// For `map_err` on a system call of our own.
    pub fn internal(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Internal { doing, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_as_under_env() {
        let failed = |kind| Failure::Command { command: "x".into(), error: io::Error::from(kind) };
        assert_eq!(failed(io::ErrorKind::NotFound).exec_status(), 127);
        assert_eq!(failed(io::ErrorKind::PermissionDenied).exec_status(), 126);
        assert_eq!(Failure::Kernel("4.19.0".into()).exec_status(), 125);
    }
}

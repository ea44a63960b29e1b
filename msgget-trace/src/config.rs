//! Command line options go in; settings that need no further checking come out, or an error that says what is wrong.

use std::{path::PathBuf, time::Duration};

use clap::{CommandFactory as _, error::ErrorKind};

use crate::{
    cli::{Cli, Hook, KernelLog, Options},
    enrich::redact::Redactor,
    event::Rung,
    kernel::Choice,
};

/// Which calls are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of this host.
    Host,
    /// Those of the daemon's children and all their descendants.
    Descendants,
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// The end of a file.
    File(PathBuf),
}

/// Where programs and maps are to outlive the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// A folder on a BPF file system, for this alone.
    pub path: PathBuf,
    /// Whether the user named it: then it must do.
    pub wished: bool,
}

/// Checked settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which calls.
    pub scope: Scope,
    /// Whereto.
    pub output: Output,
    /// Bytes of the ring: a power of two, at least [`MIN_RING`].
    pub ring_bytes: u32,
    /// By which hooks.
    pub hook: Choice,
    /// Whether command lines are read.
    pub command_lines: bool,
    /// What of command lines is not to be shown.
    pub redactor: Redactor,
    /// What the kernel program says.
    pub kernel_log: KernelLog,
    /// From one heartbeat record to the next.
    pub heartbeat: Duration,
    /// Where programs are pinned, if they are.
    pub pins: Option<Pins>,
}

/// Smallest ring: 16 pages, some 200 records.
pub const MIN_RING: u32 = 1 << 16;

/// Largest ring: the reader's positions and the edge at an eighth stay far from overflow.
pub const MAX_RING: u32 = 1 << 30;

impl Config {
    /// Checks `options`.
    ///
    /// # Errors
    /// As clap's own: they print the usage and end with status 2.
    pub fn new(options: Options, scope: Scope) -> Result<Self, clap::Error> {
        let Options { output, ring_size, hook, redact, no_cmdline, kernel_log, heartbeat } = options;
        if !ring_size.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&ring_size) {
            return Err(Cli::command().error(
                ErrorKind::ValueValidation,
                format!("--ring-size {ring_size} is not a power of two from {MIN_RING} to {MAX_RING}"),
            ));
        }
        let redactor = Redactor::new(&redact)
            .map_err(|error| Cli::command().error(ErrorKind::ValueValidation, format!("--redact: {error}")))?;
        let output = output.map_or(Output::Stdout, Output::File);
        let hook = match hook {
            Hook::Auto => Choice::Auto,
            Hook::Fexit => Choice::Only(Rung::Fexit),
            Hook::TpBtf => Choice::Only(Rung::TpBtf),
            Hook::Tracepoint => Choice::Only(Rung::Tracepoint),
        };
        let heartbeat = Duration::from_secs(heartbeat.into());
        Ok(Self {
            pins: None,
            heartbeat,
            scope,
            output,
            ring_bytes: ring_size,
            hook,
            command_lines: !no_cmdline,
            redactor,
            kernel_log,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ring_size: u32) -> Result<Config, clap::Error> {
        let (hook, kernel_log) = (Hook::Auto, KernelLog::Off);
        Config::new(
            Options { output: None, ring_size, hook, redact: Vec::new(), no_cmdline: false, kernel_log, heartbeat: 60 },
            Scope::Host,
        )
    }

    #[test]
    fn rings_are_powers_of_two() {
        assert_eq!(check(MIN_RING).map(|config| config.ring_bytes).ok(), Some(MIN_RING));
        for wrong in [0, 4096, MIN_RING + 4096, MAX_RING * 2] {
            let message = check(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains("--ring-size") && message.contains(&wrong.to_string()), "{message}");
        }
    }
}

//! Command line options go in; settings that need no further checking come out, or an error that says what is wrong.

use std::{path::PathBuf, time::Duration};

use clap::{CommandFactory as _, error::ErrorKind};

use crate::{
    cli::{BudgetOptions, Cli, Hook, KernelLog, Options},
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

/// How much a caller may send, in calls a second; 0: as much as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// A process.
    pub process: u32,
    /// All processes with one effective user id in one cgroup.
    pub owner: u32,
    /// Calls that either may be ahead of it.
    pub burst: u32,
}

impl Budgets {
    /// From one call to the next at `rate`, ns, rounded up; 0 for 0.
    #[must_use]
    pub const fn interval_ns(rate: u32) -> u32 {
        if rate == 0 { 0 } else { 1_000_000_000_u32.div_ceil(rate) }
    }
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
    /// How much a caller may send.
    pub budgets: Budgets,
    /// What the kernel program says.
    pub kernel_log: KernelLog,
    /// From one heartbeat record to the next.
    pub heartbeat: Duration,
    /// Where programs are pinned, if they are.
    pub pins: Option<Pins>,
}

/// Highest rate of a budget: an interval of 1,000 ns, so that rounding it changes the rate by a thousandth at most.
pub const MAX_RATE: u32 = 1_000_000;

/// Most calls that may be ahead of a budget.
pub const MAX_BURST: u32 = 1_000_000;

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
        let Options { output, ring_size, hook, redact, no_cmdline, kernel_log, heartbeat, budgets } = options;
        if !ring_size.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&ring_size) {
            return Err(Cli::command().error(
                ErrorKind::ValueValidation,
                format!("--ring-size {ring_size} is not a power of two from {MIN_RING} to {MAX_RING}"),
            ));
        }
        let budgets = Self::budgets(&budgets)?;
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
            budgets,
            kernel_log,
        })
    }

    fn budgets(options: &BudgetOptions) -> Result<Budgets, clap::Error> {
        let BudgetOptions { budget_process, budget_owner, budget_burst, no_budget } = *options;
        if no_budget {
            return Ok(Budgets { process: 0, owner: 0, burst: 0 });
        }
        let wrong = |option: &str, value: u32, least: u32, most: u32, off: &str| {
            let message = format!("{option} {value} is not a number from {least} to {most}{off}");
            Err(Cli::command().error(ErrorKind::ValueValidation, message))
        };
        for (option, rate) in [("--budget-process", budget_process), ("--budget-owner", budget_owner)] {
            if rate > MAX_RATE {
                return wrong(option, rate, 1, MAX_RATE, ", or 0 for none");
            }
        }
        if !(1..=MAX_BURST).contains(&budget_burst) {
            return wrong("--budget-burst", budget_burst, 1, MAX_BURST, "");
        }
        Ok(Budgets { process: budget_process, owner: budget_owner, burst: budget_burst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGETS: BudgetOptions =
        BudgetOptions { budget_process: 25_000, budget_owner: 50_000, budget_burst: 5_000, no_budget: false };

    fn check(ring_size: u32) -> Result<Config, clap::Error> {
        with(ring_size, BUDGETS)
    }

    fn with(ring_size: u32, budgets: BudgetOptions) -> Result<Config, clap::Error> {
        let (hook, kernel_log) = (Hook::Auto, KernelLog::Off);
        Config::new(
            Options {
                output: None,
                ring_size,
                hook,
                redact: Vec::new(),
                no_cmdline: false,
                kernel_log,
                heartbeat: 60,
                budgets,
            },
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

    #[test]
    fn budgets_are_rates_that_can_be_kept() {
        let budgets = |options| with(MIN_RING, options).map(|config| config.budgets);
        let all = budgets(BUDGETS).unwrap();
        assert_eq!(all, Budgets { process: 25_000, owner: 50_000, burst: 5_000 });
        assert_eq!(
            [0, 1, 3, 25_000, MAX_RATE].map(Budgets::interval_ns),
            [0, 1_000_000_000, 333_333_334, 40_000, 1_000]
        );
        let off = Budgets { process: 0, owner: 0, burst: 0 };
        assert_eq!(budgets(BudgetOptions { no_budget: true, ..BUDGETS }).ok(), Some(off));
        let one = budgets(BudgetOptions { budget_process: 0, ..BUDGETS }).unwrap();
        assert_eq!((one.process, one.owner), (0, 50_000));
        for (wrong, option) in [
            (BudgetOptions { budget_process: MAX_RATE + 1, ..BUDGETS }, "--budget-process 1000001"),
            (BudgetOptions { budget_owner: u32::MAX, ..BUDGETS }, "--budget-owner 4294967295"),
            (BudgetOptions { budget_burst: 0, ..BUDGETS }, "--budget-burst 0"),
        ] {
            let message = budgets(wrong).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(option), "{message}");
        }
    }
}

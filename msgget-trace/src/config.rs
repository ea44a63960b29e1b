//! Command line options go in; settings that need no further checking come out, or an error that says what is wrong.

mod output;
pub mod policy;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use output::{Kinds, Output, To};

use clap::{CommandFactory as _, error::ErrorKind};

use crate::{
    cli::{self, BudgetOptions, Cli, Hook, KernelLog, Options},
    encode::{Format, Kind},
    enrich::redact::Redactor,
    event::Rung,
    kernel::Choice,
    policy::Policies,
    spool::{Fsync, Limits},
};

/// Which calls are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of this host.
    Host,
    /// Those of the daemon's children and all their descendants.
    Descendants,
}

/// Where outputs keep what has not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// A folder, in which each output has its own.
    pub path: PathBuf,
    /// How much each may hold.
    pub limits: Limits,
    /// How much of it a loss of power may cost.
    pub fsync: Fsync,
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
    /// Whereto: at least one.
    pub outputs: Vec<Output>,
    /// Of those that have a spool.
    pub spool: SpoolOptions,
    /// Bytes of the ring: a power of two, at least [`MIN_RING`].
    pub ring_bytes: u32,
    /// By which hooks.
    pub hook: Choice,
    /// Whether command lines are read.
    pub command_lines: bool,
    /// What of command lines is not to be shown.
    pub redactor: Redactor,
    /// What is wanted.
    pub policies: Arc<Policies>,
    /// The files that say so, to be read again on SIGHUP.
    pub policy_files: Vec<PathBuf>,
    /// How much a caller may send.
    pub budgets: Budgets,
    /// Whether uses of queues that are not there are told of.
    pub stale_ids: bool,
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

/// Smallest spool: a batch of lines fits in several times.
pub const MIN_SPOOL: u64 = 4 << 20;

/// Largest spool.
pub const MAX_SPOOL: u64 = 1 << 40;

/// Bytes of a segment of a spool, unless it is so small that this would be a large part of it.
const SEGMENT: u64 = 16 << 20;

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
        let Options {
            output,
            policy,
            spool,
            ring_size,
            hook,
            redact,
            no_cmdline,
            kernel_log,
            stale_ids,
            heartbeat,
            budgets,
        } = options;
        let outputs = Self::outputs(&output)?;
        let spool = Self::spool(&spool)?;
        if !ring_size.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&ring_size) {
            return Err(Cli::command().error(
                ErrorKind::ValueValidation,
                format!("--ring-size {ring_size} is not a power of two from {MIN_RING} to {MAX_RING}"),
            ));
        }
        let budgets = Self::budgets(&budgets)?;
        let redactor = Redactor::new(&redact)
            .map_err(|error| Cli::command().error(ErrorKind::ValueValidation, format!("--redact: {error}")))?;
        let policies = policy::load(&policy).map_err(|problems| {
            let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
            Cli::command().error(ErrorKind::ValueValidation, format!("--policy: what is wanted is not clear{lines}"))
        })?;
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
            outputs,
            spool,
            ring_bytes: ring_size,
            hook,
            command_lines: !no_cmdline,
            redactor,
            policies: Arc::new(policies),
            policy_files: policy,
            budgets,
            stale_ids,
            kernel_log,
        })
    }

    /// Checks the options of `replay`: outputs that tell of findings unless they say otherwise, and their spools.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn replay(outputs: &[String], spool: &cli::SpoolOptions) -> Result<(Vec<Output>, SpoolOptions), clap::Error> {
        let mut outputs = Self::outputs(outputs)?;
        for output in &mut outputs {
            if output.only == Kinds::ALL {
                output.only = Kinds::FINDINGS;
            } else if output.only.has(Kind::Health) {
                let message = "replay has no news of itself: leave health out of only=, the recording keeps its own";
                return Err(Cli::command().error(ErrorKind::ValueValidation, message));
            }
        }
        Ok((outputs, Self::spool(spool)?))
    }

    fn outputs(texts: &[String]) -> Result<Vec<Output>, clap::Error> {
        let wrong = |message: String| Cli::command().error(ErrorKind::ValueValidation, message);
        let mut outputs: Vec<Output> = Vec::new();
        for text in texts {
            let output: Output = text.parse().map_err(wrong)?;
            if let Some(same) = outputs.iter().find(|other| other.to.to_string() == output.to.to_string()) {
                return Err(wrong(format!("two outputs lead to {}: their lines would mix", same.to)));
            }
            outputs.push(output);
        }
        if outputs.is_empty() {
            outputs.push(Output { format: Format::Json, only: Kinds::ALL, to: To::Stdout });
        }
        Ok(outputs)
    }

    fn spool(options: &cli::SpoolOptions) -> Result<SpoolOptions, clap::Error> {
        let cli::SpoolOptions { spool, spool_size, spool_age, spool_sync } = options;
        let wrong = |message: String| Cli::command().error(ErrorKind::ValueValidation, message);
        let bytes =
            output::size(spool_size).filter(|bytes| (MIN_SPOOL..=MAX_SPOOL).contains(bytes)).ok_or_else(|| {
                wrong(format!("--spool-size {spool_size} is no number of bytes from 4M to 1024G, such as 500M"))
            })?;
        let fsync = match spool_sync.as_str() {
            "never" => Fsync::Never,
            "always" => Fsync::Always,
            seconds => match seconds.parse() {
                Ok(seconds) if (1..=3600).contains(&seconds) => Fsync::Every(Duration::from_secs(seconds)),
                _ => {
                    return Err(wrong(format!(
                        "--spool-sync {seconds} is neither never, always nor a number of seconds from 1 to 3600"
                    )));
                }
            },
        };
        let limits = Limits { bytes, age: Duration::from_secs(*spool_age), segment_bytes: (bytes / 8).min(SEGMENT) };
        Ok(SpoolOptions { path: spool.clone(), limits, fsync })
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

    fn spool(size: &str, sync: &str) -> cli::SpoolOptions {
        cli::SpoolOptions { spool: "/s".into(), spool_size: size.into(), spool_age: 60, spool_sync: sync.into() }
    }

    #[test]
    fn spools_are_bounded() {
        let check = |size, sync| Config::spool(&spool(size, sync)).map_err(|error| error.to_string());
        let usual = check("1G", "1").unwrap();
        assert_eq!((usual.limits.bytes, usual.limits.segment_bytes), (1 << 30, SEGMENT));
        assert_eq!(usual.fsync, Fsync::Every(Duration::from_secs(1)));
        assert_eq!(
            check("4M", "never").map(|spool| (spool.limits.segment_bytes, spool.fsync)),
            Ok((512 << 10, Fsync::Never))
        );
        assert_eq!(check("4M", "always").map(|spool| spool.fsync), Ok(Fsync::Always));
        for (size, sync, word) in [
            ("1M", "1", "--spool-size 1M"),
            ("2048G", "1", "2048G"),
            ("x", "1", "--spool-size x"),
            ("1G", "0", "--spool-sync 0"),
            ("1G", "often", "often"),
        ] {
            let message = check(size, sync).unwrap_err();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn outputs_do_not_share_a_place() {
        let outputs = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
            Config::outputs(&texts).map(|outputs| outputs.len()).map_err(|error| error.to_string())
        };
        assert_eq!((outputs(&[]), outputs(&["-", "/a", "tcp://h"])), (Ok(1), Ok(3)));
        for same in [["-", "json=-"], ["/a", "/a,only=health"], ["a", "./a"], ["tcp://h:601", "tcp://h"]] {
            assert!(outputs(&same).unwrap_err().contains("two outputs lead to"), "{same:?}");
        }
        assert!(outputs(&["/a,b"]).unwrap_err().contains("/a,b"));
    }

    fn check(ring_size: u32) -> Result<Config, clap::Error> {
        with(ring_size, BUDGETS)
    }

    fn with(ring_size: u32, budgets: BudgetOptions) -> Result<Config, clap::Error> {
        let (hook, kernel_log) = (Hook::Auto, KernelLog::Off);
        Config::new(
            Options {
                output: Vec::new(),
                policy: Vec::new(),
                spool: spool("1G", "1"),
                ring_size,
                hook,
                redact: Vec::new(),
                no_cmdline: false,
                kernel_log,
                stale_ids: false,
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

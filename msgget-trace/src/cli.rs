//! What the user may type; what is made of it stands in [`config`](crate::config).

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{config::Pins, status::SOCKET};

const EXAMPLES: &str = "\
Examples:
  msgget-trace run                               every call on this host, until Ctrl-C
  msgget-trace run | jq 'select(.outcome == \"failed\")'
  msgget-trace run --output /var/log/msgget.ndjson
  msgget-trace status                            of the daemon that runs: hooks, balance
  msgget-trace exec -- ipcmk -Q                  one command and all its descendants
  msgget-trace replay -o table=- calls.ndjson    look for findings in what was recorded
  msgget-trace schema > msgget-trace-json-1.schema.json
  msgget-trace check policies/                   are these policies right?
  msgget-trace exec --output calls.ndjson -- fakeroot make

Exit status of run: 0 stopped by a signal or a closed pipe, 1 internal error, 2 bad usage, 3 privileges missing,
4 no tracefs, 5 no BTF, 6 kernel too old or unwilling, 7 the canary did not come back, 8 output failed.
Exit status of check: 0 all is right, 2 something is not.
Exit status of status: 0 it answered, 1 it did not.
Exit status of replay: 0 all was read, 2 not all of it could be, 8 output failed.
Exit status of exec: the command's, 128+n if signal n killed it; 127 not found, 126 cannot be run, 125 our own failure.";

/// Sees every msgget(2) on this host and prints what the kernel did with it, one JSON object a line.
#[derive(Debug, Parser)]
#[command(name = "msgget-trace", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace every call on this host until SIGINT, SIGTERM or a closed pipe.
    Run {
        /// What every subcommand that traces has.
        #[command(flatten)]
        options: Options,
        /// Where the programs are.
        #[command(flatten)]
        pins: PinOptions,
        /// Answer `msgget-trace status` at this socket; `none`: do not.
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        status_socket: PathBuf,
    },
    /// Ask a running `run` how it is: hooks, whether it is degraded, and the balance of this moment.
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        /// The socket of the daemon to ask.
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Run a command and trace it and all its descendants; end when the last of them does.
    ///
    /// The command's standard output goes to standard error, so that standard output is nothing but JSON; with --output it
    /// stays where it was.
    Exec {
        /// Options before the command.
        #[command(flatten)]
        options: Options,
        /// The command and its arguments.
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Print what is known of every rule: when it matches, what it cannot see, what to do (Markdown).
    Rules,
    /// Say everything that is wrong with policy files, or that nothing is.
    Check {
        /// Files, or folders with files.
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
    },
    /// Look again for findings in what `run` or `exec` wrote in the json format.
    ///
    /// Prints findings only, with the ids that they had or would have had; `only=` of an output says otherwise. Findings that
    /// are in FILE are not read. Lines that cannot be read are reported, the others go on, and the exit status is 2.
    Replay {
        /// Where lines go, as with `run`, but that findings alone are the default; may be given several times:
        /// [FORMAT=]WHERE[,OPTION=VALUE...].
        #[arg(short, long, value_name = "OUTPUT", allow_hyphen_values = true)]
        output: Vec<String>,
        /// Where what has not arrived is kept.
        #[command(flatten)]
        spool: SpoolOptions,
        /// What was written; `-`: standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the JSON Schema (draft 2020-12) that every line of the json format keeps to.
    Schema,
    /// Detach and remove what a daemon that is gone has left pinned; say what is lost by it.
    Unpin {
        /// The folder that was given to `run --pin`.
        #[arg(long, value_name = "DIR")]
        pin: Option<PathBuf>,
    },
}

/// Where programs outlive the daemon.
#[derive(Args, Debug)]
pub struct PinOptions {
    /// Pin programs and ring in the folder DIR of a BPF file system, so that nothing is lost while there is no daemon: the
    /// next one goes on where this one ended. One daemon at a time. [default: /sys/fs/bpf/msgget-trace, if it can be]
    #[arg(long, value_name = "DIR", conflicts_with = "no_pin")]
    pub pin: Option<PathBuf>,
    /// Pin nothing: run beside another daemon, and leave nothing behind whatever happens.
    #[arg(long)]
    pub no_pin: bool,
}

impl PinOptions {
    /// What is to be done.
    #[must_use]
    pub fn pins(self) -> Option<Pins> {
        let Self { pin, no_pin } = self;
        let wished = pin.is_some();
        (!no_pin).then(|| Pins { path: pin.unwrap_or_else(|| DEFAULT_PINS.into()), wished })
    }
}

/// Where distributions mount the BPF file system, and a name of ours.
const DEFAULT_PINS: &str = "/sys/fs/bpf/msgget-trace";

/// Options of every subcommand that traces.
#[derive(Args, Debug)]
pub struct Options {
    /// Where lines go, instead of to standard output; may be given several times: [FORMAT=]WHERE[,OPTION=VALUE...].
    ///
    /// FORMAT is json (Tracee's shape), ecs, ocsf, cef (findings only) or table (for people). WHERE is a file, which is appended to, `-` for standard output, or a syslog receiver:
    /// unix:/dev/log, udp://HOST[:PORT], tcp://HOST[:PORT],
    /// tls://HOST[:PORT][?ca=FILE&name=NAME&certificate=FILE&key=FILE]. OPTIONs: only=calls+controls+uses+findings+health+aggregates
    /// (some of these); of files mode=0640, group=NAME, rotate=BYTES, keep=FILES; of receivers facility=local0.
    /// SIGHUP opens files anew.
    #[arg(short, long, value_name = "OUTPUT", allow_hyphen_values = true)]
    pub output: Vec<String>,
    /// Tell only of what this policy wants: a file, or a folder with files (.yaml, .yml, .json); may be given several times.
    ///
    /// Policies are Tracee's, and what any of them wants is told; docs/POLICY.md has more. All calls are looked at whatever
    /// is wanted. SIGHUP reads the files again.
    #[arg(long, value_name = "FILE|DIR")]
    pub policy: Vec<PathBuf>,
    /// Where what has not arrived is kept.
    #[command(flatten)]
    pub spool: SpoolOptions,
    /// Bytes of the ring between kernel and daemon: a power of two of at least 65536.
    #[arg(long, value_name = "BYTES", default_value_t = msgget_trace_ebpf::RING_BYTES)]
    pub ring_size: u32,
    /// Which hooks to use; auto takes the best that proves to work here, and says which.
    #[arg(long, value_name = "HOOK", value_enum, default_value_t = Hook::Auto)]
    pub hook: Hook,
    /// Replace what PATTERN matches in command lines by [redacted]; may be given several times. A regular expression on
    /// each argument; with a group named `secret` only that group is replaced: '--password=(?<secret>.*)'.
    #[arg(long, value_name = "PATTERN")]
    pub redact: Vec<String>,
    /// Do not read the command lines of callers: no line shows one.
    #[arg(long)]
    pub no_cmdline: bool,
    /// Also tell of msgsnd(2) and msgrcv(2) that fail with EIDRM or EINVAL, as they do on a queue that has been removed: the id
    /// was stale. EINVAL has other causes, too: an id that never was one, a message too long or of a wrong type.
    #[arg(long)]
    pub stale_ids: bool,
    /// Seconds from one heartbeat record to the next; with each, a call of the daemon's own proves that it still sees.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub heartbeat: u32,
    /// How much a caller may send.
    #[command(flatten)]
    pub budgets: BudgetOptions,
    /// Show diagnostics of the kernel program on standard error.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = KernelLog::Off)]
    pub kernel_log: KernelLog,
}

/// Outputs elsewhere, and several of any kind, get their lines by way of a spool on disk each, so that none waits for another.
#[derive(Args, Clone, Debug)]
pub struct SpoolOptions {
    /// Folder of the spools.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/msgget-trace/spool")]
    pub spool: PathBuf,
    /// Bytes that each may hold; past them the oldest lines are dropped, and counted.
    #[arg(long, value_name = "BYTES", default_value = "1G")]
    pub spool_size: String,
    /// Seconds that lines wait there at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub spool_age: u64,
    /// When lines are brought to the disk itself, so that they outlive a loss of power (they outlive the daemon in any case):
    /// never, always (before they count as taken), or at least every so many seconds.
    #[arg(long, value_name = "WHEN", default_value = "1")]
    pub spool_sync: String,
}

/// Past its budget a caller's calls are counted by outcome, in aggregate lines, instead of printed one by one.
#[derive(Args, Clone, Copy, Debug)]
pub struct BudgetOptions {
    /// Calls a second that a process may have printed one by one; 0: as many as it makes.
    #[arg(long, value_name = "RATE", default_value_t = 25_000)]
    pub budget_process: u32,
    /// The same of all processes with one effective user id in one cgroup.
    #[arg(long, value_name = "RATE", default_value_t = 50_000)]
    pub budget_owner: u32,
    /// Calls that either may make at once, after a pause.
    #[arg(long, value_name = "CALLS", default_value_t = 5_000)]
    pub budget_burst: u32,
    /// Print all calls one by one: whoever calls fast enough takes the ring away from the others.
    #[arg(long, conflicts_with_all = ["budget_process", "budget_owner", "budget_burst"])]
    pub no_budget: bool,
}

/// Which hooks, in the user's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// The best that is right on this kernel.
    Auto,
    /// Inside the kernel's msgget: knows what was created or opened, and whose it is.
    Fexit,
    /// Every system call's typed tracepoints: every door, and refused attempts.
    #[value(name = "tp_btf")]
    TpBtf,
    /// The tracepoints of msgget alone: 64-bit calls only.
    Tracepoint,
}

/// How much the kernel program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KernelLog {
    /// Nothing, at no cost: the verifier removes the code.
    Off,
    /// What should not happen, such as colliding slots.
    Warn,
    /// Also calls without their enter.
    Debug,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_output_takes_options_as_any_other() {
        let run = Cli::try_parse_from(["msgget-trace", "run", "-o", "-,only=findings", "--output", "-"]).unwrap();
        let Command::Run { options, .. } = run.command else { panic!("not run") };
        assert_eq!(options.output, ["-,only=findings", "-"]);
        let replay = Cli::try_parse_from(["msgget-trace", "replay", "-o", "-,only=findings", "-"]).unwrap();
        let Command::Replay { output, file, .. } = replay.command else { panic!("not replay") };
        assert_eq!((output, file), (vec!["-,only=findings".to_owned()], "-".into()));
    }
}

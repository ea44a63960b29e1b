//! In: a task named on the command line. Out: that task done: tools installed, binary built or run,
//! lints and tests judged.
//!
//! Everything is installed on demand, by the task that needs it, into rustup, the target folder or
//! the package manager. What is said about it goes to stderr: the stdout of `cargo xtask run` is
//! the daemon's alone.

mod debian;
mod guest;
mod run;
mod setup;
mod summary;
mod test;
mod toolchain;
mod vm;

use std::{
    env,
    ffi::OsStr,
    fs, io, iter,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and checks msgget-trace, and installs what is missing for it")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, PartialEq, Subcommand)]
enum Task {
    /// Install what builds the kernel program and checks the sources; nothing if it is all there
    Setup,
    /// Build the daemon with the kernel program in it
    Build {
        /// With optimisations, as it is shipped
        #[arg(long)]
        release: bool,
    },
    /// Build the daemon for release and become it, through sudo if need be
    Run {
        /// Its arguments; `run` when there are none
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check the formatting, then have clippy read the host side and the kernel program
    Lint,
    /// Run every test; as root also those that load programs into the kernel
    Test {
        /// Virtual machines to repeat the live tests in, for the sake of their kernels
        #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all", value_parser = vm::names())]
        vm: Vec<String>,
        /// Only these files of live tests, there and here
        #[arg(long = "test", value_name = "NAME,...", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// What such a machine runs as its first process
    #[command(hide = true)]
    Guest(guest::Plan),
}

fn main() -> ExitCode {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let done = match Cli::parse().task {
        Task::Setup => setup::everything(workspace).map(|_| ExitCode::SUCCESS),
        Task::Build { release } => run::build(workspace, release).map(|()| ExitCode::SUCCESS),
        Task::Run { arguments } => run::run(workspace, arguments).map(|never| match never {}),
        Task::Lint => lint(workspace).map(|()| ExitCode::SUCCESS),
        Task::Test { vm, only } => test::run(workspace, &vm, &only),
        Task::Guest(plan) => guest::main(&plan).map(|never| match never {}),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn lint(workspace: &Path) -> Result<()> {
    let toolchain = setup::everything(workspace)?;
    succeed(cargo(workspace).args(["fmt", "--all", "--check"]))?;
    // For release too, so that what `cargo xtask test` compiles for the build scripts and macros
    // serves here.
    succeed(
        cargo(workspace)
            .args(["clippy", "--workspace", "--all-targets", "--release", "--locked"])
            .args(["--", "-Dwarnings"]),
    )?;
    let clippy = toolchain.cargo("clippy", env::consts::ARCH);
    succeed(clippy.context("preparing clippy for the kernel program")?.args(["--", "-Dwarnings"]))
}

/// The cargo that runs us, at work in the workspace.
fn cargo(workspace: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace);
    cargo
}

/// Runs a command that must succeed. What it says goes to stderr, and there is nobody to answer its
/// questions.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(io::stderr()).status();
    let status = status.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    let words = iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    bail!("`{}` failed ({status}); what it said is above", words.join(" "))
}

/// Whether we are root: the owner of `/proc/self` is our effective user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command that will run as root, through sudo if we are not; `why` says what for.
fn as_root(program: &OsStr, why: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join("sudo").is_file()) {
        bail!("{} must run as root ({why}), and there is no sudo here: start `cargo xtask` as root", program.display());
    }
    eprintln!("xtask: {} runs through sudo: {why}", program.display());
    let mut sudo = Command::new("sudo");
    sudo.arg("--").arg(program);
    Ok(sudo)
}

#[cfg(test)]
mod tests {
    use super::{Cli, Parser as _, Task};

    fn run(words: &[&str]) -> Option<Task> {
        Cli::try_parse_from([&["xtask"], words].concat()).ok().map(|cli| cli.task)
    }

    #[test]
    fn the_daemons_own_dashes_survive() {
        let arguments = ["exec", "--", "ipcmk", "-Q"].map(String::from).to_vec();
        assert_eq!(run(&["run", "--", "exec", "--", "ipcmk", "-Q"]), Some(Task::Run { arguments }));
        assert_eq!(run(&["run"]), Some(Task::Run { arguments: Vec::new() }));
        assert_eq!(run(&["run", "exec"]), None, "without -- it might be meant for us");
    }
}

//! In: the tests in the first file system of a virtual machine, of which this is the first process.
//! Out: what they print, framed by lines of ours, on the second serial line; then the machine is off.

use std::{
    convert::Infallible,
    fmt::Display,
    fs::{self, File},
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{self, Command, ExitStatus, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    mount::{MountFlags, mount},
    process::{WaitOptions, wait},
    system::{RebootCommand, reboot},
    termios::tcdrain,
};

/// Where the tests are.
pub(crate) const TESTS: &str = "/tests";
/// What the lines of ours begin with.
pub(crate) const MARK: &str = "xtask-guest: ";
/// The first serial line is the kernel's, so that its messages do not break into ours.
const CONSOLE: &str = "/dev/ttyS1";

/// File systems, and where the tests expect them. No tracefs: the daemon is to mount that itself.
const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("debugfs", "/sys/kernel/debug"),
    ("securityfs", "/sys/kernel/security"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// What the kernel's command line says after its `--`.
#[derive(clap::Args, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Tests that each of them runs at a time
    #[arg(long)]
    pub(crate) threads: usize,
    /// Rungs of the ladder to run them on, one after the other
    #[arg(long, value_delimiter = ',')]
    pub(crate) rungs: Vec<String>,
    /// Also tests that no option of this kernel can matter to
    #[arg(long)]
    pub(crate) plain: bool,
    /// Also tests that no kernel can matter to
    #[arg(long)]
    pub(crate) all: bool,
    /// Tests that the options of this kernel cannot matter to
    #[arg(long, value_delimiter = ',')]
    pub(crate) without: Vec<String>,
    /// A file, and what must be in it if this machine is what it should be: `path=text`
    #[arg(long)]
    pub(crate) must: Vec<String>,
}

/// Tests of what is the same on every rung, which a machine runs on its first one only: together
/// with the next ones they take most of the time.
const ONCE: [&str; 7] = ["attacks", "images", "ladder", "place", "scopes", "stale_ids", "who"];
/// The same of what no option of a kernel changes, either: for plain machines.
const PLAIN: [&str; 1] = ["continuity"];
/// The same of what no kernel changes: for one machine.
const ANYWHERE: [&str; 6] = ["btf", "budget", "exec", "findings", "hostile", "replay"];

/// Runs the tests and turns the machine off; comes back only if this is no such machine.
pub(crate) fn main(plan: &Plan) -> Result<Infallible> {
    if process::id() != 1 {
        bail!("this is for the first process of a virtual machine; `cargo xtask test` makes such");
    }
    if let Err(error) = run(plan) {
        // On the kernel's line, for the other may be what is missing.
        eprintln!("{MARK}{error:#}");
    }
    // With panic=-1 on its command line, the kernel ends the machine if even this fails.
    reboot(RebootCommand::PowerOff).context("cannot turn the machine off")?;
    bail!("the machine is still on")
}

fn run(plan: &Plan) -> Result<()> {
    for (kind, folder) in MOUNTS {
        mount(kind, folder, kind, MountFlags::empty(), None).with_context(|| format!("cannot mount {kind}"))?;
    }
    fs::write("/proc/sys/kernel/hostname", "guest").context("cannot set the host name")?;
    let console = File::options().read(true).write(true).open(CONSOLE);
    let console = console.with_context(|| format!("cannot open {CONSOLE}"))?;

    check(plan)?;
    let mut tests = Vec::new();
    for entry in fs::read_dir(TESTS).with_context(|| format!("cannot list {TESTS}"))? {
        tests.push(entry?.path());
    }
    tests.sort();
    for (nth, rung) in plan.rungs.iter().enumerate() {
        for path in &tests {
            let among = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
            let first = nth == 0;
            let fit = !plan.without.iter().any(|name| path.ends_with(name))
                && (first || !among(&ONCE))
                && (first && plan.plain || !among(&PLAIN))
                && (first && plan.all || !among(&ANYWHERE));
            if fit {
                test(path, rung, plan.threads, &console)?;
            }
        }
    }
    say(&console, "done")?;
    // Whatever is still on its way would be lost.
    tcdrain(&console).context("cannot wait for the serial line")
}

/// Whether this is the machine that was asked for; a kernel ignores the options it does not know.
fn check(plan: &Plan) -> Result<()> {
    for must in &plan.must {
        let (path, wanted) = must.split_once('=').unwrap_or((must, ""));
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        if !text.contains(wanted) {
            bail!("{path} says {text:?}, but this machine should have {wanted:?} there");
        }
    }
    Ok(())
}

fn test(path: &Path, rung: &str, threads: usize, console: &File) -> Result<()> {
    let name = path.file_name().unwrap_or_default().display();
    say(console, format_args!("begin {rung} {name}"))?;
    let begun = Instant::now();
    let child = Command::new(path)
        .args(["--color", "never", "--test-threads", &threads.to_string()])
        // The machine is made for the tests: whatever they miss is a fault of it, not a reason to
        // skip.
        .env_clear()
        .envs([
            ("CI", "true"),
            ("HOME", "/root"),
            ("MSGGET_TRACE_HOOK", rung),
            // What the tests multiply their time limits by: an emulated machine is slow.
            ("MSGGET_TRACE_PATIENCE", "4"),
            ("PATH", "/usr/sbin:/usr/bin"),
        ])
        .current_dir("/root")
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {}", path.display()))?;
    let status = await_end(child.id())?;
    let ms = begun.elapsed().as_millis();
    say(console, format_args!("end {rung} {name} {ms} {status}"))
}

/// Waits for the end of one child. Orphans come to the first process, and go by its wait, too.
fn await_end(child: u32) -> Result<ExitStatus> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended.as_raw_nonzero().get().cast_unsigned() == child => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for a test"),
        }
    }
}

fn say(mut console: &File, what: impl Display) -> Result<()> {
    // At once, and on a line of its own whatever a test that died left unfinished.
    let line = format!("\n{MARK}{what}\n");
    console.write_all(line.as_bytes()).context("cannot write to the serial line")
}

//! In: every test of the workspace, and virtual machines to repeat the live ones in. Out: their
//! output as it comes, what was skipped and why, and a last line that counts them.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{cargo, debian, is_root, setup, summary::Summary, toolchain::target_dir, vm};

/// The variable that names the file to which a test that skips itself appends a line `name:
/// reason`.
const SKIPS: &str = "MSGGET_TRACE_SKIPS";

/// What the live tests call msgget(2) with, and send lines to: the Debian package, what it is for,
/// and a shell line that succeeds where it is there.
const COMPANIONS: [(&str, &str, &str); 10] = [
    ("strace", "what a program really called, as an independent witness", "command -v strace"),
    ("util-linux", "ipcmk calls from C, unshare makes the namespaces", "command -v ipcmk && command -v unshare"),
    ("perl", "IPC::Msg, a caller that is an interpreter", "perl -MIPC::Msg -e1"),
    (
        "php-cli",
        "msg_get_queue, an interpreter that web servers run",
        "php -r 'exit((int) !function_exists(\"msg_get_queue\"));'",
    ),
    // By path: a Python that is first in PATH by some version manager does not see Debian's
    // modules.
    ("python3-sysv-ipc", "sysv_ipc, an interpreter through a C module", "/usr/bin/python3 -c 'import sysv_ipc'"),
    ("fakeroot", "faked, a daemon that makes queues as part of its work", "command -v fakeroot"),
    ("stress-ng", "its --msg stressor, a harmless program that looks like an attack", "command -v stress-ng"),
    // By path: a PATH without sbin does not show them.
    ("rsyslog", "rsyslogd, a receiver of syslog that is killed and comes back", "test -x /usr/sbin/rsyslogd"),
    (
        "rsyslog-gnutls",
        "the same over TLS",
        "ls /usr/lib*/rsyslog/lmnsd_gtls.so /usr/lib/*/rsyslog/lmnsd_gtls.so | grep -q .",
    ),
    ("logrotate", "logrotate, which moves files away that are being written", "test -x /usr/sbin/logrotate"),
];

/// Runs the tests, or `only` those; the exit code says whether every one of them did its work well.
pub(crate) fn run(workspace: &Path, machines: &[String], only: &[String]) -> Result<ExitCode> {
    setup::toolchain(workspace)?;
    if is_root() {
        companions()?;
    } else {
        eprintln!("\n*** Not root: the live tests, which load programs into the kernel, SKIP. ***\n");
    }

    let skips = target_dir(workspace).join("skipped-tests");
    match fs::remove_file(&skips) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}, the last run's; remove it", skips.display()));
        }
        _ => {}
    }

    let mut summary = Summary::default();
    let mut tests = cargo_test(workspace, only)
        .env(SKIPS, &skips)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let mut output = io::stdout().lock();
    for line in tests.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
        let mut line = line.context("cannot read what cargo test prints")?;
        summary.read(&String::from_utf8_lossy(&line));
        line.push(b'\n');
        output.write_all(&line).context("cannot write to stdout")?;
    }
    let status = tests.wait().context("cannot wait for cargo test")?;

    if skips.exists() {
        let report = fs::read(&skips).with_context(|| format!("cannot read {}", skips.display()))?;
        summary.read_skips(&String::from_utf8_lossy(&report));
    }
    drop(output);
    if !status.success() && summary.failed == 0 {
        // A binary that does not compile, or dies, prints no result; it is not to pass for zero
        // failures.
        println!("cargo test failed before a test could say so; see above. It counts as one failure.");
        summary.failed = 1;
    }
    if let Err(error) = vm::run(workspace, machines, only, &mut summary) {
        println!("The virtual machines could not do their work, which counts as one failure: {error:#}");
        summary.failed += 1;
    }
    Ok(conclude(&summary))
}

/// The command that builds and runs the tests, or `only` those.
pub(crate) fn cargo_test(workspace: &Path, only: &[String]) -> Command {
    let mut cargo = cargo(workspace);
    // For release: the live tests need the daemon's real speed, and so everything is built once.
    cargo.args(["test", "--workspace", "--release", "--no-fail-fast", "--locked"]);
    cargo.args(only.iter().flat_map(|name| ["--test", name]));
    cargo
}

/// Prints what there is to know besides the tests' own output, the counts last.
fn conclude(summary: &Summary) -> ExitCode {
    for (name, reason) in &summary.skips {
        println!("SKIPPED {name}: {reason}");
    }
    if summary.failed > 0 {
        for panic in &summary.panics {
            println!("FAILED {panic}");
        }
    }
    let strict = env::var_os("CI").is_some_and(|value| value == "true");
    if strict && summary.skipped() > 0 {
        println!("CI=true: a skipped test is a failure of the run.");
    }
    println!("\n{summary}");
    if summary.failed > 0 || (strict && summary.skipped() > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Makes sure of the companions.
fn companions() -> Result<()> {
    let mut absent = Vec::new();
    for (package, purpose, probe) in COMPANIONS {
        let mut shell = Command::new("sh");
        let probe = shell.args(["-c", probe]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().context("cannot start sh")?.success() {
            eprintln!("test: {package} is missing: {purpose}");
            absent.push(package);
        }
    }
    if absent.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install what your distribution has for Debian's {}", absent.join(", "));
    debian::install(&absent, "the live tests call msgget(2) from these, or send to them", &by_hand)
}

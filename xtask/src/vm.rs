//! In: the names of virtual machines. Out: the live tests run in each, under its kernel and on each
//! rung of the ladder, and counted.
//!
//! A guest's first process is this program (see `guest`), its disk an archive in memory (see
//! `image`). Nothing of it needs root on this machine.

mod console;
mod cpio;
mod image;
mod qemu;

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;

use self::{
    console::Console,
    qemu::{Guest, Kernel, Qemu},
};
use crate::{summary::Summary, toolchain::target_dir};

/// A virtual machine to test in.
struct Machine {
    name: &'static str,
    kernel: Kernel,
    /// For the kernel's command line.
    options: &'static str,
    /// A file that shows whether the options took effect, and what must be in it.
    must: Option<&'static str>,
    /// Tests that the options cannot matter to, and that take long.
    without: &'static [&'static str],
    /// Whether it also runs the tests that no kernel can matter to.
    all: bool,
    /// How many tests run at a time.
    threads: usize,
    rungs: &'static [&'static str],
}

const LINUX_6_1: Kernel = Kernel { series: "6.1", package: "linux-image-6.1.0-" };
const LINUX_6_12: Kernel = Kernel { series: "6.12", package: "linux-image-6.12." };

/// The longest first, so that they end together.
const MACHINES: [Machine; 4] = [
    Machine {
        name: "6.1",
        kernel: LINUX_6_1,
        options: "",
        must: None,
        // What takes long is done once on a kernel without options: attacks on 6.12, what it leaves out here.
        without: &["attacks"],
        all: true,
        threads: 2,
        rungs: &["fexit", "tp_btf", "tracepoint"],
    },
    // Any program can lose its CPU to another amid a call, and the two meet in our programs. Not on
    // the lowest rung: the kernel skips its programs while somebody loses the CPU amid bpf(2), which
    // daemons that start and stop all the time call all the time.
    Machine {
        name: "6.1-preempt",
        kernel: LINUX_6_1,
        options: "preempt=full",
        must: Some("/sys/kernel/debug/sched/preempt=(full)"),
        without: &["attacks", "scopes", "stale_ids"],
        all: false,
        threads: 4,
        rungs: &["tp_btf"],
    },
    Machine {
        name: "6.12",
        kernel: LINUX_6_12,
        options: "",
        must: None,
        without: &["collision", "concurrency", "ladder"],
        all: false,
        threads: 2,
        // The middle rung of this kernel is the lockdown machine's.
        rungs: &["fexit", "tracepoint"],
    },
    // Not even root may read kernel memory. tracefs is empty, and with it the lowest rung gone.
    Machine {
        name: "6.12-lockdown",
        kernel: LINUX_6_12,
        options: "lockdown=confidentiality",
        must: Some("/sys/kernel/security/lockdown=[confidentiality]"),
        // Races are decided by counters, which may be read here as anywhere; and attackers are told apart by ids and
        // executables that may not.
        without: &["attacks", "concurrency", "truth"],
        all: false,
        threads: 2,
        rungs: &["fexit", "tp_btf"],
    },
];

/// How many machines run at a time.
const AT_ONCE: usize = 2;
/// How long a machine may take for each rung, and once more for what it runs on the first one only.
const DEADLINE: Duration = Duration::from_secs(400);
/// How much of a log is shown when a guest failed.
const LAST_LINES: usize = 200;

/// What `--vm` takes: `all`, `none`, and names.
pub(crate) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(["all", "none"].into_iter().chain(MACHINES.iter().map(|machine| machine.name)))
}

/// The machines that these words name.
fn wanted(words: &[String]) -> Vec<&'static Machine> {
    let named = |name| words.iter().any(|word| word == name);
    let machines = MACHINES.iter();
    machines.filter(|machine| !named("none") && (named("all") || named(machine.name))).collect()
}

/// Runs the tests in the machines of these names, and counts them.
pub(crate) fn run(workspace: &Path, names: &[String], only: &[String], summary: &mut Summary) -> Result<()> {
    let machines = wanted(names);
    if machines.is_empty() {
        return Ok(());
    }
    if env::consts::ARCH != "x86_64" {
        let reason = "the guests are x86-64 machines, and run what was built for this one";
        let skips = machines.iter().map(|machine| (format!("vm {}", machine.name), reason.to_owned()));
        summary.skips.extend(skips);
        return Ok(());
    }
    let folder = target_dir(workspace).join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let qemu = Qemu::find(&folder)?;
    for machine in &machines {
        machine.kernel.find(&folder)?;
    }
    let initramfs = image::write(workspace, &folder, only)?;

    let queue = Mutex::new(machines.into_iter());
    let work = || -> Result<Vec<_>> {
        let mut done = Vec::new();
        // A lock is only poisoned by a panic, of which there are none.
        while let Some(machine) = queue.lock().ok().and_then(|mut queue| queue.next()) {
            done.push((machine.name, machine.test(&qemu, &folder, &initramfs)?));
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            for (name, machine) in worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))? {
                summary.add(machine, &format!("vm {name}"));
            }
        }
        Ok(())
    })
}

impl Machine {
    /// [`Self::attempt`], and another one if the first kernel did not live to start a test:
    /// emulated processors stumble over code that changes under them, once in many boots.
    fn test(&self, qemu: &Qemu, folder: &Path, initramfs: &Path) -> Result<Summary> {
        if let Some(summary) = self.attempt(qemu, folder, initramfs, false)? {
            return Ok(summary);
        }
        println!("vm {}: it did not come up; once more", self.name);
        Ok(self.attempt(qemu, folder, initramfs, true)?.unwrap_or_default())
    }

    /// Boots the machine, prints a line for each test binary that ended and what it said if it
    /// failed, and counts. `None` if no test began, unless this is the `last` attempt.
    fn attempt(&self, qemu: &Qemu, folder: &Path, initramfs: &Path, last: bool) -> Result<Option<Summary>> {
        let begun = Instant::now();
        let name = self.name;
        let log = folder.join(format!("{name}.log"));
        let kernel_log = folder.join(format!("{name}.kernel.log"));
        let mut log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let (mut console, mut summary) = (Console::default(), Summary::default());
        let guest = Guest { kernel: &self.kernel.find(folder)?, initramfs, command_line: self.command_line() };
        let deadline = DEADLINE * u32::try_from(1 + self.rungs.len())?;
        let trouble = qemu.run(&guest, &kernel_log, deadline, |line| {
            writeln!(log_file, "{}", line.trim_end())?;
            if let Some(run) = console.read(line) {
                let mut text = format!("vm {name}: {}: {} ({:.1} s)\n", run.title, run.summary, run.seconds());
                if run.summary.failed > 0 {
                    for line in &run.lines {
                        writeln!(text, "vm {name}: | {line}")?;
                    }
                }
                // In one go, for another machine prints, too.
                print!("{text}");
                summary.add(run.summary, &run.title);
            }
            Ok(())
        })?;

        let trouble = trouble.or_else(|| (!console.done).then(|| "it ended before its tests did".to_owned()));
        if trouble.is_some() && !console.begun && !last {
            return Ok(None);
        }
        if let Some(trouble) = trouble {
            let amid = console.unfinished().map(|test| format!(", amid {test}"));
            let mut text = format!("vm {name}: FAILED: {trouble}{}\n", amid.unwrap_or_default());
            for log in [&log, &kernel_log] {
                let bytes = fs::read(log).unwrap_or_default();
                let lines: Vec<_> = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
                let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
                writeln!(text, "vm {name}: the last {} lines of {}:", last.len(), log.display())?;
                for line in last {
                    writeln!(text, "vm {name}: | {}", line.trim_end())?;
                }
            }
            print!("{text}");
            summary.failed += 1;
        }
        println!("vm {name}: {summary} in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(Some(summary))
    }

    /// What the kernel is told; after `--`, what it tells its first process.
    fn command_line(&self) -> String {
        let mut line = format!(
            "console=ttyS0 quiet panic=-1 oops=panic {} -- guest --threads {} --rungs {}",
            self.options,
            self.threads,
            self.rungs.join(",")
        );
        if self.options.is_empty() {
            line.push_str(" --plain");
        }
        if self.all {
            line.push_str(" --all");
        }
        if !self.without.is_empty() {
            line.push_str(" --without ");
            line.push_str(&self.without.join(","));
        }
        if let Some(must) = self.must {
            line.push_str(" --must ");
            line.push_str(must);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{MACHINES, wanted};
    use crate::{Cli, Task, guest::Plan};
    use clap::Parser as _;

    fn chosen(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<_> = words.iter().copied().map(String::from).collect();
        wanted(&words).iter().map(|machine| machine.name).collect()
    }

    #[test]
    fn machines_are_chosen_by_name() {
        assert_eq!(chosen(&["all"]).len(), MACHINES.len());
        assert_eq!(chosen(&["6.1-preempt", "6.1"]), ["6.1", "6.1-preempt"]);
        assert!(chosen(&["none"]).is_empty());
    }

    #[test]
    fn a_guest_understands_its_command_line() {
        let line = MACHINES[3].command_line();
        let words = line.split_once(" -- ").unwrap().1.split(' ');
        let Task::Guest(plan) = Cli::parse_from(["/init"].into_iter().chain(words)).task else {
            panic!("not for a guest")
        };
        let must = vec!["/sys/kernel/security/lockdown=[confidentiality]".to_owned()];
        let rungs = MACHINES[3].rungs.iter().map(ToString::to_string).collect();
        let without = ["attacks", "concurrency", "truth"].map(String::from).to_vec();
        assert_eq!(plan, Plan { threads: 2, rungs, plain: false, all: false, without, must });
    }
}

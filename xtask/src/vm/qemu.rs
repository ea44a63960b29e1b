//! In: a kernel, an archive to start from, the guest's command line. Out: what the guest prints, line
//! by line, until it is off or its time is over. QEMU itself is unpacked if this machine has none.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, ErrorKind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::debian;

const QEMU: &str = "qemu-system-x86_64";

/// QEMU, the machine's or our own.
pub(super) struct Qemu {
    program: PathBuf,
    /// Where it was unpacked, if it was.
    root: Option<PathBuf>,
}

impl Qemu {
    /// Finds it, or unpacks Debian's into `folder`.
    ///
    /// Unpacks rather than installs: that takes no root, removes nothing that is in its way (a
    /// newer qemu-utils, for one), and goes with the target folder.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let installed = env::split_paths(&path).map(|folder| folder.join(QEMU));
        if let Some(program) = installed.into_iter().find(|program| program.is_file()) {
            return Ok(Self { program, root: None });
        }
        let root = folder.join("qemu");
        let program = root.join("usr/bin").join(QEMU);
        if !program.is_file() {
            debian::unpack(
                debian::Unpack::WithDependencies("qemu-system-x86"),
                &root,
                "QEMU runs the guests",
                &format!("install a {QEMU}, or leave the guests out: `cargo xtask test --vm none`"),
            )?;
        }
        Ok(Self { program, root: Some(root) })
    }

    /// The command with what it needs to run from where it is.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"].map(|folder| root.join(folder));
            command
                .env("LD_LIBRARY_PATH", env::join_paths(&libraries).unwrap_or_default())
                .env("QEMU_MODULE_DIR", libraries[1].join("qemu"));
            for folder in ["usr/share/qemu", "usr/share/seabios"] {
                command.arg("-L").arg(root.join(folder));
            }
        }
        command
    }

    /// Runs a guest to its end and hands over each line of its second serial line; what its kernel
    /// says on the first goes to `kernel_log`. Returns why it is not well, if it is not.
    pub(super) fn run(
        &self,
        guest: &Guest<'_>,
        kernel_log: &Path,
        deadline: Duration,
        mut line: impl FnMut(&str) -> Result<()>,
    ) -> Result<Option<String>> {
        let mut file = OsString::from("file:");
        file.push(kernel_log);
        let mut child = self
            .command()
            // Emulated: a machine that is virtual itself may offer KVM that does not work. By one
            // thread: with several, QEMU up to 8.0 runs breakpoints that the kernel has already
            // taken out of its code, and the guest dies of them ("Oops: int3").
            .args(["-machine", "pc", "-accel", "tcg,thread=single"])
            // No five-level page tables, which only take time.
            .args(["-cpu", "max,la57=off", "-smp", "2", "-m", "2G"])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-monitor", "none"])
            .arg("-serial")
            .arg(file)
            .args(["-serial", "stdio"])
            .arg("-kernel")
            .arg(guest.kernel)
            .arg("-initrd")
            .arg(guest.initramfs)
            .args(["-append", &guest.command_line])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;

        let (sender, lines) = mpsc::channel();
        let pipe = child.stdout.take();
        thread::spawn(move || {
            let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n'));
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let end = Instant::now() + deadline;
        let in_time = loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => line(&String::from_utf8_lossy(&bytes))?,
                Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
        };
        if !in_time {
            child.kill().context("cannot end QEMU")?;
        }
        let status = child.wait().context("cannot wait for QEMU")?;
        Ok(match in_time {
            false => Some(format!("it had not ended by itself after {} s", deadline.as_secs())),
            true => (!status.success()).then(|| format!("QEMU ended with {status}")),
        })
    }
}

/// What to boot.
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) command_line: String,
}

/// A kernel of Debian's, of the kind for virtual machines: what a first process needs is built in.
#[derive(PartialEq)]
pub(super) struct Kernel {
    pub(super) series: &'static str,
    /// What the names of its packages begin with.
    pub(super) package: &'static str,
}

/// What the names of the packages end with. Unsigned ones are the kernel itself; the others' names
/// come and go with signatures.
const FLAVOUR: &str = "-cloud-amd64-unsigned";

impl Kernel {
    /// Finds the kernel in `folder`, or unpacks the newest of its series there.
    pub(super) fn find(&self, folder: &Path) -> Result<PathBuf> {
        let kernel = folder.join("linux").join(self.series);
        if let Some(image) = image(&kernel.join("boot"))? {
            return Ok(image);
        }
        let by_hand = format!(
            "put a kernel image at {}/boot/vmlinuz-{}, or leave the guests out: `cargo xtask test --vm none`",
            kernel.display(),
            self.series
        );
        let names = debian::names(self.package)?;
        let names = names.iter().filter(|name| name.ends_with(FLAVOUR));
        let Some(newest) = names.max_by_key(|name| numbers(name)) else {
            bail!("apt knows no package {}*{FLAVOUR}.\nBy hand: {by_hand}", self.package);
        };
        let why = format!("the guests with Linux {} boot it", self.series);
        debian::unpack(debian::Unpack::Alone(newest), &kernel, &why, &by_hand)?;
        image(&kernel.join("boot"))?.with_context(|| format!("there is no boot/vmlinuz-* in the package {newest}"))
    }
}

/// The kernel image in a folder, which may be absent.
fn image(folder: &Path) -> Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    let mut paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.find(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz-"))))
}

/// The numbers in a name, in order: they compare as versions do.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn the_newest_kernel_is_not_the_last_by_letters() {
        let names = ["linux-image-6.12.9+deb12-cloud-amd64", "linux-image-6.12.107+deb12-cloud-amd64"];
        assert_eq!(names.into_iter().max_by_key(|name| numbers(name)), Some(names[1]));
    }
}

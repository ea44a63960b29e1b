//! In: the environment cargo hands down and the target folder. Out: the compiler, the LLVM library
//! and the linker that build the kernel program, or the first of them that is missing; and the one
//! cargo command that uses them.
//!
//! Compiled twice, as a module of xtask and (by `#[path]`) of `msgget-trace/build.rs`, so that what
//! the one installs is what the other finds. Hence std only, and nothing here that only one of them
//! needs.

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The version of bpf-linker that is installed and accepted.
pub(crate) const BPF_LINKER: &str = "0.10.4";
/// The LLVM major version of the pinned rustc. That bpf-linker reads the bitcode of this one and no
/// other.
pub(crate) const LLVM_MAJOR: &str = "22";
/// Set to `debian`, this variable makes Debian's rustc build the kernel program even where rustup's
/// could: to try the fallback. Any other value is as good as none.
pub(crate) const RUST_SRC: &str = "MSGGET_TRACE_RUST_SRC";
/// Package, binary target and file name of the kernel program.
pub(crate) const PROGRAM: &str = "msgget-trace-ebpf";
/// What the kernel program is compiled for: the hosts we support are little-endian.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Where cargo puts what it builds, and we put what we install: `CARGO_TARGET_DIR`, else `target`
/// in the workspace.
///
/// A relative `CARGO_TARGET_DIR` hangs on the working directory, which xtask and a build script do
/// not share; it is not followed.
pub(crate) fn target_dir(workspace: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .unwrap_or_else(|| workspace.join("target"))
}

/// Whether [`RUST_SRC`] asks for Debian's compiler.
pub(crate) fn fallback_forced() -> bool {
    env::var_os(RUST_SRC).is_some_and(|value| value == "debian")
}

/// What keeps the kernel program from being built.
#[derive(Debug)]
pub(crate) enum Missing {
    /// No compiler answers to this name.
    Rustc(OsString),
    /// The compiler's LLVM is not the one the linker reads: release, LLVM version.
    Llvm(String, String),
    /// The compiler came without the source of its library: release.
    Source(String),
    /// The compiler's LLVM is not a shared library that the linker could load: release, sysroot.
    LlvmLibrary(String, PathBuf),
    /// The linker is absent, or of another version.
    Linker(PathBuf),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustc(name) => write!(f, "there is no Rust compiler `{}`", name.display()),
            Self::Llvm(release, llvm) => write!(
                f,
                "rustc {release} has LLVM {llvm}, but bpf-linker {BPF_LINKER} reads only what \
                 LLVM {LLVM_MAJOR} wrote"
            ),
            Self::Source(release) => write!(
                f,
                "the library source (rust-src) of rustc {release} is missing: `core` is compiled \
                 from it for the kernel"
            ),
            Self::LlvmLibrary(release, sysroot) => write!(
                f,
                "rustc {release} has no libLLVM.so.{LLVM_MAJOR}* below {}: bpf-linker generates \
                 the code with it",
                sysroot.display()
            ),
            Self::Linker(path) => {
                write!(f, "bpf-linker {BPF_LINKER} is missing at {}: it links the kernel program", path.display())
            }
        }
    }
}

/// A compiler that can build the kernel program.
#[derive(Debug)]
struct Compiler {
    release: String,
    sysroot: PathBuf,
    llvm: PathBuf,
}

impl Compiler {
    /// The active compiler if it can, else Debian's if that can, else why the first of them cannot.
    fn find() -> Result<Self, Missing> {
        let debian = OsString::from("/usr/bin/rustc");
        if fallback_forced() {
            return Self::check(debian);
        }
        let active = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        Self::check(active).or_else(|missing| Self::check(debian).map_err(|_| missing))
    }

    fn check(rustc: OsString) -> Result<Self, Missing> {
        let ask = |arguments: &[&str]| stdout(Command::new(&rustc).args(arguments));
        let (Some(version), Some(sysroot)) = (ask(&["-vV"]), ask(&["--print", "sysroot"])) else {
            return Err(Missing::Rustc(rustc));
        };
        let release = field(&version, "release").to_owned();
        let llvm = field(&version, "LLVM version");
        if llvm.split('.').next() != Some(LLVM_MAJOR) {
            return Err(Missing::Llvm(release, llvm.to_owned()));
        }
        let sysroot = PathBuf::from(sysroot.trim());
        if !sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file() {
            return Err(Missing::Source(release));
        }
        match llvm_library(&sysroot) {
            Some(llvm) => Ok(Self { release, sysroot, llvm }),
            None => Err(Missing::LlvmLibrary(release, sysroot)),
        }
    }
}

/// Everything the kernel program is built with.
#[derive(Debug)]
pub(crate) struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
    workspace: PathBuf,
}

impl Toolchain {
    /// The tools as they are now; nothing is installed.
    pub(crate) fn find(workspace: &Path) -> Result<Self, Missing> {
        let compiler = Compiler::find()?;
        let linker = target_dir(workspace).join("tools/bin/bpf-linker");
        let version = stdout(Command::new(&linker).arg("--version"));
        if version.and_then(|line| Some(line.split_whitespace().nth(1)? == BPF_LINKER)) != Some(true) {
            return Err(Missing::Linker(linker));
        }
        Ok(Self { compiler, linker, workspace: workspace.to_owned() })
    }

    /// A program that came with the compiler, whether it is there or not.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.compiler.sysroot.join("bin").join(name)
    }

    /// `cargo <verb>`, `build` or `clippy`, on the kernel program that is to run under a kernel of
    /// `arch`.
    pub(crate) fn cargo(&self, verb: &str, arch: &str) -> io::Result<Command> {
        let mut command = match verb {
            // By path, because cargo's own choice of clippy may belong to another compiler than the
            // one found.
            "clippy" => Command::new(self.tool("cargo-clippy")),
            _ => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        };
        command
            .current_dir(&self.workspace)
            .args([verb, "--release", "--locked", "--package", PROGRAM, "--bin", PROGRAM])
            .args(["--features", "program", "--target", TARGET, "-Zbuild-std=core"])
            // One folder for every profile and every OUT_DIR of the host side, so that `core` is
            // compiled once; and not the folder of the cargo that may be waiting for us, which
            // holds its lock.
            .arg("--target-dir")
            .arg(self.folder())
            // `-Zbuild-std` is unstable. Allowing it to the pinned stable compiler gives one
            // compiler for both sides and leaves no nightly to drift.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", self.tool("rustc"))
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags(arch))
            .env("LD_LIBRARY_PATH", self.llvm_folder()?)
            // The kernel side does not follow what the host side's release profile wants of strip,
            // LTO and the like: BTF is made of debug information, and LTO is bpf-linker's job.
            .envs([
                ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
                ("CARGO_PROFILE_RELEASE_LTO", "off"),
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
                ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false"),
                ("CARGO_PROFILE_RELEASE_STRIP", "none"),
            ]);
        // Set by the cargo or clippy that runs a build script: the first would check instead of
        // compile, the second makes dependencies that look at it rebuild whenever xtask and a build
        // script take turns.
        command.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("HOST");
        Ok(command)
    }

    /// The target folder of [`Toolchain::cargo`].
    pub(crate) fn folder(&self) -> PathBuf {
        target_dir(&self.workspace).join("ebpf")
    }

    fn rustflags(&self, arch: &str) -> OsString {
        let mut flags = OsString::from(
            // v3 for atomics that return the old value, and 32-bit ones; rustc hands it on to the
            // linker.
            ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3", "-Clinker="].join("\x1f"),
        );
        flags.push(&self.linker);
        flags.push(format!("\x1f--cfg=bpf_target_arch=\"{arch}\""));
        flags
    }

    /// A folder with the compiler's LLVM in it and nothing else.
    ///
    /// bpf-linker loads the first `libLLVM*` of the first library folder that has one; a system
    /// folder may hold several versions.
    fn llvm_folder(&self) -> io::Result<PathBuf> {
        let folder = self.folder().join(format!("llvm-of-{}", self.compiler.release));
        let link = folder.join("libLLVM.so");
        fs::create_dir_all(&folder)?;
        if fs::read_link(&link).ok().as_ref() != Some(&self.compiler.llvm) {
            // Another build script may be doing the same just now; the link it makes is as good as
            // ours.
            for result in [fs::remove_file(&link), symlink(&self.compiler.llvm, &link)] {
                match result.map_err(|error| error.kind()) {
                    Ok(()) | Err(io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {}
                    Err(kind) => return Err(kind.into()),
                }
            }
        }
        Ok(folder)
    }
}

/// The LLVM library of the compiler at `sysroot`: rustup keeps it in `lib`, Debian in the
/// architecture's folder below.
fn llvm_library(sysroot: &Path) -> Option<PathBuf> {
    let multiarch = format!("lib/{}-linux-gnu", env::consts::ARCH);
    let prefix = format!("libLLVM.so.{LLVM_MAJOR}");
    ["lib", &multiarch].into_iter().find_map(|folder| {
        let mut entries = fs::read_dir(sysroot.join(folder)).ok()?.flatten();
        let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))?;
        Some(found.path())
    })
}

/// The value on the line `name: value`, or nothing.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next().unwrap_or_default()
}

/// What a command prints, if it can be run and succeeds.
fn stdout(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn the_version_report_is_read_by_line() {
        let report = "rustc 1.95.0 (59807616e)\nbinary: rustc\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(field(report, "release"), "1.95.0");
        assert_eq!(field(report, "LLVM version"), "22.1.2");
        assert_eq!(field(report, "LLVM"), "", "a name is taken whole");
        assert_eq!(field(report, "host"), "");
    }
}

//! In: the tests and the daemon as cargo built them. Out: an archive with them, with this program to
//! start them, and with the programs and libraries of this machine that they need.
//!
//! The very files that are tested on this machine are tested in the guests: nothing is built again.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::cpio::Archive;
use crate::{guest, test};

/// Tests of the daemon that stay on this machine.
const ELSEWHERE: [(&str, &str); 10] = [
    ("blind", "asks little of the kernel, and takes long"),
    ("corpus", "asks nothing of the kernel"),
    ("lifecycle", "asks little of the kernel, and takes long"),
    ("pace", "needs the speed of a real machine"),
    ("policy", "asks nothing of the kernel"),
    ("programs", "wants interpreters by the dozen, and strace; no kernel matters to it"),
    ("receivers", "wants rsyslog and logrotate; no kernel matters to it"),
    ("resolver", "keeps deadlines of 100 ms, which an emulated machine cannot"),
    ("schema", "asks nothing of the kernel"),
    ("status", "asks little of the kernel, and takes long"),
];

/// The programs that the other tests start, from these folders.
const PROGRAMS: [&str; 15] = [
    "cat", "false", "ipcmk", "ipcrm", "mount", "perl", "sed", "setarch", "setpriv", "sh", "sleep", "touch", "true",
    "umount", "unshare",
];
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/sbin"];

/// Names the files that perl loaded: modules and libraries.
const PERL_FILES: &str = r#"print "$_\n" for values %INC, @DynaLoader::dl_shared_objects"#;

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
const MACHINE_ID: &str = "6d736767657454726163652d67756573\n";

/// Writes the archive, with all tests or `only` those, to a file in `folder`; it serves all machines.
pub(super) fn write(workspace: &Path, folder: &Path, only: &[String]) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for empty in ["/dev", "/proc", "/root", "/run", "/sys"] {
        archive.folder(empty, 0o755);
    }
    archive.folder("/tmp", 0o1777);
    archive.link("/bin", "usr/bin");
    archive.link("/sbin", "usr/sbin");
    archive.folder("/usr/bin", 0o755);
    archive.folder("/usr/sbin", 0o755);
    archive.text("/etc/passwd", PASSWD);
    archive.text("/etc/group", GROUP);
    archive.text("/etc/machine-id", MACHINE_ID);

    // Through /proc, for cargo may just have replaced the file we were started from.
    let own = PathBuf::from(format!("/proc/{}/exe", process::id()));
    let mut copies = vec![(PathBuf::from("/init"), own)];
    let built = Built::ask(workspace, only)?;
    // The tests have the daemon's path compiled in.
    copies.push((built.daemon.clone(), built.daemon));
    for (name, path) in built.tests {
        copies.push((Path::new(guest::TESTS).join(name), path));
    }
    for name in PROGRAMS {
        let mut places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
        let Some(path) = places.find(|path| path.is_file()) else {
            bail!("the tests need {name}, and it is not in {}", FOLDERS.join(" or "));
        };
        copies.push((path.clone(), path));
    }
    let perl = stdout(Command::new("/usr/bin/perl").args(["-MPOSIX", "-e", PERL_FILES]))?;
    copies.extend(perl.lines().map(|path| (path.into(), path.into())));
    for library in libraries(copies.iter().map(|(_, from)| from.as_path()))? {
        copies.push((library.clone(), library));
    }
    // It says where libraries are on systems that have them elsewhere than ld.so would look.
    let cache = Path::new("/etc/ld.so.cache");
    if cache.is_file() {
        copies.push((cache.into(), cache.into()));
    }
    for (path, from) in copies {
        archive.copy(path, from);
    }

    let path = folder.join("initramfs.cpio");
    let writing = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(&path).with_context(writing)?);
    archive.write(&mut file).and_then(|()| Ok(file.flush()?)).with_context(writing)?;
    Ok(path)
}

/// What cargo built.
#[derive(Debug, PartialEq)]
struct Built {
    daemon: PathBuf,
    /// The tests for the guests, by name.
    tests: Vec<(String, PathBuf)>,
}

impl Built {
    fn ask(workspace: &Path, only: &[String]) -> Result<Self> {
        // The same command as before, so that there is nothing left to build.
        let mut cargo = test::cargo_test(workspace, only);
        Self::read(&stdout(cargo.args(["--no-run", "--quiet", "--message-format=json"]))?)
    }

    /// Reads cargo's messages, a JSON object on each line.
    fn read(messages: &str) -> Result<Self> {
        let (mut daemon, mut tests) = (None, Vec::new());
        for line in messages.lines() {
            let message: Value = serde_json::from_str(line).context("cannot read what cargo says")?;
            let Some(path) = message["executable"].as_str().map(PathBuf::from) else {
                continue;
            };
            let name = message["target"]["name"].as_str().unwrap_or_default();
            let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
            let is_test = message["profile"]["test"] == true;
            match kind {
                "bin" if name == "msgget-trace" && !is_test => daemon = Some(path),
                "test" if ELSEWHERE.iter().all(|(stays, _)| *stays != name) => tests.push((name.to_owned(), path)),
                _ => {}
            }
        }
        match daemon {
            Some(daemon) if !tests.is_empty() => Ok(Self { daemon, tests }),
            _ => bail!("cargo names no daemon, or no tests of it, among what it built"),
        }
    }
}

/// The libraries that these files load, and the loader that does it.
fn libraries<'a>(files: impl Iterator<Item = &'a Path>) -> Result<BTreeSet<PathBuf>> {
    let is_elf = |path: &&Path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    let report = stdout(Command::new("ldd").args(files.filter(is_elf)))?;
    let mut libraries = BTreeSet::new();
    // `name => path (address)`, or `path (address)` for the loader.
    for line in report.lines().filter_map(|line| line.strip_prefix('\t')) {
        let place = line.split_once(" => ").map_or(line, |(_, place)| place);
        if place == "not found" {
            bail!("ldd: {line}");
        }
        if place.starts_with('/') {
            libraries.extend(place.split(' ').next().map(PathBuf::from));
        }
    }
    Ok(libraries)
}

/// What a command prints, which must succeed.
fn stdout(command: &mut Command) -> Result<String> {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).take(3).map(OsStr::to_string_lossy).collect();
    let words = words.join(" ");
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start `{words}`"))?;
    if !output.status.success() {
        bail!("`{words} ...` failed ({}); what it said is above", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{words} ...` prints no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::Built;

    fn message(kind: &str, name: &str, test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn daemon_and_tests_are_told_from_the_rest() {
        let messages = [
            message("lib", "msgget_trace", false, "null"),
            message("bin", "msgget-trace", true, r#""/t/unit""#),
            message("bin", "msgget-trace", false, r#""/t/msgget-trace""#),
            message("test", "exec", true, r#""/t/exec-1""#),
            message("test", "programs", true, r#""/t/programs-1""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let built = Built { daemon: "/t/msgget-trace".into(), tests: vec![("exec".to_owned(), "/t/exec-1".into())] };
        assert_eq!(Built::read(&messages.join("\n")).unwrap(), built);
        assert!(Built::read(&messages[..3].join("\n")).is_err(), "nothing to test");
    }
}

//! Programs that call, each a process of its own: a user, an IPC namespace and steps go in; what they say of themselves comes out.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead as _, BufReader, Lines, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use crate::common::sys;

/// Whose service it is.
pub(crate) const ALICE: User = User::Plain(4101);
/// Who would like to have it.
pub(crate) const MALLORY: User = User::Plain(4102);

/// By which ids a program runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum User {
    Root,
    /// With no more rights than this id has.
    Plain(u32),
    /// As one who was given this capability.
    Capable(u32, &'static str),
    /// As a set-user-ID program of root's that this user started.
    Raised(u32),
}

/// The programs, where every user may run them.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("caller.pl"), include_str!("caller.pl")).unwrap();
        fs::write(folder.path().join("racer.pl"), include_str!("racer.pl")).unwrap();
        // By another process: a file that a fork still has open for writing cannot be executed.
        let mut copy = Command::new("sh");
        let perl = folder.path().join("perl");
        assert!(copy.args(["-c", "cat /usr/bin/perl >\"$0\""]).arg(&perl).status().unwrap().success());
        fs::set_permissions(perl, Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same program as another executable.
    pub(crate) fn other(&self) -> PathBuf {
        self.path("perl")
    }
}

/// An IPC namespace that lasts as long as the test: no other gets its number meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Space {
    file: &'static File,
    pub(crate) number: u64,
}

impl Space {
    pub(crate) fn new() -> Self {
        let open = || (File::open("/proc/thread-self/ns/ipc").unwrap(), sys::namespace("ipc"));
        let (file, number) = sys::private_ipc(open);
        Self { file: Box::leak(Box::new(file)), number }
    }

    /// Runs `body` on a thread in it.
    pub(crate) fn inside<T: Send>(self, body: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            // SAFETY: takes and returns integers only.
            sys::ok(unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWIPC) }, "setns");
            body()
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Has `command` run in it.
    pub(crate) fn enter(self, command: &mut Command) {
        let namespace = self.file.as_raw_fd();
        let enter = move || {
            // SAFETY: takes and returns integers only.
            let entered = unsafe { libc::setns(namespace, libc::CLONE_NEWIPC) };
            if entered < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: `setns` is async-signal-safe.
        unsafe { command.pre_exec(enter) };
    }
}

/// A process, by what it knows of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Who {
    /// In its own pid namespace.
    pub(crate) pid: i64,
    pub(crate) pid_namespace: u64,
    pub(crate) ipc_namespace: u64,
    pub(crate) uid: i64,
    pub(crate) euid: i64,
}

/// What a program said until its end.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// It and the processes it forked.
    pub(crate) processes: Vec<Who>,
    /// What its calls returned, in their order.
    pub(crate) results: Vec<i64>,
}

impl Told {
    /// Of one process that made its calls without `caller.pl`, in `space` and our own pid namespace.
    pub(crate) fn by(pid: u32, space: Space, [uid, euid]: [i64; 2]) -> Self {
        let (pid, pid_namespace, ipc_namespace) = (pid.into(), sys::namespace("pid"), space.number);
        Self { processes: vec![Who { pid, pid_namespace, ipc_namespace, uid, euid }], results: Vec::new() }
    }

    pub(crate) fn who(&self) -> &Who {
        &self.processes[0]
    }
}

/// `caller.pl` while it runs.
pub(crate) struct Caller {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    told: Told,
}

/// How to start `caller.pl`.
pub(crate) struct Cast<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) space: Space,
    pub(crate) user: User,
    /// What starts it, unshare(1) for instance; nothing if empty.
    pub(crate) within: &'a [&'a str],
    pub(crate) perl: PathBuf,
}

impl<'a> Cast<'a> {
    pub(crate) fn new(stage: &'a Stage, space: Space, user: User) -> Self {
        Self { stage, space, user, within: &[], perl: "/usr/bin/perl".into() }
    }

    /// The same by another executable.
    pub(crate) fn other(self) -> Self {
        Self { perl: self.stage.other(), ..self }
    }

    pub(crate) fn within(self, within: &'a [&'a str]) -> Self {
        Self { within, ..self }
    }

    /// Starts it, and waits until it runs.
    pub(crate) fn start(&self, steps: &[&str]) -> Caller {
        let mut command = command(self.user, self.within, &self.perl, &self.stage.path("caller.pl"));
        self.space.enter(command.args(steps).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut caller = Caller { child, stdin, lines, told: Told { processes: Vec::new(), results: Vec::new() } };
        caller.until(|told, _| !told.processes.is_empty());
        caller
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, steps: &[&str]) -> Told {
        self.start(steps).end()
    }
}

/// `perl script` as `user`.
pub(crate) fn command(user: User, within: &[&str], perl: &Path, script: &Path) -> Command {
    let plain =
        |id: u32| vec!["setpriv".into(), format!("--reuid={id}"), format!("--regid={id}"), "--clear-groups".to_owned()];
    let ids = match user {
        User::Root => Vec::new(),
        User::Plain(id) => plain(id),
        User::Capable(id, capability) => {
            let given = ["--inh-caps", "--ambient-caps"].map(|set| format!("{set}=+{capability}"));
            plain(id).into_iter().chain(given).collect()
        }
        User::Raised(id) => vec!["setpriv".into(), format!("--ruid={id}"), "--clear-groups".into()],
    };
    let words = within.iter().map(ToString::to_string).chain(ids).chain([perl.to_str().unwrap().to_owned()]);
    let words: Vec<_> = words.collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(script).env("LC_ALL", "C");
    command
}

impl Caller {
    /// Reads what it says up to the line after which `enough` is true, or to its end.
    fn until(&mut self, enough: impl Fn(&Told, &str) -> bool) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let words: Vec<_> = line.split(' ').collect();
            let number = |nth: usize| words[nth].parse::<i64>().unwrap();
            match words[0] {
                "process" => self.told.processes.push(Who {
                    pid: number(1),
                    pid_namespace: number(2).cast_unsigned(),
                    ipc_namespace: number(3).cast_unsigned(),
                    uid: number(4),
                    euid: number(5),
                }),
                "pause" => {}
                _ => self.told.results.push(number(words.len() - 1)),
            }
            if enough(&self.told, words[0]) {
                return;
            }
        }
    }

    /// Waits until it pauses.
    pub(crate) fn paused(mut self) -> Self {
        self.until(|_, word| word == "pause");
        self
    }

    /// Ends its pause.
    pub(crate) fn go(mut self) -> Self {
        self.stdin.write_all(b"go\n").unwrap();
        self
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Told {
        self.until(|_, _| false);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {:?}", self.told);
        self.told
    }
}

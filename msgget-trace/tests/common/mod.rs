//! What the live tests share: starting msgget-trace and waiting for it, and (in the submodules) making calls and reading lines.
#![allow(dead_code, reason = "every test file uses its part of it")]

pub(crate) mod bpf;
pub(crate) mod bpffs;
pub(crate) mod cgroup;
pub(crate) mod int80;
pub(crate) mod line;
pub(crate) mod live;
pub(crate) mod report;
pub(crate) mod seccomp;
pub(crate) mod sys;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tiny;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tracer;
pub(crate) mod unparsed;

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub(crate) use line::Line;
pub(crate) use report::Report;
pub(crate) use sys::Did;

/// How long anything that should happen at once may take on a busy machine, or on an emulated one, which says how much
/// slower it is.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(20) * live::slowness()
}

/// The binary under test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_msgget-trace")
}

/// `msgget-trace` with these arguments, the first of which is the subcommand; on the hooks that are to be tested, beside
/// all others, and without a socket for `status`, which only one daemon can have, unless it is given one.
pub(crate) fn msgget_trace<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    let arguments: Vec<S> = arguments.into_iter().collect();
    let given = arguments.iter().any(|argument| argument.as_ref() == "--status-socket");
    let mut arguments = arguments.iter();
    let subcommand = arguments.next().map(AsRef::as_ref);
    command.args(subcommand);
    if subcommand.is_some_and(|subcommand| subcommand == "run") {
        command.arg("--no-pin");
        if !given {
            command.args(["--status-socket", "none"]);
        }
    }
    if let Some(hook) = std::env::var_os("MSGGET_TRACE_HOOK") {
        command.arg("--hook").arg(hook);
    }
    command.args(arguments);
    command
}

/// `sh -c script` with positional parameters from `$0` on.
pub(crate) fn shell(script: &str, parameters: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).args(parameters);
    command
}

/// Starts `msgget-trace run` with these further arguments and waits until it is ready.
pub(crate) fn run(arguments: &[&str]) -> Program {
    Program::start(&mut msgget_trace(["run"].iter().chain(arguments))).ready()
}

/// Runs it to its end.
pub(crate) fn finish(command: &mut Command) -> Report {
    Program::start(command).wait()
}

/// Traces the host while `calls` runs (in an IPC namespace and a thread of its own), and returns each call beside its line.
pub(crate) fn observe(calls: impl FnOnce() -> Vec<Did> + Send) -> Vec<(Did, Line)> {
    let daemon = run(&[]);
    let did = sys::private_ipc(calls);
    line::pair(&did, &daemon.stop().balanced())
}

/// Runs `body` while another thread calls `msgget` on keys 1 to 10 in turn, ten calls every millisecond: a flood, where the
/// machine is slow, so for tests that run alone. Also returns the
/// id of that thread and the number of its calls.
pub(crate) fn amid_calls<T>(body: impl FnOnce() -> T) -> (T, i32, usize) {
    /// Lets the calls end, also when `body` panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = AtomicBool::new(false);
    let calls = || {
        let mut made = 0;
        while !ended.load(Ordering::Relaxed) {
            let next = sys::clock(libc::CLOCK_MONOTONIC) + 1_000_000;
            (1..=10).for_each(|key| _ = sys::msgget_only(key, 0));
            made += 10;
            sys::sleep_until(next);
        }
        (sys::thread_id(), made)
    };
    thread::scope(|scope| {
        let end = End(&ended);
        let calls = scope.spawn(|| sys::private_ipc(calls));
        let result = body();
        drop(end);
        let (tid, made) = calls.join().unwrap();
        (result, tid, made)
    })
}

/// Ids of the eBPF programs a process holds.
pub(crate) fn loaded_programs(pid: i32) -> Vec<u32> {
    let read =
        |file: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
    let files: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().map(read).collect();
    let ids = files.iter().flat_map(|info| info.lines()).filter_map(|line| line.strip_prefix("prog_id:"));
    ids.map(|id| id.trim().parse().unwrap()).collect()
}

/// Waits until the kernel has freed these programs (it does so a little later).
pub(crate) fn await_unloaded(programs: &[u32]) {
    let deadline = Instant::now() + patience();
    while programs.iter().any(|id| sys::bpf_program_exists(*id)) {
        assert!(Instant::now() < deadline, "of {programs:?} some are still loaded");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running program whose output is collected line by line.
pub(crate) struct Program {
    child: Child,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

impl Program {
    /// Starts it, collecting what it prints; it dies with this test.
    pub(crate) fn start(command: &mut Command) -> Self {
        let (mut program, stdout) = Self::start_unread(command);
        program.stdout = Stream::read(stdout);
        program
    }

    /// As [`Self::start`], but leaves its standard output to the caller.
    pub(crate) fn start_unread(command: &mut Command) -> (Self, std::process::ChildStdout) {
        let mut program = Self::spawn(command.stdout(Stdio::piped()));
        let stdout = program.child.stdout.take().expect("a pipe");
        (program, stdout)
    }

    /// As [`Self::start`], with standard output going elsewhere.
    pub(crate) fn start_writing(command: &mut Command, stdout: Stdio) -> Self {
        Self::spawn(command.stdout(stdout))
    }

    fn spawn(command: &mut Command) -> Self {
        // SAFETY: `prctl` is async-signal-safe.
        unsafe { command.pre_exec(sys::die_with_parent) };
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = Stream::read(child.stderr.take().expect("a pipe"));
        Self { child, stdout: Stream::default(), stderr }
    }

    /// Waits until the daemon says that it is ready.
    pub(crate) fn ready(self) -> Self {
        self.stderr.find(|line| line.starts_with("msgget-trace: ready"));
        self
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: i32) {
        sys::kill(self.pid(), signal);
    }

    /// Its standard input, if it was piped.
    pub(crate) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Ends it by SIGTERM.
    pub(crate) fn stop(self) -> Report {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Report {
        self.wait_for(patience())
    }

    /// Waits for its end, but not for ever.
    pub(crate) fn wait_for(mut self, limit: Duration) -> Report {
        let ended = sys::await_exit(self.pid(), limit);
        if !ended {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        let report = Report { status, stdout: self.stdout.rest(), stderr: self.stderr.rest() };
        assert!(ended, "had not ended after {limit:?}; messages: {:#?}", report.stderr);
        report
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

/// What a program has printed so far.
#[derive(Default)]
pub(crate) struct Stream(Arc<(Mutex<Collected>, Condvar)>);

impl Stream {
    fn read(from: impl Read + Send + 'static) -> Self {
        let stream = Self::default();
        let shared = Arc::clone(&stream.0);
        thread::spawn(move || {
            let (collected, changed) = &*shared;
            for line in BufReader::new(from).split(b'\n') {
                let line = line.map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
                collected.lock().unwrap().lines.extend(line);
                changed.notify_all();
            }
            collected.lock().unwrap().ended = true;
            changed.notify_all();
        });
        stream
    }

    /// Waits for a line like this.
    pub(crate) fn find(&self, wanted: impl Fn(&str) -> bool) -> String {
        let find = |collected: &Collected| collected.lines.iter().find(|line| wanted(line)).cloned();
        let state = self.await_change(|collected| collected.ended || find(collected).is_some());
        find(&state).unwrap_or_else(|| panic!("the awaited line did not come, but: {:#?}", state.lines))
    }

    /// Waits for the end and returns everything.
    fn rest(&self) -> Vec<String> {
        if Arc::strong_count(&self.0) == 1 {
            return std::mem::take(&mut self.0.0.lock().unwrap().lines); // the reader has gone, or never was
        }
        let mut state = self.await_change(|collected| collected.ended);
        assert!(state.ended, "somebody still holds the pipe");
        std::mem::take(&mut state.lines)
    }

    fn await_change(&self, enough: impl Fn(&Collected) -> bool) -> std::sync::MutexGuard<'_, Collected> {
        let (collected, changed) = &*self.0;
        changed.wait_timeout_while(collected.lock().unwrap(), patience(), |state| !enough(state)).unwrap().0
    }
}

/// True for the line of a health record or an aggregate: one without a thread.
pub(crate) fn is_health(raw: &str) -> bool {
    !raw.contains("\"hostThreadId\":")
}

/// The lines of an output but its health records, each checked for its shape.
pub(crate) fn lines_of(output: &str) -> Vec<Line> {
    output.lines().filter(|raw| !is_health(raw)).map(Line::parse).collect()
}

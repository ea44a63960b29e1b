//! Real programs that mean no harm go in; nothing high or critical may come out, and of each program by each rule one story.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use msgget_trace::detect::{RULES, Severity};
use serde_json::Value;

use crate::{
    common::live,
    score::Score,
    seen::{Finding, Seen},
    stage::Space,
};

/// A shell line that succeeds where the program is there, and what is then run in a folder of its own. `$0` is Python.
struct Program {
    name: &'static str,
    probe: &'static str,
    script: &'static str,
}

const PROGRAMS: [Program; 6] = [
    Program {
        name: "fakeroot dpkg-deb --build",
        probe: "command -v fakeroot-sysv && command -v dpkg-deb",
        script: "mkdir -p tiny/DEBIAN tiny/usr/share/tiny
            printf 'Package: tiny\\nVersion: 1\\nArchitecture: all\\nMaintainer: Nobody <nobody@localhost>\\nDescription: tiny\\n' \
                >tiny/DEBIAN/control
            for n in 1 2 3 4 5 6; do echo $n >tiny/usr/share/tiny/$n; done
            fakeroot-sysv sh -c 'chown -R 0:0 tiny && chmod -R go-w tiny && dpkg-deb --build tiny'",
    },
    Program {
        name: "perl IPC::Msg",
        probe: "perl -MIPC::Msg -e1",
        script: "perl -MIPC::Msg -MIPC::SysV=IPC_CREAT,IPC_PRIVATE,ftok -e '
            my $private = IPC::Msg->new(IPC_PRIVATE, 0600) or die;
            for my $nth (1 .. 30) {
                my $queue = IPC::Msg->new(ftok(\".\", $nth), IPC_CREAT | 0600) or die;
                if (!fork) { IPC::Msg->new(ftok(\".\", $nth), 0600)->snd(1, \"word\"); exit }
                $queue->rcv(my $word, 10, 1);
                wait;
                $queue->remove;
            }
            $private->remove'",
    },
    Program {
        name: "php sysvmsg",
        probe: "php -r 'exit((int) !function_exists(\"msg_get_queue\"));'",
        script: "php -r 'for ($key = 1; $key <= 30; $key++) {
                $queue = msg_get_queue($key);
                msg_send($queue, 1, \"word\");
                msg_receive(msg_get_queue($key), 1, $type, 100, $word);
                msg_remove_queue($queue);
            }'",
    },
    Program {
        name: "python sysv_ipc",
        probe: "\"$0\" -c 'import sysv_ipc'",
        script: "\"$0\" -c '
import sysv_ipc
for key in range(1, 31):
    queue = sysv_ipc.MessageQueue(key, sysv_ipc.IPC_CREX)
    sysv_ipc.MessageQueue(key).send(b\"word\")
    queue.receive()
    queue.remove()'",
    },
    Program {
        name: "ipcmk and ipcrm",
        probe: "command -v ipcmk && command -v ipcrm",
        script: "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
                id=$(ipcmk -Q) && ipcrm -q \"${id##* }\" || exit
            done",
    },
    Program {
        name: "stress-ng --msg",
        probe: "command -v stress-ng",
        script: "stress-ng --msg 2 --msg-ops 2000 --timeout 5 --quiet --temp-path .",
    },
];

/// Lines of a recording at most: one program makes thousands.
const LINES: usize = 120;

/// What was run, and where.
pub(crate) struct Benign(Vec<(&'static str, Space)>);

impl Benign {
    /// Runs those that are there; panics in CI if one is missing, but in a guest, which has not all of them.
    pub(crate) fn run() -> Self {
        let python = env::var("MSGGET_TRACE_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".into());
        let mut run = Vec::new();
        for Program { name, probe, script } in PROGRAMS {
            let mut shell = Command::new("sh");
            let probe = shell.args(["-c", probe, &python]).stdout(Stdio::null()).stderr(Stdio::null());
            if !probe.status().unwrap().success() {
                if live::slowness() == 1 {
                    live::skipped(name, "is not there or does not work");
                }
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            chown(folder.path(), Some(4101), Some(4101)).unwrap();
            let space = Space::new();
            let mut command = Command::new("setpriv");
            command.args(["--reuid=4101", "--regid=4101", "--clear-groups", "sh", "-c", script, &python]);
            space.enter(command.current_dir(&folder).stdin(Stdio::null()));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{name}: {output:?}");
            run.push((name, space));
        }
        Self(run)
    }

    /// Writes what was seen of each program to a file of its own in `folder`, as tests/corpus has them: the first lines, without command lines, and
    /// with another machine's names.
    pub(crate) fn record(&self, seen: &Seen, folder: &Path) {
        for (name, space) in &self.0 {
            let lines = seen.events(space.number).take(LINES).cloned().zip(1..);
            let text: String = lines.map(|(line, nth)| format!("{}\n", neutral(line, nth))).collect();
            let program = name.split(' ').next().unwrap();
            fs::write(folder.join(format!("{program}.jsonl")), text).unwrap();
        }
    }

    pub(crate) fn judge(&self, seen: &Seen, score: &mut Score) {
        for (name, space) in &self.0 {
            let calls = seen.calls(|line| line["ipcNamespace"] == space.number);
            assert!(calls > 0, "no call of {name} was seen on {}", seen.hook);
            let found: Vec<_> = seen.findings().filter(|finding| finding.0["ipcNamespace"] == space.number).collect();
            let all = || found.iter().map(|finding| format!("\n    {}", finding.shown())).collect::<String>();
            for rule in RULES {
                let bad = |finding: &Finding<'_>| finding.severity() >= Severity::High as u64;
                let wrong = found.iter().filter(|finding| finding.rule() == rule.name).any(bad);
                score.count(rule.name, false, wrong, || {
                    format!("{name} on {}: {} is wrong:{}", seen.hook, rule.name, all())
                });
            }
            score
                .wrong
                .extend(stories(&found).into_iter().map(|wrong| format!("{name} on {}: {wrong}:{}", seen.hook, all())));
            println!("{name} on {}: {calls} calls, {} findings", seen.hook, found.len());
        }
    }
}

/// `line` of another machine, the `nth` that it told.
fn neutral(mut line: Value, nth: u64) -> Value {
    line["sequence"] = nth.into();
    for (name, value) in [
        ("hostName", "corpus"),
        ("hostId", "00000000000000000000000000000000"),
        ("bootId", "00000000-0000-4000-8000-000000000000"),
        ("parentExecutable", "/usr/bin/dash"),
    ] {
        if !line[name].is_null() {
            line[name] = value.into();
        }
    }
    let executable = line["executable"].as_object_mut().into_iter();
    executable.for_each(|executable| executable.retain(|name, _| name == "path"));
    line.as_object_mut().unwrap().retain(|name, _| !name.starts_with("commandLine"));
    line
}

/// What is wrong with the stories: more than one of a program by a rule, or one told too often.
fn stories(found: &[Finding<'_>]) -> Vec<String> {
    let mut by_program: BTreeMap<_, Vec<Finding<'_>>> = BTreeMap::new();
    for finding in found {
        by_program.entry((finding.0["executable"]["path"].to_string(), finding.rule())).or_default().push(*finding);
    }
    let mut wrong = Vec::new();
    for ((program, rule), findings) in by_program {
        let stories: BTreeSet<_> = findings.iter().map(|finding| finding.0["story"].to_string()).collect();
        let count = findings.iter().filter_map(|finding| finding.0["count"].as_u64()).max().unwrap_or(0);
        let told = findings.len() as u64;
        if stories.len() > 1 {
            wrong.push(format!("{program} has {} stories of {rule}", stories.len()));
        }
        if told > 1 + u64::from(count.max(1).ilog10()) {
            wrong.push(format!("{program} is told of by {rule} {told} times in {count}"));
        }
    }
    wrong
}

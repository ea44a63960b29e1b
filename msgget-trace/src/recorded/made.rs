//! What somebody made: the fields of its line go in, a call, a control or a use comes out, with what was known of whoever made it.

use super::{
    Names, Origin, Recorded, Unreadable,
    field::{self, Clock, need, perhaps, word, wrong},
    line::{Argument, Made},
    shared,
};
use crate::{
    enrich::{
        Place,
        cgroup::{Absent, Answer, CgroupPath},
        container::{self, Container, Runtime},
    },
    event::{
        Abi, BootTime, Call, Caller, Command, Control, Door, Entry, Errno, Event, Ids, Image, ImageId, MsgFlags,
        Operation, Outcome, Queue, Rung, Source, Use,
    },
};

/// A failure's word is the same for every errno.
const FAILED: Outcome = Outcome::Failed(Errno::ENOENT);

/// The line of a `msgget`.
pub(super) fn call(mut line: Made) -> Result<Recorded, Unreadable> {
    use Outcome::{Ambiguous, Created, NotExecuted, Opened, Unpaired};
    let shape = Shape::of(&line, &[Created, Opened, FAILED, Ambiguous, Unpaired, NotExecuted])?;
    let caller = caller(&mut line, shape.clock)?;
    let call = Call {
        id: field::call_id("id", &line.id)?,
        caller,
        key: argument(&line.args, "key")?,
        flags: MsgFlags(argument(&line.args, "msgflg")?),
        result: line.return_value,
        outcome: shape.outcome,
        source: shape.source,
        positions: None,
        rivals: None,
        linearised: perhaps("linearisedTimestamp", line.linearised_timestamp, |field, at| shape.clock.boot(field, at))?,
        queue: line.queue.as_ref().map(queue).transpose()?,
        door: door(&line)?,
        witness: false,
        entered: shape.entered,
        left: shape.left,
    };
    told(line, Event::Call(call))
}

/// The line of a `msgctl`, or of a queue that ended with its namespace.
pub(super) fn control(mut line: Made) -> Result<Recorded, Unreadable> {
    use Outcome::{Changed, NotExecuted, Removed, Unpaired};
    let shape = Shape::of(&line, &[Removed, Changed, FAILED, Unpaired, NotExecuted])?;
    let caller = caller(&mut line, shape.clock)?;
    let commands = [Command::Remove, Command::Change];
    let name = need("cmdName", line.cmd_name.take())?;
    let control = Control {
        id: field::call_id("id", &line.id)?,
        caller,
        msqid: argument(&line.args, "msqid")?,
        cmd: argument(&line.args, "cmd")?,
        command: word("cmdName", &name, &commands, Command::name, "IPC_RMID or IPC_SET")?,
        result: line.return_value,
        outcome: shape.outcome,
        source: shape.source,
        linearised: perhaps("linearisedTimestamp", line.linearised_timestamp, |field, at| shape.clock.boot(field, at))?,
        queue: line.queue.as_ref().map(queue).transpose()?,
        key: perhaps("keyHex", line.key_hex.take(), field::key)?,
        door: if line.namespace_teardown { None } else { Some(door(&line)?) },
        entered: shape.entered,
        left: shape.left,
    };
    told(line, Event::Control(control))
}

/// The line of a `msgsnd` or `msgrcv`.
pub(super) fn used(operation: Operation, mut line: Made) -> Result<Recorded, Unreadable> {
    let shape = Shape::of(&line, &[FAILED])?;
    let caller = caller(&mut line, shape.clock)?;
    let errno = Errno::from_result(line.return_value);
    let used = Use {
        id: field::call_id("id", &line.id)?,
        caller,
        operation,
        msqid: argument(&line.args, "msqid")?,
        msgsz: argument(&line.args, "msgsz")?,
        msgtyp: perhaps("msgtyp", value(&line.args, "msgtyp"), number)?,
        msgflg: argument(&line.args, "msgflg")?,
        errno: need("returnValue", errno)?,
        source: shape.source,
        door: door(&line)?,
        left: shape.left,
    };
    told(line, Event::Use(used))
}

/// What all have and mean alike.
struct Shape {
    clock: Clock,
    outcome: Outcome,
    source: Option<Source>,
    entered: Option<BootTime>,
    left: BootTime,
}

impl Shape {
    fn of(line: &Made, outcomes: &[Outcome]) -> Result<Self, Unreadable> {
        let clock = Clock::new(line.timestamp, line.boot_timestamp)?;
        let outcome = match word("outcome", &line.outcome, outcomes, Outcome::name, "an outcome of such a call")? {
            Outcome::Failed(_) => Outcome::Failed(Errno::from_result(line.return_value).ok_or_else(|| {
                wrong("returnValue", &line.return_value.to_string(), "the negative errno of what failed")
            })?),
            outcome => outcome,
        };
        let sources = [Source::Kernel, Source::Flags, Source::Counters, Source::IpcStat];
        let source = |field, text: &str| word(field, text, &sources, Source::name, "one of the sources of an outcome");
        Ok(Self {
            clock,
            outcome,
            source: perhaps("outcomeSource", line.outcome_source.as_deref(), source)?,
            // The line's own moment is that of its entry, where that was seen.
            entered: line.duration_ns.map(|_| BootTime(line.boot_timestamp)),
            left: clock.boot("exitTimestamp", line.exit_timestamp)?,
        })
    }
}

/// `event`, with what its line says besides.
fn told(line: Made, event: Event) -> Result<Recorded, Unreadable> {
    let origin = Origin {
        rung: rung(&line.hook)?,
        offset: Clock::new(line.timestamp, line.boot_timestamp)?.offset,
        moved: line.clock_moved_ns,
        host_id: line.host_id,
        boot_id: line.boot_id,
    };
    let cgroup = cgroup(line.cgroup_path, line.cgroup_path_cut, line.cgroup_path_absent.as_deref())?;
    let cgroup = need("cgroupPath", cgroup)?;
    let names = Names {
        user: perhaps("userName", line.user_name, field::bytes)?,
        effective_user: perhaps("effectiveUserName", line.effective_user_name, field::bytes)?,
        group: perhaps("groupName", line.group_name, field::bytes)?,
        effective_group: perhaps("effectiveGroupName", line.effective_group_name, field::bytes)?,
        place: Place {
            container: if line.container_id.is_empty() {
                None
            } else {
                let runtime = need("containerRuntime", line.container_runtime)?;
                Some(
                    container(
                        line.container_id,
                        &runtime,
                        line.kubernetes.pod_uid,
                        line.outermost_container_id,
                        &cgroup,
                    )?
                    .into(),
                )
            },
            cgroup,
        },
    };
    Ok(Recorded::Event { event, names, origin })
}

/// The hooks in use.
pub(super) fn rung(text: &str) -> Result<Rung, Unreadable> {
    word("hook", text, &Rung::ALL, Rung::name, "fexit, tp_btf or tracepoint")
}

/// Path of a cgroup, or why there is none; `None` if a line says neither.
pub(super) fn cgroup(path: Option<String>, cut: bool, absent: Option<&str>) -> Result<Option<Answer>, Unreadable> {
    use Absent::{Gone, NotMounted, OnlyV1, Outside, Postponed, TooDeep, TooMany, Unreadable};
    if let Some(path) = path {
        let bytes = field::bytes("cgroupPath", path)?.into();
        return Ok(Some(Ok(CgroupPath { bytes, whole: !cut })));
    }
    let reasons = [NotMounted, OnlyV1, Unreadable(libc::EIO), Gone, Outside, TooDeep, TooMany, Postponed];
    let absent = perhaps("cgroupPathAbsent", absent, |field, text| {
        word(field, text, &reasons, Absent::name, "a reason why there is no path")
    })?;
    Ok(absent.map(Err))
}

fn container(
    id: String,
    runtime: &str,
    pod_uid: Option<String>,
    outermost_id: Option<String>,
    cgroup: &Answer,
) -> Result<Container, Unreadable> {
    use Runtime::{Containerd, CriO, Docker, Lxc, Nspawn, Podman, Unknown};
    let runtimes = [Docker, Containerd, CriO, Podman, Lxc, Nspawn, Unknown];
    let runtime = word("containerRuntime", runtime, &runtimes, Runtime::name, "one of the runtimes")?;
    // No line says it. Where the path does not lead to the container, another hierarchy did.
    let path = cgroup.as_ref().ok().and_then(|path| Container::from_path(&path.bytes));
    let source = path.filter(|found| found.id == id).map_or(container::Source::Bare, |found| found.source);
    Ok(Container { id, runtime, pod_uid, outermost_id, source })
}

fn argument<T: TryFrom<i128>>(args: &[Argument], name: &'static str) -> Result<T, Unreadable> {
    number(name, need(name, value(args, name))?)
}

fn value(args: &[Argument], name: &str) -> Option<i128> {
    args.iter().find(|argument| argument.name == name).map(|argument| argument.value)
}

fn number<T: TryFrom<i128>>(name: &'static str, value: i128) -> Result<T, Unreadable> {
    T::try_from(value).map_err(|_| wrong(name, &value.to_string(), "a number of the type that stands beside it"))
}

fn queue(line: &super::line::Queue) -> Result<Queue, Unreadable> {
    Ok(Queue {
        uid: line.owner_user_id,
        gid: line.owner_group_id,
        cuid: line.creator_user_id,
        cgid: line.creator_group_id,
        mode: field::octal("mode", &line.mode)?,
        age: line.age_ns,
    })
}

fn door(line: &Made) -> Result<Door, Unreadable> {
    let (abis, entries) = ([Abi::X86_64, Abi::I386, Abi::X32], [Entry::Syscall, Entry::Int80From64, Entry::From32]);
    let abi = need("abi", line.abi.as_deref())?;
    let entry = need("entry", line.entry.as_deref())?;
    Ok(Door {
        abi: word("abi", abi, &abis, Abi::name, "x86_64, i386 or x32")?,
        entry: word("entry", entry, &entries, Entry::name, "syscall, int80_64bit or 32bit")?,
        number: need("syscallNumber", line.syscall_number)?,
        ipc_call: line.ipc_call,
    })
}

fn caller(line: &mut Made, clock: Clock) -> Result<Caller, Unreadable> {
    let moment = |field, wall| clock.boot(field, wall);
    let namespaced = match (line.process_id, line.thread_id, line.parent_process_id) {
        (Some(pid), Some(tid), Some(ppid)) => Some(Ids { pid, tid, ppid }),
        _ => None,
    };
    let process_started = perhaps("processStartTime", line.process_start_time, moment)?;
    let parent_started = perhaps("parentStartTime", line.parent_start_time, moment)?;
    let nodename = perhaps("hostName", line.host_name.take(), field::nodename)?;
    Ok(Caller {
        cpu: line.processor_id,
        host: Ids { pid: line.host_process_id, tid: line.host_thread_id, ppid: line.host_parent_process_id },
        namespaced,
        thread_started: perhaps("threadStartTime", line.thread_start_time, moment)?,
        process_started,
        parent_started,
        uid: line.user_id,
        euid: line.effective_user_id,
        gid: line.group_id,
        egid: line.effective_group_id,
        suid: line.saved_user_id,
        fsuid: line.filesystem_user_id,
        capabilities: perhaps("capabilities", line.capabilities.take(), field::hex)?,
        login_uid: line.login_user_id,
        session: line.session_id,
        seccomp: line.seccomp_mode,
        traced: line.traced,
        exec_id: line.exec_id,
        parent_exec_id: line.parent_exec_id,
        image: shared(image(line, process_started)?),
        parent_image: shared(parent_image(line, parent_started)?),
        user_ns: line.user_namespace,
        mnt_ns: line.mount_namespace,
        pid_ns: line.pid_namespace,
        ipc_ns: line.ipc_namespace,
        cgroup_id: line.cgroup_id,
        comm: field::comm("processName", std::mem::take(&mut line.process_name))?,
        nodename,
    })
}

/// What the process runs, if the line says anything of it.
fn image(line: &mut Made, started: Option<BootTime>) -> Result<Option<Image>, Unreadable> {
    let path = field::bytes("executable", std::mem::take(&mut line.executable.path))?;
    let arguments = perhaps("commandLine", line.command_line.take(), |field, arguments| {
        // Each with its NUL, so that an empty last one stays one.
        let mut memory = Vec::new();
        for argument in arguments {
            memory.extend(field::bytes(field, argument)?);
            memory.push(0);
        }
        Ok(memory)
    })?;
    let image = Image {
        id: ImageId { pid: line.host_process_id, started: BootTime(0), exec_id: 0 },
        path: Some(path).filter(|path| !path.is_empty()),
        path_cut: line.executable_path_cut,
        inode: line.executable_inode,
        device: perhaps("executableDevice", line.executable_device.take(), field::device)?,
        arguments,
        arguments_cut: line.command_line_cut,
    };
    let Image { path, path_cut, inode, device, arguments, arguments_cut, .. } = &image;
    let unknown = path.is_none() && inode.is_none() && device.is_none() && arguments.is_none();
    if unknown && !path_cut && !arguments_cut {
        return Ok(None);
    }
    let id =
        ImageId { started: need("processStartTime", started)?, exec_id: need("execId", line.exec_id)?, ..image.id };
    Ok(Some(Image { id, ..image }))
}

/// What its parent runs.
fn parent_image(line: &mut Made, started: Option<BootTime>) -> Result<Option<Image>, Unreadable> {
    let path = perhaps("parentExecutable", line.parent_executable.take(), field::bytes)?;
    let inode = line.parent_executable_inode;
    if path.is_none() && inode.is_none() {
        return Ok(None);
    }
    let started = need("parentStartTime", started)?;
    let exec_id = need("parentExecId", line.parent_exec_id)?;
    Ok(Some(Image {
        id: ImageId { pid: line.host_parent_process_id, started, exec_id },
        path,
        path_cut: false,
        inode,
        device: None,
        arguments: None,
        arguments_cut: false,
    }))
}

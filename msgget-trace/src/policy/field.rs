//! What a filter can ask about: a name goes in, a field comes out; an event goes in, the fact that the field is of it.
//!
//! Names are Tracee's; ours are beside them. What Tracee has and we do not is listed with the reason.

use std::borrow::Cow;

use super::{Subject, events};
use crate::{
    detect::Value,
    enrich::container::Container,
    event::{Caller, Errno, Outcome, before_nul},
};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Uid,
    Euid,
    Gid,
    Egid,
    LoginUid,
    /// Ids in the caller's own pid namespace, as Tracee's.
    Pid,
    Tid,
    Ppid,
    /// Ids in the initial one.
    HostPid,
    HostTid,
    HostPpid,
    MntNs,
    PidNs,
    IpcNs,
    UserNs,
    CgroupId,
    Cpu,
    Comm,
    Executable,
    HostName,
    ContainerId,
    /// 1 in a container, else 0.
    Contained,
    PodUid,
    Syscall,
    Result,
    Outcome,
    Errno,
    Key,
    MsgFlg,
    MsqId,
    Cmd,
    /// A value of a finding.
    Found(Box<str>),
}

/// What its values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number from the first to the last.
    Number(i128, i128),
    /// 32 bits that are shown with a sign, and that may be written without: 0xffffffff is -1.
    Key,
    /// The same with names for bits.
    Flags,
    /// A queue's id or 0, or an errno by its name.
    Result,
    /// A command of msgctl by number or name.
    Command,
    /// Bytes that may be anything.
    Text,
    /// An absolute path.
    Path,
    /// One of a few words.
    Word,
    /// Whatever a finding has.
    Any,
}

const ID: Kind = Kind::Number(0, u32::MAX as i128);
const QUEUE: Kind = Kind::Number(i32::MIN as i128, i32::MAX as i128);
const WIDE: Kind = Kind::Number(0, u64::MAX as i128);

/// By their names in a filter.
const FILTERS: [(&[&str], Field, Kind); 27] = [
    (&["uid", "userId"], Field::Uid, ID),
    (&["euid", "effectiveUserId"], Field::Euid, ID),
    (&["gid", "groupId"], Field::Gid, ID),
    (&["egid", "effectiveGroupId"], Field::Egid, ID),
    (&["loginuid", "loginUserId"], Field::LoginUid, ID),
    (&["pid", "p", "processId"], Field::Pid, ID),
    (&["tid", "threadId"], Field::Tid, ID),
    (&["ppid", "parentProcessId"], Field::Ppid, ID),
    (&["hostPid", "hostProcessId"], Field::HostPid, ID),
    (&["hostTid", "hostThreadId"], Field::HostTid, ID),
    (&["hostPpid", "hostParentProcessId"], Field::HostPpid, ID),
    (&["mntns", "mountNamespace"], Field::MntNs, ID),
    (&["pidns", "pidNamespace"], Field::PidNs, ID),
    (&["ipcns", "ipcNamespace"], Field::IpcNs, ID),
    (&["userns", "userNamespace"], Field::UserNs, ID),
    (&["cgroupId"], Field::CgroupId, WIDE),
    (&["processorId"], Field::Cpu, ID),
    (&["comm", "processName"], Field::Comm, Kind::Text),
    (&["executable", "exec", "binary", "bin"], Field::Executable, Kind::Path),
    (&["hostName"], Field::HostName, Kind::Text),
    (&["containerId", "container"], Field::ContainerId, Kind::Text),
    (&["podUid", "podUID"], Field::PodUid, Kind::Text),
    (&["syscall"], Field::Syscall, Kind::Word),
    (&["retval", "returnValue"], Field::Result, Kind::Result),
    (&["outcome"], Field::Outcome, Kind::Word),
    (&["errno"], Field::Errno, Kind::Word),
    (&["key"], Field::Key, Kind::Key),
];

/// By their names in a scope, where Tracee's `pid` is that of the host.
const SCOPES: [(&[&str], Field, Kind); 11] = [
    (&["uid"], Field::Uid, ID),
    (&["euid"], Field::Euid, ID),
    (&["gid"], Field::Gid, ID),
    (&["pid", "p"], Field::HostPid, ID),
    (&["mntns"], Field::MntNs, ID),
    (&["pidns"], Field::PidNs, ID),
    (&["ipcns"], Field::IpcNs, ID),
    (&["uts"], Field::HostName, Kind::Text),
    (&["comm"], Field::Comm, Kind::Text),
    (&["container"], Field::ContainerId, Kind::Text),
    (&["executable", "exec", "binary", "bin"], Field::Executable, Kind::Path),
];

/// Arguments: of which event, by which name.
const ARGUMENTS: [(&str, &str, Field, Kind); 6] = [
    (events::MSGGET, "key", Field::Key, Kind::Key),
    (events::MSGGET, "msgflg", Field::MsgFlg, Kind::Flags),
    (events::MSGCTL, "msqid", Field::MsqId, QUEUE),
    (events::MSGSND, "msqid", Field::MsqId, QUEUE),
    (events::MSGRCV, "msqid", Field::MsqId, QUEUE),
    (events::MSGCTL, "cmd", Field::Cmd, Kind::Command),
];

/// What Tracee has and msgget-trace does not know, and why or what there is instead.
const ABSENT: [(&str, &str); 11] = [
    ("follow", "descendants are followed by `msgget-trace exec`"),
    ("tree", "descendants are followed by `msgget-trace exec`"),
    ("timestamp", "times are not filtered by"),
    ("containerImage", "images of containers are not known here, only ids: write containerId"),
    ("containerImageDigest", "images of containers are not known here, only ids: write containerId"),
    ("containerName", "names of containers are not known here, only ids: write containerId"),
    ("podName", "of pods only podUid is known here"),
    ("podNamespace", "of pods only podUid is known here"),
    ("podSandbox", "of pods only podUid is known here"),
    ("data.buf", "what IPC_SET points to is not read"),
    ("args.buf", "what IPC_SET points to is not read"),
];

/// The short name of every field, of scopes too.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.into_iter().chain(SCOPES).filter_map(|(names, ..)| names.first().copied())
}

/// Where a name stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where<'a> {
    /// In `spec.scope`.
    Scope,
    /// In the filters of a rule about these events.
    Rule(&'a [&'static str]),
}

impl Field {
    /// The field that is called `name`, and what its values look like; or what is wrong.
    pub(super) fn named(name: &str, place: Where<'_>) -> Result<(Self, Kind), String> {
        if let Some((_, why)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
            return Err(format!("`{name}` is not known to msgget-trace: {why}"));
        }
        let find = |table: &[(&[&str], Self, Kind)]| {
            let found = table.iter().find(|(names, ..)| names.contains(&name));
            found.map(|(_, field, kind)| (field.clone(), *kind))
        };
        let list = |table: &[(&[&str], Self, Kind)]| {
            table.iter().filter_map(|(names, ..)| names.first().copied()).collect::<Vec<_>>().join(", ")
        };
        match place {
            Where::Scope => find(&SCOPES).ok_or_else(|| {
                format!(
                    "there is no scope `{}`; there are global, container, not-container, {}",
                    short(name),
                    list(&SCOPES)
                )
            }),
            Where::Rule(events) => match name.strip_prefix("data.").or_else(|| name.strip_prefix("args.")) {
                Some(argument) => Self::argument(argument, events),
                None => find(&FILTERS).ok_or_else(|| {
                    format!("there is no field `{}`; there are data.NAME, {}", short(name), list(&FILTERS))
                }),
            },
        }
    }

    fn argument(name: &str, events: &[&'static str]) -> Result<(Self, Kind), String> {
        let found = |event: &str| events.contains(&event);
        let finding = events.iter().any(|event| !events::CALLS.contains(event));
        if name == "returnValue" {
            return Ok((Self::Result, Kind::Result));
        }
        for (event, argument, field, kind) in ARGUMENTS {
            // A finding shows those of the call that completed it.
            if argument == name && (found(event) || finding && event == events::MSGGET) {
                return Ok((field, kind));
            }
        }
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            return Err("after `data.` follows the name of an argument, as data.key".to_owned());
        }
        if finding {
            return Ok((Self::Found(name.into()), Kind::Any));
        }
        let mut known: Vec<_> =
            ARGUMENTS.iter().filter(|(event, ..)| found(event)).map(|(_, name, ..)| *name).collect();
        known.dedup();
        Err(format!("{} has no `data.{}`; it has data.{}", events.join(" and "), short(name), known.join(" and data.")))
    }

    /// The words that are values, of a [`Kind::Word`].
    pub(super) fn words(&self) -> Vec<&'static str> {
        use Outcome::{Ambiguous, Changed, Created, Failed, NotExecuted, Opened, Removed, Unpaired};
        match self {
            Self::Outcome => {
                let failed = Failed(Errno::ENOENT);
                [Created, Opened, Removed, Changed, failed, Ambiguous, Unpaired, NotExecuted]
                    .map(Outcome::name)
                    .to_vec()
            }
            Self::Syscall => events::CALLS.to_vec(),
            Self::Errno => Errno::names().collect(),
            _ => Vec::new(),
        }
    }

    /// What it is of a caller in `container`, if that alone decides.
    pub(super) fn of_container<'a>(&self, container: Option<&'a Container>) -> Option<Fact<'a>> {
        match self {
            Self::ContainerId => Some(word(container.map(|container| &*container.id))),
            Self::Contained => Some(Fact::Number(container.is_some().into())),
            _ => None,
        }
    }

    /// What it is of `subject`; of a finding, in the call that completed it.
    pub(super) fn fact<'a>(&self, subject: &Subject<'a>) -> Fact<'a> {
        let caller = subject.caller();
        let container = subject.who.place.container.as_deref();
        match self {
            Self::Uid => number(caller.uid),
            Self::Euid => number(caller.euid),
            Self::Gid => number(caller.gid),
            Self::Egid => number(caller.egid),
            Self::LoginUid => number(caller.login_uid),
            Self::Pid => number(caller.namespaced.map(|ids| ids.pid)),
            Self::Tid => number(caller.namespaced.map(|ids| ids.tid)),
            Self::Ppid => number(caller.namespaced.map(|ids| ids.ppid)),
            Self::HostPid => number(Some(caller.host.pid)),
            Self::HostTid => number(Some(caller.host.tid)),
            Self::HostPpid => number(Some(caller.host.ppid)),
            Self::MntNs => number(caller.mnt_ns),
            Self::PidNs => number(caller.pid_ns),
            Self::IpcNs => number(caller.ipc_ns),
            Self::UserNs => number(caller.user_ns),
            Self::CgroupId => number(Some(caller.cgroup_id)),
            Self::Cpu => number(Some(caller.cpu)),
            Self::Comm => text(Some(before_nul(&caller.comm))),
            Self::Executable => text(executable(caller)),
            Self::HostName => text(caller.nodename.as_ref().map(|name| before_nul(name))),
            Self::ContainerId | Self::Contained => self.of_container(container).unwrap_or(Fact::Absent),
            Self::PodUid => word(container.and_then(|container| container.pod_uid.as_deref())),
            Self::Syscall => word(Some(subject.behind().system_call().unwrap_or(events::MSGCTL))),
            Self::Result => Fact::Number(subject.behind().result().into()),
            Self::Outcome => word(Some(subject.behind().outcome().name())),
            Self::Errno => word(subject.behind().errno().and_then(Errno::name)),
            Self::Key => number(subject.key()),
            Self::MsgFlg => number(subject.call().map(|call| call.flags.0)),
            Self::MsqId => number(subject.msqid()),
            Self::Cmd => number(subject.control().map(|control| control.cmd)),
            Self::Found(name) => found(subject, name),
        }
    }
}

/// What is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact<'a> {
    /// Nobody knows: no condition on it holds, neither one that something is so nor one that it is not.
    Absent,
    Number(i128),
    Text(Cow<'a, [u8]>),
}

fn number(value: Option<impl Into<i128>>) -> Fact<'static> {
    value.map_or(Fact::Absent, |value| Fact::Number(value.into()))
}

fn text(value: Option<&[u8]>) -> Fact<'_> {
    value.map_or(Fact::Absent, |value| Fact::Text(value.into()))
}

/// What is known not to be is an empty text: the container of a process in none.
fn word(value: Option<&str>) -> Fact<'_> {
    text(Some(value.unwrap_or_default().as_bytes()))
}

/// The path of what `caller` runs.
pub(super) fn executable(caller: &Caller) -> Option<&[u8]> {
    caller.image.as_ref().and_then(|image| image.path.as_deref())
}

fn found<'a>(subject: &Subject<'a>, name: &str) -> Fact<'a> {
    let Some(finding) = subject.finding() else { return Fact::Absent };
    let value = finding.values.iter().find(|(known, _)| *known == name);
    value.map_or(Fact::Absent, |(_, value)| match value {
        Value::Int32(value) => number(Some(*value)),
        Value::Uint64(value) => number(Some(*value)),
        Value::Word(word) => Fact::Text(word.as_bytes().into()),
        Value::Call(id) => Fact::Text(id.to_string().into_bytes().into()),
    })
}

/// As much of what was typed as fits into a message.
fn short(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_debug).collect()
}

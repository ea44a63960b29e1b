//! Lines as they are promised: the shape of a call, of a control, of a use and of a finding, and how they are found again.

use std::{collections::BTreeSet, fmt, ops::Index, path::Path};

use serde_json::Value;

use super::{Did, sys};

/// The keys of Tracee's `trace.Event`, in its order.
const TRACEE: [&str; 30] = [
    "timestamp",
    "threadStartTime",
    "processorId",
    "processId",
    "cgroupId",
    "threadId",
    "parentProcessId",
    "hostProcessId",
    "hostThreadId",
    "hostParentProcessId",
    "userId",
    "mountNamespace",
    "pidNamespace",
    "processName",
    "executable",
    "hostName",
    "containerId",
    "container",
    "kubernetes",
    "eventId",
    "eventName",
    "argsNum",
    "returnValue",
    "syscall",
    "stackAddresses",
    "contextFlags",
    "threadEntityId",
    "processEntityId",
    "parentEntityId",
    "args",
];

/// What every call line says after that.
const OURS: [&str; 30] = [
    "schemaVersion",
    "id",
    "sequence",
    "tags",
    "outcome",
    "keyHex",
    "flags",
    "mode",
    "exitTimestamp",
    "abi",
    "entry",
    "syscallNumber",
    "hook",
    "effectiveUserId",
    "groupId",
    "effectiveGroupId",
    "savedUserId",
    "filesystemUserId",
    "capabilities",
    "seccompMode",
    "traced",
    "userNamespace",
    "ipcNamespace",
    "processStartTime",
    "parentStartTime",
    "hostId",
    "bootId",
    "execId",
    "parentExecId",
    "bootTimestamp",
];

/// What a call line says only where there is something to say.
const OPTIONAL: [&str; 15] = [
    "matchedPolicies",
    "clockMovedNs",
    "loginUserId",
    "sessionId",
    "ipcCall",
    "linearisedTimestamp",
    "userName",
    "effectiveUserName",
    "groupName",
    "effectiveGroupName",
    "cgroupPath",
    "cgroupPathCut",
    "cgroupPathAbsent",
    "containerRuntime",
    "outermostContainerId",
];

/// One line of output; shown as it was printed.
#[derive(Clone)]
pub(crate) struct Line {
    raw: String,
    value: Value,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

impl Index<&str> for Line {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.value[key]
    }
}

impl Line {
    /// Parses it and checks that it has the promised shape.
    pub(crate) fn parse(raw: &str) -> Self {
        let value = serde_json::from_str(raw).unwrap_or_else(|error| panic!("{error}: {raw:?}"));
        let line = Self { raw: raw.into(), value };
        line.ordered(&TRACEE);
        if line.is_call() {
            line.call_shape();
        } else if line.is_control() {
            line.control_shape();
        } else if line.is_use() {
            line.use_shape();
        } else {
            line.finding_shape();
        }
        line
    }

    pub(crate) fn is_call(&self) -> bool {
        self["eventName"] == "msgget"
    }

    /// True for what became of a queue.
    pub(crate) fn is_control(&self) -> bool {
        self["eventName"] == "msgctl"
    }

    /// True for a verdict of `rule`.
    pub(crate) fn finds(&self, rule: &str) -> bool {
        self["eventName"] == rule
    }

    /// True for the use of a queue that was not there.
    pub(crate) fn is_use(&self) -> bool {
        self["eventName"] == "msgsnd" || self["eventName"] == "msgrcv"
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    /// An integer of this line; panics if there is none.
    pub(crate) fn int(&self, key: &str) -> i64 {
        self[key].as_i64().unwrap_or_else(|| panic!("no integer {key}: {}", self.raw))
    }

    /// A text of this line; panics if there is none.
    pub(crate) fn text(&self, key: &str) -> &str {
        self[key].as_str().unwrap_or_else(|| panic!("no text {key}: {}", self.raw))
    }

    /// The value of an argument.
    pub(crate) fn arg(&self, name: &str) -> &Value {
        let args = self["args"].as_array().expect("args");
        &args.iter().find(|arg| arg["name"] == name).unwrap_or_else(|| panic!("no argument {name}: {}", self.raw))["value"]
    }

    /// Key, flags and result.
    pub(crate) fn result(&self) -> (i64, i64, i64) {
        (self.arg("key").as_i64().unwrap(), self.arg("msgflg").as_i64().unwrap(), self.int("returnValue"))
    }

    /// What it says of its door: calling convention, entry, number, first argument of ipc(2), whether Tracee calls it compat.
    pub(crate) fn door(&self) -> (&str, &str, i64, Option<i64>, bool) {
        let compat = self["contextFlags"]["isCompat"].as_bool().unwrap();
        (self.text("abi"), self.text("entry"), self.int("syscallNumber"), self["ipcCall"].as_i64(), compat)
    }

    /// Whether a thread of our own pid namespace made it.
    pub(crate) fn by_thread(&self, tid: i32) -> bool {
        self["threadId"] == tid && self["pidNamespace"] == sys::namespace("pid")
    }

    /// Whether a process of our own pid namespace made it.
    pub(crate) fn by_process(&self, pid: u32) -> bool {
        self["processId"] == pid && self["pidNamespace"] == sys::namespace("pid")
    }

    /// Panics unless the keys follow each other in the text like this.
    fn ordered(&self, keys: &[&str]) {
        let mut rest = self.raw.strip_prefix('{').expect("an object");
        for key in keys {
            let quoted = format!("\"{key}\":");
            rest =
                rest.split_once(&quoted).unwrap_or_else(|| panic!("{key} is missing or out of order: {}", self.raw)).1;
        }
    }

    fn call_shape(&self) {
        let outcome = self.text("outcome");
        let paired = self.has("durationNs");
        assert!(paired || self["hook"] == "fexit" || matches!(outcome, "unpaired" | "not_executed"), "{}", self.raw);
        let certain = matches!(outcome, "created" | "opened" | "failed");
        assert!(certain || matches!(outcome, "not_executed" | "unpaired" | "ambiguous"), "{}", self.raw);

        let mut keys: BTreeSet<_> = TRACEE.into_iter().chain(OURS).collect();
        if !Path::new("/etc/machine-id").exists() {
            keys.remove("hostId");
        }
        keys.extend(certain.then_some("outcomeSource"));
        keys.extend((outcome == "failed").then_some("errno"));
        keys.extend(paired.then_some("durationNs"));
        keys.extend(matches!(outcome, "created").then_some("queue"));
        let mut found: BTreeSet<_> = self.value.as_object().unwrap().keys().map(String::as_str).collect();
        // Said only where there is something to say.
        for optional in OPTIONAL {
            found.remove(optional);
        }
        // All of the program, or nothing, as under lockdown=confidentiality; the command line may be unwanted.
        if found.contains("executableInode") {
            keys.extend(["executableInode", "executableDevice"]);
        }
        for optional in
            ["commandLine", "commandLineCut", "executablePathCut", "parentExecutable", "parentExecutableInode"]
        {
            found.remove(optional);
        }
        if outcome == "opened" {
            found.remove("queue");
        }
        assert_eq!(found, keys, "{}", self.raw);

        for (key, value) in [
            ("eventId", "68".into()),
            ("argsNum", 2.into()),
            ("syscall", "msgget".into()),
            ("stackAddresses", Value::Null),
        ] {
            assert_eq!(self[key], value, "{key}: {}", self.raw);
        }
        assert!(self["tags"].as_array().unwrap().contains(&"U".into()), "{}", self.raw);
        for (arg, name) in self["args"].as_array().unwrap().iter().zip(["key", "msgflg"]) {
            assert_eq!((&arg["name"], &arg["type"]), (&name.into(), &"int32".into()), "{}", self.raw);
        }
        let (key, flags, _) = self.result();
        assert_eq!(self.text("keyHex"), format!("{:#010x}", key as u32), "{}", self.raw);
        assert_eq!(self.text("mode"), format!("{:04o}", flags & 0o777), "{}", self.raw);
        let (entered, left) = (self.int("timestamp"), self.int("exitTimestamp"));
        assert_eq!(left - entered, if paired { self.int("durationNs") } else { 0 }, "{}", self.raw);
    }

    fn control_shape(&self) {
        let outcome = self.text("outcome");
        assert!(
            matches!(outcome, "removed" | "changed" | "failed" | "unpaired" | "not_executed"),
            "{outcome}: {}",
            self.raw
        );
        assert_eq!(self.has("outcomeSource"), !matches!(outcome, "unpaired" | "not_executed"), "{}", self.raw);
        assert_eq!(self.has("errno"), outcome == "failed", "{}", self.raw);
        let teardown = self.has("namespaceTeardown");
        assert_eq!(self.text("syscall"), if teardown { "" } else { "msgctl" }, "{}", self.raw);
        for key in ["abi", "entry", "syscallNumber"] {
            assert_eq!(self.has(key), !teardown, "{key}: {}", self.raw);
        }
        let stated = self["outcomeSource"] == "kernel";
        assert_eq!(stated, self["hook"] == "fexit", "{}", self.raw);
        for key in ["queue", "keyHex", "linearisedTimestamp"] {
            assert_eq!(self.has(key), stated, "{key}: {}", self.raw);
        }
        assert!(!teardown || stated, "{}", self.raw);
        for key in ["schemaVersion", "id", "sequence", "tags", "exitTimestamp", "hook", "ipcNamespace"] {
            assert!(self.has(key), "{key} is missing: {}", self.raw);
        }
        assert_eq!((self.text("eventId"), self.int("argsNum")), ("71", 2), "{}", self.raw);
        for (arg, name) in self["args"].as_array().unwrap().iter().zip(["msqid", "cmd"]) {
            assert_eq!((&arg["name"], &arg["type"]), (&name.into(), &"int32".into()), "{}", self.raw);
        }
        let cmd = self.arg("cmd").as_i64().unwrap() & !0x100;
        assert_eq!(self.text("cmdName"), ["IPC_RMID", "IPC_SET"][usize::try_from(cmd).unwrap()], "{}", self.raw);
    }

    fn use_shape(&self) {
        let name = self.text("eventName");
        assert_eq!(self.text("syscall"), name, "{}", self.raw);
        assert_eq!(self.text("eventId"), if name == "msgsnd" { "69" } else { "70" }, "{}", self.raw);
        let args = self["args"].as_array().unwrap();
        let names: Vec<_> =
            args.iter().map(|arg| (arg["name"].as_str().unwrap(), arg["type"].as_str().unwrap())).collect();
        let mut wanted = vec![("msqid", "int32"), ("msgsz", "uint64"), ("msgtyp", "int64"), ("msgflg", "int32")];
        // Of version 0 of ipc(2) it stands in memory.
        let typed = self["hook"] == "fexit" || self["ipcCall"].as_i64().is_none_or(|call| call >> 16 != 0);
        if name == "msgsnd" || !typed {
            wanted.remove(2);
        }
        assert_eq!(names, wanted, "{}", self.raw);
        assert_eq!(self["argsNum"], names.len(), "{}", self.raw);
        let result = if self.text("errno") == "EIDRM" { -libc::EIDRM } else { -libc::EINVAL };
        assert_eq!((self.text("outcome"), self.int("returnValue")), ("failed", result.into()), "{}", self.raw);
        assert_eq!(self.int("timestamp"), self.int("exitTimestamp"), "its entry is not seen: {}", self.raw);
        let answered = self["hook"] == "fexit" || (self["seccompMode"] == 0 && self["traced"] == false);
        assert_eq!(self.has("outcomeSource"), answered, "{}", self.raw);
        for key in ["schemaVersion", "id", "sequence", "abi", "entry", "syscallNumber", "hook", "ipcNamespace"] {
            assert!(self.has(key), "{key} is missing: {}", self.raw);
        }
        // More only where the removal was seen.
        let tags = [serde_json::json!(["U"]), serde_json::json!(["U", "USED_BY_OTHERS"])];
        assert!(tags.contains(&self["tags"]), "{}", self.raw);
    }

    fn finding_shape(&self) {
        assert_eq!(self["returnValue"], 0, "{}", self.raw);
        let given = [
            "metadata",
            "schemaVersion",
            "id",
            "sequence",
            "tags",
            "evidence",
            "confidence",
            "summary",
            "story",
            "count",
        ];
        for key in given {
            assert!(self.has(key), "{key} is missing: {}", self.raw);
        }
        let number = self.text("eventId").parse::<u32>().unwrap() - 6800;
        let properties = &self["metadata"]["Properties"];
        assert_eq!(properties["signatureID"], format!("MSGGET-{number}"), "{}", self.raw);
        assert_eq!(properties["signatureName"], self["eventName"], "{}", self.raw);
        let args = self["args"].as_array().unwrap();
        assert_eq!(args.last().unwrap()["name"], "detectedFrom", "{}", self.raw);
        assert_eq!(self["argsNum"], args.len(), "{}", self.raw);
        // What happens for the first time begins the story.
        assert_eq!(self["story"] == self["id"], self["count"] == 1, "{}", self.raw);
        if self["eventName"] == "check_then_create" {
            self.check_then_create_shape(args);
        }
    }

    fn check_then_create_shape(&self, args: &[Value]) {
        let names: Vec<_> =
            args.iter().map(|arg| (arg["name"].as_str().unwrap(), arg["type"].as_str().unwrap())).collect();
        let wanted = [
            ("key", "int32"),
            ("windowNs", "uint64"),
            ("windowMaxNs", "uint64"),
            ("checkId", "string"),
            ("createId", "string"),
            ("privilege", "string"),
            ("detectedFrom", "unknown"),
        ];
        // The creation's own entry may not have been seen, and its caller may have no more rights than he should.
        let optional = |name: &str| matches!(name, "windowNs" | "privilege");
        let wanted: Vec<_> = wanted.into_iter().filter(|value| names.contains(value) || !optional(value.0)).collect();
        assert_eq!(names, wanted, "{}", self.raw);
    }
}

/// Each call beside its line: per thread the same calls in the same order, none more and none less.
pub(crate) fn pair(did: &[Did], lines: &[Line]) -> Vec<(Did, Line)> {
    let threads: BTreeSet<_> = did.iter().map(|did| did.tid).collect();
    let mut pairs = Vec::with_capacity(did.len());
    for tid in threads {
        let did: Vec<_> = did.iter().filter(|did| did.tid == tid).collect();
        let lines: Vec<_> = lines.iter().filter(|line| line.is_call() && line.by_thread(tid)).collect();
        let results: Vec<_> = lines.iter().map(|line| line.result()).collect();
        assert_eq!(results, did.iter().map(|did| did.result()).collect::<Vec<_>>(), "calls of thread {tid}");
        pairs.extend(did.into_iter().copied().zip(lines.into_iter().cloned()));
    }
    pairs
}

//! What a daemon printed goes in; what it found about a process, and which process that was, comes out.

use std::collections::HashMap;

use serde_json::Value;

use crate::{common::Report, stage::Who};

/// All that one daemon said.
pub(crate) struct Seen {
    /// The hooks by which it saw.
    pub(crate) hook: String,
    lines: Vec<Value>,
    /// Ids on the host of the processes that called, by their own idea of themselves.
    hosts: HashMap<(i64, u64, u64), i64>,
}

impl Seen {
    /// Panics if anything was lost, for then nothing follows from what was not found.
    pub(crate) fn new(report: &Report) -> Self {
        assert!(report.status.success(), "{:#?}", report.stderr);
        let balance = report.balance();
        assert_eq!((balance["lost"], balance["controls_lost"]), (0, 0), "{:#?}", report.stderr);
        let lines: Vec<Value> = report.stdout.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let calls = lines.iter().filter(|line| line["eventName"] == "msgget" || line["eventName"] == "msgctl");
        let hosts = calls.filter_map(|line| {
            let own = (line["processId"].as_i64()?, line["pidNamespace"].as_u64()?, line["ipcNamespace"].as_u64()?);
            Some((own, line["hostProcessId"].as_i64()?))
        });
        Self { hook: report.start()["hook"].as_str().unwrap().to_owned(), hosts: hosts.collect(), lines }
    }

    /// The id on the host of a process that was seen calling.
    pub(crate) fn host(&self, who: &Who) -> Option<i64> {
        self.hosts.get(&(who.pid, who.pid_namespace, who.ipc_namespace)).copied()
    }

    /// What was found about `who`.
    pub(crate) fn about(&self, who: &Who) -> Vec<Finding<'_>> {
        let Some(host) = self.host(who) else { return Vec::new() };
        self.findings()
            .filter(|finding| finding.0["hostProcessId"] == host)
            .filter(|finding| finding.in_ipc(who))
            .collect()
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        self.lines.iter().filter(|line| !line["metadata"].is_null()).map(Finding)
    }

    /// What was seen in an IPC namespace, findings not counted.
    pub(crate) fn events(&self, ipc: u64) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |line| line["ipcNamespace"] == ipc && line["metadata"].is_null())
    }

    /// The calls of processes that `filter` lets through.
    pub(crate) fn calls(&self, filter: impl Fn(&Value) -> bool) -> usize {
        self.lines.iter().filter(|line| line["eventName"] == "msgget" && filter(line)).count()
    }
}

/// A line that is a finding.
#[derive(Clone, Copy)]
pub(crate) struct Finding<'a>(pub(crate) &'a Value);

impl<'a> Finding<'a> {
    pub(crate) fn rule(self) -> &'a str {
        self.0["eventName"].as_str().unwrap()
    }

    /// As a number, which grows with how bad it is.
    pub(crate) fn severity(self) -> u64 {
        self.0["metadata"]["Properties"]["Severity"].as_u64().unwrap()
    }

    pub(crate) fn certainty(self) -> Option<&'a str> {
        self.0["certainty"].as_str()
    }

    pub(crate) fn argument(self, name: &str) -> Option<&'a Value> {
        self.0["args"].as_array()?.iter().find(|argument| argument["name"] == name).map(|argument| &argument["value"])
    }

    pub(crate) fn key(self) -> Option<i64> {
        self.argument("key")?.as_i64()
    }

    /// Whether it names a party in this role, by its id on the host and effective user.
    pub(crate) fn names(self, role: &str, pid: Option<i64>, euid: i64) -> bool {
        let parties = self.0["parties"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |party: &Value| {
            party["role"] == role && party["hostProcessId"].as_i64() == pid && party["effectiveUserId"] == euid
        };
        pid.is_some() && parties.iter().any(named)
    }

    /// As a person would want it in the message of a failed test.
    pub(crate) fn shown(self) -> String {
        let parties = self.0["parties"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parties: Vec<_> = parties
            .iter()
            .map(|party| format!("{} {} ({})", party["role"], party["hostProcessId"], party["effectiveUserId"]))
            .collect();
        format!(
            "{} severity {} {:?} by {} ({}): {} {parties:?}",
            self.rule(),
            self.severity(),
            self.certainty(),
            self.0["hostProcessId"],
            self.0["effectiveUserId"],
            self.0["summary"]
        )
    }

    fn in_ipc(self, who: &Who) -> bool {
        self.0["ipcNamespace"] == who.ipc_namespace
    }
}

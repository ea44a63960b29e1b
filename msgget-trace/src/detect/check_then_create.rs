//! `check_then_create`: a process finds that a key has no queue, then creates one. Calls go in, one finding a pair comes
//! out.
//!
//! Between the two calls anybody may create the queue: without IPC_EXCL the second call then opens a stranger's, with it
//! the call fails. Blind spot: a check by one process and the creation by another.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::{Finding, Rule, RuleInfo, Severity, Tag, Value, Verdict};
use crate::event::{BootTime, Call, CallId, Errno, IPC_PRIVATE, MsgFlags};

static INFO: RuleInfo = RuleInfo {
    event_id: 6803,
    id: "MSGGET-3",
    name: "check_then_create",
    version: "1.0.0",
    description: "A process checked that a key had no message queue and then created one: in between, another process \
                  could have created it",
    cwe: "CWE-367",
};

/// Checks remembered at once: with the oldest forgotten first, under 4 MiB whatever happens.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// A check older than this has been forgotten by the process, too: 60 s, in ns.
const WINDOW: u64 = 60_000_000_000;

/// Who checked what: a process (id and start time), in an IPC namespace, a key.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    pid: u32,
    started: Option<BootTime>,
    ipc_ns: Option<u32>,
    key: i32,
}

#[derive(Debug)]
pub(super) struct CheckThenCreate {
    /// The latest check, and when it returned.
    checks: LruCache<Checked, (CallId, BootTime)>,
}

impl CheckThenCreate {
    pub(super) fn new() -> Self {
        Self { checks: LruCache::new(CAPACITY) }
    }
}

impl Rule for CheckThenCreate {
    fn observe(&mut self, call: &Call, verdict: &mut Verdict) {
        if call.key == IPC_PRIVATE {
            return;
        }
        let caller = &call.caller;
        let checked =
            Checked { pid: caller.host.pid, started: caller.process_started, ipc_ns: caller.ipc_ns, key: call.key };
        if !call.flags.has(MsgFlags::IPC_CREAT) {
            if call.errno() == Some(Errno::ENOENT) {
                self.checks.put(checked, (call.id, call.left));
            } else {
                // The key has a queue by now: whatever is created later does not rest on the old check.
                self.checks.pop(&checked);
            }
            return;
        }
        let Some((check, checked_at)) = self.checks.pop(&checked) else {
            return;
        };
        if call.timestamp().since(checked_at) > WINDOW {
            return;
        }
        verdict.tags.insert(Tag::Toctou);
        let mut values = vec![("key", Value::Int32(call.key))];
        values.extend(call.entered.map(|entered| ("windowNs", Value::Uint64(entered.since(checked_at)))));
        values.push(("windowMaxNs", Value::Uint64(call.left.since(checked_at))));
        values.push(("checkId", Value::Call(check)));
        values.push(("createId", Value::Call(call.id)));
        let lost = call.errno() == Some(Errno::EEXIST);
        verdict.findings.push(Finding {
            rule: &INFO,
            // With IPC_EXCL the race can be lost but not exploited, unless it just was lost.
            severity: if call.flags.has(MsgFlags::IPC_EXCL) && !lost { Severity::Low } else { Severity::Medium },
            call: call.clone(),
            evidence: vec![check, call.id],
            values,
        });
    }
}

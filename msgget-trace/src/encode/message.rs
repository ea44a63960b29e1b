//! What is to be told goes in, a sentence for people comes out. Machines find all that it says in fields of their own.

use std::fmt::{self, Display};

use super::{
    Escaped, Item,
    show::{Key, Octal},
};
use crate::{
    detect::Finding,
    event::{Aggregate, Call, Caller, Control, Errno, News, Outcome, Payer, Use, before_nul},
};

/// The sentence about an item.
pub(super) struct Message<'a>(pub(super) &'a Item<'a>);

impl Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Item::Call { call, .. } => about_call(call, f),
            Item::Control { control, .. } => about_control(control, f),
            Item::Use { used, .. } => about_use(used, f),
            Item::Finding { finding, .. } => about_finding(finding, f),
            Item::Health { health, .. } => about_news(&health.news, f),
            Item::Aggregate { aggregate, .. } => about_aggregate(aggregate, f),
        }
    }
}

/// `perl (pid 1956, uid 1000)`.
struct Who<'a>(&'a Caller);

impl Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caller = self.0;
        write!(f, "{} (pid {}", Escaped(before_nul(&caller.comm)), caller.host.pid)?;
        if let Some(uid) = caller.uid {
            write!(f, ", uid {uid}")?;
        }
        f.write_str(")")
    }
}

fn about_call(call: &Call, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Call { key, flags, result, .. } = *call;
    let (who, key) = (Who(&call.caller), Key(key));
    match call.outcome {
        Outcome::Created => {
            write!(f, "{who} created message queue {result} with key {key} and mode {}", Octal(flags.mode()))
        }
        Outcome::Opened => write!(f, "{who} opened message queue {result} by key {key}"),
        Outcome::Ambiguous => write!(f, "{who} created or opened message queue {result} by key {key}"),
        Outcome::Failed(errno) => write!(f, "{who} got no message queue by key {key}: {errno}"),
        Outcome::NotExecuted => {
            write!(f, "{who} asked for a message queue by key {key}; not the kernel answered: {result}")
        }
        // The other two are not of this call.
        Outcome::Unpaired | Outcome::Removed | Outcome::Changed => match call.errno() {
            Some(errno) => write!(f, "{who} got no message queue by key {key}: {errno}; its entry was not seen"),
            None => write!(f, "{who} got message queue {result} by key {key}; its entry was not seen"),
        },
    }
}

fn about_control(control: &Control, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Control { msqid, result, .. } = *control;
    if control.teardown() {
        return write!(f, "message queue {msqid} ended with its IPC namespace");
    }
    let (who, command) = (Who(&control.caller), control.command.name());
    match control.outcome {
        Outcome::Removed => write!(f, "{who} removed message queue {msqid}"),
        Outcome::Changed => write!(f, "{who} changed message queue {msqid}"),
        Outcome::NotExecuted => {
            write!(f, "{who} asked for {command} of message queue {msqid}; not the kernel answered: {result}")
        }
        _ => match Errno::from_result(result) {
            Some(errno) => write!(f, "{who} failed at {command} of message queue {msqid}: {errno}"),
            None => write!(f, "{who} did {command} of message queue {msqid}; its entry was not seen"),
        },
    }
}

fn about_use(used: &Use, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Use { operation, msqid, errno, .. } = used;
    write!(f, "{} {} message queue {msqid}: {errno}", Who(&used.caller), operation.phrase())
}

fn about_finding(finding: &Finding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}: {} {}", finding.rule.name, Who(finding.event.caller()), finding.summary)
}

fn about_news(news: &News, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match news {
        News::Start { .. } => f.write_str("tracing begins"),
        News::Heartbeat { .. } => f.write_str("tracing goes on"),
        News::ConfigChange { .. } => f.write_str("the options are not those of the former daemon"),
        News::PolicyChange { .. } => f.write_str("other policies are in force"),
        News::PolicyRefused { problems, detail, .. } => {
            write!(f, "the new policies are wrong, the former ones go on; {problems} problems, the first: {detail}")
        }
        News::Loss { reason, count, output: None, .. } => write!(f, "calls were lost: {count}, {}", reason.name()),
        News::Loss { reason, count, output: Some(output), .. } => {
            write!(f, "lines were lost at {output}: {count}, {}", reason.name())
        }
        News::Degraded { reason, detail } => write!(f, "the sensor is degraded, {reason}: {detail}"),
        News::Recovered { reason } => write!(f, "the sensor has recovered, {reason}"),
        News::Stop { reason, .. } => write!(f, "tracing ends: {reason}"),
    }
}

fn about_aggregate(aggregate: &Aggregate, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "calls were counted instead of told one by one: {}", aggregate.counts.total())?;
    let Some(attributed) = &aggregate.attributed else { return f.write_str(", nobody knows any more whose") };
    let comm = Escaped(before_nul(&attributed.comm));
    match attributed.payer {
        Payer::Process { pid, .. } => write!(f, ", of {comm} (pid {pid})"),
        Payer::Owner => match attributed.euid {
            Some(euid) => write!(f, ", of effective uid {euid} in cgroup {}, {comm} for one", attributed.cgroup_id),
            None => write!(f, ", of cgroup {}, {comm} for one", attributed.cgroup_id),
        },
    }
}

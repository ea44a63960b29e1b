//! What the sensor told by itself: the fields of its line go in, an aggregate or news comes out.

use std::collections::BTreeMap;

use super::{
    Origin, Recorded, Unreadable,
    field::{self, Clock, need, perhaps, word, wrong},
    line::Own,
    made::{cgroup, rung},
};
use crate::event::{Aggregate, Attributed, BootTime, Counts, Health, LossReason, News, Payer};

/// The line of the event `name`.
pub(super) fn own(name: &str, line: Own) -> Result<Recorded, Unreadable> {
    let clock = Clock::new(line.timestamp, line.boot_timestamp)?;
    let at = BootTime(line.boot_timestamp);
    match name {
        "aggregate" => aggregate(line, clock),
        "loss" => Ok(Recorded::Loss(Health { at, news: loss(line, clock)? })),
        "start" => {
            let origin = origin(&line, clock)?;
            let run = field::call_id("id", &need("id", line.id)?)?.ring;
            Ok(Recorded::Start { at, run, machine: line.machine_name, kernel: line.kernel_release, origin })
        }
        "heartbeat" | "config_change" | "policy_change" | "policy_refused" | "degraded" | "recovered" | "stop" => {
            Ok(Recorded::News { at })
        }
        _ => Err(wrong("eventName", name, "a kind of line that this version knows")),
    }
}

fn origin(line: &Own, clock: Clock) -> Result<Origin, Unreadable> {
    Ok(Origin {
        host_id: line.host_id.clone(),
        boot_id: line.boot_id.clone(),
        rung: rung(&line.hook)?,
        offset: clock.offset,
        moved: line.clock_moved_ns,
    })
}

fn loss(line: Own, clock: Clock) -> Result<News, Unreadable> {
    use LossReason::{AbiChanged, RecursionMisses, Refused, Rejected, RingFull, SpoolDamaged, SpoolExpired, SpoolFull};
    let reasons = [RingFull, RecursionMisses, Rejected, AbiChanged, SpoolFull, SpoolExpired, SpoolDamaged, Refused];
    let reason = need("reason", line.reason)?;
    Ok(News::Loss {
        reason: word("reason", &reason, &reasons, LossReason::name, "a way by which calls or lines go missing")?,
        count: need("count", line.count)?,
        cpu: line.cpu,
        output: line.output,
        since: clock.boot("since", need("since", line.since)?)?,
    })
}

fn aggregate(mut line: Own, clock: Clock) -> Result<Recorded, Unreadable> {
    let origin = origin(&line, clock)?;
    let id = field::call_id("id", &need("id", line.id.take())?)?;
    let counts = counts(need("byOutcome", line.by_outcome.take())?)?;
    let payer = match &*need("attributedTo", line.attributed_to.take())? {
        "process" => Some(Payer::Process {
            pid: need("hostProcessId", line.host_process_id)?,
            started: perhaps("processStartTime", line.process_start_time, |field, at| clock.boot(field, at))?,
        }),
        "owner" => Some(Payer::Owner),
        Aggregate::NOBODY => None,
        other => return Err(wrong("attributedTo", other, "process, owner or nobody")),
    };
    let place = cgroup(line.cgroup_path.take(), line.cgroup_path_cut, line.cgroup_path_absent.as_deref())?;
    let user = perhaps("effectiveUserName", line.effective_user_name.take(), field::bytes)?;
    let at = match payer {
        Some(_) => clock.boot("takenTimestamp", need("takenTimestamp", line.taken_timestamp)?)?,
        None => BootTime(line.boot_timestamp),
    };
    let attributed = payer.map(|payer| attributed(line, payer, clock)).transpose()?;
    let (run, nth) = (id.ring, id.position);
    Ok(Recorded::Aggregate { aggregate: Aggregate { at, counts, attributed }, place, user, run, nth, origin })
}

fn attributed(line: Own, payer: Payer, clock: Clock) -> Result<Attributed, Unreadable> {
    let moment = |field, wall| clock.boot(field, need(field, wall)?);
    Ok(Attributed {
        payer,
        first: moment("firstTimestamp", line.first_timestamp)?,
        last: moment("lastTimestamp", line.last_timestamp)?,
        sample_keys: need("sampleKeys", line.sample_keys)?,
        comm: field::comm("processName", need("processName", line.process_name)?)?,
        euid: line.effective_user_id,
        cgroup_id: need("cgroupId", line.cgroup_id)?,
        ipc_ns: line.ipc_namespace,
    })
}

fn counts(by_outcome: BTreeMap<String, u64>) -> Result<Counts, Unreadable> {
    const WANTED: &str = "the outcomes of calls and their numbers";
    let counts = by_outcome.iter().try_fold(Counts::default(), |counts, (outcome, count)| {
        counts.with(outcome, *count).ok_or_else(|| wrong("byOutcome", outcome, WANTED))
    })?;
    let total = counts.0.iter().try_fold(0_u64, |total, count| total.checked_add(*count));
    total.map(|_| counts).ok_or_else(|| wrong("byOutcome", "more calls than there are numbers", WANTED))
}

//! An item goes in, what the columns of its line say comes out.

use std::fmt::{self, Display};

use super::{
    clock,
    row::{Column, Row},
};
use crate::{
    detect::{Finding, Severity, Tags, Value},
    encode::{Item, Sensor, escape::Visible},
    enrich::Who,
    event::{
        Aggregate, Balance, Call, Caller, Control, Door, Entry, Health, IPC_PRIVATE, News, Operation, Outcome,
        OutputState, Payer, Queue, Use, before_nul,
    },
};

/// The row of `item`, which happened at `time` of day.
pub(super) fn row(item: &Item<'_>, sensor: &Sensor, time: &str) -> Row {
    let mut row = Row::default();
    row.cell(Column::Mark, mark(item));
    row.cell(Column::Time, time);
    match *item {
        Item::Call { call, who, tags, .. } => of_call(row, call, who, tags),
        Item::Control { control, who, tags, .. } => of_control(row, control, who, tags),
        Item::Use { used, who, tags, .. } => of_use(row, used, who, tags),
        Item::Finding { finding, who, .. } => of_finding(row, finding, who),
        Item::Health { health, .. } => row.text(&news(health, sensor)),
        Item::Aggregate { aggregate, user, .. } => of_aggregate(row, aggregate, user),
    }
}

const fn mark(item: &Item<'_>) -> &'static str {
    match item {
        Item::Call { .. } | Item::Control { .. } | Item::Use { .. } => "",
        Item::Finding { .. } => "!",
        Item::Health { .. } => "*",
        Item::Aggregate { .. } => "+",
    }
}

fn of_call(mut row: Row, call: &Call, who: &Who<'_>, tags: Tags) -> Row {
    of_caller(&mut row, &call.caller, who);
    if call.key == IPC_PRIVATE {
        row.cell(Column::Key, "PRIVATE");
    } else {
        row.cell(Column::Key, Key(call.key));
    }
    row.cell(Column::Outcome, Result { outcome: call.outcome, number: call.result });
    row.cell(Column::Call, format_args!("get {}", call.flags.to_string().replace("IPC_", "")));
    if let Some(queue) = call.queue {
        row.cell(Column::Owner, Owner(queue));
    }
    end(row, tags, Some(call.door), &call.caller, who)
}

fn of_control(mut row: Row, control: &Control, who: &Who<'_>, tags: Tags) -> Row {
    of_caller(&mut row, &control.caller, who);
    if let Some(key) = control.key {
        row.cell(Column::Key, Key(key));
    }
    row.cell(Column::Outcome, Result { outcome: control.outcome, number: control.msqid.into() });
    let teardown = if control.teardown() { " by namespace" } else { "" };
    row.cell(Column::Call, format_args!("{}{teardown}", control.command.name().trim_start_matches("IPC_")));
    if let Some(queue) = control.queue {
        row.cell(Column::Owner, Owner(queue));
    }
    end(row, tags, control.door, &control.caller, who)
}

fn of_use(mut row: Row, used: &Use, who: &Who<'_>, tags: Tags) -> Row {
    of_caller(&mut row, &used.caller, who);
    row.cell(Column::Outcome, Result { outcome: used.outcome(), number: 0 });
    let verb = match used.operation {
        Operation::Send => "snd",
        Operation::Receive => "rcv",
    };
    row.cell(Column::Call, format_args!("{verb} {}", used.msqid));
    end(row, tags, Some(used.door), &used.caller, who)
}

fn of_caller(row: &mut Row, caller: &Caller, who: &Who<'_>) {
    row.cell(Column::Pid, caller.host.pid);
    let effective = User { id: caller.euid, name: who.effective_user };
    let user = User { id: caller.uid, name: who.user };
    if caller.uid == caller.euid {
        row.cell(Column::User, user);
    } else {
        row.cell(Column::User, format_args!("{user}>{effective}"));
    }
    row.cell(Column::Comm, Visible(before_nul(&caller.comm)));
}

/// What stands behind the columns.
fn end(row: Row, tags: Tags, door: Option<Door>, caller: &Caller, who: &Who<'_>) -> Row {
    let mut rest = tags.names().collect::<Vec<_>>().join(",");
    // Every program comes in by this door, unless it is old or hides something.
    if let Some(door) = door.filter(|door| door.entry != Entry::Syscall) {
        add(&mut rest, format_args!("entry={}", door.entry.name()));
    }
    if let Some(path) = caller.image.as_ref().and_then(|image| image.path.as_deref()) {
        add(&mut rest, format_args!("exe={}", Visible(path)));
    }
    if let Some(container) = &who.place.container {
        add(&mut rest, format_args!("container={}", Visible(container.id.as_bytes())));
    }
    row.rest(&rest)
}

fn add(text: &mut String, more: impl Display) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&more.to_string());
}

fn of_finding(mut row: Row, finding: &Finding, who: &Who<'_>) -> Row {
    of_caller(&mut row, finding.event.caller(), who);
    let mut text = format!("{} {}:", severity(finding.severity), finding.rule.name);
    for (name, value) in &finding.values {
        match value {
            Value::Int32(key) if *name == "key" => add(&mut text, format_args!("{name}={}", Key(*key))),
            Value::Int32(number) => add(&mut text, format_args!("{name}={number}")),
            Value::Uint64(number) => add(&mut text, format_args!("{name}={number}")),
            // Ids are for machines.
            Value::Call(_) => {}
            Value::Word(word) => add(&mut text, format_args!("{name}={word}")),
        }
    }
    if let Some(certainty) = finding.certainty {
        add(&mut text, format_args!("certainty={}", certainty.name()));
    }
    if finding.story.count > 1 {
        add(&mut text, format_args!("count={}", finding.story.count));
    }
    add(&mut text, &finding.summary);
    if let Some(cwe) = finding.rule.cwe {
        add(&mut text, format_args!("({cwe})"));
    }
    row.text(&text)
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "INFO",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

fn of_aggregate(mut row: Row, aggregate: &Aggregate, user: Option<&[u8]>) -> Row {
    let attributed = aggregate.attributed.as_ref();
    if let Some(attributed) = attributed {
        if let Payer::Process { pid, .. } = attributed.payer {
            row.cell(Column::Pid, pid);
        }
        row.cell(Column::User, User { id: attributed.euid, name: user });
        row.cell(Column::Comm, Visible(before_nul(&attributed.comm)));
    }
    let mut text = format!("{} calls past the budget of {}:", aggregate.counts.total(), aggregate.payer());
    for (outcome, count) in aggregate.counts.by_outcome() {
        add(&mut text, format_args!("{outcome}={count}"));
    }
    let keys = attributed.map(|attributed| &*attributed.sample_keys).unwrap_or_default();
    for (nth, key) in keys.iter().enumerate() {
        text.push_str(if nth == 0 { " keys=" } else { "," });
        text.push_str(&Key(*key).to_string());
    }
    row.text(&text)
}

fn news(health: &Health, sensor: &Sensor) -> String {
    let name = health.news.name();
    match &health.news {
        News::Start { passed, int80_proved, absent, pinned, inherited, .. } => {
            let mut text = format!("{name}: version={} hook={}", env!("CARGO_PKG_VERSION"), sensor.rung.name());
            add(&mut text, format_args!("int80Proved={int80_proved} pinned={pinned}"));
            if let Some(moment) = inherited {
                let since = clock("%Y-%m-%dT%H:%M:%SZ", sensor.clock.wall(*moment));
                add(&mut text, format_args!("inheritedSince={since}"));
            }
            add(&mut text, format_args!("coverage gap: {}", sensor.rung.gap()));
            for passed in passed {
                let reason = Visible(passed.reason.as_bytes());
                text.push_str(&format!("; passed over {}: {reason}", passed.rung.name()));
            }
            if !absent.is_empty() {
                text.push_str(&format!("; absent from this kernel: {}", absent.join(", ")));
            }
            text
        }
        News::ConfigChange { from, to } => format!("{name}: from={from} to={to}"),
        News::PolicyChange { from, to } => format!("{name}: from={from} to={to}"),
        News::PolicyRefused { problems, detail, .. } => {
            format!("{name}: {problems} problems, the first: {}", Visible(detail.as_bytes()))
        }
        News::Heartbeat { balance, outputs } => format!("{name}:{}{}", Numbers(balance), Ill(outputs)),
        News::Loss { reason, count, cpu, output, since } => {
            let what = if output.is_some() { "lines" } else { "calls" };
            let mut text = format!("{name}: {count} {what}, {}", reason.name());
            if let Some(output) = output {
                add(&mut text, format_args!("at {}", Visible(output.as_bytes())));
            }
            if let Some(cpu) = cpu {
                add(&mut text, format_args!("on cpu {cpu}"));
            }
            let since = clock("%Y-%m-%dT%H:%M:%S%.3fZ", sensor.clock.wall(*since));
            add(&mut text, format_args!("since {since}"));
            text
        }
        News::Degraded { reason, detail } => format!("{name}: {reason}: {}", Visible(detail.as_bytes())),
        News::Recovered { reason } => format!("{name}: {reason}"),
        News::Stop { reason, balance, outputs } => format!("{name}: {reason}{}{}", Numbers(balance), Ill(outputs)),
    }
}

/// What is not zero of a balance.
struct Numbers<'a>(&'a Balance);

impl Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().filter(|(_, number)| *number > 0).try_for_each(|(name, number)| write!(f, " {name}={number}"))
    }
}

/// The outputs that do not work.
struct Ill<'a>(&'a [OutputState]);

impl Display for Ill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|OutputState { name, waiting, trouble, .. }| match trouble {
            Some(trouble) => {
                let (name, trouble) = (Visible(name.as_bytes()), Visible(trouble.as_bytes()));
                write!(f, "; {name}: {waiting} lines wait: {trouble}")
            }
            None => Ok(()),
        })
    }
}

/// A key, as ipcs(1) shows it.
struct Key(i32);

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The outcome, and the errno or the queue's id with it.
struct Result {
    outcome: Outcome,
    number: i64,
}

impl Display for Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::Failed(errno) => write!(f, "{} {errno}", self.outcome.name()),
            outcome => write!(f, "{} {}", outcome.name(), self.number),
        }
    }
}

/// Owner and group of a queue by number (names are looked up of callers only), and its mode.
struct Owner(Queue);

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Queue { uid, gid, mode, .. } = self.0;
        write!(f, "{uid}:{gid} {mode:04o}")
    }
}

/// A user by name, or else by number.
struct User<'a> {
    id: Option<u32>,
    name: Option<&'a [u8]>,
}

impl Display for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name, self.id) {
            (Some(name), _) => Visible(name).fmt(f),
            (None, Some(id)) => id.fmt(f),
            (None, None) => f.write_str("?"),
        }
    }
}

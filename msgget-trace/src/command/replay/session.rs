//! A recording under detection: its lines go in one by one, what is found in them is told, and what became of each is counted.

use std::fmt;

use uuid::Uuid;

use super::lines::{LONGEST, Piece};
use crate::{
    command::say,
    detect::{Engine, Verdict},
    encode::{Item, Sensor},
    enrich::{Clock, Host, Who},
    event::{Event, News, Rung},
    failure::Failure,
    output::Outputs,
    policy::Matched,
    recorded::{self, Line, Names, Origin, Recorded},
};

/// Bad lines that are reported one by one; the others are only counted.
const REPORTED: u64 = 20;

/// How far a replay is.
#[derive(Debug)]
pub(super) struct Session {
    /// What is replayed.
    name: String,
    engine: Engine,
    /// Who recorded the latest line.
    sensor: Sensor,
    /// Place of the latest line in its output, if it is known, and bad lines since.
    place: Option<(u64, u64)>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    lines: u64,
    calls: u64,
    controls: u64,
    uses: u64,
    aggregates: u64,
    news: u64,
    /// Findings in the recording.
    former: u64,
    found: u64,
    /// Lines that could not be read.
    bad: u64,
    /// Lines that are not there, by the numbers of the others.
    missing: u64,
    /// Calls that the recording itself says were lost.
    lost: u64,
}

impl Session {
    /// Nothing of `name` has been read yet.
    pub(super) fn new(name: &str) -> Self {
        let sensor =
            Sensor { run: Uuid::nil(), host: Host::default(), clock: Clock::recorded(0, 0), rung: Rung::Tracepoint };
        Self { name: name.to_owned(), engine: Engine::new(), sensor, place: None, counts: Counts::default() }
    }

    /// Takes in the line of this `number`.
    pub(super) fn take(&mut self, number: u64, piece: Piece<'_>, outputs: &mut Outputs) {
        self.counts.lines += 1;
        let parsed = match piece {
            Piece::Whole(line) => recorded::parse(line).map_err(|error| error.to_string()),
            Piece::Last(line) => recorded::parse(line).map_err(|error| format!("it has no end: {error}")),
            Piece::TooLong => Err(format!("it is longer than {LONGEST} bytes; something else wrote it")),
        };
        match parsed {
            Ok(line) => {
                self.follow(line.sequence);
                self.observe(line, outputs);
            }
            Err(error) => {
                self.counts.bad += 1;
                if let Some((_, bad)) = &mut self.place {
                    *bad += 1;
                }
                if self.counts.bad <= REPORTED {
                    say(format_args!("{}, line {number}: {error}", self.name));
                }
            }
        }
    }

    /// Counts what is missing before the line that was the `sequence`th of its output. A run begins with the first; what
    /// does not rise was put there by hand.
    fn follow(&mut self, sequence: u64) {
        if let Some((before, bad)) = self.place
            && sequence > 1
        {
            let missing = sequence.saturating_sub(before).saturating_sub(1).saturating_sub(bad);
            self.counts.missing = self.counts.missing.saturating_add(missing);
        }
        self.place = Some((sequence, 0));
    }

    fn observe(&mut self, line: Line, outputs: &mut Outputs) {
        match line.recorded {
            Recorded::Event { event, names, origin } => {
                self.recorded_by(origin);
                self.event(&event, &names, outputs);
            }
            Recorded::Aggregate { aggregate, place, user, run, nth, origin } => {
                self.recorded_by(origin);
                self.counts.aggregates += 1;
                self.sensor.run = run;
                let told = Item::Aggregate { aggregate: &aggregate, place: place.as_ref(), user: user.as_deref(), nth };
                outputs.tell(&told, &self.sensor);
                let verdict = self.engine.observe_aggregate(&aggregate);
                // The aggregate tells less of its process than a call of it would.
                let names = Names::of_aggregate(place, user);
                self.found(&verdict, &names.who(), outputs);
            }
            Recorded::Loss(health) => {
                self.counts.news += 1;
                self.engine.observe_health(&health);
                if let News::Loss { count, output: None, .. } = health.news {
                    self.counts.lost = self.counts.lost.saturating_add(count);
                }
            }
            Recorded::Start { run, machine, kernel, origin, .. } => {
                self.counts.news += 1;
                self.recorded_by(origin);
                self.sensor.run = run;
                (self.sensor.host.name, self.sensor.host.kernel) = (machine, kernel);
                // As the daemon that began here had.
                self.engine = Engine::new();
            }
            Recorded::News { .. } => self.counts.news += 1,
            Recorded::Finding => self.counts.former += 1,
        }
    }

    fn event(&mut self, event: &Event, names: &Names, outputs: &mut Outputs) {
        match event {
            Event::Call(_) => self.counts.calls += 1,
            Event::Control(_) => self.counts.controls += 1,
            Event::Use(_) => self.counts.uses += 1,
        }
        let verdict = self.engine.observe(event);
        let (who, tags) = (&names.who(), verdict.tags);
        outputs.tell(&Item::of(event, who, tags, Matched::NONE), &self.sensor);
        self.found(&verdict, who, outputs);
    }

    fn found(&mut self, Verdict { tags, findings }: &Verdict, who: &Who<'_>, outputs: &mut Outputs) {
        for finding in findings {
            self.counts.found += 1;
            outputs.tell(&Item::Finding { finding, who, tags: *tags, policies: Matched::NONE }, &self.sensor);
        }
    }

    /// Takes note of who recorded what follows. Process ids, namespaces and the boot clock mean nothing beyond a boot, so on
    /// another one detection begins anew.
    fn recorded_by(&mut self, origin: Origin) {
        let Origin { host_id, boot_id, rung, offset, moved } = origin;
        let host = &mut self.sensor.host;
        if (&host.id, &host.boot_id) != (&host_id, &boot_id) {
            *host = Host { id: host_id, boot_id, ..Host::default() };
            self.engine = Engine::new();
        }
        (self.sensor.clock, self.sensor.rung) = (Clock::recorded(offset, moved), rung);
    }

    /// Whether all of it could be read.
    pub(super) fn conclude(self) -> Result<(), Failure> {
        match self.counts {
            Counts { lines: 0, .. } => Err(Failure::NoLines { input: self.name }),
            Counts { bad: 0, .. } => Ok(()),
            Counts { bad, lines, .. } => Err(Failure::BadLines { input: self.name, bad, lines }),
        }
    }
}

/// What was read, as a line for people.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { lines, calls, controls, uses, aggregates, news, former, found, bad, missing, lost } = self.counts;
        write!(
            f,
            "replayed lines={lines} calls={calls} controls={controls} uses={uses} aggregates={aggregates} health={news} \
             former_findings={former} bad={bad}; found findings={found}"
        )?;
        if missing > 0 || lost > 0 {
            write!(
                f,
                "; what rests on calls that are not there is not found: missing_lines={missing} lost_calls={lost}"
            )?;
        }
        Ok(())
    }
}

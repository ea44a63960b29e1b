//! Start: settings go in, the rungs of the ladder are tried from the top, and a daemon comes out whose own calls came back
//! through the whole pipeline.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use msgget_trace_ebpf::{Counters, INITIAL_PID_NS, Reader};
use tokio::time;
use uuid::Uuid;

use super::{Daemon, identity};
use crate::{
    canary::{Canary, CanaryLost, Stage},
    config::Config,
    encode::Sensor,
    enrich::{Clock, Enricher, Host, Images},
    event::{BootTime, LossReason, News, Passed, Rung},
    failure::Failure,
    kernel::{
        self, Skipped,
        pin::{self, Folder},
    },
    ledger::Ledger,
    output::Outputs,
    owners::Owners,
    pipeline::{Pipeline, Tally},
    source::Source,
};

/// How long a canary may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Goes on with the hooks that a daemon before left pinned, or loads and attaches some, and returns when calls of our
    /// own came through the whole pipeline. Where a rung cannot be had or does not prove itself, the next one down is tried.
    ///
    /// # Errors
    /// Whatever is missing on the last rung, as a [`Failure`].
    pub async fn start(config: &Config) -> Result<Self, Failure> {
        kernel::require::check()?;
        // Before there are threads, and while there is every privilege.
        let owners = Rc::new(Owners::start());
        let folder = config.pins.as_ref().map_or(Ok(None), Folder::open)?;
        let (pid, pid_ns) = identity()?.process();
        let reader = Reader { pid, pid_ns, canary_key: canary_key(), generation: 0 };
        let (rungs, mut passed) = kernel::candidates(config.hook, config.stale_ids);
        let Inherited { mut sources, foreign } = inherit(folder.as_ref(), config, reader)?;
        let since = sources.front().and_then(Source::inherited);
        let lower = |rung| rungs.iter().copied().skip_while(|other| *other != rung).skip(1).collect();

        let usable = |source: &mut Source| source.current() && rungs.contains(&source.rung());
        if let Some(last) = sources.pop_back_if(usable) {
            let rung = last.rung();
            sources.push_back(last);
            let Some(first) = sources.pop_front() else { return Err(nothing_to_try()) };
            let mut daemon = Self::new(first, config, reader, owners)?;
            daemon.later = sources;
            daemon.lower = lower(rung);
            daemon.folder = folder;
            let reason = || "a daemon before left other hooks, which go on".to_owned();
            passed.extend(
                rungs.iter().take_while(|other| **other != rung).map(|rung| Passed { rung: *rung, reason: reason() }),
            );
            // First, for what follows was called before.
            daemon.announce(passed, false, since, abandon(&foreign)?);
            daemon.prove_or_replace(rung).await?;
            daemon.watch.begin();
            return Ok(daemon);
        }

        let (mut daemon, passed, int80_proved) = Self::climb(config, reader, owners, &rungs, passed, folder).await?;
        daemon.lower = lower(daemon.rung());
        match sources.back_mut() {
            Some(former) if former.attached() => former.hand_over(&mut daemon.source),
            _ => daemon.source.trust(),
        }
        if let Some(first) = sources.pop_front() {
            sources.push_back(std::mem::replace(&mut daemon.source, first));
            daemon.pipeline.sensor.rung = daemon.source.rung();
            daemon.later = sources;
        }
        // What cannot be read is abandoned only now, so that there was no moment without hooks.
        daemon.announce(passed, int80_proved, since, abandon(&foreign)?);
        daemon.watch.begin();
        Ok(daemon)
    }

    /// Tries `rungs` from the top; `passed` are those above. Also returns all that were passed over, and whether `int 0x80`
    /// answered here, and so was proved to be seen.
    async fn climb(
        config: &Config,
        reader: Reader,
        owners: Rc<Owners>,
        rungs: &[Rung],
        mut passed: Vec<Passed>,
        folder: Option<Folder>,
    ) -> Result<(Self, Vec<Passed>, bool), Failure> {
        let untried = passed.len();
        let mut last = nothing_to_try();
        for rung in rungs {
            match Self::start_on(*rung, config, reader, Rc::clone(&owners), folder.as_ref()).await {
                Ok((mut daemon, int80_proved)) => {
                    daemon.folder = folder;
                    return Ok((daemon, passed, int80_proved));
                }
                Err(failure) if failure.of_the_rung() => {
                    passed.push(Passed { rung: *rung, reason: failure.to_string() });
                    last = failure;
                }
                Err(failure) => return Err(failure),
            }
        }
        // The last rung's failure is ours; one of another kind may be what the user can mend.
        let reason = last.to_string();
        for passed in passed.iter().skip(untried).filter(|passed| passed.reason != reason) {
            log::warn!("not {}: {}", passed.rung.name(), passed.reason);
        }
        Err(last)
    }

    /// One rung of [`Self::climb`].
    async fn start_on(
        rung: Rung,
        config: &Config,
        reader: Reader,
        owners: Rc<Owners>,
        folder: Option<&Folder>,
    ) -> Result<(Self, bool), Failure> {
        let (source, logger) = Source::attach(rung, config, reader, folder)?;
        let mut daemon = Self::new(source, config, reader, owners)?;
        daemon.listen(logger);
        let key = reader.canary_key.cast_signed();
        daemon.prove(|| Ok(Canary::fly(key, identity()?)?)).await?;
        // The per-call tracepoints are blind to it, and say so.
        let int80 = rung != Rung::Tracepoint && Canary::int80_answers();
        if int80 {
            daemon.prove(|| Ok(Canary::fly_int80(key, identity()?))).await?;
        }
        Ok((daemon, int80))
    }

    fn new(source: Source, config: &Config, reader: Reader, owners: Rc<Owners>) -> Result<Self, Failure> {
        let rung = source.rung();
        let sensor = Sensor { run: Uuid::now_v7(), host: Host::read(), clock: Clock::new(), rung };
        let images = Images::new(config.redactor.clone(), config.command_lines);
        let (outputs, deliveries) = Outputs::open(&config.outputs, &config.spool)?;
        let enricher = Enricher::new(reader.pid_ns == INITIAL_PID_NS);
        Ok(Self {
            config: config.clone(),
            reader,
            source,
            later: VecDeque::new(),
            read: Vec::new(),
            overlap: 0,
            folder: None,
            lower: Vec::new(),
            pipeline: Pipeline::new(images, enricher, Arc::clone(&config.policies), sensor),
            outputs,
            deliveries,
            ledger: Ledger::default(),
            former: (Counters::default(), Skipped::default()),
            batch: Tally::default(),
            current: None,
            owners,
            watch: super::Watch::new(config.heartbeat),
            listener: None,
            tasks: Vec::new(),
        })
    }

    /// Replaces inherited hooks of `rung` by new ones if they do not prove themselves.
    async fn prove_or_replace(&mut self, rung: Rung) -> Result<(), Failure> {
        match self.prove_inherited().await {
            Err(failure) if failure.of_the_rung() => {
                self.lower.insert(0, rung);
                self.step_down("canary_lost", &failure.to_string())
            }
            proved => proved,
        }
    }

    /// Has a canary come back by hooks that were there before us. Before it comes all that has been waiting, so it takes as
    /// long as the output does.
    async fn prove_inherited(&mut self) -> Result<(), Failure> {
        let mut before = self.hooks().total()?;
        let mut behind = self.fly_inherited()?;
        loop {
            self.step().await.map_err(|error| self.failed(error))?;
            if let Some(arrived) = self.pipeline.arrived() {
                return Ok(arrived?);
            }
            if self.later.is_empty() && self.source.passed(behind) {
                let now = self.source.total()?;
                if now.lost_ring_full == before.lost_ring_full {
                    return Err(CanaryLost::Late(self.last_seen(&before, &now)).into());
                }
                before = now;
                behind = self.fly_inherited()?;
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends a canary, and says where in the ring its record stands at most.
    fn fly_inherited(&mut self) -> Result<u64, Failure> {
        self.pipeline.expect(Canary::fly(self.reader.canary_key.cast_signed(), identity()?)?);
        Ok(self.hooks().produced())
    }

    /// Has `fly` send canaries until one comes back: in a flood that fills the ring it may take several.
    async fn prove(&mut self, fly: impl Fn() -> Result<Canary, Failure>) -> Result<(), Failure> {
        let begun = Instant::now();
        let before = self.source.total()?;
        let mut lost = before.lost_ring_full;
        self.pipeline.expect(fly()?);
        loop {
            self.step().await.map_err(|error| self.failed(error))?;
            if let Some(arrived) = self.pipeline.arrived() {
                return Ok(arrived?);
            }
            let now = self.source.total()?;
            if begun.elapsed() > CANARY_DEADLINE {
                return Err(CanaryLost::Late(self.last_seen(&before, &now)).into());
            }
            if std::mem::replace(&mut lost, now.lost_ring_full) != now.lost_ring_full {
                self.pipeline.expect(fly()?);
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Where the missing canary was last seen, by what was counted before it flew and what is `now`.
    pub(super) fn last_seen(&self, before: &Counters, now: &Counters) -> Stage {
        if now.canaries == before.canaries {
            Stage::Call
        } else if now.submitted == before.submitted {
            Stage::Hook
        } else if self.ledger.user.rejected == 0 {
            Stage::Ring
        } else {
            Stage::Decode
        }
    }

    /// Begins the lines with the start record, and what is known to be lost.
    fn announce(&mut self, passed: Vec<Passed>, int80_proved: bool, inherited: Option<BootTime>, abandoned: u64) {
        self.deliver();
        let absent = self.hooks().absent().collect();
        let pinned = self.hooks().pinned();
        let config = self.hooks().settings();
        if let Some(since) = inherited {
            self.watch.reported(since);
        }
        let policy = self.pipeline.policies().digest();
        self.say(News::Start { passed, int80_proved, absent, config, policy, pinned, inherited });
        let from = self.source.settings();
        if from != config {
            self.say(News::ConfigChange { from, to: config });
        }
        self.ledger.abandoned = abandoned;
        if abandoned > 0 {
            let (reason, since) = (LossReason::AbiChanged, BootTime(0));
            self.say(News::Loss { reason, count: abandoned, cpu: None, output: None, since });
        }
    }
}

/// What daemons before have left.
struct Inherited {
    /// To be read, oldest first.
    sources: VecDeque<Source>,
    /// Sets that cannot be.
    foreign: Vec<PathBuf>,
}

fn inherit(folder: Option<&Folder>, config: &Config, reader: Reader) -> Result<Inherited, Failure> {
    let mut inherited = Inherited { sources: VecDeque::new(), foreign: Vec::new() };
    for set in folder.map_or(Ok(Vec::new()), Folder::sets)? {
        match Source::adopt(&set, config, reader)? {
            Some(source) => inherited.sources.push_back(source),
            None if set.exists() => inherited.foreign.push(set),
            None => {}
        }
    }
    // Whoever died amid a change of hooks may have left the old ones attached.
    let sources = inherited.sources.make_contiguous();
    for last in 1..sources.len() {
        if let [.., former, next] = &mut sources[..=last] {
            former.give_way(next);
        }
    }
    Ok(inherited)
}

/// Removes sets that cannot be read, and counts the calls in them.
fn abandon(sets: &[PathBuf]) -> Result<u64, Failure> {
    let mut abandoned = 0;
    for set in sets {
        let lost = pin::abandon(set)?;
        log::warn!(
            "{} was left by another version, or somebody meddled with it; it is removed; calls in its ring that nobody read: {}",
            set.display(),
            lost.map_or("unknown".to_owned(), |calls| calls.to_string())
        );
        abandoned += lost.unwrap_or_default();
    }
    Ok(abandoned)
}

fn nothing_to_try() -> Failure {
    Failure::Internal { doing: "choosing hooks", error: io::ErrorKind::Unsupported.into() }
}

/// A random key: any but IPC_PRIVATE, which would create a queue, as the unsigned number of the same bits.
pub(super) fn canary_key() -> u32 {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    u32::from_ne_bytes([a, b, c, d]) | 1
}

//! Start: settings go in, the rungs of the ladder are tried from the top, and a daemon comes out whose own calls came back
//! through the whole pipeline.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use msgget_trace_ebpf::{Counters, INITIAL_PID_NS};
use tokio::time;
use uuid::Uuid;

use super::{Daemon, identity};
use crate::{
    canary::{Canary, CanaryLost, Stage},
    config::Config,
    encode::Json,
    enrich::{Clock, Enricher, Host, Images},
    event::{News, Passed, Rung},
    failure::Failure,
    kernel::{self, Skipped},
    ledger::Ledger,
    owners::Owners,
    pipeline::{Pipeline, Tally},
    sink::Sink,
    source::{Me, Source},
};

/// How long a canary may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Loads and attaches the hooks and returns when calls of our own came through the whole pipeline. Where a rung cannot
    /// be had or does not prove itself, the next one down is tried.
    ///
    /// # Errors
    /// Whatever is missing on the last rung, as a [`Failure`].
    pub async fn start(config: &Config) -> Result<Self, Failure> {
        kernel::require::check()?;
        // Before there are threads, and while there is every privilege.
        let owners = Rc::new(Owners::start());
        let (rungs, mut passed) = kernel::candidates(config.hook);
        let untried = passed.len();
        let mut last = Failure::Internal { doing: "choosing hooks", error: io::ErrorKind::Unsupported.into() };
        for (nth, rung) in rungs.iter().enumerate() {
            match Self::start_on(*rung, config, Rc::clone(&owners)).await {
                Ok((mut daemon, int80_proved)) => {
                    daemon.lower = rungs[nth + 1..].to_vec();
                    daemon.announce(passed, int80_proved);
                    return Ok(daemon);
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

    /// [`Self::start`] on one rung. Also says whether `int 0x80` answered here, and so was proved to be seen.
    async fn start_on(rung: Rung, config: &Config, owners: Rc<Owners>) -> Result<(Self, bool), Failure> {
        let sink = Sink::open(&config.output)?;
        let (pid, pid_ns) = identity()?.process();
        let me = Me { pid, pid_ns, canary_key: canary_key() };
        let (source, logger) = Source::attach(rung, config, me)?;
        let json = Json { run: Uuid::now_v7(), host: Host::read(), clock: Clock::new(), rung };
        let images = Images::new(config.redactor.clone());
        let enricher = Enricher::new(pid_ns == INITIAL_PID_NS);
        let mut daemon = Self {
            config: config.clone(),
            me,
            source,
            next: None,
            lower: Vec::new(),
            pipeline: Pipeline::new(images, enricher, json),
            sink,
            ledger: Ledger::default(),
            former: (Counters::default(), Skipped::default()),
            batch: Tally::default(),
            current: None,
            owners,
            watch: super::Watch::new(config.heartbeat),
            loggers: Vec::new(),
        };
        daemon.listen(logger);
        daemon.prove(|| Ok(Canary::fly(me.canary_key, identity()?)?)).await?;
        // The per-call tracepoints are blind to it, and say so.
        let mut int80 = false;
        if rung != Rung::Tracepoint && Canary::int80_answers() {
            daemon.prove(|| Ok(Canary::fly_int80(me.canary_key, identity()?))).await?;
            int80 = true;
        }
        Ok((daemon, int80))
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

    /// Begins the lines with the start record.
    fn announce(&mut self, passed: Vec<Passed>, int80_proved: bool) {
        self.source.trust();
        let absent = self.source.absent().collect();
        self.say(News::Start { passed, int80_proved, absent });
    }
}

/// A random key: any but IPC_PRIVATE, which would create a queue.
fn canary_key() -> i32 {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    i32::from_ne_bytes([a, b, c, d]) | 1
}

//! The life of a run: settings go in; the stages are wired, proved by canaries, driven, and brought to a stop; the balance
//! comes out. The only file that spawns tasks.
//!
//! One task drives everything, batch by batch: what is read out of the ring is decoded, decided, judged, encoded and
//! written before its room in the ring is given back, so the only queue between kernel and output is the ring itself.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use msgget_trace_ebpf::INITIAL_PID_NS;
use tokio::{task::JoinHandle, time};
use uuid::Uuid;

use crate::{
    canary::{Canary, CanaryLost, Identity, Stage},
    config::Config,
    decide::{Decider, Progress},
    encode::Json,
    enrich::{Clock, Enricher, Host, Images},
    event::{BootTime, Call, Passed, Rung, Start, decode::Decoder},
    failure::Failure,
    kernel::{
        self, Kernel, Settings,
        in_flight::InFlight,
        ring::{Entry, Ring},
    },
    ledger::Ledger,
    owners::Owners,
    pipeline::{Pipeline, Tally},
    sink::{Sink, SinkError},
};

/// How long to sleep when the ring was empty. Nobody wakes us for a single record, so this is the latency of the first.
const IDLE: Duration = Duration::from_millis(40);
/// How long to let records gather while they keep coming.
const BUSY: Duration = Duration::from_millis(4);
/// Bytes of lines after which a batch is written.
const BATCH: usize = 256 << 10;
/// How long to leave those whom an undecided call waits for.
const UNDECIDED: Duration = Duration::from_millis(1);
/// Records after which a batch ends, however few lines they made.
const RECORDS: usize = 8192;
/// Questions to the resolver in a batch, each some 8 us: in a flood of calls the others go without an answer.
const QUESTIONS: u32 = 256;
/// How long a canary may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(5);
/// How long a stop waits for an output that takes nothing.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Why tracing ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End<T> {
    /// What was waited for came.
    Done(T),
    /// The output's reader left.
    Closed,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    kernel: Kernel,
    ring: Ring,
    in_flight: InFlight,
    pipeline: Pipeline,
    sink: Sink,
    /// What the output has accepted.
    ledger: Ledger,
    /// What is in the sink's buffer.
    batch: Tally,
    /// The call that is on its way from decide to detect.
    current: Option<Call>,
    /// Who knows whose queues are.
    owners: Rc<Owners>,
    /// Losses that the decider has been told of.
    losses: u64,
    logger: JoinHandle<()>,
}

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
        for rung in rungs {
            match Self::start_on(rung, config, Rc::clone(&owners)).await {
                Ok((mut daemon, int80_proved)) => {
                    daemon.announce(passed, int80_proved);
                    return Ok(daemon);
                }
                Err(failure) if failure.of_the_rung() => {
                    passed.push(Passed { rung, reason: failure.to_string() });
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
        let identity = || Identity::read().map_err(Failure::internal("reading /proc/thread-self"));
        let canary_key = canary_key();
        let (self_pid, self_pid_ns) = identity()?.process();
        let (mut kernel, ring, in_flight) = Kernel::load(&Settings {
            rung,
            scope: config.scope,
            ring_bytes: config.ring_bytes,
            log: config.kernel_log,
            command_lines: config.command_lines,
            self_pid,
            self_pid_ns,
            canary_key,
        })?;
        let logger = kernel.logger()?;
        kernel.attach()?;
        let decoder = Decoder {
            ring: Uuid::new_v4(),
            rung,
            offsets: kernel.offsets,
            attached: Clock::boot_now(),
            detached: None,
        };
        let json = Json { host: Host::read(), clock: Clock::new(), rung };
        let decider = Decider::new(kernel::require::id_index_bits());
        let images = Images::new(config.redactor.clone());
        let enricher = Enricher::new(self_pid_ns == INITIAL_PID_NS);
        let pipeline = Pipeline::new(decoder, decider, images, enricher, json);
        let (ledger, batch) = (Ledger::default(), Tally::default());
        let logger = tokio::spawn(async move {
            if let Err(error) = logger.show().await {
                log::warn!("the kernel program's messages are no longer shown: {error}");
            }
        });
        let current = None;
        let mut daemon =
            Self { kernel, ring, in_flight, pipeline, sink, ledger, batch, current, owners, losses: 0, logger };
        // Read anew for each: a parent may leave at any time.
        daemon.prove(|| Ok(Canary::fly(canary_key, identity()?)?)).await?;
        // The per-call tracepoints are blind to it, and say so.
        let mut int80 = false;
        if rung != Rung::Tracepoint && Canary::int80_answers() {
            daemon.prove(|| Ok(Canary::fly_int80(canary_key, identity()?))).await?;
            int80 = true;
        }
        Ok((daemon, int80))
    }

    /// Has `fly` send canaries until one comes back: in a flood that fills the ring it may take several.
    async fn prove(&mut self, fly: impl Fn() -> Result<Canary, Failure>) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut losses = self.kernel.counters()?.lost_ring_full;
        self.pipeline.expect(fly()?);
        loop {
            self.step().await.map_err(|error| self.failed(error))?;
            if let Some(arrived) = self.pipeline.arrived() {
                return Ok(arrived?);
            }
            if begun.elapsed() > CANARY_DEADLINE {
                return Err(CanaryLost::Late(self.last_seen()?).into());
            }
            let lost = self.kernel.counters()?.lost_ring_full;
            if std::mem::replace(&mut losses, lost) != lost {
                self.pipeline.expect(fly()?);
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Where the missing canary was last seen.
    fn last_seen(&self) -> Result<Stage, Failure> {
        let counters = self.kernel.counters()?;
        Ok(if counters.canaries == 0 {
            Stage::Call
        } else if counters.submitted == 0 {
            Stage::Hook
        } else if self.ledger.user.rejected == 0 {
            Stage::Ring
        } else {
            Stage::Decode
        })
    }

    /// The hooks in use, and what they cannot see.
    #[must_use]
    pub const fn rung(&self) -> Rung {
        self.pipeline.decoder.rung
    }

    /// Begins the lines with the start record.
    fn announce(&mut self, passed: Vec<Passed>, int80_proved: bool) {
        let absent = self.kernel.offsets.absent().collect();
        let start = Start { run: Uuid::now_v7(), at: Clock::boot_now(), passed, int80_proved, absent };
        self.pipeline.start(&start, self.sink.buffer());
    }

    /// Traces until `until` is ready or nobody reads any more.
    ///
    /// # Errors
    /// [`Failure::Output`], or our own.
    pub async fn trace<T>(&mut self, until: impl Future<Output = T>) -> Result<End<T>, Failure> {
        let mut until = std::pin::pin!(until);
        loop {
            let step = tokio::select! {
                biased;
                done = &mut until => return Ok(End::Done(done)),
                step = self.step() => match step {
                    Ok(step) => step,
                    Err(StepError::Sink(SinkError::Closed)) => return Ok(End::Closed),
                    Err(error) => return Err(self.failed(error)),
                },
            };
            if self.sink.closed() {
                return Ok(End::Closed);
            }
            let pause = match step {
                // The runtime must see signals even if there is no end of records.
                Step::Full => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Step::Undecided => UNDECIDED,
                Step::Drained => BUSY,
                Step::Empty => IDLE,
            };
            tokio::select! {
                biased;
                done = &mut until => return Ok(End::Done(done)),
                waited = self.ring.wait(pause) => waited.map_err(Failure::internal("waiting for the ring"))?,
            }
        }
    }

    /// Takes one batch from the ring to the output. May be cancelled: the next step finishes what this one began.
    async fn step(&mut self) -> Result<Step, StepError> {
        self.settle().await?;
        let step = self.fill().await?;
        self.settle().await?;
        Ok(step)
    }

    /// Takes one batch from the ring to the sink's buffer. May be cancelled, as [`Self::step`].
    async fn fill(&mut self) -> Result<Step, Failure> {
        self.pipeline.json.clock.refresh();
        self.pipeline.enricher.refresh();
        let now = Clock::boot_now();
        // First who is in flight, then what was lost, then which records there are: whoever is not in flight any more is
        // among these or those.
        let since = if self.pipeline.decider.undecided() { self.in_flight.since(now) } else { BootTime(0) };
        let losses = self.kernel.counters()?.lost_ring_full;
        if std::mem::replace(&mut self.losses, losses) != losses {
            self.pipeline.decider.lost(Clock::boot_now());
        }
        let target = self.ring.produced();
        let mut step = Step::Empty;
        let mut questions = QUESTIONS;
        for _ in 0..RECORDS {
            let Some(Entry { position, bytes }) = self.ring.take() else { break };
            step = Step::Drained;
            self.pipeline.take(position, bytes, now, &mut self.batch);
            while self.give(None, &mut questions).await {}
            if self.sink.buffer().len() >= BATCH {
                break;
            }
        }
        if self.ring.cursor() < target && step == Step::Drained {
            return Ok(Step::Full);
        }
        let complete_until = if self.ring.cursor() < target { BootTime(0) } else { since };
        // Whoever enters while the hooks are being detached is not seen.
        let complete_until =
            self.pipeline.decoder.detached.map_or(complete_until, |detached| complete_until.min(detached));
        while self.give(Some(Progress { complete_until, now }), &mut questions).await {
            if self.sink.buffer().len() >= BATCH {
                return Ok(Step::Full);
            }
        }
        Ok(if self.pipeline.decider.undecided() { Step::Undecided } else { step })
    }

    /// Takes the next call through the rest of the pipeline. False when none is ready.
    async fn give(&mut self, progress: Option<Progress>, questions: &mut u32) -> bool {
        if self.current.is_none() {
            self.current = self.pipeline.next(progress);
        }
        // It stays where it is while the resolver is asked, so that a cancelled step loses nothing.
        let Some(call) = &mut self.current else { return false };
        if *questions > 0 && Owners::wanted(call) {
            *questions -= 1;
            call.queue = self.owners.of(call).await;
        }
        if let Some(call) = self.current.take() {
            self.pipeline.finish(&call, self.sink.buffer(), &mut self.batch);
        }
        true
    }

    /// Writes what is in the buffer; only then gives its room in the ring back and counts it.
    async fn settle(&mut self) -> Result<(), SinkError> {
        self.sink.flush().await?;
        let held = self.current.as_ref().or(self.pipeline.decider.oldest()).map(|call| call.id.position);
        self.ring.publish(held.unwrap_or(self.ring.cursor()));
        self.ledger.user.add(std::mem::take(&mut self.batch));
        Ok(())
    }

    /// Detaches, drains, flushes, and strikes the balance; beside it stands what went wrong on the way:
    /// [`Failure::Output`] when lines could not be written within [`STOP_DEADLINE`].
    pub async fn stop(mut self) -> (Ledger, Result<(), Failure>) {
        let drained = self.drain().await;
        self.ledger.skipped = self.kernel.recursion_misses();
        if self.ledger.skipped > 0 {
            let skipped = self.ledger.skipped;
            log::warn!("the kernel skipped {skipped} runs of these hooks, so calls were missed; use --hook tp_btf");
        }
        // What was not written is not accounted for, and that has been said.
        if drained.is_ok()
            && let Some(violation) = self.ledger.violation()
        {
            log::error!("the ledger does not balance, which is a defect: {violation}");
        }
        (self.ledger, drained)
    }

    async fn drain(&mut self) -> Result<(), Failure> {
        self.pipeline.decoder.detached = Some(Clock::boot_now());
        self.kernel.detach();
        let mut moved = time::Instant::now();
        loop {
            self.ledger.kernel = self.kernel.counters()?;
            let before = (self.ledger.user.read, self.sink.total());
            match time::timeout(STOP_DEADLINE, self.step()).await {
                Ok(Ok(_)) => {}
                Ok(Err(StepError::Sink(SinkError::Closed))) => return Ok(()),
                Ok(Err(error)) => return Err(self.failed(error)),
                Err(_) if self.sink.total() > before.1 => {}
                Err(_) => return Err(self.failed(SinkError::Io(io::ErrorKind::TimedOut.into()).into())),
            }
            if self.ledger.submitted() == self.ledger.user.read {
                return Ok(());
            }
            // Nothing new comes, so as long as something moves this ends.
            if before != (self.ledger.user.read, self.sink.total()) {
                moved = time::Instant::now();
            } else if moved.elapsed() > STOP_DEADLINE {
                return Ok(());
            } else {
                time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn failed(&self, error: StepError) -> Failure {
        match error {
            StepError::Own(failure) => failure,
            StepError::Sink(error) => Failure::Output { output: self.sink.name().to_owned(), error: error.into() },
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.logger.abort();
    }
}

/// Why a step failed.
#[derive(Debug)]
enum StepError {
    Own(Failure),
    Sink(SinkError),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Own(failure)
    }
}

impl From<SinkError> for StepError {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// An empty ring.
    Empty,
    /// Records, and no more of them.
    Drained,
    /// A call that waits for others to return.
    Undecided,
    /// More records than a batch takes.
    Full,
}

/// A random key: any but IPC_PRIVATE, which would create a queue.
fn canary_key() -> i32 {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    i32::from_ne_bytes([a, b, c, d]) | 1
}

//! The life of a run: settings go in; the stages are wired, proved by a canary, driven, and brought to a stop; the balance
//! comes out. The only file that spawns tasks.
//!
//! One task drives everything, batch by batch: what is read out of the ring is decoded, judged, encoded and written
//! before its room in the ring is given back, so the only queue between kernel and output is the ring itself.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time};
use uuid::Uuid;

use crate::{
    canary::{Canary, CanaryLost, Identity, Stage},
    config::Config,
    encode::Json,
    enrich::{Clock, Host},
    event::decode::Decoder,
    failure::Failure,
    kernel::{
        self, Kernel, Settings,
        ring::{Entry, Ring},
    },
    ledger::Ledger,
    pipeline::{Pipeline, Tally},
    sink::{Sink, SinkError},
};

/// How long to sleep when the ring was empty. Nobody wakes us for a single record, so this is the latency of the first.
const IDLE: Duration = Duration::from_millis(40);
/// How long to let records gather while they keep coming.
const BUSY: Duration = Duration::from_millis(4);
/// Bytes of lines after which a batch is written.
const BATCH: usize = 256 << 10;
/// How long the canary may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(5);
/// How long a stop may take that waits for a slow output.
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
    pipeline: Pipeline,
    sink: Sink,
    /// What the output has accepted.
    ledger: Ledger,
    /// What is in the sink's buffer.
    batch: Tally,
    logger: JoinHandle<()>,
}

impl Daemon {
    /// Loads and attaches the hooks and returns when a call of our own came through the whole pipeline.
    ///
    /// # Errors
    /// Whatever is missing, as a [`Failure`].
    pub async fn start(config: &Config) -> Result<Self, Failure> {
        kernel::require::check()?;
        let sink = Sink::open(&config.output)?;
        let identity = Identity::read().map_err(Failure::internal("reading /proc/thread-self"))?;
        let ring_id = Uuid::new_v4();
        let canary_key = canary_key();
        let (self_pid, self_pid_ns) = identity.process();
        let (mut kernel, ring) = Kernel::load(&Settings {
            scope: config.scope,
            ring_bytes: config.ring_bytes,
            log: config.kernel_log,
            self_pid,
            self_pid_ns,
            canary_key,
        })?;
        let logger = kernel.logger()?;
        let logger = tokio::spawn(async move {
            if let Err(error) = logger.show().await {
                log::warn!("the kernel program's messages are no longer shown: {error}");
            }
        });
        let decoder = Decoder {
            ring: ring_id,
            offsets: kernel.offsets,
            attached: Clock::boot_now(),
            detached: None,
        };
        let pipeline = Pipeline::new(
            decoder,
            Json {
                host: Host::read(),
                clock: Clock::new(),
            },
        );
        kernel.attach()?;
        let (ledger, batch) = (Ledger::default(), Tally::default());
        let mut daemon = Self {
            kernel,
            ring,
            pipeline,
            sink,
            ledger,
            batch,
            logger,
        };
        daemon.pipeline.decoder.attached = Clock::boot_now();
        daemon.prove(canary_key, identity).await?;
        Ok(daemon)
    }

    /// Sends a canary and waits for it.
    async fn prove(&mut self, key: i32, identity: Identity) -> Result<(), Failure> {
        self.pipeline.expect(Canary::fly(key, identity)?);
        let deadline = Instant::now() + CANARY_DEADLINE;
        loop {
            match self.step().await {
                // Whoever closed the pipe is told nothing; `trace` notices.
                Ok(_) | Err(SinkError::Closed) => {}
                Err(SinkError::Io(error)) => return Err(self.output_failed(error)),
            }
            if let Some(arrived) = self.pipeline.arrived() {
                return Ok(arrived?);
            }
            if Instant::now() > deadline {
                return Err(CanaryLost::Late(self.last_seen()?).into());
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
        } else if self.ledger.rejected == 0 {
            Stage::Ring
        } else {
            Stage::Decode
        })
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
                    Err(SinkError::Closed) => return Ok(End::Closed),
                    Err(SinkError::Io(error)) => return Err(self.output_failed(error)),
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
    async fn step(&mut self) -> Result<Step, SinkError> {
        self.settle().await?;
        self.pipeline.json.clock.refresh();
        let mut step = Step::Empty;
        while self.sink.buffer().len() < BATCH {
            let Some(Entry { position, bytes }) = self.ring.take() else {
                self.settle().await?;
                return Ok(step);
            };
            self.pipeline
                .process(position, bytes, self.sink.buffer(), &mut self.batch);
            step = Step::Drained;
        }
        self.settle().await?;
        Ok(Step::Full)
    }

    /// Writes what is in the buffer; only then gives its room in the ring back and counts it.
    async fn settle(&mut self) -> Result<(), SinkError> {
        self.sink.flush().await?;
        self.ring.publish();
        self.ledger.accept(std::mem::take(&mut self.batch));
        Ok(())
    }

    /// Detaches, drains, flushes, and strikes the balance; beside it stands what went wrong on the way:
    /// [`Failure::Output`] when lines could not be written within [`STOP_DEADLINE`].
    pub async fn stop(mut self) -> (Ledger, Result<(), Failure>) {
        let drained = self.drain().await;
        self.logger.abort();
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
        let deadline = time::Instant::now() + STOP_DEADLINE;
        loop {
            self.ledger.kernel = self.kernel.counters()?;
            match time::timeout_at(deadline, self.step()).await {
                Ok(Ok(_)) => {}
                Ok(Err(SinkError::Closed)) => return Ok(()),
                Ok(Err(SinkError::Io(error))) => return Err(self.output_failed(error)),
                Err(_) => return Err(self.output_failed(io::ErrorKind::TimedOut.into())),
            }
            if self.ledger.kernel.submitted == self.ledger.read || time::Instant::now() > deadline {
                return Ok(());
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn output_failed(&self, error: io::Error) -> Failure {
        Failure::Output {
            output: self.sink.name().to_owned(),
            error,
        }
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// An empty ring.
    Empty,
    /// Records, and no more of them.
    Drained,
    /// More records than a batch takes.
    Full,
}

/// A random key: any but IPC_PRIVATE, which would create a queue.
fn canary_key() -> i32 {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    i32::from_ne_bytes([a, b, c, d]) | 1
}

//! The life of a run: settings go in; a source of calls is proved, read and looked after, and what it brings is driven
//! through the pipeline into the sink; the balance comes out. The only file that spawns tasks, with its parts below.
//!
//! One task drives everything, batch by batch: what is read out of the ring is decoded, decided, judged, encoded and
//! written before its room in the ring is given back, so the only queue between kernel and output is the ring itself.

mod aggregate;
mod start;
mod status;
mod stop;
mod watch;

use std::{collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use msgget_trace_ebpf::{Counters, Reader};
use tokio::task::JoinHandle;

use crate::{
    canary::Identity,
    config::Config,
    event::{Event, Health, News, Rung},
    failure::Failure,
    kernel::{KernelLogger, Skipped, pin::Folder},
    ledger::Ledger,
    output::{Delivery, Outputs},
    owners::Owners,
    pipeline::{Pipeline, Tally},
    policy::{Policies, Problem},
    sink::SinkError,
    source::{Batch, Source},
};
use status::{Listener, asked};
use watch::Watch;

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
    config: Config,
    /// Who we are to the kernel program.
    reader: Reader,
    /// What is being read.
    source: Source,
    /// What will be read when that is exhausted, in this order. The hooks of the last one are attached.
    later: VecDeque<Source>,
    /// What has been read: it is taken away when the last one is past the calls that it saw, too.
    read: Vec<Source>,
    /// Up to where in the ring of the present source these calls are.
    overlap: u64,
    /// The folder of the pins, which is ours as long as we live.
    folder: Option<Folder>,
    /// Rungs below the one in use, best first.
    lower: Vec<Rung>,
    pipeline: Pipeline,
    outputs: Outputs,
    /// What the outputs have accepted.
    ledger: Ledger,
    /// What former sources counted.
    former: (Counters, Skipped),
    /// What they have been told since.
    batch: Tally,
    /// The event that is on its way from decide to detect.
    current: Option<Event>,
    /// Who knows whose queues are.
    owners: Rc<Owners>,
    watch: Watch,
    /// Where it can be asked how it is.
    listener: Option<Rc<Listener>>,
    /// What brings lines out of spools, until it is started.
    deliveries: Vec<Delivery>,
    /// What runs beside.
    tasks: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// The hooks in use, and what they cannot see.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.hooks().rung()
    }

    /// The source whose hooks are attached.
    fn hooks(&self) -> &Source {
        self.later.back().unwrap_or(&self.source)
    }

    fn hooks_mut(&mut self) -> &mut Source {
        self.later.back_mut().unwrap_or(&mut self.source)
    }

    /// Opens files that are outputs anew; false if none is one.
    pub fn reopen(&mut self) -> bool {
        self.outputs.reopen()
    }

    /// Tells from here on of what is wanted now that the policy files have been read again; where they are wrong, goes on as
    /// before. Either is said.
    pub fn follow(&mut self, read: Result<Policies, Vec<Problem>>) {
        let before = self.pipeline.policies().digest().unwrap_or_default();
        match read {
            Ok(policies) => {
                for warning in policies.warnings() {
                    log::warn!("{warning}");
                }
                let to = policies.digest().unwrap_or_default();
                self.config.policies = Arc::new(policies);
                // What is in the ring is judged by the new ones, so that of these nothing is left out from here on.
                self.pipeline.follow(Arc::clone(&self.config.policies));
                let sieve = self.config.policies.sieve();
                self.hooks_mut().leave_out(sieve.as_ref());
                if to != before {
                    log::warn!("other policies are in force: {to}");
                    self.say(News::PolicyChange { from: before, to });
                }
            }
            Err(problems) => {
                for problem in &problems {
                    log::error!("{problem}");
                }
                log::error!("the policies cannot be read again, so the former ones ({before}) go on");
                let detail = problems.first().map(ToString::to_string).unwrap_or_default();
                self.say(News::PolicyRefused { kept: before, problems: problems.len(), detail });
            }
        }
    }

    /// Traces until `until` is ready or nobody reads any more.
    ///
    /// # Errors
    /// [`Failure::Output`], or our own.
    pub async fn trace<T>(&mut self, until: impl Future<Output = T>) -> Result<End<T>, Failure> {
        let mut until = std::pin::pin!(until);
        let listener = self.listener.clone();
        let listener = listener.as_deref();
        loop {
            self.watch()?;
            if let Some(listener) = listener {
                self.answer_waiting(listener).await?;
            }
            let step = tokio::select! {
                biased;
                done = &mut until => return Ok(End::Done(done)),
                step = self.step() => match step {
                    Ok(step) => step,
                    Err(StepError::Sink(SinkError::Closed)) => return Ok(End::Closed),
                    Err(error) => return Err(self.failed(error)),
                },
                // Also while the output takes nothing.
                stream = asked(listener) => {
                    if let Some(listener) = listener {
                        self.answer(listener, stream)?;
                    }
                    continue;
                }
            };
            if self.outputs.closed() {
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
                waited = self.source.wait(pause) => waited?,
                stream = asked(listener) => if let Some(listener) = listener {
                    self.answer(listener, stream)?;
                },
            }
        }
    }

    /// Takes one batch from the ring to the output. May be cancelled: the next step finishes what this one began.
    async fn step(&mut self) -> Result<Step, StepError> {
        self.settle().await?;
        let step = self.fill().await?;
        self.settle().await?;
        self.change_source()?;
        Ok(step)
    }

    /// Takes one batch from the ring to the sink's buffer. May be cancelled, as [`Self::step`].
    async fn fill(&mut self) -> Result<Step, Failure> {
        self.pipeline.refresh();
        let batch = self.source.begin()?;
        let mut step = Step::Empty;
        let mut questions = QUESTIONS;
        for _ in 0..RECORDS {
            if !self.source.take(&batch, &mut self.pipeline.images, &mut self.batch) {
                break;
            }
            step = Step::Drained;
            while self.give(None, &mut questions).await {}
            if self.outputs.waiting() >= BATCH {
                break;
            }
        }
        if self.source.behind(&batch) && step == Step::Drained {
            return Ok(Step::Full);
        }
        while self.give(Some(&batch), &mut questions).await {
            if self.outputs.waiting() >= BATCH {
                return Ok(Step::Full);
            }
        }
        Ok(if self.source.undecided() { Step::Undecided } else { step })
    }

    /// Takes the next event through the rest of the pipeline. False when none is ready.
    async fn give(&mut self, batch: Option<&Batch>, questions: &mut u32) -> bool {
        if self.current.is_none() {
            self.current = self.source.next_event(batch);
        }
        // It stays where it is while the resolver is asked, so that a cancelled step loses nothing.
        let Some(event) = &mut self.current else { return false };
        if let Event::Call(call) = event
            && *questions > 0
            && Owners::wanted(call)
        {
            *questions -= 1;
            self.owners.ask(call).await;
        }
        if let Some(event) = self.current.take() {
            let tells = self.source.tells_of(&event);
            if let Some(next) = self.later.front_mut().filter(|_| tells) {
                next.told_before(&event);
            }
            let missing = || self.source.is_missing_calls();
            self.pipeline.finish(&event, tells, missing, &mut self.outputs, &mut self.batch);
            if let Some((cgroup, policies)) = self.pipeline.learned() {
                self.hooks_mut().leave_out_cgroup(cgroup, policies);
            }
        }
        true
    }

    /// Writes what is in the buffer; only then gives its room in the ring back and counts it.
    async fn settle(&mut self) -> Result<(), SinkError> {
        self.outputs.flush().await?;
        let batch = std::mem::take(&mut self.batch);
        self.source.publish(self.current.as_ref());
        self.ledger.user.add(batch);
        Ok(())
    }

    /// Puts a health record among the lines.
    fn report(&mut self, health: &Health) {
        self.pipeline.report(health, &mut self.outputs, &mut self.batch);
    }

    /// As [`Self::report`], of something that was noticed just now.
    fn say(&mut self, news: News) {
        self.report(&Health { at: crate::enrich::Clock::boot_now(), news });
    }

    /// Shows what the kernel program says, as long as it does.
    fn listen(&mut self, logger: KernelLogger) {
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = logger.show().await {
                log::warn!("the kernel program's messages are no longer shown: {error}");
            }
        }));
    }

    /// Has lines delivered from now on.
    fn deliver(&mut self) {
        self.tasks.extend(self.deliveries.drain(..).map(|delivery| tokio::task::spawn_local(delivery.run())));
    }

    fn failed(&self, error: StepError) -> Failure {
        match error {
            StepError::Own(failure) => failure,
            StepError::Sink(error) => {
                Failure::Output { output: self.outputs.names().collect::<Vec<_>>().join(", "), error: error.into() }
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Who we are right now: a parent may leave at any time.
fn identity() -> Result<Identity, Failure> {
    Identity::read().map_err(Failure::internal("reading /proc/thread-self"))
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

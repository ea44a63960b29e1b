//! Stop: a running daemon goes in; its hooks are detached, what they saw is brought to the output, and the balance comes
//! out.

use std::{io, time::Duration};

use tokio::time;

use super::{Daemon, StepError};
use crate::{
    event::{News, OutputState},
    failure::Failure,
    ledger::Ledger,
    sink::SinkError,
    source::Source,
};

/// How long a stop waits for an output that takes nothing.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

impl Daemon {
    /// Detaches, drains, flushes, and strikes the balance, which `reason` goes with; beside it stands what went wrong on
    /// the way: [`Failure::Output`] when lines could not be written within [`STOP_DEADLINE`].
    pub async fn stop(mut self, reason: &'static str) -> (Ledger, Result<(), Failure>) {
        self.listener = None; // from here on the numbers come by themselves
        let drained = self.drain().await;
        let counted = self.count().and_then(|()| self.report_losses());
        let mut stopped = drained.and(counted);
        if stopped.is_ok() {
            stopped = self.finish().await;
        }
        // What was not written is not accounted for, and that has been said.
        if stopped.is_ok()
            && let Some(violation) = self.ledger.violation()
        {
            log::error!("the ledger does not balance, which is a defect: {violation}");
        }
        if stopped.is_ok() {
            let mut ledger = self.ledger;
            ledger.user.health += 1; // this one
            self.say(News::Stop { reason, balance: ledger.balance(), outputs: self.outputs.states() });
            stopped = self.finish().await.and_then(|()| self.remove_exhausted());
        }
        self.await_deliveries().await;
        (self.ledger, stopped)
    }

    /// Ends without a word, because nobody listens; leaves nothing behind.
    ///
    /// # Errors
    /// [`Failure::Pins`].
    pub async fn leave(mut self) -> Result<(), Failure> {
        self.await_deliveries().await;
        self.sources().try_for_each(Source::remove)
    }

    /// Leaves nothing behind but records that nobody was told of, should there be any and somebody to tell.
    fn remove_exhausted(&mut self) -> Result<(), Failure> {
        let closed = self.outputs.closed();
        for source in self.sources() {
            // Those before one that stays are needed to read it.
            if !closed && !source.exhausted()? {
                break;
            }
            source.remove()?;
        }
        Ok(())
    }

    /// The last one first.
    fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        self.later.iter_mut().rev().chain([&mut self.source]).chain(self.read.iter_mut().rev())
    }

    /// Writes the last lines.
    async fn finish(&mut self) -> Result<(), Failure> {
        match time::timeout(STOP_DEADLINE, self.settle()).await {
            Ok(Ok(()) | Err(SinkError::Closed)) => Ok(()),
            Ok(Err(error)) => Err(self.failed(error.into())),
            Err(_) => Err(self.failed(late())),
        }
    }

    /// Gives outputs that have a spool the time to deliver; what they leave there is the next run's.
    async fn await_deliveries(&mut self) {
        self.outputs.finish();
        let end = time::Instant::now() + STOP_DEADLINE;
        while !self.outputs.delivered() && time::Instant::now() < end {
            time::sleep(Duration::from_millis(5)).await;
        }
        for OutputState { name, waiting, trouble, .. } in self.outputs.left() {
            let trouble = trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
            log::warn!("{name}: {waiting} lines have not arrived{trouble}; they are in the spool, for the next run");
        }
    }

    async fn drain(&mut self) -> Result<(), Failure> {
        self.sources().filter(|source| source.attached()).for_each(Source::detach);
        let mut moved = time::Instant::now();
        loop {
            let before = (self.ledger.user.read, self.outputs.moved());
            match time::timeout(STOP_DEADLINE, self.step()).await {
                Ok(Ok(_)) => {}
                Ok(Err(StepError::Sink(SinkError::Closed))) => return Ok(()),
                Ok(Err(error)) => return Err(self.failed(error)),
                Err(_) if self.outputs.moved() > before.1 => {}
                Err(_) => return Err(self.failed(late())),
            }
            if self.later.is_empty() && self.source.exhausted()? && !self.aggregate()? {
                return Ok(());
            }
            // Nothing new comes, so as long as something moves this ends.
            if before != (self.ledger.user.read, self.outputs.moved()) {
                moved = time::Instant::now();
            } else if moved.elapsed() > STOP_DEADLINE {
                return Ok(());
            } else {
                time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

fn late() -> StepError {
    SinkError::Io(io::ErrorKind::TimedOut.into()).into()
}

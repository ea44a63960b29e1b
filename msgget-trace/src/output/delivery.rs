//! The far side of an output that has a spool: records come out of the spool and go to where they belong; only what has arrived
//! there is given up.
//!
//! "Arrived" is, for a file or a pipe, what write(2) took; for datagrams the same, since nobody can know more; for a stream
//! what the other kernel has confirmed and what its reader had a second to take: plain TCP tells nobody whether a program
//! read what its kernel took, so after a broken connection everything younger goes out again, with equal ids.

use std::{
    collections::VecDeque,
    fmt, io,
    ops::Range,
    time::{Duration, SystemTime},
};

use thiserror::Error;
use tokio::time::{self, Instant};

use super::Shared;
use crate::{
    config::To,
    sink::{
        Sink, SinkError,
        syslog::{Backoff, Connection, SendError},
    },
    spool::{Record, Spool, SpoolError},
};

/// Bytes that are read out of the spool at once.
const BATCH: usize = 256 << 10;
/// How long a stream's reader has for what its kernel has confirmed.
const SETTLED: Duration = Duration::from_secs(1);
/// When a confirmation is late.
const LATE: Duration = Duration::from_secs(2);
/// How often it is looked whether something has been confirmed.
const LOOK: Duration = Duration::from_millis(200);

/// Brings the records of one spool to where they belong.
#[derive(Debug)]
pub struct Delivery {
    to: To,
    shared: Shared,
    way: Option<Way>,
    /// When that was opened last.
    opened: Instant,
    backoff: Backoff,
    batch: Batch,
    /// What was sent and is not given up yet, oldest first.
    sent: VecDeque<Sent>,
    /// Bytes sent by this connection.
    bytes: u64,
}

/// Records out of the spool, of which the first may have been sent.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    records: VecDeque<(u64, Range<usize>)>,
}

impl Batch {
    /// Takes the next ones out of `spool`.
    fn fill(&mut self, spool: &mut Spool) -> Result<(), SpoolError> {
        self.bytes.clear();
        for Record { number, bytes } in spool.read(BATCH)?.records() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.records.push_back((number, start..self.bytes.len()));
        }
        Ok(())
    }

    fn get(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

/// Something that was sent.
#[derive(Debug)]
struct Sent {
    /// Number of the last record.
    last: u64,
    /// [`Delivery::bytes`] behind it.
    end: u64,
    at: Instant,
}

enum Way {
    Here(Sink),
    There(Connection),
}

/// Why records did not go out.
#[derive(Debug, Error)]
enum Trouble {
    /// Nobody reads any more.
    #[error("the reader left")]
    Closed,
    /// It can be tried again as it is.
    #[error("{0}")]
    Stuck(String),
    /// The way is gone; a new one has to be opened.
    #[error("{0}")]
    Broken(String),
    /// The first of them will never be taken.
    #[error("{0}")]
    Never(String),
}

impl From<SpoolError> for Trouble {
    fn from(error: SpoolError) -> Self {
        Self::Stuck(error.to_string())
    }
}

impl Delivery {
    pub(super) fn new(to: To, shared: Shared) -> Self {
        let (backoff, batch, sent) = (Backoff::default(), Batch::default(), VecDeque::new());
        Self { to, shared, way: None, opened: Instant::now(), backoff, batch, sent, bytes: 0 }
    }

    /// Delivers until the output has finished and nothing is left, which it says, or nobody reads any more.
    pub async fn run(mut self) {
        loop {
            if self.shared.reopening()
                && let Some(Way::Here(sink)) = &mut self.way
            {
                let _ = sink.reopen();
            }
            let step = match self.step().await {
                Ok(more) => self.acknowledge().await.map(|arrived| (more, arrived)),
                Err(trouble) => Err(trouble),
            };
            if let Ok((_, arrived)) = step {
                self.heed(arrived);
            }
            match step {
                // A file never has us wait, and there are others on this thread.
                Ok((true, _)) => tokio::task::yield_now().await,
                Ok((false, _)) if self.shared.finishing() => {
                    if self.end().await {
                        return self.shared.finish();
                    }
                }
                Ok((false, _)) => {
                    let _ = time::timeout(LOOK, self.shared.wake.notified()).await;
                }
                // By its name another reader can find a pipe; standard output is not found again.
                Err(Trouble::Closed) if self.to != To::Stdout => {
                    self.recover(Trouble::Broken(Trouble::Closed.to_string())).await;
                }
                Err(Trouble::Closed) => return self.shared.close(),
                Err(trouble) => self.recover(trouble).await,
            }
        }
    }

    /// Sends the next records. False if there are none.
    async fn step(&mut self) -> Result<bool, Trouble> {
        // Ahead of the records: that a receiver is away is known before there is anything to say.
        let way = match &mut self.way {
            Some(way) => way,
            none => {
                let way = Way::open(&self.to).await?;
                self.opened = Instant::now();
                none.insert(way)
            }
        };
        if self.batch.records.is_empty() {
            self.batch.fill(&mut self.shared.spool())?;
        }
        if self.batch.records.is_empty() {
            return Ok(false);
        }
        let records: Vec<_> = self.batch.records.iter().map(|(_, range)| self.batch.get(range)).collect();
        let sent = loop {
            match time::timeout(LOOK, way.send(&records)).await {
                Ok(sent) => break sent,
                // It may take more at any moment, and goes on where it was.
                Err(_) => self.shared.troubled("it takes no more lines, or few; does anybody read there?".to_owned()),
            }
        };
        let (taken, trouble) = match sent {
            Ok(taken) => (taken, None),
            Err((taken, trouble)) => (taken, Some(trouble)),
        };
        drop(records);
        self.took(taken);
        match trouble {
            None => Ok(true),
            Some(Trouble::Never(reason)) => {
                self.put_aside(&reason);
                Ok(true)
            }
            Some(trouble) => Err(trouble),
        }
    }

    /// The first `count` records of the batch have been sent.
    fn took(&mut self, count: usize) {
        let Some((last, range)) = count.checked_sub(1).and_then(|nth| self.batch.records.get(nth)) else { return };
        let start = self.batch.records.front().map_or(0, |(_, range)| range.start);
        self.bytes += (range.end - start) as u64;
        self.sent.push_back(Sent { last: *last, end: self.bytes, at: Instant::now() });
        self.batch.records.drain(..count);
    }

    /// The first record of the batch will never be taken: it goes where somebody may look at it.
    fn put_aside(&mut self, reason: &str) {
        let Some((number, range)) = self.batch.records.pop_front() else { return };
        let record = Record { number, bytes: self.batch.get(&range) };
        if let Err(error) = self.shared.spool().dead_letter(record, reason, SystemTime::now()) {
            log::warn!(
                "{}: a record that will never be taken ({reason}) cannot be put aside: {error}",
                self.shared.name
            );
        }
        self.shared.refused();
        self.sent.push_back(Sent { last: number, end: self.bytes, at: Instant::now() });
    }

    /// Gives up what has arrived; how much that was.
    async fn acknowledge(&mut self) -> Result<usize, Trouble> {
        let confirmed = match &mut self.way {
            // Bytes as the transport counts them are more than ours, so what is confirmed is never overestimated.
            Some(Way::There(there)) if there.confirms() => {
                let broken = |error: io::Error| Trouble::Broken(error.to_string());
                let unconfirmed = there.unconfirmed().map_err(broken)?;
                // In this order: of a connection that was reset nothing is unconfirmed any more.
                there.hear().await.map_err(broken)?;
                let settled = |sent: &Sent| sent.at.elapsed() >= SETTLED;
                let confirmed = self.bytes.saturating_sub(unconfirmed as u64);
                self.sent.iter().take_while(|sent| sent.end <= confirmed && settled(sent)).count()
            }
            _ => self.sent.len(),
        };
        self.give_up(confirmed)?;
        Ok(confirmed)
    }

    /// Says whether it works. That a stream was opened, or that our own kernel took something, is no sign: behind a proxy or a
    /// full buffer there may be nobody.
    fn heed(&mut self, arrived: usize) {
        if !matches!(&self.way, Some(Way::There(there)) if there.confirms()) || arrived > 0 {
            self.backoff.reset();
            return self.shared.well();
        }
        match self.sent.front() {
            Some(oldest) if oldest.at.elapsed() >= LATE => {
                let late = LATE.as_secs();
                self.shared.troubled(format!("what was sent {late} s ago is not confirmed; does anybody read there?"));
            }
            None if self.batch.records.is_empty() && self.opened.elapsed() >= SETTLED => {
                self.backoff.reset();
                self.shared.well();
            }
            _ => {}
        }
    }

    /// Gives up the first `count` of what was sent.
    fn give_up(&mut self, count: usize) -> Result<(), Trouble> {
        if let Some(last) = self.sent.drain(..count).next_back() {
            self.shared.spool().acknowledge(last.last)?;
        }
        Ok(())
    }

    /// Says goodbye, if everything has been sent; true if everything has arrived.
    async fn end(&mut self) -> bool {
        match self.way.take() {
            Some(Way::There(there)) if there.confirms() => match there.close().await {
                Ok(()) => {
                    let all = self.sent.len();
                    self.give_up(all).is_ok()
                }
                // As after any other end of a connection.
                Err(error) => {
                    self.recover(Trouble::Broken(error.to_string())).await;
                    false
                }
            },
            way => {
                self.way = way;
                let synced = self.shared.spool().sync();
                synced.is_ok()
            }
        }
    }

    /// Waits a while after `trouble`.
    async fn recover(&mut self, trouble: Trouble) {
        self.shared.troubled(trouble.to_string());
        if let Trouble::Broken(_) = trouble {
            self.way = None;
            self.bytes = 0;
            self.sent.clear();
            self.batch.records.clear();
            self.shared.spool().rewind();
        }
        time::sleep(self.backoff.failed(random())).await;
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::There(_) => "There",
        })
    }
}

impl Way {
    async fn open(to: &To) -> Result<Self, Trouble> {
        let broken = |error: String| Trouble::Broken(error);
        match to {
            To::Syslog { target, .. } => {
                Connection::open(target).await.map(Self::There).map_err(|error| broken(error.to_string()))
            }
            To::Stdout | To::File(_) => Sink::open(to).map(Self::Here).map_err(|error| broken(error.to_string())),
        }
    }

    /// Sends records; returns how many are out, and why not all. A sink that did not take all has them still: it is to be
    /// asked again with the same ones, and so is either after this was cancelled.
    async fn send(&mut self, records: &[&[u8]]) -> Result<usize, (usize, Trouble)> {
        match self {
            Self::Here(sink) => {
                if sink.buffer().is_empty() {
                    records.iter().for_each(|record| sink.buffer().extend_from_slice(record));
                }
                match sink.flush().await {
                    Ok(()) => Ok(records.len()),
                    Err(SinkError::Closed) => Err((0, Trouble::Closed)),
                    Err(SinkError::Io(error)) => Err((0, Trouble::Stuck(error.to_string()))),
                }
            }
            Self::There(there) => {
                let messages: Vec<_> =
                    records.iter().map(|record| record.strip_suffix(b"\n").unwrap_or(record)).collect();
                there.send(&messages).await.map_err(|error| match error {
                    SendError::TooLong { nth, .. } => (nth, Trouble::Never(error.to_string())),
                    SendError::Lost { sent, .. } => (sent, Trouble::Broken(error.to_string())),
                })
            }
        }
    }
}

/// For the jitter of retries, which need not be hard to guess.
fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

//! The daemon's side: a request goes in, and within the deadline an answer comes out, or why there is none.
//!
//! The resolver answers in the order it is asked, so two counters tell how many answers it owes and whether one of them
//! is overdue. Only the first question that a stuck resolver is asked costs the pipeline a deadline.

use std::{cell::RefCell, io, mem, os::fd::OwnedFd, pin::pin, time::Duration};

use thiserror::Error;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
    time,
};

use super::{
    Process,
    question::{Answer, Request},
    socket,
    wire::{ANSWERED_MAX, Answered, Asked},
};
use crate::readiness::watch;

/// How long an answer may take.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// Questions without an answer at most, given up or not.
pub const OUTSTANDING: usize = 64;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ResolverError {
    /// It did not come within this time.
    #[error("the resolver did not answer within {0:?}")]
    Late(Duration),
    /// Not asked: [`OUTSTANDING`] answers are awaited, or one is overdue and would have to come first.
    #[error("the resolver has not answered earlier questions")]
    Busy,
    /// The resolver process has ended. Said once.
    #[error("the resolver process has ended; from now on nobody tells whose queue an existing one is")]
    Died,
    /// Not asked: the resolver has ended before, which was said.
    #[error("there is no resolver any more")]
    Absent,
}

/// Asks the resolver. For one thread, as the daemon's runtime is (it is not `Sync`); any number of its tasks may ask.
#[derive(Debug)]
pub struct Client {
    // Closed first, see `Process::drop`.
    socket: AsyncFd<OwnedFd>,
    process: Process,
    deadline: Duration,
    desk: RefCell<Desk>,
    /// Wakes all who wait, when one of them has taken in answers.
    arrived: Notify,
}

/// What is on the way.
#[derive(Debug, Default)]
struct Desk {
    /// Number of the last question.
    sent: u64,
    /// Number of the last answer.
    answered: u64,
    /// Number of the last question whose deadline passed.
    overdue: u64,
    /// Who waits; at most [`OUTSTANDING`].
    waiting: Vec<Waiting>,
    /// The resolver has ended, and somebody was told.
    absent: bool,
}

#[derive(Debug)]
struct Waiting {
    seq: u64,
    answered: Option<Answered>,
}

impl Client {
    pub(super) fn new(process: Process, socket: OwnedFd, deadline: Duration) -> io::Result<Self> {
        Ok(Self {
            socket: watch(socket, Interest::READABLE)?,
            process,
            deadline,
            desk: RefCell::default(),
            arrived: Notify::new(),
        })
    }

    /// The resolver's process id, by which its own calls are told from others'.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid.cast_unsigned()
    }

    /// Asks. May be cancelled: the answer is then discarded, as it is when it comes too late.
    ///
    /// # Errors
    /// [`ResolverError`]: `Busy` and `Absent` at once, the others within the deadline.
    pub async fn ask(&self, request: Request) -> Result<Answer, ResolverError> {
        let ticket = self.send(&request)?;
        let arrival = async {
            loop {
                // Before the look: whoever is woken by the socket first takes in the answers of the others, too, who then find
                // nothing there.
                let mut arrived = pin!(self.arrived.notified());
                arrived.as_mut().enable();
                if let Some(answered) = ticket.take() {
                    return Ok(answered);
                }
                let ready = tokio::select! {
                    ready = self.socket.readable() => ready,
                    () = arrived => continue,
                };
                // Cleared before the socket is emptied: what arrives in between sets it again.
                match ready {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => return Err(self.died()),
                }
                self.receive()?;
            }
        };
        match time::timeout(self.deadline, arrival).await {
            Ok(answered) => answered.map(|answered| Answer {
                age: Duration::from_nanos(answered.at.since(request.left)),
                reply: answered.reply,
            }),
            Err(_) => {
                let mut desk = self.desk.borrow_mut();
                desk.overdue = desk.overdue.max(ticket.seq);
                Err(ResolverError::Late(self.deadline))
            }
        }
    }

    /// Sends a question and takes a place among those who wait.
    fn send(&self, request: &Request) -> Result<Ticket<'_>, ResolverError> {
        if self.desk.borrow().absent {
            return Err(self.died());
        }
        if self.desk.borrow().owed() > 0 {
            self.receive()?;
        }
        let mut desk = self.desk.borrow_mut();
        let full = desk.owed() >= OUTSTANDING as u64 || desk.waiting.len() >= OUTSTANDING;
        if full || desk.overdue > desk.answered {
            return Err(ResolverError::Busy);
        }
        let asked = Asked { seq: desk.sent + 1, pid: request.pid, ipc_ns: request.ipc_ns, question: request.question };
        match socket::send(self.socket.get_ref(), &asked.encode(), libc::MSG_DONTWAIT) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)) => {
                return Err(ResolverError::Busy);
            }
            Err(_) => {
                drop(desk);
                return Err(self.died());
            }
        }
        desk.sent = asked.seq;
        desk.waiting.push(Waiting { seq: asked.seq, answered: None });
        Ok(Ticket { desk: &self.desk, seq: asked.seq })
    }

    /// Hands out all answers that have arrived, whoever they are for.
    fn receive(&self) -> Result<(), ResolverError> {
        let mut buffer = [0; ANSWERED_MAX];
        loop {
            match socket::receive(self.socket.get_ref(), &mut buffer, libc::MSG_DONTWAIT).map(Answered::decode) {
                Ok(Some(answered)) => {
                    self.desk.borrow_mut().arrive(answered);
                    self.arrived.notify_waiters();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // An empty packet is its end; of what cannot be read, nothing later could be trusted.
                Ok(None) | Err(_) => return Err(self.died()),
            }
        }
    }

    /// Gives it up, and reaps it as soon as that needs no waiting. Returns what to say about it.
    fn died(&self) -> ResolverError {
        self.process.end();
        if mem::replace(&mut self.desk.borrow_mut().absent, true) { ResolverError::Absent } else { ResolverError::Died }
    }
}

impl Desk {
    fn owed(&self) -> u64 {
        self.sent.saturating_sub(self.answered)
    }

    fn arrive(&mut self, answered: Answered) {
        self.answered = answered.seq;
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.seq == answered.seq) {
            waiting.answered = Some(answered);
        }
    }
}

/// A place among those who wait, given up when dropped.
struct Ticket<'a> {
    desk: &'a RefCell<Desk>,
    seq: u64,
}

impl Ticket<'_> {
    fn take(&self) -> Option<Answered> {
        let mut desk = self.desk.borrow_mut();
        let mine = desk.waiting.iter_mut().find(|waiting| waiting.seq == self.seq);
        mine.and_then(|waiting| waiting.answered.take())
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.desk.borrow_mut().waiting.retain(|waiting| waiting.seq != self.seq);
    }
}

//! One record's way through the pure stages: bytes out of the ring go in, lines come out, and every record is counted into
//! exactly one number of a [`Tally`].

use crate::{
    canary::{Canary, CanaryLost},
    decide::{Decider, Progress},
    detect::Engine,
    encode::Json,
    enrich::{Enricher, Images},
    event::{
        BootTime, Call, Outcome, Start,
        decode::{Decoded, Decoder},
    },
};

/// What became of some records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records taken in.
    pub read: u64,
    /// Of those, refused by decode.
    pub rejected: u64,
    /// Of those, our own proving calls.
    pub canaries: u64,
    /// Of those, calls that came before the hooks were trusted.
    pub early: u64,
    /// Of those, calls that were not wanted for themselves.
    pub witnesses: u64,
    /// Of those, announcements of programs.
    pub contexts: u64,
    /// Lines of calls made.
    pub calls: u64,
    /// Lines of findings made.
    pub findings: u64,
    /// Of the calls, those whose entry was not seen.
    pub unpaired: u64,
    /// Of the calls, those that somebody answered in the kernel's place.
    pub not_executed: u64,
    /// Of the calls, those whose outcome stays open.
    pub ambiguous: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        let Self {
            read,
            rejected,
            canaries,
            early,
            witnesses,
            contexts,
            calls,
            findings,
            unpaired,
            not_executed,
            ambiguous,
        } = other;
        self.read += read;
        self.rejected += rejected;
        self.canaries += canaries;
        self.early += early;
        self.witnesses += witnesses;
        self.contexts += contexts;
        self.calls += calls;
        self.findings += findings;
        self.unpaired += unpaired;
        self.not_executed += not_executed;
        self.ambiguous += ambiguous;
    }
}

/// decode ─► decide ─► detect ─► enrich ─► encode, with what they remember.
#[derive(Debug)]
pub struct Pipeline {
    /// First stage.
    pub decoder: Decoder,
    /// Second stage.
    pub decider: Decider,
    engine: Engine,
    /// Fourth stage.
    pub enricher: Enricher,
    images: Images,
    /// Last stage.
    pub json: Json,
    /// Lines made so far.
    sequence: u64,
    /// The latest proving call.
    canary: Option<Canary>,
    /// Whether the hooks are trusted: calls that come before are not shown, for the hooks may be about to be replaced.
    proven: bool,
    /// What became of the latest canary that arrived.
    arrived: Option<Result<(), CanaryLost>>,
}

impl Pipeline {
    /// Empty stages.
    #[must_use]
    pub fn new(decoder: Decoder, decider: Decider, images: Images, enricher: Enricher, json: Json) -> Self {
        Self {
            decoder,
            decider,
            engine: Engine::new(),
            enricher,
            images,
            json,
            sequence: 0,
            canary: None,
            proven: false,
            arrived: None,
        }
    }

    /// From now on the hooks are trusted: appends the line of `start`, the first one, to `out`.
    pub fn start(&mut self, start: &Start, out: &mut Vec<u8>) {
        self.proven = true;
        self.sequence += 1;
        self.json.start(start, self.sequence, out);
    }

    /// Takes the record at `position` of the ring in, at the moment `now`.
    pub fn take(&mut self, position: u64, bytes: &[u8], now: BootTime, tally: &mut Tally) {
        match self.decoder.decode(position, bytes) {
            Ok(Decoded::Call(mut call)) => {
                self.images.attach(&mut call.caller);
                self.decider.push(call, now);
            }
            Ok(Decoded::Image(image)) => {
                tally.read += 1;
                tally.contexts += 1;
                self.images.remember(image);
            }
            Err(malformed) => {
                tally.read += 1;
                tally.rejected += 1;
                log::error!("position {position} of the ring holds {malformed}; it is counted as rejected");
            }
        }
    }

    /// The next call, if it waits for no other.
    pub fn next(&mut self, progress: Option<Progress>) -> Option<Call> {
        self.decider.next(progress)
    }

    /// Appends what `call` leads to, whole lines, to `out`.
    pub fn finish(&mut self, call: &Call, out: &mut Vec<u8>, tally: &mut Tally) {
        tally.read += 1;
        if call.witness {
            tally.witnesses += 1;
            return;
        }
        let verdict = self.engine.observe(call);
        let who = self.enricher.who(&call.caller);
        let line = out.len();
        self.json.call(call, &who, verdict.tags, self.sequence + 1, out);
        if let Some(canary) = self.canary.as_ref().filter(|canary| canary.ours(call)) {
            out.truncate(line);
            tally.canaries += 1;
            if canary.is(call) {
                self.arrived = Some(canary.check(call));
            }
            return;
        }
        if !self.proven {
            out.truncate(line);
            tally.early += 1;
            return;
        }
        self.sequence += 1;
        tally.calls += 1;
        tally.unpaired += u64::from(call.outcome == Outcome::Unpaired);
        tally.not_executed += u64::from(call.outcome == Outcome::NotExecuted);
        tally.ambiguous += u64::from(call.outcome == Outcome::Ambiguous);
        for finding in &verdict.findings {
            self.sequence += 1;
            tally.findings += 1;
            self.json.finding(finding, &who, verdict.tags, self.sequence, out);
        }
    }

    /// Sends `canary` on its way.
    pub fn expect(&mut self, canary: Canary) {
        self.arrived = None;
        self.canary = Some(canary);
    }

    /// Whether the latest canary arrived, and how.
    pub fn arrived(&mut self) -> Option<Result<(), CanaryLost>> {
        self.arrived.take()
    }
}

//! One record's way through the pure stages: bytes out of the ring go in, lines come out, and every record is counted into
//! exactly one number of a [`Tally`].

use crate::{
    canary::{Canary, CanaryLost},
    detect::Engine,
    encode::Json,
    event::{Outcome, decode::Decoder},
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
    /// Lines of calls made.
    pub calls: u64,
    /// Lines of findings made.
    pub findings: u64,
    /// Of the calls, those whose entry was not seen.
    pub unpaired: u64,
    /// Of the calls, those that somebody answered in the kernel's place.
    pub not_executed: u64,
}

/// decode ─► detect ─► encode, with what they remember.
#[derive(Debug)]
pub struct Pipeline {
    /// First stage.
    pub decoder: Decoder,
    engine: Engine,
    /// Last stage.
    pub json: Json,
    /// Lines made so far.
    sequence: u64,
    /// The proving call on its way, if any.
    canary: Option<Canary>,
    /// What became of the latest canary that arrived.
    arrived: Option<Result<(), CanaryLost>>,
}

impl Pipeline {
    /// Empty stages.
    #[must_use]
    pub fn new(decoder: Decoder, json: Json) -> Self {
        Self {
            decoder,
            engine: Engine::new(),
            json,
            sequence: 0,
            canary: None,
            arrived: None,
        }
    }

    /// Takes the record at `position` of the ring in and appends what it leads to, whole lines, to `out`.
    pub fn process(&mut self, position: u64, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) {
        tally.read += 1;
        let call = match self.decoder.decode(position, bytes) {
            Ok(call) => call,
            Err(malformed) => {
                tally.rejected += 1;
                log::error!("position {position} of the ring holds {malformed}; it is counted as rejected");
                return;
            }
        };
        let canary = self.canary.take_if(|canary| canary.is(&call));
        let verdict = self.engine.observe(&call);
        let line = out.len();
        self.json.call(&call, verdict.tags, self.sequence + 1, out);
        if let Some(canary) = canary {
            out.truncate(line);
            tally.canaries += 1;
            self.arrived = Some(canary.check(&call));
            return;
        }
        self.sequence += 1;
        tally.calls += 1;
        tally.unpaired += u64::from(call.outcome == Outcome::Unpaired);
        tally.not_executed += u64::from(call.outcome == Outcome::NotExecuted);
        for finding in &verdict.findings {
            self.sequence += 1;
            tally.findings += 1;
            self.json.finding(finding, verdict.tags, self.sequence, out);
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

//! Outputs: what is to be told goes in, each output's lines of it go out, in its format and numbered for itself.

use crate::{
    config,
    encode::{Format, Item, Sensor},
    failure::Failure,
    sink::{Sink, SinkError},
};

/// All outputs.
#[derive(Debug)]
pub struct Outputs(Vec<Output>);

/// One of them.
#[derive(Debug)]
struct Output {
    format: Format,
    /// Lines made so far.
    sequence: u64,
    sink: Sink,
}

impl Outputs {
    /// Opens them.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn open(output: &config::Output) -> Result<Self, Failure> {
        Ok(Self(vec![Output { format: Format::Json, sequence: 0, sink: Sink::open(output)? }]))
    }

    /// Where they lead.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|output| output.sink.name())
    }

    /// Puts the lines of `item` where the next [`Self::flush`] takes them from.
    pub fn tell(&mut self, item: &Item<'_>, sensor: &Sensor) {
        for Output { format, sequence, sink } in &mut self.0 {
            *sequence += 1;
            format.line(item, sensor, *sequence, sink.buffer());
        }
    }

    /// As [`Self::tell`], but the lines are thrown away.
    pub fn rehearse(&mut self, item: &Item<'_>, sensor: &Sensor) {
        for Output { format, sequence, sink } in &mut self.0 {
            let lines = sink.buffer();
            let before = lines.len();
            format.line(item, sensor, *sequence + 1, lines);
            lines.truncate(before);
        }
    }

    /// Bytes that the fullest of them would write now.
    pub fn waiting(&mut self) -> usize {
        self.0.iter_mut().map(|output| output.sink.buffer().len()).max().unwrap_or_default()
    }

    /// Writes what has been told. May be cancelled and called again: nothing is written twice or left out.
    ///
    /// # Errors
    /// [`SinkError`]; what was not written is kept.
    pub async fn flush(&mut self) -> Result<(), SinkError> {
        for output in &mut self.0 {
            output.sink.flush().await?;
        }
        Ok(())
    }

    /// True if nobody reads any more.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.0.iter().any(|output| output.sink.closed())
    }

    /// Bytes that have been written in all: whether anything moves.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|output| output.sink.total()).sum()
    }
}

//! `replay`: a recording goes in, lines of the json format as `run` and `exec` write them; what detection finds in it comes
//! out in any format.
//!
//! Lines are read as they come, and none is kept: memory is bounded by a line, the outputs' batches and the engine's own
//! bounds. A bad line is reported and counted, and the others go on.

mod input;
mod lines;
mod session;

use std::{future, path::Path, pin::Pin, time::Duration};

use tokio::time::{self, Instant};

use super::{block_on, past_limits_writing_fails, say};
use crate::{
    config::{self, SpoolOptions},
    event::OutputState,
    failure::Failure,
    output::{Delivery, Outputs},
    sink::SinkError,
};
use input::Input;
use lines::Lines;
use session::Session;

/// Bytes that are read at once, and after which lines that were made of them go out.
const CHUNK: usize = 64 << 10;
/// How long outputs that have a spool may take nothing after the last line.
const PATIENCE: Duration = Duration::from_secs(5);

/// Replays the file at `path`, or standard input if that is `-`.
pub(super) fn run(path: &Path, outputs: &[config::Output], spool: &SpoolOptions) -> Result<(), Failure> {
    past_limits_writing_fails();
    block_on(async {
        // First, so that a wrong name leaves no empty output behind.
        let mut input = Input::open(path)?;
        let (mut outputs, deliveries) = Outputs::open(outputs, spool)?;
        tokio::select! {
            replayed = replay(&mut input, &mut outputs) => replayed,
            never = deliver(deliveries) => match never {},
        }
    })
}

async fn replay(input: &mut Input, outputs: &mut Outputs) -> Result<(), Failure> {
    let mut session = Session::new(input.name());
    let read = read(input, &mut session, outputs).await;
    say(format_args!("{session}"));
    if !matches!(read, Err(Failure::Replayed { .. })) {
        // What was found before reading failed has been told, and arrives.
        arrive(outputs).await?;
    }
    read?;
    session.conclude()
}

/// Takes all lines of `input` through the `session`, until nobody reads what comes of it.
async fn read(input: &mut Input, session: &mut Session, outputs: &mut Outputs) -> Result<(), Failure> {
    let (mut lines, mut chunk) = (Lines::default(), vec![0; CHUNK]);
    loop {
        let read = input.read(&mut chunk).await?;
        lines.push(chunk.get(..read).unwrap_or_default());
        if read == 0 {
            lines.end();
        }
        while let Some((number, line)) = lines.next() {
            session.take(number, line, outputs);
        }
        match outputs.flush().await {
            Ok(()) => {}
            Err(SinkError::Closed) => return Ok(()),
            Err(error) => {
                let output = outputs.names().collect::<Vec<_>>().join(", ");
                return Err(Failure::Replayed { output, error: error.into() });
            }
        }
        if read == 0 || outputs.closed() {
            return Ok(());
        }
        // A file never has us wait, and the deliveries run beside.
        tokio::task::yield_now().await;
    }
}

/// Waits until what went into spools is where it belongs, as long as any of it gets on.
async fn arrive(outputs: &mut Outputs) -> Result<(), Failure> {
    outputs.finish();
    let (mut moved, mut since) = (outputs.moved(), Instant::now());
    while !outputs.delivered() && since.elapsed() < PATIENCE {
        time::sleep(Duration::from_millis(5)).await;
        if outputs.moved() != moved {
            (moved, since) = (outputs.moved(), Instant::now());
        }
    }
    if outputs.closed() {
        return Ok(());
    }
    for output in outputs.states() {
        let gone = output.gone();
        let OutputState { name, waiting, trouble, .. } = output;
        if waiting + gone > 0 {
            return Err(Failure::NotArrived { output: name, waiting, gone, trouble: trouble.unwrap_or_default() });
        }
    }
    Ok(())
}

/// Runs all of `deliveries` for as long as the replay lasts. Here and not as tasks, which only the daemon spawns.
async fn deliver(deliveries: Vec<Delivery>) -> std::convert::Infallible {
    let mut running: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for delivery in deliveries {
        running.push(Box::pin(delivery.run()));
    }
    future::poll_fn(|context| {
        running.retain_mut(|delivery| delivery.as_mut().poll(context).is_pending());
        std::task::Poll::Pending
    })
    .await
}

//! Outputs: what is to be told goes in, each output's lines of it go out, in its format and numbered for itself.
//!
//! An only output that is here (a file, a pipe) is written to directly, and what it does not take stays in the ring. Of several
//! none may hold up the others, and one elsewhere may be away for hours: these lines go into a spool on disk, and out of it at
//! the output's own pace.

mod delivery;
mod frame;
mod spooled;

use std::{
    env,
    io::{self, IsTerminal as _},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

pub use delivery::Delivery;
use frame::Frame;
use spooled::Spooled;
use uuid::Uuid;

use crate::{
    config::{self, SpoolOptions, To},
    encode::{Format, Item, Sensor, Table},
    event::{LossReason, OutputState},
    failure::Failure,
    sink::{Sink, SinkError},
};

/// All outputs.
#[derive(Debug)]
pub struct Outputs(Vec<Output>);

/// One of them.
#[derive(Debug)]
struct Output {
    config: config::Output,
    /// That of the configuration, for this reader.
    format: Format,
    /// What goes around a line, if anything does.
    frame: Option<Frame>,
    /// Lines made so far.
    sequence: u64,
    lane: Lane,
}

/// How lines get out.
#[derive(Debug)]
enum Lane {
    /// At once; the number of those that are out.
    Direct(Sink, u64),
    /// Later.
    Spooled(Spooled),
}

impl Lane {
    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Direct(sink, _) => sink.buffer(),
            Self::Spooled(spooled) => &mut spooled.buffer,
        }
    }
}

impl Outputs {
    /// Opens them; also returns what brings the lines of those that have a spool to where they belong, to be run beside.
    ///
    /// # Errors
    /// [`Failure::Output`], [`Failure::Spool`].
    pub fn open(outputs: &[config::Output], spool: &SpoolOptions) -> Result<(Self, Vec<Delivery>), Failure> {
        let mut deliveries = Vec::new();
        let direct = outputs.len() == 1 && outputs.iter().all(|output| !output.to.remote());
        let opened = outputs.iter().map(|config| {
            let lane = if direct {
                Lane::Direct(Sink::open(&config.to)?, 0)
            } else {
                let (spooled, delivery) = Spooled::open(config, spool)?;
                deliveries.push(delivery);
                Lane::Spooled(spooled)
            };
            let frame = match &config.to {
                To::Syslog { facility, .. } => Some(Frame::new(*facility)),
                To::Stdout | To::File(_) => None,
            };
            let format = match (config.format, &config.to) {
                (Format::Table(_), To::Stdout) => Format::Table(terminal()),
                (format, _) => format,
            };
            Ok(Output { config: config.clone(), format, frame, sequence: 0, lane })
        });
        let opened = opened.collect::<Result<_, Failure>>()?;
        Ok((Self(opened), deliveries))
    }

    /// Where they lead.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|output| output.config.to.to_string())
    }

    /// Puts the lines of `item` where the next [`Self::flush`] takes them from.
    pub fn tell(&mut self, item: &Item<'_>, sensor: &Sensor) {
        for output in &mut self.0 {
            if output.config.only.has(item.kind()) && output.format.tells(item.kind()) {
                output.sequence += 1;
                output.line(item, sensor);
            }
        }
    }

    /// As [`Self::tell`], but the lines are thrown away.
    pub fn rehearse(&mut self, item: &Item<'_>, sensor: &Sensor) {
        for output in &mut self.0 {
            let before = output.lane.buffer().len();
            output.line(item, sensor);
            output.lane.buffer().truncate(before);
        }
    }

    /// Bytes that the fullest of them would write now.
    pub fn waiting(&mut self) -> usize {
        self.0.iter_mut().map(|output| output.lane.buffer().len()).max().unwrap_or_default()
    }

    /// Writes what has been told, or puts it into a spool. May be cancelled and called again: nothing is written twice or left
    /// out.
    ///
    /// # Errors
    /// [`SinkError`] of an only output; what was not written is kept.
    pub async fn flush(&mut self) -> Result<(), SinkError> {
        for output in &mut self.0 {
            match &mut output.lane {
                Lane::Direct(sink, out) => {
                    sink.flush().await?;
                    *out = output.sequence;
                }
                Lane::Spooled(spooled) => spooled.store(),
            }
        }
        Ok(())
    }

    /// True if nobody reads any more.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.0.iter().all(|output| match &output.lane {
            Lane::Direct(sink, _) => sink.closed(),
            Lane::Spooled(spooled) => spooled.closed(),
        })
    }

    /// A number that rises as long as anything gets out.
    #[must_use]
    pub fn moved(&self) -> u64 {
        let moved = |output: &Output| match &output.lane {
            Lane::Direct(sink, _) => sink.total(),
            Lane::Spooled(spooled) => spooled.delivered(),
        };
        self.0.iter().map(moved).sum()
    }

    /// How each of them is.
    #[must_use]
    pub fn states(&self) -> Vec<OutputState> {
        self.0.iter().map(Output::state).collect()
    }

    /// Those whose spool is not empty.
    pub fn left(&self) -> impl Iterator<Item = OutputState> {
        let spooled = self.0.iter().filter(|output| matches!(output.lane, Lane::Spooled(_)));
        spooled.map(Output::state).filter(|state| state.waiting > 0)
    }

    /// Outputs that have been of no use for longer than they should, and why.
    #[must_use]
    pub fn troubles(&self, now: Instant) -> Vec<(String, String)> {
        self.spooled().filter_map(|(name, spooled)| Some((name, spooled.trouble(now)?))).collect()
    }

    /// Lines that will not arrive and have not been told of here: at which output, why, how many. Those that have waited for
    /// too long are given up by this, so it is to be called about every second.
    pub fn losses(&mut self) -> Vec<(String, LossReason, u64)> {
        let mut losses = Vec::new();
        for output in &mut self.0 {
            if let Lane::Spooled(spooled) = &mut output.lane {
                let name = output.config.to.to_string();
                spooled.expire();
                losses.extend(spooled.losses().into_iter().map(|(reason, count)| (name.clone(), reason, count)));
            }
        }
        losses
    }

    /// Opens files anew, as after logrotate(8); true if there are any.
    pub fn reopen(&mut self) -> bool {
        let mut any = false;
        for output in &mut self.0 {
            any |= match &mut output.lane {
                Lane::Direct(sink, _) => sink.reopen(),
                Lane::Spooled(spooled) if matches!(output.config.to, To::File(_)) => spooled.reopen(),
                Lane::Spooled(_) => false,
            };
        }
        any
    }

    /// From now on deliveries end when there is nothing left to deliver.
    pub fn finish(&self) {
        self.spooled().for_each(|(_, spooled)| spooled.finish());
    }

    /// True if no spool holds anything any more.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.spooled().all(|(_, spooled)| spooled.finished())
    }

    fn spooled(&self) -> impl Iterator<Item = (String, &Spooled)> {
        self.0.iter().filter_map(|output| match &output.lane {
            Lane::Direct(..) => None,
            Lane::Spooled(spooled) => Some((output.config.to.to_string(), spooled)),
        })
    }
}

impl Output {
    /// Makes the line of `item`, the `sequence`th.
    fn line(&mut self, item: &Item<'_>, sensor: &Sensor) {
        let (format, sequence, out) = (self.format, self.sequence, self.lane.buffer());
        match &mut self.frame {
            Some(frame) => frame.line(item, sensor, out, |line| format.line(item, sensor, sequence, line)),
            None => format.line(item, sensor, sequence, out),
        }
    }

    fn state(&self) -> OutputState {
        let told = OutputState {
            name: self.config.to.to_string(),
            format: self.format.name().into(),
            told: self.sequence,
            ..OutputState::default()
        };
        match &self.lane {
            Lane::Direct(_, out) => OutputState { delivered: *out, waiting: self.sequence - out, ..told },
            Lane::Spooled(spooled) => spooled.state(told),
        }
    }
}

/// How a table looks on standard output: as wide as the terminal, and coloured, unless the user wants none
/// (<https://no-color.org>); plain anywhere else.
fn terminal() -> Table {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return Table { width: None, colour: false };
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills in one such structure.
    let known = unsafe { libc::ioctl(stdout.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0 && size.ws_col > 0;
    let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Table { width: known.then_some(size.ws_col), colour }
}

/// The folder of an output among those of spools: for ever the same for the same place and format, and no other's. The digits
/// at the end tell apart what looks the same once it is fit for a name.
fn folder(spool: &Path, config: &config::Output) -> PathBuf {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "._".contains(letter) { letter } else { '-' };
    let name = format!("{}-{}", config.format.name(), config.to);
    let digits = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string();
    let shown: String = name.chars().map(plain).take(FOLDER_CHARS).collect();
    spool.join(format!("{shown}-{digits:.12}"))
}

/// How much of a place is to be read in the name of its folder, which has at most 255 bytes.
const FOLDER_CHARS: usize = 100;

/// What an output and its delivery share.
type Shared = Rc<spooled::Shared>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_outputs_share_a_folder() {
        let named = |output: &str| folder(Path::new("/s"), &output.parse().unwrap());
        let long = format!("/{}", "x".repeat(1000));
        let outputs = ["/a/b", "/a-b", "/a b", "ecs=/a/b", "tcp://a:1", "udp://a:1", &long, &format!("{long}y")];
        for (nth, output) in outputs.iter().enumerate() {
            let folder = named(output);
            assert_eq!(folder, named(output));
            assert!(folder.file_name().unwrap().len() <= 255 && folder.parent() == Some(Path::new("/s")), "{folder:?}");
            assert!(outputs[..nth].iter().all(|other| named(other) != folder), "{output}");
        }
        assert!(named("tcp://siem:601").to_str().unwrap().starts_with("/s/json-tcp---siem-601-"));
    }
}

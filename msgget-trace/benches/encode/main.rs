//! What an encoder costs: items go through each format, and the same lines through serde_json's own serialisation; the
//! times of both, and their ratio, come out.
//!
//! `cargo bench -p msgget-trace --bench encode`. No test asserts its numbers: the time of the baseline has been seen to differ
//! by a fifth between two builds of which none changed it, and with it the ratio. So what a change is worth, the times of
//! our own tell, of both builds in turn on one machine.

mod baseline;
mod mixture;
#[path = "../common/record.rs"]
mod record;

use std::{error::Error, hint::black_box, time::Instant};

use baseline::Node;
use mixture::Mixture;
use msgget_trace::encode::{Format, Item, Kind, Sensor};

/// Measurements of each format. Their median counts, for what disturbs one of them disturbs few.
const ROUNDS: usize = 301;

/// How often a measurement goes through the mixture.
const PASSES: usize = 5;

/// One format, and the mixture in it.
struct Subject<'a> {
    format: Format,
    sensor: &'a Sensor,
    items: &'a [Item<'a>],
    /// Its lines, parsed.
    lines: Vec<Node>,
    bytes: usize,
}

/// One measurement, in ns a line.
struct Round {
    ours: f64,
    baseline: f64,
}

impl<'a> Subject<'a> {
    /// # Errors
    /// A line that is no JSON, or that the baseline would write differently.
    fn new(format: Format, sensor: &'a Sensor, items: &'a [Item<'a>]) -> Result<Self, Box<dyn Error>> {
        let mut subject = Self { format, sensor, items, lines: Vec::new(), bytes: 0 };
        for (item, sequence) in items.iter().zip(1..) {
            let mut line = Vec::new();
            format.line(item, sensor, sequence, &mut line);
            subject.bytes += line.len();
            if subject.is_json() {
                let node: Node = serde_json::from_slice(&line)?;
                if serde_json::to_vec(&node)? != line.trim_ascii_end() {
                    return Err(format!("the baseline is not the line: {}", String::from_utf8_lossy(&line)).into());
                }
                subject.lines.push(node);
            }
        }
        Ok(subject)
    }

    fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Ecs | Format::Ocsf)
    }

    fn ours(&self, out: &mut Vec<u8>) {
        for (item, sequence) in self.items.iter().zip(1..) {
            out.clear();
            self.format.line(black_box(item), self.sensor, sequence, out);
            black_box(&out);
        }
    }

    /// Nothing for a format that is not JSON.
    fn baseline(&self, out: &mut Vec<u8>) {
        for line in &self.lines {
            out.clear();
            // Writing to memory does not fail, and `new` has seen that these lines can be written.
            let _ = serde_json::to_writer(&mut *out, black_box(line));
            out.push(b'\n');
            black_box(&out);
        }
    }

    /// One after the other, so that both meet the same weather.
    fn measure(&self, out: &mut Vec<u8>) -> Round {
        let lines = (PASSES * self.items.len()) as f64;
        let mut time = |pass: &mut dyn FnMut(&mut Vec<u8>)| {
            let start = Instant::now();
            (0..PASSES).for_each(|_| pass(out));
            start.elapsed().as_nanos() as f64 / lines
        };
        Round { ours: time(&mut |out| self.ours(out)), baseline: time(&mut |out| self.baseline(out)) }
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mixture = Mixture::new()?;
    let items = mixture.items();
    let findings: Vec<_> = items.iter().copied().filter(|item| item.kind() == Kind::Finding).collect();
    let subjects = ["json", "ecs", "ocsf", "cef", "table"]
        .into_iter()
        .filter_map(Format::named)
        .map(|format| Subject::new(format, &mixture.sensor, if format.tells(Kind::Call) { &items } else { &findings }))
        .collect::<Result<Vec<_>, _>>()?;

    let mut out = Vec::with_capacity(1 << 16);
    for subject in &subjects {
        subject.measure(&mut out);
    }
    let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (subject, rounds) in subjects.iter().zip(&mut rounds) {
            rounds.push(subject.measure(&mut out));
        }
    }

    println!("{:<8}{:>12}{:>16}{:>14}{:>8}", "format", "ns a line", "baseline, ns", "bytes a line", "ratio");
    for (subject, rounds) in subjects.iter().zip(&rounds) {
        let ours = median(rounds.iter().map(|round| round.ours));
        let bytes = subject.bytes / subject.items.len().max(1);
        let name = subject.format.name();
        if subject.is_json() {
            let baseline = median(rounds.iter().map(|round| round.baseline));
            let ratio = median(rounds.iter().map(|round| round.ours / round.baseline));
            println!("{name:<8}{ours:>12.0}{baseline:>16.0}{bytes:>14}{ratio:>8.2}");
        } else {
            println!("{name:<8}{ours:>12.0}{:>16}{bytes:>14}{:>8}", "-", "-");
        }
    }
    Ok(())
}

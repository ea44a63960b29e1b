//! In: the second serial line of a guest, line by line. Out: each test binary that ended, with its
//! counts and what it printed; and whether the guest came to the end of its plan.

use crate::{guest::MARK, summary::Summary};

/// What is known of a guest.
#[derive(Default)]
pub(super) struct Console {
    running: Option<Run>,
    /// Whether any test binary was started.
    pub(super) begun: bool,
    /// Whether the guest said that it was through.
    pub(super) done: bool,
}

/// A test binary on one rung.
#[derive(Default)]
pub(super) struct Run {
    /// Rung and name.
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    pub(super) summary: Summary,
    /// How long it took and how it ended: `1234 exit status: 0`.
    end: String,
}

impl Run {
    pub(super) fn seconds(&self) -> f64 {
        let ms = self.end.split(' ').next().and_then(|ms| ms.parse::<u32>().ok());
        f64::from(ms.unwrap_or_default()) / 1000.0
    }
}

impl Console {
    /// Takes a line; returns the test binary whose end it is.
    pub(super) fn read(&mut self, line: &str) -> Option<Run> {
        let line = line.trim_end_matches(['\r', '\n']);
        let Some(said) = line.strip_prefix(MARK) else {
            if let Some(run) = &mut self.running
                && !line.is_empty()
            {
                run.summary.read(line);
                run.lines.push(line.to_owned());
            }
            return None;
        };
        if let Some(title) = said.strip_prefix("begin ") {
            self.begun = true;
            self.running = Some(Run { title: title.to_owned(), ..Run::default() });
        } else if let Some(end) = said.strip_prefix("end ") {
            let mut run = self.running.take()?;
            run.end = end.strip_prefix(&run.title)?.trim_start().to_owned();
            if !run.end.ends_with(" exit status: 0") && run.summary.failed == 0 {
                // It died before it could count.
                run.lines.push(format!("it ended with {}", run.end.split_once(' ')?.1));
                run.summary.failed = 1;
            }
            return Some(run);
        } else if said == "done" {
            self.done = self.running.is_none();
        }
        None
    }

    /// The test binary that has begun and not ended.
    pub(super) fn unfinished(&self) -> Option<&str> {
        self.running.as_ref().map(|run| run.title.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Console, Run};

    fn read(text: &str) -> (Vec<Run>, Console) {
        let mut console = Console::default();
        let runs = text.lines().filter_map(|line| console.read(line)).collect();
        (runs, console)
    }

    const RESULT: &str =
        "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.52s";

    #[test]
    fn a_guest_that_is_well() {
        let text = format!(
            "\r\nxtask-guest: begin fexit exec\r\n\r\nrunning 12 tests\r\n{RESULT}\r\n\r\n\
             xtask-guest: end fexit exec 1500 exit status: 0\r\n\r\nxtask-guest: done\r\n"
        );
        let (runs, console) = read(&text);
        let [run] = runs.as_slice() else { panic!("not one") };
        assert_eq!(run.title, "fexit exec");
        assert_eq!(run.lines, ["running 12 tests", RESULT]);
        assert_eq!(run.summary.to_string(), "12 passed, 0 failed, 0 skipped");
        assert!((run.seconds() - 1.5).abs() < 0.001);
        assert!(console.done && console.begun && console.unfinished().is_none());
        assert!(!read("Kernel panic - not syncing\n").1.begun);
    }

    #[test]
    fn a_test_that_dies_uncounted_has_failed() {
        let text = "xtask-guest: begin fexit exec\nrunning 2 tests\ntest a ... \n\
                    xtask-guest: end fexit exec 9 signal: 6 (SIGABRT)\nxtask-guest: done\n";
        let (runs, console) = read(text);
        assert_eq!(runs[0].summary.to_string(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(runs[0].lines.last().unwrap(), "it ended with signal: 6 (SIGABRT)");
        assert!(console.done);
    }

    #[test]
    fn a_guest_that_stops_midway_is_not_done() {
        let (runs, console) = read(&format!("xtask-guest: begin fexit exec\n{RESULT}\n"));
        assert!(runs.is_empty() && !console.done);
        assert_eq!(console.unfinished(), Some("fexit exec"));
        assert!(!read("").1.done);
    }
}

//! In: what `cargo test` prints and what the tests say they skipped. Out: the one line that sums it
//! up, and one for each failure, since what a failed test has to say is far above by then.

use std::{collections::BTreeMap, fmt};

/// How much of a message is kept: one may hold a whole output.
const MESSAGE_CHARS: usize = 300;

/// The count of a whole `cargo test`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Summary {
    passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    ignored: usize,
    /// Where each panic was, and the beginning of its message.
    pub(crate) panics: Vec<String>,
    /// Whether the next line is such a message.
    in_panic: bool,
    /// Why each test that skipped itself did so, by the test's name.
    pub(crate) skips: BTreeMap<String, String>,
}

impl Summary {
    /// Adds up a line of output if it is the result of one test binary, and keeps it if it tells of
    /// a panic; any other is of no interest.
    pub(crate) fn read(&mut self, line: &str) {
        if std::mem::take(&mut self.in_panic)
            && let Some(panic) = self.panics.last_mut()
        {
            panic.extend(line.trim_end().chars().take(MESSAGE_CHARS));
        }
        if let Some((test, place)) = line.strip_prefix("thread '").and_then(|rest| rest.split_once("panicked at ")) {
            let test = test.split_once('\'').map_or(test, |(test, _number)| test);
            self.panics.push(format!("{test}, {} ", place.trim_end()));
            self.in_panic = true;
        }
        let Some((_verdict, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            let (number, what) = count.split_once(' ').unwrap_or_default();
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            match what.trim_end() {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds what was counted at `place`.
    pub(crate) fn add(&mut self, other: Self, place: &str) {
        self.panics.extend(other.panics.iter().map(|panic| format!("{place}: {panic}")));
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skips.extend(other.skips);
    }

    /// Takes the tests' own report, a line `name: reason` for each test that skipped itself.
    pub(crate) fn read_skips(&mut self, report: &str) {
        for line in report.lines().filter(|line| !line.trim().is_empty()) {
            let (name, reason) = line.split_once(": ").unwrap_or((line, "no reason given"));
            self.skips.insert(name.to_owned(), reason.to_owned());
        }
    }

    /// How many tests did not do their work: those that skipped themselves, and those that the
    /// harness ignored.
    pub(crate) fn skipped(&self) -> usize {
        self.skips.len() + self.ignored
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The harness knows no skipping: a test that skipped itself has returned, and is among the
        // passed.
        let passed = self.passed.saturating_sub(self.skips.len());
        write!(f, "{passed} passed, {} failed, {} skipped", self.failed, self.skipped())
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    fn summary(lines: &[&str], skips: &str) -> String {
        let mut summary = Summary::default();
        for line in lines {
            summary.read(line);
        }
        summary.read_skips(skips);
        summary.to_string()
    }

    const OK: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; \
                      finished in 0.52s\n";
    const BAD: &str = "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered \
                       out; finished in 1.00s\n";

    #[test]
    fn binaries_add_up() {
        assert_eq!(summary(&[OK, "running 6 tests\n", BAD], ""), "16 passed, 2 failed, 1 skipped");
        assert_eq!(summary(&[], ""), "0 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn what_a_test_died_of_is_kept() {
        let mut guest = Summary::default();
        for line in ["thread 'doors::x' (17) panicked at tests/doors.rs:5:9:\r\n", "no call\r\n", "note: more\n", BAD] {
            guest.read(line);
        }
        let mut summary = Summary::default();
        summary.add(guest, "vm 6.1: fexit doors");
        assert_eq!(summary.panics, ["vm 6.1: fexit doors: doors::x, tests/doors.rs:5:9: no call"]);
        summary.read("thread 'main' panicked at a.rs:1:1:\n");
        summary.read(&"x".repeat(1000));
        assert_eq!(summary.panics[1].len(), "main, a.rs:1:1: ".len() + 300);
    }

    #[test]
    fn only_whole_result_lines_count() {
        let lookalikes =
            [" test result: ok. 5 passed; 0 failed", "test result: ok", "test result::x ... ok", "5 passed; 1 failed"];
        assert_eq!(summary(&lookalikes, ""), "0 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_test_that_skipped_itself_did_not_pass() {
        let skips = "live::seccomp: not root\nlive::php: php is absent: install php-cli\n\
                     live::seccomp: not root\n\n";
        assert_eq!(summary(&[OK], skips), "10 passed, 0 failed, 3 skipped");
        let mut summary = Summary::default();
        summary.read_skips(skips);
        assert_eq!(summary.skips.get("live::php").map(String::as_str), Some("php is absent: install php-cli"));
    }
}

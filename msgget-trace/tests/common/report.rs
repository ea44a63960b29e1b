//! What a daemon that has ended left: its status and what it printed go in, lines, health records and the balance come out.

use std::{collections::HashMap, process::ExitStatus};

use super::{Line, is_health};

/// What a program that has ended left.
pub(crate) struct Report {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Report {
    /// The start record, which is the first line.
    pub(crate) fn start(&self) -> serde_json::Value {
        let start: serde_json::Value = serde_json::from_str(self.stdout.first().expect("a start record")).unwrap();
        assert_eq!((&start["eventName"], &start["sequence"]), (&"start".into(), &1.into()), "{start}");
        start
    }

    /// Every line but the health records, each checked for its shape.
    fn every_line(&self) -> Vec<Line> {
        self.stdout.iter().filter(|raw| !is_health(raw)).map(|raw| Line::parse(raw)).collect()
    }

    /// The health records of this name.
    pub(crate) fn health(&self, name: &str) -> Vec<serde_json::Value> {
        let records = self.stdout.iter().filter(|raw| is_health(raw)).map(|raw| serde_json::from_str(raw).unwrap());
        records.filter(|record: &serde_json::Value| record["eventName"] == name).collect()
    }

    /// The lines of calls and findings.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.every_line().into_iter().filter(|line| !line.is_control() && !line.is_use()).collect()
    }

    /// The lines of what became of queues.
    pub(crate) fn controls(&self) -> Vec<Line> {
        self.every_line().into_iter().filter(Line::is_control).collect()
    }

    /// The lines of uses of queues that were not there.
    pub(crate) fn uses(&self) -> Vec<Line> {
        self.every_line().into_iter().filter(Line::is_use).collect()
    }

    /// Asserts that all lines are numbered without a gap, and returns those of calls and findings.
    pub(crate) fn numbered(&self) -> Vec<Line> {
        for (raw, n) in self.stdout.iter().zip(1..) {
            let line: serde_json::Value = serde_json::from_str(raw).unwrap();
            assert_eq!(line["sequence"], n, "a gap");
        }
        self.lines()
    }

    /// The numbers of the last message.
    pub(crate) fn balance(&self) -> HashMap<&str, u64> {
        let last = self.stderr.last().map(String::as_str).unwrap_or_default();
        let numbers =
            last.strip_prefix("msgget-trace: balance ").unwrap_or_else(|| panic!("not a balance: {:#?}", self.stderr));
        numbers
            .split(' ')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, n)| (name, n.parse().unwrap()))
            .collect()
    }

    /// Asserts a clean end in which nothing was lost and everything adds up, and returns the lines of calls and findings.
    pub(crate) fn balanced(&self) -> Vec<Line> {
        assert_eq!(self.status.code(), Some(0), "messages: {:#?}", self.stderr);
        let balance = self.balance();
        assert_eq!(
            [balance["lost"], balance["controls_lost"], balance["uses_lost"]],
            [0; 3],
            "messages: {:#?}",
            self.stderr
        );
        self.consistent()
    }

    /// Asserts that what was not lost adds up and is numbered without a gap, and returns the lines of calls and findings.
    pub(crate) fn consistent(&self) -> Vec<Line> {
        let lines = self.numbered();
        let findings = lines.iter().filter(|line| !line.is_call()).count();
        self.add_up(lines.len() - findings, self.controls().len(), findings);
        assert_eq!(self.balance()["uses"], self.uses().len() as u64, "{:?}", self.balance());
        // One run, one rung, unless it says otherwise.
        if self.health("degraded").is_empty() && self.health("config_change").is_empty() {
            let hook = self.start()["hook"].clone();
            let lines = self.every_line();
            assert!(lines.iter().filter(|line| line.has("hook")).all(|line| line["hook"] == hook), "one run, one rung");
        }
        if self.status.success() {
            self.stop_record();
        }
        lines
    }

    /// The stop record, which is the last line, and whose balance is that of the last message.
    pub(crate) fn stop_record(&self) -> serde_json::Value {
        let stop: serde_json::Value = serde_json::from_str(self.stdout.last().expect("a stop record")).unwrap();
        assert_eq!(stop["eventName"], "stop", "{stop}");
        for (name, number) in self.balance() {
            assert_eq!(stop["balance"][name], number, "{name} in {stop}");
        }
        stop
    }

    /// Asserts that the balance agrees with itself and with what was counted on the output.
    pub(crate) fn add_up(&self, calls: usize, controls: usize, findings: usize) {
        let balance = self.balance();
        assert_eq!(balance["rejected"], 0, "{balance:?}");
        assert_eq!(
            balance["seen"],
            balance["submitted"] + balance["aggregated"] + balance["lost"] + balance["out_of_scope"],
            "{balance:?}"
        );
        assert_eq!(balance["controls_seen"], balance["controls_submitted"] + balance["controls_lost"], "{balance:?}");
        let uses = balance["uses_submitted"] + balance["uses_past_budget"] + balance["uses_lost"];
        assert_eq!(balance["uses_seen"], uses, "{balance:?}");
        let submitted = ["submitted", "controls_submitted", "uses_submitted", "contexts_submitted"];
        assert_eq!(submitted.iter().map(|name| balance[name]).sum::<u64>(), balance["read"], "{balance:?}");
        assert_eq!(
            balance["read"],
            ["delivered", "controls", "uses", "canaries", "early", "witnesses", "contexts", "rejected", "unwanted"]
                .iter()
                .map(|name| balance[name])
                .sum::<u64>(),
            "{balance:?}"
        );
        let told = balance["findings"] + balance["findings_unwanted"] + balance["suppressed"];
        assert_eq!(balance["found"], told, "{balance:?}");
        assert!(balance["canaries"] >= 1, "{balance:?}");
        assert_eq!(balance["delivered"], calls as u64, "{balance:?}");
        assert_eq!(balance["controls"], controls as u64, "{balance:?}");
        assert_eq!(balance["findings"], findings as u64, "{balance:?}");
    }

    /// Asserts that it ended with this code and one line on stderr, which has all these words in it.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "messages: {:#?}", self.stderr);
        assert_eq!(self.stdout, [""; 0]);
        let [message] = self.stderr.as_slice() else { panic!("not one line: {:#?}", self.stderr) };
        let message = message.to_lowercase();
        for word in words {
            assert!(message.contains(&word.to_lowercase()), "{word:?} is missing in: {message}");
        }
    }
}

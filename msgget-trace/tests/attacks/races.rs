//! Races that are run in earnest: two programs want the same keys at about the same time, and note down what they got. What they
//! noted and what was found go in; it comes out whether every race that was lost to the squatter was told of, and no other.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Stdio},
};

use crate::{
    common::{live, sys},
    score::Score,
    seen::{Finding, Seen},
    stage::{self, ALICE, MALLORY, Space, Stage, User, Who},
};

/// One key that both wanted.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// What the victim's look at the key returned, then its creation.
    check: i64,
    got: i64,
    /// Creator of the queue, as the victim saw it; -1 if it saw none.
    cuid: i64,
    /// What the squatter's creation returned.
    squatted: i64,
}

impl Trial {
    /// The squatter made the queue after the victim had looked and before it asked.
    fn won(self) -> bool {
        self.check == -2 && self.squatted >= 0 && (self.got == -17 || self.got == self.squatted && self.cuid == 4102)
    }

    /// The victim made it.
    fn lost(self) -> bool {
        self.check == -2 && self.squatted == -17 && self.got >= 0 && self.cuid == 4101
    }
}

/// Trials of the same two programs.
struct Batch {
    victim: Who,
    squatter: Who,
    trials: BTreeMap<i64, Trial>,
}

/// All trials that were run.
pub(crate) struct Races(Vec<Batch>);

/// How many of each kind are wanted: fewer where the machine is slow.
fn wanted() -> usize {
    50 / live::slowness() as usize
}

/// One of the two, ready to begin.
struct Racer {
    child: Child,
    notes: BufReader<ChildStdout>,
    pid: i64,
}

fn racer(stage: &Stage, space: Space, user: User, role: &str, plan: &[String]) -> Racer {
    let mut command = stage::command(user, &[], "/usr/bin/perl".as_ref(), &stage.path("racer.pl"));
    space.enter(command.arg(role).args(plan).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut child = command.spawn().unwrap();
    let notes = BufReader::new(child.stdout.take().unwrap());
    let mut racer = Racer { child, notes, pid: 0 };
    let mut line = String::new();
    racer.notes.read_line(&mut line).unwrap();
    racer.pid = line.trim_end().strip_prefix("process ").unwrap().parse().unwrap();
    racer
}

/// Its process and what it noted: key, and numbers.
fn noted(mut racer: Racer, space: Space, user: i64) -> (Who, BTreeMap<i64, Vec<i64>>) {
    let mut text = String::new();
    racer.notes.read_to_string(&mut text).unwrap();
    assert!(racer.child.wait().unwrap().success());
    let (pid_namespace, ipc_namespace) = (sys::namespace("pid"), space.number);
    let trials = text.lines().map(|line| {
        let numbers: Vec<i64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        (numbers[0], numbers[1..].to_vec())
    });
    (Who { pid: racer.pid, pid_namespace, ipc_namespace, uid: user, euid: user }, trials.collect())
}

impl Races {
    /// Runs trials until both sides have won often enough.
    pub(crate) fn run(stage: &Stage) -> Self {
        const BATCHES: usize = 12;
        let slowness = i64::from(live::slowness());
        // 100 trials, a window of a millisecond each, on a machine of its own.
        let slower = slowness * slowness;
        let (count, every, window) = (100 / slowness, 5_000_000 * slower, 1_000_000 * slower);
        let mut races = Self(Vec::new());
        while races.0.len() < BATCHES && (races.count(Trial::won) < wanted() || races.count(Trial::lost) < wanted()) {
            let space = Space::new();
            let plan = [1000, count, every, window].map(|number| number.to_string());
            let mut victim = racer(stage, space, ALICE, "victim", &plan);
            let mut squatter = racer(stage, space, MALLORY, "squatter", &plan);
            let begin = sys::clock(libc::CLOCK_MONOTONIC) + 20_000_000 * slowness;
            for racer in [&mut victim, &mut squatter] {
                writeln!(racer.child.stdin.take().unwrap(), "{begin}").unwrap();
            }
            let (victim, asked) = noted(victim, space, 4101);
            let (squatter, made) = noted(squatter, space, 4102);
            let trial = |(key, asked): (i64, Vec<i64>)| {
                (key, Trial { check: asked[0], got: asked[1], cuid: asked[2], squatted: made[&key][0] })
            };
            races.0.push(Batch { victim, squatter, trials: asked.into_iter().map(trial).collect() });
        }
        let (won, lost) = (races.count(Trial::won), races.count(Trial::lost));
        assert!(
            won >= wanted() && lost >= wanted(),
            "of {} trials the squatter won {won} and lost {lost}",
            races.trials()
        );
        races
    }

    fn count(&self, kind: impl Fn(Trial) -> bool) -> usize {
        self.0.iter().flat_map(|batch| batch.trials.values()).filter(|trial| kind(**trial)).count()
    }

    fn trials(&self) -> usize {
        self.0.iter().map(|batch| batch.trials.len()).sum()
    }

    /// Compares what `seen` says with what happened; returns a line with the numbers.
    pub(crate) fn judge(&self, seen: &Seen, score: &mut Score) -> String {
        let (mut definite, mut possible, mut doubted) = (0, 0, 0);
        for Batch { victim, squatter, trials } in &self.0 {
            let (host, rival) = (seen.host(victim), seen.host(squatter));
            // The call whose record comes last completes a race: it may be the rival's.
            let found: Vec<_> = [victim, squatter].into_iter().flat_map(|who| seen.about(who)).collect();
            for (key, trial) in trials {
                let of = |rule: &str| -> Option<Finding<'_>> {
                    let mut found =
                        found.iter().filter(|finding| finding.rule() == rule && finding.key() == Some(*key));
                    found.next().copied()
                };
                let place = || format!("key {key} on {}: {trial:?}:{}", seen.hook, shown(&found, *key));
                let (raced, squatted) = (of("check_then_create_raced"), of("squatted_key"));
                if trial.won() {
                    let named = raced.is_some_and(|finding| {
                        finding.names("victim", host, 4101)
                            && finding.names("rival", rival, 4102)
                            && finding.severity() == 3
                    });
                    match raced.and_then(Finding::certainty) {
                        Some("definite") => definite += 1,
                        Some(_) => possible += 1,
                        None => {}
                    }
                    score.count("check_then_create_raced", true, named, place);
                    let named = squatted.is_some_and(|finding| {
                        finding.0["hostProcessId"].as_i64() == host && finding.names("creator", rival, 4102)
                    });
                    // Completed by the rival's call, whose record was the last: nobody knew the creator when the victim's came.
                    let late = raced.is_some_and(|finding| finding.0["hostProcessId"].as_i64() == rival);
                    if late && !named {
                        score.blind("squatted_key");
                    } else {
                        score.count("squatted_key", true, named, place);
                    }
                } else if trial.lost() {
                    doubted += u32::from(raced.is_some_and(|finding| finding.certainty() == Some("possible")));
                    let wrong = raced.is_some_and(|finding| finding.certainty() == Some("definite"));
                    score.count("check_then_create_raced", false, wrong, place);
                    // The squatter does run into the victim's queue, and is told so.
                    let wrong = squatted.is_some_and(|finding| finding.0["hostProcessId"].as_i64() == host);
                    score.count("squatted_key", false, wrong, place);
                }
            }
        }
        format!(
            "races on {}: {} trials; the squatter won {}: {definite} told of as definite, {possible} as possible; it lost {}: \
             {doubted} told of as possible",
            seen.hook,
            self.trials(),
            self.count(Trial::won),
            self.count(Trial::lost),
        )
    }
}

fn shown(found: &[Finding<'_>], key: i64) -> String {
    let of_key = found.iter().filter(|finding| finding.key() == Some(key));
    of_key.map(|finding| format!("\n    {}", finding.shown())).collect()
}

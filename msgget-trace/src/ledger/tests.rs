//! The hops in small: steps of programs, reader and sink go in, in any order; at every snapshot the bounds must hold, at the
//! end the equations, and a counter that slipped must be found.

use std::{collections::VecDeque, mem};

use proptest::prelude::*;

use super::{relations::RELATIONS, *};

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Call,
    Control,
    Use,
    Context,
}

/// How far a program has come with a record; its next step is to count it so.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Seen,
    Submitted,
    Sent,
    Unsubmitted,
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// On this CPU the program goes on, or a record of this kind begins.
    Kernel(usize, Kind),
    /// A record leaves the ring; refused if so said.
    Take { refused: bool },
    /// An event leaves decide, and becomes one of five.
    Give(u8),
    /// The output accepts the batch.
    Settle,
    /// The next of the four readings of a snapshot.
    Look,
}

const CPUS: usize = 2;
/// Records that fit into the ring.
const ROOM: usize = 3;

#[derive(Debug, Default)]
struct Model {
    /// What the CPUs have counted.
    cpus: [Counters; CPUS],
    running: [Option<(Kind, Stage)>; CPUS],
    ring: VecDeque<Kind>,
    /// Records whose room was not given back yet.
    held: usize,
    /// Events that wait for their outcome.
    undecided: VecDeque<Kind>,
    batch: Tally,
    user: Tally,
    /// A snapshot so far.
    looked: Option<(Tally, Vec<Counters>)>,
}

impl Model {
    fn total(&self) -> Counters {
        self.cpus.iter().fold(Counters::default(), Counters::plus)
    }

    /// As the programs do it, see submit.rs.
    fn kernel(&mut self, cpu: usize, kind: Kind) {
        let counters = &mut self.cpus[cpu];
        let (kind, stage) = *self.running[cpu].get_or_insert((kind, Stage::Seen));
        let (seen, submitted, lost) = match kind {
            Kind::Call => (Some(&mut counters.seen), &mut counters.submitted, &mut counters.lost_ring_full),
            Kind::Control => {
                (Some(&mut counters.controls_seen), &mut counters.controls_submitted, &mut counters.controls_lost)
            }
            Kind::Use => (Some(&mut counters.uses_seen), &mut counters.uses_submitted, &mut counters.uses_lost),
            Kind::Context => (None, &mut counters.contexts_submitted, &mut counters.contexts_lost),
        };
        let next = match stage {
            Stage::Seen => {
                seen.into_iter().for_each(|seen| *seen += 1);
                Some(Stage::Submitted)
            }
            Stage::Submitted => {
                *submitted += 1;
                Some(Stage::Sent)
            }
            Stage::Sent if self.ring.len() + self.held < ROOM => {
                self.ring.push_back(kind);
                None
            }
            Stage::Sent => Some(Stage::Unsubmitted),
            Stage::Unsubmitted => {
                *submitted -= 1;
                Some(Stage::Lost)
            }
            Stage::Lost => {
                *lost += 1;
                None
            }
        };
        self.running[cpu] = next.map(|stage| (kind, stage));
    }

    fn take(&mut self, refused: bool) {
        let Some(kind) = self.ring.pop_front() else { return };
        self.held += 1;
        match kind {
            _ if refused => {
                self.batch.read += 1;
                self.batch.rejected += 1;
            }
            Kind::Context => {
                self.batch.read += 1;
                self.batch.contexts += 1;
            }
            Kind::Call | Kind::Control | Kind::Use => self.undecided.push_back(kind),
        }
    }

    fn give(&mut self, becomes: u8) {
        let Some(kind) = self.undecided.pop_front() else { return };
        self.batch.read += 1;
        *match (kind, becomes) {
            (_, 0) => &mut self.batch.early,
            (Kind::Control, _) => &mut self.batch.controls,
            (Kind::Use, _) => &mut self.batch.uses,
            (_, 1) => &mut self.batch.canaries,
            (_, 2) => &mut self.batch.witnesses,
            _ => &mut self.batch.calls,
        } += 1;
    }

    fn settle(&mut self) {
        self.held = self.undecided.len();
        self.user.add(mem::take(&mut self.batch));
    }

    /// Takes the next reading; with the last one, the snapshot is whole.
    fn look(&mut self) -> Option<Ledger> {
        let total = self.total();
        let Some((user, mut readings)) = self.looked.take() else {
            self.looked = Some((self.user, Vec::new()));
            return None;
        };
        readings.push(total);
        match <[Counters; 3]>::try_from(readings) {
            Ok(readings) => Some(Ledger {
                kernel: Ledger::against_the_flow(readings),
                skipped: Skipped::default(),
                abandoned: 0,
                user,
            }),
            Err(readings) => {
                self.looked = Some((user, readings));
                None
            }
        }
    }

    fn step(&mut self, step: Step) -> Option<Ledger> {
        match step {
            Step::Kernel(cpu, kind) => self.kernel(cpu, kind),
            Step::Take { refused } => self.take(refused),
            Step::Give(becomes) => self.give(becomes),
            Step::Settle => self.settle(),
            Step::Look => return self.look(),
        }
        None
    }

    /// Detaches, drains, and strikes the balance.
    fn end(mut self) -> Ledger {
        for cpu in 0..CPUS {
            while self.running[cpu].is_some() {
                self.kernel(cpu, Kind::Call);
            }
        }
        while !self.ring.is_empty() || !self.undecided.is_empty() {
            self.take(false);
            self.give(u8::MAX);
        }
        self.settle();
        Ledger { kernel: self.total(), skipped: Skipped::default(), abandoned: 0, user: self.user }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind =
        prop_oneof![4 => Just(Kind::Call), 2 => Just(Kind::Control), 1 => Just(Kind::Use), 1 => Just(Kind::Context)];
    let step = prop_oneof![
        8 => (0..CPUS, kind).prop_map(|(cpu, kind)| Step::Kernel(cpu, kind)),
        3 => any::<bool>().prop_map(|refused| Step::Take { refused }),
        3 => (0..6_u8).prop_map(Step::Give),
        2 => Just(Step::Settle),
        4 => Just(Step::Look),
    ];
    prop::collection::vec(step, 0..200)
}

/// Makes one counter slip.
type Slip = fn(&mut Model, u64);

/// Every counter that stands in a relation, by its name.
const SLIPS: [(&str, Slip); 29] = [
    ("seen", |model, by| slip(&mut model.cpus[1].seen, by)),
    ("submitted", |model, by| slip(&mut model.cpus[1].submitted, by)),
    ("lost", |model, by| slip(&mut model.cpus[1].lost_ring_full, by)),
    ("out_of_scope", |model, by| slip(&mut model.cpus[1].out_of_scope, by)),
    ("aggregated", |model, by| slip(&mut model.cpus[1].aggregated[0], by)),
    ("attributed", |model, by| slip(&mut model.user.attributed, by)),
    ("unattributed", |model, by| slip(&mut model.user.unattributed, by)),
    ("controls_seen", |model, by| slip(&mut model.cpus[1].controls_seen, by)),
    ("controls_submitted", |model, by| slip(&mut model.cpus[1].controls_submitted, by)),
    ("controls_lost", |model, by| slip(&mut model.cpus[1].controls_lost, by)),
    ("uses_seen", |model, by| slip(&mut model.cpus[1].uses_seen, by)),
    ("uses_submitted", |model, by| slip(&mut model.cpus[1].uses_submitted, by)),
    ("uses_past_budget", |model, by| slip(&mut model.cpus[1].uses_past_budget, by)),
    ("uses_lost", |model, by| slip(&mut model.cpus[1].uses_lost, by)),
    ("contexts_submitted", |model, by| slip(&mut model.cpus[1].contexts_submitted, by)),
    ("read", |model, by| slip(&mut model.user.read, by)),
    ("delivered", |model, by| slip(&mut model.user.calls, by)),
    ("controls", |model, by| slip(&mut model.user.controls, by)),
    ("uses", |model, by| slip(&mut model.user.uses, by)),
    ("canaries", |model, by| slip(&mut model.user.canaries, by)),
    ("early", |model, by| slip(&mut model.user.early, by)),
    ("witnesses", |model, by| slip(&mut model.user.witnesses, by)),
    ("contexts", |model, by| slip(&mut model.user.contexts, by)),
    ("rejected", |model, by| slip(&mut model.user.rejected, by)),
    ("unwanted", |model, by| slip(&mut model.user.unwanted, by)),
    ("found", |model, by| slip(&mut model.user.found, by)),
    ("findings", |model, by| slip(&mut model.user.findings, by)),
    ("findings_unwanted", |model, by| slip(&mut model.user.findings_unwanted, by)),
    ("suppressed", |model, by| slip(&mut model.user.suppressed, by)),
];

fn slip(counter: &mut u64, by: u64) {
    *counter += by;
}

#[test]
fn every_name_of_a_relation_is_a_counter_and_has_its_slip() {
    let balance = Ledger::default().balance();
    for name in RELATIONS.iter().flat_map(|relation| relation.entered.iter().chain(relation.left)) {
        assert!(balance.iter().any(|(counter, _)| counter == name), "{name} is no counter");
        assert!(SLIPS.iter().any(|(counter, _)| counter == name), "{name} is never made to slip");
    }
}

#[test]
fn what_is_broken_is_said() {
    let mut ledger = Ledger::default();
    ledger.kernel.seen = 3;
    assert_eq!(ledger.violation_so_far(), None);
    assert_eq!(
        ledger.violation().as_deref(),
        Some("seen = submitted + aggregated + lost + out_of_scope does not hold: 3 and 0")
    );
    ledger.kernel.lost_ring_full = 4;
    assert_eq!(
        ledger.violation_so_far().as_deref(),
        Some("seen >= submitted + aggregated + lost + out_of_scope does not hold: 3 and 4")
    );
}

proptest! {
    #[test]
    fn bounds_hold_at_any_time_and_equations_at_the_end(steps in steps()) {
        let mut model = Model::default();
        for step in steps {
            if let Some(snapshot) = model.step(step) {
                prop_assert_eq!(snapshot.violation_so_far(), None, "{:?}", snapshot);
            }
        }
        let ledger = model.end();
        prop_assert_eq!(ledger.violation(), None, "{:?}", ledger);
        prop_assert_eq!(ledger.violation_so_far(), None);
    }

    #[test]
    fn whatever_slips_and_whenever_it_is_found_at_the_end(steps in steps(), at: prop::sample::Index) {
        for (name, slip) in SLIPS {
            let mut model = Model::default();
            let at = at.index(steps.len() + 1);
            let (before, after) = steps.split_at(at);
            before.iter().for_each(|step| _ = model.step(*step));
            slip(&mut model, 1);
            after.iter().for_each(|step| _ = model.step(*step));
            let violation = model.end().violation().unwrap_or_default();
            prop_assert!(violation.contains(name), "{} slipped, but: {:?}", name, violation);
        }
    }
}

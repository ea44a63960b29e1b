//! Attribution against a model of the kernel side that may evict any account at any moment.

use std::collections::HashMap;

use msgget_trace_ebpf::{ACCOUNT_OWNER, COUNTS, SAMPLES};
use proptest::prelude::*;

use super::*;
use crate::event::sample::offsets;

/// The accounts and counters of the kernel program.
#[derive(Default)]
struct Kernel {
    clock: u64,
    accounts: HashMap<AccountKey, Account>,
    total: Counts,
    /// Calls of each key, whatever became of its accounts.
    calls: HashMap<AccountKey, u64>,
}

const ZERO: Account = Account {
    paid_ns: 0,
    opened_ns: 0,
    start_ns: 0,
    counts: [0; COUNTS],
    first_ns: 0,
    paused_ns: 0,
    last_ns: 0,
    window: 0,
    keys: 0,
    errnos: 0,
    cgroup_id: 0,
    creations: 0,
    sampled: 0,
    samples: [0; SAMPLES],
    pid: 0,
    euid: 0,
    ipc_ns: 0,
    reserved: 0,
    comm: [0; 16],
};

impl Kernel {
    fn call(&mut self, key: AccountKey, outcome: usize) {
        self.clock += 1;
        let account = self.accounts.entry(key).or_insert(Account { opened_ns: self.clock, ..ZERO });
        account.counts[outcome] += 1;
        account.last_ns = self.clock;
        *self.calls.entry(key).or_default() += 1;
        self.total.0[outcome] += 1;
    }

    fn listed(&self) -> Vec<(AccountKey, Account)> {
        self.accounts.iter().map(|(key, account)| (*key, *account)).collect()
    }
}

fn key(n: u8) -> AccountKey {
    let kind = if n.is_multiple_of(2) { ACCOUNT_PROCESS } else { ACCOUNT_OWNER };
    AccountKey { kind, id: n.into(), cgroup_id: if kind == ACCOUNT_OWNER { 7 } else { 0 } }
}

/// Sums of what `look` tells of: with an owner or a process, and with nobody.
fn sums(look: &Look) -> (Counts, Counts) {
    let mut sums = (Counts::default(), Counts::default());
    for aggregate in &look.aggregates {
        assert!(aggregate.counts.total() > 0, "an empty line");
        let sum = if aggregate.attributed.is_some() { &mut sums.0 } else { &mut sums.1 };
        sum.add(&aggregate.counts);
    }
    sums
}

#[derive(Clone, Debug)]
enum Step {
    Call(u8, usize),
    Evict(u8),
    /// A look between whose reading of the counters and of the accounts these calls come.
    Look(Vec<(u8, usize)>),
}

fn step() -> impl Strategy<Value = Step> {
    let call = || (0..6_u8, 0..6_usize);
    prop_oneof![
        8 => call().prop_map(|(key, outcome)| Step::Call(key, outcome)),
        1 => (0..6_u8).prop_map(Step::Evict),
        2 => prop::collection::vec(call(), 0..4).prop_map(Step::Look),
    ]
}

proptest! {
    #[test]
    fn every_call_comes_out_once(steps in prop::collection::vec(step(), 0..200)) {
        let (mut kernel, mut attribution) = (Kernel::default(), Attribution::default());
        let (mut attributed, mut unattributed) = (Counts::default(), Counts::default());
        let mut by_key: HashMap<(bool, u32), u64> = HashMap::new();
        let mut look = |kernel: &mut Kernel, between: &[(u8, usize)]| {
            let total = kernel.total;
            between.iter().for_each(|(n, outcome)| kernel.call(key(*n), *outcome));
            let look = attribution.look(&total, &kernel.listed(), &offsets(), BootTime(kernel.clock));
            let (known, unknown) = sums(&look);
            attributed.add(&known);
            unattributed.add(&unknown);
            for aggregate in &look.aggregates {
                let Some(whose) = &aggregate.attributed else { continue };
                let id = match whose.payer {
                    Payer::Process { pid, .. } => (false, pid),
                    Payer::Owner => (true, whose.euid.unwrap()),
                };
                *by_key.entry(id).or_default() += aggregate.counts.total();
            }
            // Never more than there were, in any column.
            let mut told = attributed;
            told.add(&unattributed);
            prop_assert_eq!(told.above(&kernel.total), Counts::default());
            for key in &look.quiet {
                kernel.accounts.remove(key);
            }
            Ok(told)
        };
        for step in steps {
            match step {
                Step::Call(n, outcome) => kernel.call(key(n), outcome),
                Step::Evict(n) => _ = kernel.accounts.remove(&key(n)),
                Step::Look(between) => _ = look(&mut kernel, &between)?,
            }
        }
        let told = look(&mut kernel, &[])?;
        prop_assert_eq!(told, kernel.total);
        // Once more, and nothing is told twice.
        let told = look(&mut kernel, &[])?;
        prop_assert_eq!(told, kernel.total);
        for (key, calls) in &kernel.calls {
            let told = by_key.get(&(key.kind == ACCOUNT_OWNER, key.id)).copied().unwrap_or_default();
            prop_assert!(told <= *calls, "{key:?}: {told} of {calls}");
        }
    }
}

#[test]
fn nothing_is_unattributed_while_accounts_stay() {
    let (mut kernel, mut attribution) = (Kernel::default(), Attribution::default());
    for round in 0..10 {
        (0..100).for_each(|n| kernel.call(key(n % 5), usize::from(n % 3)));
        let look = attribution.look(&kernel.total, &kernel.listed(), &offsets(), BootTime(kernel.clock));
        let (known, unknown) = sums(&look);
        assert_eq!((known.total(), unknown.total()), (100, 0), "round {round}");
        assert_eq!(look.aggregates.len(), 5);
    }
}

/// Where the list had no room for it, its calls came out as nobody's; they do not come out again as its own.
#[test]
fn an_account_that_was_not_listed_brings_nothing_twice() {
    let (mut kernel, mut attribution) = (Kernel::default(), Attribution::default());
    (0..9).for_each(|_| kernel.call(key(2), 2));
    let look = attribution.look(&kernel.total, &[], &offsets(), BootTime(kernel.clock));
    assert_eq!(sums(&look).1.total(), 9);
    (0..4).for_each(|_| kernel.call(key(2), 2));
    for expected in [4, 0] {
        let look = attribution.look(&kernel.total, &kernel.listed(), &offsets(), BootTime(kernel.clock));
        let (known, unknown) = sums(&look);
        assert_eq!((known.total(), unknown.total()), (expected, 0));
    }
}

#[test]
fn a_quiet_account_is_closed_and_a_new_one_counts_from_nothing() {
    let (mut kernel, mut attribution) = (Kernel::default(), Attribution::default());
    (0..9).for_each(|_| kernel.call(key(2), 2));
    let mut looks = 0;
    loop {
        assert!(attribution.due(&kernel.total));
        let look = attribution.look(&kernel.total, &kernel.listed(), &offsets(), BootTime(kernel.clock));
        looks += 1;
        if look.quiet == [key(2)] {
            break;
        }
        assert_eq!((look.quiet.len(), sums(&look).1.total()), (0, 0));
        assert!(looks < 10, "it is never closed");
    }
    assert_eq!(looks, 1 + PATIENCE);
    assert!(!attribution.due(&kernel.total));
    kernel.accounts.remove(&key(2));
    kernel.call(key(2), 2);
    assert!(attribution.due(&kernel.total));
    let look = attribution.look(&kernel.total, &kernel.listed(), &offsets(), BootTime(kernel.clock));
    assert_eq!(sums(&look), (Counts([0, 0, 1, 0, 0, 0, 0, 0]), Counts::default()));
}

#[test]
fn times_are_those_of_the_calls_since_the_last_look() {
    let mut attribution = Attribution::default();
    let mut times = |total: u64, first_ns, paused_ns, last_ns| {
        let counts = [0, 0, total, 0, 0, 0, 0, 0];
        let account = Account { opened_ns: 1, counts, first_ns, paused_ns, last_ns, ..ZERO };
        let look = attribution.look(&Counts(counts), &[(key(2), account)], &offsets(), BootTime(last_ns));
        let whose = look.aggregates[0].attributed.clone().unwrap();
        (whose.first.0, whose.last.0)
    };
    assert_eq!(times(5, 100, 0, 200), (100, 200));
    // It goes on: not before the last one that was told of.
    assert_eq!(times(9, 100, 0, 300), (200, 300));
    // After a pause.
    assert_eq!(times(12, 900, 300, 950), (900, 950));
    // Two pauses since: a run between them is among these.
    assert_eq!(times(20, 3000, 2000, 3100), (950, 3100));
}

#[test]
fn keys_are_shown_where_there_are_any() {
    let account = Account { opened_ns: 1, counts: [1; COUNTS], sampled: 0b101, samples: [7, 8, -9, 10], ..ZERO };
    let whose = attributed(&key(2), &account, 0, &offsets());
    assert_eq!(whose.sample_keys, [7, -9]);
    assert_eq!(whose.payer, Payer::Process { pid: 2, started: Some(BootTime(0)) });
}
